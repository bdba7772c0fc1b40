"""What failed: the checks of a scenario against what a run brought.

Every failure has a signature without numbers (what, which way, by which cause) and names the homes to blame where
there are any: shrinking begins with those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from emulator.dcc.verdict import Verdict
from emulator.scenario.facts import Facts, HomeEnd, Moment
from emulator.scenario.faultlist import Planned
from emulator.scenario.reading import Read
from emulator.scenario.report import Failure
from emulator.scenario.scenario import (
    Alerts,
    Check,
    Count,
    Exempt,
    Fired,
    Healing,
    Notes,
    Requested,
    Scenario,
    Standing,
    Verdicts,
    least,
    most,
)
from emulator.scenario.standing import findings


def failures(read: Read, facts: Facts) -> list[Failure]:
    """Every check that did not hold, in the order of the scenario; then faults, standing checks and the healing."""
    scenario = read.scenario
    found: list[Failure] = []
    for check in scenario.checks:
        evaluate = _EVALUATE.get(type(check))
        if evaluate is not None:
            found += evaluate(check, facts, read)
    found += _quiet(read.faults, facts)
    found += _standing(scenario, facts)
    if scenario.healing is not None:
        found += _healed(scenario.healing, facts)
    return found


def label(planned: Planned, all_planned: Sequence[Planned]) -> str:
    """A fault's name, with its number where the name stands twice."""
    name = planned.fault.name
    twice = sum(each.fault.name == name for each in all_planned) > 1
    return f"{name} #{planned.number}" if twice else name


def fired(faults: Sequence[Planned], counts: Mapping[int, int]) -> dict[str, int]:
    """How often each fault struck, by label."""
    return {label(each, faults): counts.get(each.number, 0) for each in faults}


def _off(
    what: str, wanted: Count | None, found: int, text: str, too_many: Sequence[int], too_few: Sequence[int]
) -> Iterator[Failure]:
    """A count against what is wanted of it."""
    if wanted is None or least(wanted) <= found <= most(wanted):
        return
    low, high = least(wanted), most(wanted)
    told = str(low) if low == high else f"{low} to {high}"
    if found < low:
        yield Failure(f"{what}: too few", f"{text}: {found}, expected {told}", tuple(too_few))
    else:
        yield Failure(f"{what}: too many", f"{text}: {found}, expected {told}", tuple(too_many))


def _verdicts(check: Verdicts, facts: Facts, read: Read) -> Iterator[Failure]:
    moment = facts.at(check.at)
    ends = moment.verdicts(check.homes, check.cause)
    every = sorted(moment.homes if check.homes is None else set(check.homes) & set(moment.homes))
    by = f" by {check.cause}" if check.cause is not None else ""
    for name, homes in ends.items():
        wanted: Count | None = getattr(check, name)
        others = [home for home in every if home not in set(homes)] if wanted is not None else []
        text = f"{name}{by} at the {check.at}" if check.at == "end" else f"{name}{by}"
        yield from _off(f"verdicts {name}{by}", wanted, len(homes), text, homes, others)


def _fired(check: Fired, facts: Facts, read: Read) -> Iterator[Failure]:
    numbers = [each.number for each in read.faults if each.fault.name == check.fault]
    count = sum(facts.at(check.at).fired.get(number, 0) for number in numbers)
    struck = sorted({home for number in numbers for home in facts.struck.get(number, ())})
    yield from _off(f"fired {check.fault}", check.count, count, f"{check.fault} struck", struck, ())


def _notes(check: Notes, facts: Facts, read: Read) -> Iterator[Failure]:
    count = facts.at(check.at).noted(check.kind)
    yield from _off(f"notes {check.kind}", check.count, count, f"notes of {check.kind}", (), ())


def _requested(check: Requested, facts: Facts, read: Read) -> Iterator[Failure]:
    moment = facts.at(check.at)
    yield from _off("requested done", check.done, moment.done, "wishes carried out", (), _blamed(moment))
    failed = len(moment.failed)
    first = f" ({moment.failed[0].check}: {moment.failed[0].text})" if moment.failed else ""
    yield from _off("requested failed", check.failed, failed, f"wishes that failed{first}", _blamed(moment), ())


def _blamed(moment: Moment) -> list[int]:
    return sorted({each.installation for each in moment.failed if each.installation is not None})


def _alerts(check: Alerts, facts: Facts, read: Read) -> Iterator[Failure]:
    yield from _off("alerts", check.count, facts.at(check.at).alerts, "alerts heard", (), ())


_EVALUATE: Final[dict[type[Check], Callable[[Any, Facts, Read], Iterator[Failure]]]] = {
    Verdicts: _verdicts,
    Fired: _fired,
    Notes: _notes,
    Requested: _requested,
    Alerts: _alerts,
}


def _quiet(faults: Sequence[Planned], facts: Facts) -> Iterator[Failure]:
    """Faults that were asked for and never struck."""
    for each in faults:
        if not each.may_stay_quiet and not facts.end.fired.get(each.number):
            name = label(each, faults)
            yield Failure(f"quiet {name}", f"the fault {name} was asked for and never struck")


def _standing(scenario: Scenario, facts: Facts) -> list[Failure]:
    off = frozenset(each.name for each in scenario.checks if isinstance(each, Standing) and not each.on)
    by_name: dict[str, list[Any]] = {}
    for finding in findings(scenario, facts, off):
        by_name.setdefault(finding.check, []).append(finding)
    found = []
    for name, every in sorted(by_name.items()):
        homes = sorted({each.installation for each in every if each.installation is not None})
        more = f" (and {len(every) - 1} more)" if len(every) > 1 else ""
        found.append(Failure(f"standing {name}", f"{name}: {every[0].text}{more}", tuple(homes)))
    return found


def _healed(healing: Healing, facts: Facts) -> Iterator[Failure]:
    """Homes that are not healthy after the healing, by how they stand instead."""
    used = [0] * len(healing.exempt)
    ill: dict[str, list[int]] = {}
    for number, end in sorted(facts.end.homes.items()):
        if end.verdict is Verdict.MIGRATED and end.audited and not end.cause:
            continue
        for index, exempt in enumerate(healing.exempt):
            if _fits(exempt, end) and (exempt.most is None or used[index] < exempt.most):
                used[index] += 1
                break
        else:
            audit = "" if end.verdict is not Verdict.MIGRATED else " (audit)"
            ill.setdefault(f"{end.verdict.name.lower()} {end.cause}{audit}".strip(), []).append(number)
    for how, homes in sorted(ill.items()):
        yield Failure(f"healing {how}", f"not healed: {how}", tuple(homes))


def _fits(exempt: Exempt, end: HomeEnd) -> bool:
    return (
        (exempt.homes is None or end.installation in exempt.homes)
        and exempt.verdict in (None, end.verdict.name.lower())
        and exempt.cause in (None, end.cause)
    )
