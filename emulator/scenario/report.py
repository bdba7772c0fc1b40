"""What a run of a scenario came to.

A `Failure` has a signature: what failed, and which way, without numbers and homes. Two runs fail the same when they
share a signature; shrinking keeps one.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from emulator.oracle.audit import Examination
from emulator.scenario.facts import Facts

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """One check that did not hold. `homes`: those that are to blame, as far as one can tell."""

    signature: str
    text: str
    homes: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.homes:
            return self.text
        shown = ", ".join(map(str, self.homes[:SHOWN]))
        more = f" and {len(self.homes) - SHOWN} more" if len(self.homes) > SHOWN else ""
        return f"{self.text} (home{'s' * (len(self.homes) > 1)} {shown}{more})"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took besides its time: exchanges with devices, seconds of the oracle's examination, the peak memory of
    all processes together, bytes of a sleeping home."""

    exchanges: int
    examined_s: float
    peak_rss_bytes: int
    row_bytes: float


@dataclass(slots=True)
class Report:
    """One run under one seed. `digest` is the same for the same scenario, seed and version, on any number of workers;
    `fired`: fault (name, and number where a name stands twice) to how often it struck. `elapsed_s`: without the
    `examination`, which is there when one was asked for; so is `cost`, but for a live run."""

    name: str
    seed: int
    live: bool
    digest: str
    failures: list[Failure]
    facts: Facts = field(repr=False)
    fired: dict[str, int] = field(default_factory=dict)
    virtual_s: int = 0
    elapsed_s: float = 0.0
    examination: Examination | None = None
    cost: Cost | None = None

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return not self.failures

    @property
    def verdicts(self) -> dict[str, int]:
        """Verdict to how many homes ended so, those included that nobody had."""
        found = self.facts.end.verdicts()
        return {name: len(homes) for name, homes in found.items()}

    @property
    def causes(self) -> dict[str, int]:
        """Cause to how many homes ended by it; as planned is left out."""
        counts = Counter(end.cause for end in self.facts.end.homes.values() if end.cause)
        return dict(sorted(counts.items()))

    @property
    def signatures(self) -> frozenset[str]:
        """What failed, and which way."""
        return frozenset(failure.signature for failure in self.failures)

    def told(self) -> str:
        """The run in a line, for a report."""
        ends = ", ".join(f"{count} {name}" for name, count in self.verdicts.items() if count)
        state = "passed" if self.passed else f"FAILED ({len(self.failures)})"
        return f"{self.name}, seed {self.seed}: {state}; {ends or 'no home'}; digest {self.digest}"

    def as_object(self) -> dict[str, Any]:
        """As plain JSON."""
        trouble = self.facts.trouble
        return {
            "scenario": self.name,
            "seed": self.seed,
            "mode": "live" if self.live else "virtual",
            "passed": self.passed,
            "digest": self.digest,
            "failures": [
                {"signature": each.signature, "text": each.text, "homes": list(each.homes)} for each in self.failures
            ],
            "homes": len(self.facts.end.homes),
            "verdicts": self.verdicts,
            "by_cause": self.causes,
            "trouble": {name: len(homes) for name, homes in trouble.verdicts().items()},
            "requests": {"done": self.facts.end.done, "failed": len(self.facts.end.failed)},
            "alerts": self.facts.end.alerts,
            "fired": self.fired,
            "virtual_s": self.virtual_s,
            "elapsed_s": round(self.elapsed_s, 3),
        }
