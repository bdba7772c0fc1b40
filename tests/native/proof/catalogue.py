"""All proofs by name, in the order they are run: what is cheap and says most comes first."""

from collections.abc import Sequence
from typing import Final

from proof import constant_time, counters, differential, guards, published, refusals, tampering, watchmen
from proof.setting import Proof

PROOFS: Final[dict[str, Proof]] = {
    "nist": published.nist,
    "green-book": published.green_book,
    "lengths": differential.lengths,
    "lanes": differential.lanes,
    "mixtures": differential.mixtures,
    "packets": differential.packets,
    "tampering": tampering.tampering,
    "guard-pages": guards.guard_pages,
    "counters": counters.counters,
    "refusals": refusals.refusals,
    "constant-time": constant_time.constant_time,
    "marked-memory": constant_time.constant_time_inside,
    "sanitizers": watchmen.sanitizers,
    "aarch64": watchmen.aarch64,
    "fuzzers": watchmen.fuzzers,
}

WATCHMEN: Final = frozenset(("constant-time", "marked-memory", "sanitizers", "aarch64", "fuzzers"))
"""Proofs that compile the core again with a watchman in it: not among the quick ones."""


def choose(only: Sequence[str] | None, quick: bool) -> list[str]:
    """Names to be run. Raises KeyError, with a text for a person, for a name that is none."""
    for name in only or ():
        if name not in PROOFS:
            raise KeyError(f"no proof is called {name!r}; there are {', '.join(PROOFS)}")
    if only:
        return [name for name in PROOFS if name in only]
    return [name for name in PROOFS if not (quick and name in WATCHMEN)]
