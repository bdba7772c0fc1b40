"""Services 7.5 to 7.8 and 6.14.1, 6.14.2: auxiliary load switches, the fifth terminal.

An ad-hoc command is two steps: write the duration object 0-0:94.44.x.n in minutes (DUIS gives no unit: ASSUMED), then
execute the script of switch n in table 0-0:10.0.103. Which x and which scripts is the profile's. The state is read back
from class 70 on channel n.

6.14.2 loads switching times into class 10 at 0-0:12.0.2. On SMETS1 the switches follow the tariff and that object only
shows what follows from it: the meter denies the write, and the request fails saying so. A model with a calendar of its
own takes it.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from emulator.codecs.axdr import Data, array, long_unsigned, octet_string
from emulator.codecs.get import AttributeRef, DataAccessResult
from emulator.commands import Minutes, Switch
from emulator.dlms.classes.schedule import Entry
from emulator.dlms.cosem import obis
from emulator.headend import services
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import NOT_EFFECTED, Course, Payload, not_offered

UNTIL_RESET: Final = 0xFFFF
"""Minutes left of a hold without an end."""

HOLD_AGES_MINUTES: Final = 5
"""A hold just begun may have run for so long when it is asked about. ASSUMED."""

LABEL_MOST: Final = 20
"""Characters of a switch's description that a SMETS1 meter keeps; DUIS allows 22. ASSUMED."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A switch, and for how many minutes (0: until reset)."""

    switch: Switch
    minutes: Minutes = 30


@dataclass(frozen=True, slots=True)
class OneSwitch:
    """A switch."""

    switch: Switch


@dataclass(frozen=True, slots=True)
class Described:
    """A switch, and what it is to be called."""

    switch: Switch
    description: Annotated[str, Meta(min_length=1, max_length=22, pattern=r"^[ -~]+$", description="printable ASCII")]


@dataclass(frozen=True, slots=True)
class Move:
    """A switching time: `switch` goes on or off `at` HH:MM (GMT), on these weekdays (Monday first, "1" for yes)."""

    switch: Switch
    on: bool
    at: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM, GMT")]
    weekdays: Annotated[str, Meta(pattern="^[01]{7}$")] = "1111111"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """All switching times; those there were are replaced."""

    moves: Annotated[list[Move], Meta(min_length=1, max_length=48)]


def _has(course: Course, switch: int) -> None:
    """Raises RefusedError for a switch this meter lacks."""
    switches = course.profile.auxiliary.switches
    if switch > switches:
        has = f"switches 1 to {switches}" if switches else "no auxiliary switches"
        raise not_offered(f"this meter has {has}")


def _hold(course: Course, asked: Timed, on: bool) -> Steps[Payload]:
    _has(course, asked.switch)
    habits = course.profile.auxiliary
    duration, minutes, script = ad_hoc(habits, "activate" if on else "deactivate", asked.switch, asked.minutes)
    yield from course.set(duration, minutes)
    doubt = yield from course.tried(services.AUXILIARY_SCRIPTS, script)
    state = yield from course.get(services.auxiliary(asked.switch))
    if bool(state.value) != (on != habits.inverted):
        raise doubt or RefusedError(NOT_EFFECTED, f"switch {asked.switch} does not read {'on' if on else 'off'}")
    if doubt is not None and not (yield from _held(course, asked, on)):
        raise doubt  # it stands so by its calendar, and nobody knows what became of the command
    return {"switch": asked.switch, "on": bool(state.value) != habits.inverted, "minutes": asked.minutes}


def _held(course: Course, asked: Timed, on: bool) -> Steps[bool]:
    """Whether a switch is held as was asked, for about as long: what a state that agrees does not prove."""
    try:
        found = yield from course.get(services.auxiliary_hold(asked.switch))
        held, left = (int(each.value) for each in found.value)
    except (RefusedError, TypeError, ValueError):
        return False  # a model that does not tell
    enough = left == UNTIL_RESET if not asked.minutes else left >= min(asked.minutes, UNTIL_RESET) - HOLD_AGES_MINUTES
    return held == (2 if on else 1) and enough


def ad_hoc(
    habits: Any, wish: Literal["activate", "deactivate", "reset"], switch: int, minutes: int
) -> tuple[AttributeRef, Data, Data]:
    """An ad-hoc command by a model's habits (its profile's `auxiliary`): the duration object, what is to be written
    there, and the parameter of `services.AUXILIARY_SCRIPTS` that then carries it out."""
    duration = AttributeRef(1, obis(f"0-0:94.44.{getattr(habits, f'{wish}_duration')}.{switch}"), 2)
    return duration, long_unsigned(minutes), long_unsigned(getattr(habits, wish) + switch * habits.step)


def activate(course: Course, asked: Timed) -> Steps[Payload]:
    """7.5: hold a switch on."""
    return (yield from _hold(course, asked, True))


def deactivate(course: Course, asked: Timed) -> Steps[Payload]:
    """7.6: hold a switch off."""
    return (yield from _hold(course, asked, False))


def reset(course: Course, asked: OneSwitch) -> Steps[Payload]:
    """7.8: give a switch back to its calendar. What that asks for now is the meter's to say, so the state read back is
    told and not judged; and as it proves nothing, silence stays silence."""
    _has(course, asked.switch)
    habits = course.profile.auxiliary
    duration, at_once, script = ad_hoc(habits, "reset", asked.switch, 0)
    yield from course.set(duration, at_once)
    yield from course.action(services.AUXILIARY_SCRIPTS, script)
    state = yield from course.get(services.auxiliary(asked.switch))
    return {"switch": asked.switch, "on": bool(state.value) != habits.inverted}


def read(course: Course, asked: object) -> Steps[Payload]:
    """7.7: every switch with its description and state, and the times at which switches move by the calendar."""
    habits = course.profile.auxiliary
    _has(course, 1)
    found = []
    for switch in range(1, habits.switches + 1):
        label, identity, state = yield from course.get_list(
            (_label(switch), _identity(switch), services.auxiliary(switch))
        )
        found.append(
            {
                "switch": switch,
                "description": bytes(label.value).decode("ascii", "replace"),
                "id": bytes(identity.value).hex(),
                "on": bool(state.value) != habits.inverted,
            }
        )
    calendar = yield from course.get(services.AUXILIARY_CALENDAR)
    return {"switches": found, "calendar": [_entry(course, each) for each in calendar.value]}


def _label(switch: int) -> AttributeRef:
    return AttributeRef(1, obis(f"0-0:94.44.0.{10 + switch}"), 2)


def _identity(switch: int) -> AttributeRef:
    return AttributeRef(1, obis(f"0-0:94.44.0.{20 + switch}"), 2)


def _entry(course: Course, entry: Data) -> Payload:
    """One entry of the schedule (class 10): index, enabled, script table, script, time, ..."""
    habits = course.profile.auxiliary
    script, time = int(entry.value[3].value), bytes(entry.value[4].value)
    on = (script - habits.activate) % habits.step == 0
    switch = (script - (habits.activate if on else habits.deactivate)) // habits.step
    return {"at": f"{time[0]:02}:{time[1]:02}", "switch": switch, "on": on}


def describe(course: Course, asked: Described) -> Steps[Payload]:
    """6.14.1: what a switch is called."""
    _has(course, asked.switch)
    if len(asked.description) > LABEL_MOST:
        raise not_offered(f"this meter keeps {LABEL_MOST} characters of a description")
    text = octet_string(asked.description.encode("ascii"))
    yield from course.written(_label(asked.switch), text, "the description read back is another")
    return {"switch": asked.switch, "description": asked.description}


def schedule(course: Course, asked: Scheduled) -> Steps[Payload]:
    """6.14.2: load the switches' own calendar."""
    habits = course.profile.auxiliary
    lines = []
    for index, move in enumerate(asked.moves, 1):
        _has(course, move.switch)
        script = (habits.activate if move.on else habits.deactivate) + move.switch * habits.step
        time = bytes((int(move.at[:2]), int(move.at[3:]), 0, 0))
        table = services.AUXILIARY_SCRIPTS.logical_name
        lines.append(Entry(index, True, table, script, time, move.weekdays).data())
    try:
        yield from course.written(services.AUXILIARY_CALENDAR, array(lines), "the lines read back are others")
    except RefusedError as error:
        if error.detail == DataAccessResult.READ_WRITE_DENIED:
            raise not_offered("this meter has no calendar for its switches; they follow its tariff") from error
        raise
    return {"lines": len(lines)}
