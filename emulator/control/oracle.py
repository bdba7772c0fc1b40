"""The oracle's answers for whoever asks: what is the matter with a device, what can be done about it. Never a key."""

from dataclasses import dataclass

from emulator.commands import Diagnose
from emulator.control.desk import Desk
from emulator.control.errors import NotNowError
from emulator.control.registry import handles
from emulator.control.ring import device_name
from emulator.kernel.machine import Party
from emulator.oracle.observe import Diagnosis, diagnose
from emulator.oracle.state import CORRUPT, FOREIGN
from emulator.oracle.verdict import ROWS


@dataclass(frozen=True, slots=True)
class Matter:
    """A row of the table of what may be the matter: R1 to R9, "counter" or "keeper", and what it says."""

    row: str
    about: str


@dataclass(frozen=True, slots=True)
class DiagnosisView:
    """What the oracle says of a device at virtual time `now`.

    `verdict`: healthy, recoverable, reads-only or unrecoverable; `matters` what is found, `reason` in one sentence;
    `steps` the shortest sequence of commands that heals it, empty when there is none or none is needed; `advice` what a
    field engineer must do. `holds`: which generation each of EK, AK and KEK in the device is of, "foreign" or
    "corrupt"; `believed_data` and `believed_master` what the keepers take for live. `keepers`: what one keeper knows
    and another does not. `later`: the verdict after `later_s` seconds in which nobody does anything, where it is
    another.
    """

    installation: int
    device: str
    now: int
    verdict: str
    matters: list[Matter]
    reason: str
    steps: list[str]
    advice: str
    holds: dict[str, str]
    believed_data: int
    believed_master: int
    keepers: list[str]
    later: str | None
    later_s: int


@dataclass(frozen=True, slots=True)
class HealedView:
    """The device was healed, and showed it: the steps that were taken, and its diagnosis afterwards."""

    steps: list[str]
    diagnosis: DiagnosisView


@handles(Diagnose)
def diagnosed(desk: Desk, wish: Diagnose, installation: int, party: Party) -> DiagnosisView:
    """What the oracle says of a device."""
    return view(diagnosis(desk, installation, party))


def diagnosis(desk: Desk, installation: int, party: Party) -> Diagnosis:
    """The oracle's diagnosis. Raises NoSuchThingError, NotNowError."""
    desk.spec(installation, party)
    head_end = desk.head_end(installation)
    record = desk.live.estate.smso(desk.home(installation))
    if head_end.target(record, party) is None:
        raise NotNowError(
            f"the old operator's record of installation {installation} has no keys for its {device_name(party)}",
            "device",
            "choose another device or installation",
        )
    return diagnose(head_end.cell, head_end.keyring, installation, party, desk.live.now)


def view(found: Diagnosis) -> DiagnosisView:
    """A diagnosis as plain values."""
    state = found.state
    return DiagnosisView(
        installation=found.installation,
        device=device_name(found.party),
        now=found.at,
        verdict=str(found.kind),
        matters=[Matter(row, ROWS[row]) for row in found.rows],
        reason=found.reason,
        steps=list(found.steps),
        advice=found.advice,
        holds={
            "ek": _held(state.ek, found.data),
            "ak": _held(state.ak, found.data),
            "kek": _held(state.kek, found.master),
        },
        believed_data=found.data[0],
        believed_master=found.master[0],
        keepers=list(found.keepers),
        later=None if found.later is None else str(found.later),
        later_s=found.later_s,
    )


def _held(position: int, generations: tuple[int, ...]) -> str:
    return {FOREIGN: "foreign", CORRUPT: "corrupt"}.get(position) or f"generation {generations[position]}"
