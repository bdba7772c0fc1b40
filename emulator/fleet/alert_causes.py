"""What makes devices alert: a table that a user can replace, read from TOML.

The table says causes, shares and devices; when an alert happens is `alert_source`'s business, what a device does about
it the device's. Nothing here is published for SMETS1, so everything is a setting.
"""

import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from emulator.commands import Notice
from emulator.errors import InputError
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.resources import fixture, list_fixtures

PER_DAY: Final = 2.3
"""Alerts a day an installation, where nothing else is said."""

PER_DAY_MOST: Final = 10_000.0

_PARTIES: Final = {"hub": Party.HUB, "electricity": Party.ELECTRICITY, "gas": Party.GAS}
_ALWAYS: Final = frozenset({Party.HUB, Party.ELECTRICITY})
_ONE: Final = 1 << 53

Code: TypeAlias = Annotated[int, Meta(ge=1, le=0xFFFF, description="16-bit alert code")]
Weight: TypeAlias = Annotated[float, Meta(ge=0.0, le=1e9)]
DeviceName: TypeAlias = Literal["hub", "electricity", "gas"]
FollowS: TypeAlias = Annotated[int, Meta(ge=1, le=43_200, description="seconds")]


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown keys are mistakes."""


class Cause(_Strict, frozen=True, kw_only=True):
    """One cause. `weight` against the other causes; `devices` which device notices it, weighted; `log` where the device
    writes it down and as which `event` (0: the code itself); `then` a second alert of the same device, `after_s`
    seconds later. Only causes of devices that every home has can be followed by another."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,47}(?!\n)$")]
    code: Code
    weight: Weight = 0.0
    devices: dict[DeviceName, Weight] = msgspec.field(default_factory=lambda: {"electricity": 1.0})
    log: Literal["", "event", "security", "auxiliary", "power"] = ""
    event: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    text: Annotated[str, Meta(max_length=80)] = ""
    then: str | None = None
    after_s: tuple[FollowS, FollowS] = (5, 600)


class Throttling(_Strict, frozen=True, kw_only=True):
    """Repeats of a code from one device within `window_s` seconds (0: nothing is throttled) become one alert, unless
    the code is excluded."""

    window_s: Annotated[int, Meta(ge=0, le=86_400, description="seconds")] = 900
    excluded: tuple[Code, ...] = ()


class _File(_Strict, frozen=True, kw_only=True):
    causes: Annotated[tuple[Cause, ...], Meta(min_length=1, max_length=1_000)]
    throttle: Throttling = Throttling()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A cause at a device. `then` is the index of the occurrence that follows, -1 for none, `after` microseconds."""

    name: str
    party: Party
    notice: Notice
    then: int = -1
    after: tuple[Instant, Instant] = (0, 0)


@dataclass(frozen=True, slots=True)
class Causes:
    """A checked table.

    `occurrences` are all pairs of cause and device; `shares` the running sums of their chances, in 2^-53ths, for those
    that begin an incident (the first `len(shares)`). `incident` is how many alerts an incident makes, on average.
    """

    occurrences: tuple[Occurrence, ...]
    shares: tuple[int, ...]
    incident: float
    throttling: Throttling
    names: Mapping[int, str]
    """Code to the name of its (first) cause."""
    _always: tuple[tuple[int, ...], tuple[int, ...]] = field(repr=False, default=((), ()))

    def name(self, code: int) -> str:
        """The cause of a code; the code in hex for one that is not in the table."""
        return self.names.get(code) or f"{code:#06x}"

    def elsewhere(self, luck: int) -> Occurrence:
        """Instead of an occurrence at a device that the home does not have: one at a device that every home has.
        `luck`: 11 bits."""
        places, sums = self._always
        return self.occurrences[places[bisect_right(sums, luck % 2048 * sums[-1] // 2048)]]

    def of_code(self, code: int, device: str | None = None) -> tuple[tuple[Occurrence, ...], tuple[int, ...]]:
        """What a storm of one code is made of: its occurrences, without what follows them, and their running chances as
        in `shares`. A code that is not in the table is noticed by `device`, by default the electricity meter."""
        party = _PARTIES[device] if device else None
        found = [
            (Occurrence(each.name, each.party, each.notice), high - low)
            for each, low, high in zip(self.occurrences, (0, *self.shares), self.shares, strict=False)
            if each.notice.code == code and party in (None, each.party)
        ]
        found = [pair for pair in found if pair[1] > 0]
        if not found:
            name = self.name(code)
            found = [(Occurrence(name, party or Party.ELECTRICITY, Notice(code, name)), 1)]
        return tuple(each for each, _ in found), _sums([float(weight) for _, weight in found])


def _sums(weights: list[float]) -> tuple[int, ...]:
    """Running sums scaled so that the last is 2^53."""
    total = sum(weights)
    return (*(round(at / total * _ONE) for at in list(accumulate(weights))[:-1]), _ONE)


def table(causes: tuple[Cause, ...], throttling: Throttling, where: str) -> Causes:
    """A table of these causes. Raises InputError with everything that is wrong with them."""
    found = list(_problems(causes))
    if found:
        raise InputError("\n  ".join([f"{where}: {len(found)} mistake{'s' * (len(found) > 1)}", *found]))
    began: list[tuple[Cause, Party, float]] = []
    for cause in causes:
        total = sum(cause.devices.values())
        began += [
            (cause, _PARTIES[device], cause.weight * weight / total)
            for device, weight in cause.devices.items()
            if cause.weight > 0 and weight > 0
        ]
    by_name = {cause.name: cause for cause in causes}
    followers: list[tuple[str, Party]] = []
    occurrences = []
    for cause, party, _ in began:
        then = -1
        if cause.then is not None:
            follower = (cause.then, party)
            if follower not in followers:
                followers.append(follower)
            then = len(began) + followers.index(follower)
        low, high = cause.after_s
        occurrences.append(_occurrence(cause, party, then, (low * SECOND, high * SECOND)))
    occurrences += [_occurrence(by_name[name], party) for name, party in followers]
    weights = [weight for _, _, weight in began]
    total = sum(weights)
    always = [at for at, (cause, party, _) in enumerate(began) if party in _ALWAYS and cause.then is None]
    if not always:
        raise InputError(f"{where}: no cause of the hub or the electricity meter stands alone; add one without `then`")
    names: dict[int, str] = {}
    for cause in causes:
        names.setdefault(cause.code, cause.name)
    pairs = sum(weight for cause, _, weight in began if cause.then is not None)
    sums = _sums([weights[at] for at in always])
    return Causes(tuple(occurrences), _sums(weights), 1 + pairs / total, throttling, names, (tuple(always), sums))


def _occurrence(cause: Cause, party: Party, then: int = -1, after: tuple[Instant, Instant] = (0, 0)) -> Occurrence:
    notice = Notice(cause.code, cause.text or cause.name, cause.log, cause.event or cause.code)
    return Occurrence(cause.name, party, notice, then, after if then >= 0 else (0, 0))


def _problems(causes: tuple[Cause, ...]) -> Iterator[str]:
    names = [cause.name for cause in causes]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"causes: {name!r} stands twice; names are unique"
    if not any(cause.weight > 0 for cause in causes):
        yield "causes: every weight is 0; give one a weight above 0"
    for cause in causes:
        if not sum(cause.devices.values()) > 0:
            yield f"causes {cause.name}: devices: no device has a weight above 0; give one"
        if cause.then is None:
            continue
        if cause.then not in names:
            yield f"causes {cause.name}: then: no cause {cause.then!r}; one of {', '.join(names)}"
        if not {_PARTIES[device] for device in cause.devices} <= _ALWAYS:
            yield f"causes {cause.name}: then: only alerts of hub and electricity can be followed by another; drop it"
        if not cause.after_s[0] <= cause.after_s[1]:
            yield f"causes {cause.name}: after_s: not [low, high]; exchange them"


def names() -> list[str]:
    """The tables that come with the project."""
    return [name.removeprefix("alerts/").removesuffix(".toml") for name in list_fixtures("alerts", ".toml")]


@lru_cache(maxsize=16)
def read(source: str) -> Causes:
    """The table of that name, or in that file. Raises InputError."""
    if source in names():
        file = fixture(f"alerts/{source}.toml")
    else:
        file = Path(source)
        if not file.suffix or not file.is_file():
            raise InputError(f"no table of alert causes is called {source!r}; name a file, or {', '.join(names())}")
    try:
        document = tomllib.loads(file.read_text("utf-8"))
        parsed = msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise InputError(f"{file}: {error}; correct it") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not TOML in UTF-8: {error}; see https://toml.io") from error
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error
    return table(parsed.causes, parsed.throttle, str(file))
