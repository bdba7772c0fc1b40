"""What a core release could do with auxiliary load, and what may have gone wrong while it could not.

FACT: the capability was missing when the cohort went live and came with core release 1.1. The mechanism is not public;
five hypotheses can be chosen, each an INFERENCE, and each acts for real: by a refusal, by bytes that a meter is sent,
or by a fault in the meter. Release 1.1 turns every one of them off.

    H1  the S1SP refuses the services of auxiliary load: at once, the meter is not touched
    H2  a tariff write drops what the switches follow; the takeover loads the recorded tariff again, as a new supplier
        does, and from then on no rate turns them on
    H3  the inventory lacks the flag for auxiliary load (ESMEVariant without "D"), so access checks refuse at the front
    H4  the migration loads another tariff (`reset_to`), and with it other switching times
    H5  states are reported and not enacted: relays stay as they stood when the keys were changed

While the capability is missing nobody can look at switches over the air either, so a takeover under release 1.0 neither
checks them under new keys nor waits for a switching time: its ledger says migrated, and the home may be cold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from emulator.faults.auxiliary import RelayStuck, SwitchMappingDropped
from emulator.faults.fault import Fault
from emulator.fleet import registry, tariffs
from emulator.fleet.installation import Installation, SmsoRecord
from emulator.headend.conversation import Remark
from emulator.headend.keyring import Target
from emulator.headend.session import Steps
from emulator.headend.steps.course import Course
from emulator.headend.steps.tariff import Tariff, load
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party

Hypothesis: TypeAlias = Literal["H1", "H2", "H3", "H4", "H5"]

SERVICES: Final = frozenset({"6.14.1", "6.14.2", "6.14.3", *(f"7.{number}" for number in range(5, 13))})
"""The services of auxiliary load: 6.14.x, and those of group 7 that are not the supply's (7.1 to 7.4). FACT."""

FIRST_NUMBER: Final = 9_001
"""The faults of a hypothesis are numbered from here, apart from those somebody asked for."""


@dataclass(frozen=True, slots=True)
class AuxiliarySettings:
    """`core_release` 1.0 lacks the capability, 1.1 has it. `hypothesis` is why, under 1.0; None there means H1, the one
    that touches no meter (ASSUMED). `reset_to` names the switching table H4 loads (ASSUMED: that of a meter fresh from
    the factory, which never turns a switch on)."""

    core_release: Literal["1.0", "1.1"] = "1.1"
    hypothesis: Hypothesis | None = None
    reset_to: str = "single-rate"

    @property
    def acting(self) -> Hypothesis | None:
        """The hypothesis that is at work; None when the capability is there."""
        return None if self.core_release == "1.1" else self.hypothesis or "H1"

    @property
    def capable(self) -> bool:
        """Whether auxiliary load can be read and switched."""
        return self.acting is None

    def faults(self) -> tuple[Fault, ...]:
        """The faults that meters with a fifth terminal have under it."""
        if self.acting == "H2":
            return (SwitchMappingDropped(),)
        if self.acting == "H5":
            return (RelayStuck(state="as-is", from_migration=True),)
        return ()

    def loads(self, recorded: str) -> str | None:
        """The switching table that a takeover loads, in a home recorded with `recorded`; None: it loads none."""
        if self.acting == "H4":
            return self.reset_to
        return recorded if self.acting == "H2" else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """`by` whom: the front (access checks) or the S1SP; why."""

    by: Literal["front", "s1sp"]
    reason: str


def esme_variant(home: Installation, settings: AuxiliarySettings) -> str:
    """What the inventory says of a home's electricity meter: "A" (single element), with "D" when it has auxiliary load
    switches. The letters are FACT; that a missing "D" was the mechanism is H3."""
    spec = home.device(Party.ELECTRICITY)
    able = spec is not None and registry.model(spec.model).profile.auxiliary.switches > 0
    return "AD" if able and settings.acting != "H3" else "A"


def refusal(service: str, home: Installation, settings: AuxiliarySettings) -> Refusal | None:
    """Who refuses a service ("7.5") to a home before any device is asked, and why; None when nobody does.

    A home without a fifth terminal is not refused here: its meter has the last word."""
    acting = settings.acting
    if service not in SERVICES or acting is None:
        return None
    if acting == "H1":
        return Refusal("s1sp", "auxiliary load is not supported in core release 1.0")
    if acting == "H3":
        return Refusal("front", f"the inventory's ESME variant {esme_variant(home, settings)!r} has no auxiliary load")
    return None


def enrolled(
    target: Target, record: SmsoRecord, settings: AuxiliarySettings, now: Callable[[], Instant]
) -> Steps[None]:
    """What a takeover does to the tariff of a five-terminal home under the hypothesis at work; nothing under release
    1.1. Raises NoAnswerError, RefusedError."""
    wiring = record.wiring
    table = settings.loads(wiring.tariff) if wiring is not None else None
    if table is None:
        return
    profile: Any = registry.model(target.device.spec.model).profile
    yield from load(Course(target, profile, {}, now), Tariff(table=table))
    yield Remark(Note("takeover.tariff-loaded", (table,)))


def check(settings: AuxiliarySettings) -> str:
    """What is wrong with settings; "" when nothing is."""
    if settings.reset_to not in tariffs.tables():
        return f"reset_to: no switching table {settings.reset_to!r}; there are {', '.join(sorted(tariffs.tables()))}"
    if settings.core_release == "1.1" and settings.hypothesis is not None:
        return f"hypothesis {settings.hypothesis} under core release 1.1, which has the capability; ask for release 1.0"
    return ""
