"""What a run brought, in one shape for virtual time and live: what the checks look at.

A `Moment` is how things stand at an instant: after the trouble, or at the end. `Facts` are both, and what was looked
for over the whole run: standing checks, and whom each fault struck.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from emulator.dcc.auxiliary_harm import SwitchHarm
from emulator.dcc.campaign import add_up
from emulator.dcc.verdict import Verdict


@dataclass(frozen=True, slots=True)
class HomeEnd:
    """How one home stands: its verdict, the cause, and whether the audit agrees (None: not audited)."""

    installation: int
    verdict: Verdict
    cause: str
    attempts: int
    audited: bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be: what a standing check found, or a wish that failed. `installation` None: no home
    in particular."""

    check: str
    text: str
    installation: int | None = None


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What the oracle says of one device: its class, why, and what an engineer must do ("" for nothing)."""

    installation: int
    device: str
    kind: str
    reason: str
    advice: str


@dataclass(slots=True)
class Moment:
    """How things stand. `counts`: notes by kind; `done`: wishes that were carried out; `failed`: those that were not,
    after all attempts; `fired`: fault number to how often it struck; `oracle`, `harms`: filled where a check asks."""

    homes: dict[int, HomeEnd] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    fired: dict[int, int] = field(default_factory=dict)
    done: int = 0
    failed: list[Finding] = field(default_factory=list)
    alerts: int = 0
    oracle: list[Diagnosed] = field(default_factory=list)
    harms: list[SwitchHarm] = field(default_factory=list)

    def add(self, other: "Moment") -> None:
        """Take in what another cell brought."""
        self.homes.update(other.homes)
        add_up(self.counts, other.counts)
        add_up(self.fired, other.fired)
        self.done += other.done
        self.failed += other.failed
        self.alerts += other.alerts

    def noted(self, kind: str) -> int:
        """Notes of a kind; "relay." takes all that begin so."""
        if not kind.endswith("."):
            return self.counts.get(kind, 0)
        return sum(count for name, count in self.counts.items() if name.startswith(kind))

    def verdicts(self, homes: Iterable[int] | None = None, cause: str | None = None) -> dict[str, list[int]]:
        """Verdict's name in small letters to the homes that ended so; "audited" to those whose audit agrees."""
        wanted = self.homes if homes is None else [number for number in homes if number in self.homes]
        found: dict[str, list[int]] = {each.name.lower(): [] for each in Verdict}
        found["audited"] = []
        for number in sorted(wanted):
            end = self.homes[number]
            if cause is not None and end.cause != cause:
                continue
            found[end.verdict.name.lower()].append(number)
            if end.audited:
                found["audited"].append(number)
        return found


@dataclass(slots=True)
class Facts:
    """All that a run brought. `objections`: where ledger, audit and delivery log differ; `struck`: fault number to the
    homes it met."""

    installations: int
    trouble: Moment
    end: Moment
    findings: list[Finding] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    struck: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def at(self, moment: str) -> Moment:
        """The moment of that name."""
        return self.trouble if moment == "trouble" else self.end
