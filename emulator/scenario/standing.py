"""Standing checks: what must hold in every scenario, asked for or not. One may be turned off by name.

The parent looks at what all cells brought together here; what can only be seen inside a cell is looked for there, by
`emulator.watch.checks`, and comes as findings.
"""

from collections.abc import Callable, Iterator
from typing import Final

from emulator.dcc.verdict import Verdict
from emulator.scenario.facts import Facts, Finding
from emulator.scenario.scenario import Migrate, Scenario
from emulator.watch.checks import CHECKS


def _ledger_balances(scenario: Scenario, facts: Facts) -> Iterator[Finding]:
    """The ledger, the audit and the link's delivery log say the same."""
    for objection in facts.objections:
        yield Finding("ledger-balances", objection)


def _one_verdict_each(scenario: Scenario, facts: Facts) -> Iterator[Finding]:
    """Every home that was to be migrated ended in exactly one verdict, and every migrated one was audited."""
    if not any(isinstance(step, Migrate) for step in scenario.campaigns):
        return
    for moment in (facts.trouble, facts.end):
        for number, end in sorted(moment.homes.items()):
            if end.verdict is Verdict.PENDING:
                yield Finding("one-verdict-each", "ended in no verdict", number)
            elif (end.verdict is Verdict.MIGRATED) != (end.audited is not None):
                yield Finding("one-verdict-each", f"{end.verdict.name.lower()}, and yet audited {end.audited}", number)
        if scenario.healing is None:
            return


STANDING: Final[dict[str, Callable[[Scenario, Facts], Iterator[Finding]]]] = {
    "ledger-balances": _ledger_balances,
    "one-verdict-each": _one_verdict_each,
}
"""What holds in every scenario, by name."""


def names() -> list[str]:
    """Every standing check that may be turned off."""
    return sorted({*STANDING, *CHECKS})


def findings(scenario: Scenario, facts: Facts, off: frozenset[str]) -> Iterator[Finding]:
    """All that was found, but for checks that are off."""
    for name, check in STANDING.items():
        if name not in off:
            yield from check(scenario, facts)
    yield from (each for each in facts.findings if each.check not in off)
