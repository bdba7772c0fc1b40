"""What failed: the checks of a scenario against what a run brought.

Every failure has a signature without numbers (what, which way, by which cause) and names the homes to blame where
there are any: shrinking begins with those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from emulator.dcc.auxiliary_harm import report
from emulator.dcc.casework import ELECTRICITY_ONLY
from emulator.dcc.verdict import Verdict
from emulator.scenario.facts import Diagnosed, Facts, HomeEnd, Moment
from emulator.scenario.faultlist import Planned
from emulator.scenario.reading import Read
from emulator.scenario.report import Failure
from emulator.scenario.scenario import (
    Alerts,
    Check,
    Count,
    Exempt,
    Fired,
    Harm,
    Healing,
    Notes,
    Oracle,
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


def _oracle(check: Oracle, facts: Facts, read: Read) -> Iterator[Failure]:
    moment = facts.at(check.at)
    told = [each for each in moment.oracle if check.homes is None or each.installation in check.homes]
    for kind in ("healthy", "recoverable", "reads-only", "unrecoverable"):
        these = [each for each in told if each.kind == kind]
        homes = sorted({each.installation for each in these})
        others = sorted({each.installation for each in told} - set(homes))
        why = f" ({these[0].device}: {these[0].reason})" if these else ""
        wanted: Count | None = getattr(check, kind.replace("-", "_"))
        yield from _off(f"oracle {kind}", wanted, len(these), f"devices {kind} by the oracle{why}", homes, others)
    if check.agrees:
        yield from _disagreements(moment, told)


def _disagreements(moment: Moment, told: Sequence[Diagnosed]) -> Iterator[Failure]:
    """Where verdicts do not bear the oracle out."""
    by_home: dict[int, list[Diagnosed]] = {}
    for each in told:
        by_home.setdefault(each.installation, []).append(each)
    lost, ill = [], []
    for home, devices in sorted(by_home.items()):
        end = moment.homes.get(home)
        kinds = {each.kind for each in devices if end is None or end.cause != ELECTRICITY_ONLY or each.device != "gas"}
        if end is not None and end.verdict is Verdict.UNRECOVERABLE and not kinds & {"reads-only", "unrecoverable"}:
            lost.append(home)
        if end is not None and end.verdict is Verdict.MIGRATED and kinds != {"healthy"}:
            ill.append(home)
    if lost:
        yield Failure("oracle given up", "given up as unrecoverable, though the oracle sees a way back", tuple(lost))
    if ill:
        yield Failure("oracle migrated", "migrated, though the oracle calls a device not healthy", tuple(ill))


def _harm(check: Harm, facts: Facts, read: Read) -> Iterator[Failure]:
    harms = facts.at(check.at).harms
    found = report(harms)
    worst = [number for number, _, _ in found.worst]
    yield from _off("harm cold", check.cold, found.cold, "homes that were cold", worst, ())
    for name, hours in (("lost", found.lost_h), ("gained", found.gained_h)):
        wanted: tuple[float, ...] | None = getattr(check, f"{name}_h")
        if wanted is not None and not wanted[0] <= hours <= wanted[1]:
            way = "too few" if hours < wanted[0] else "too many"
            text = f"hours of heating {name}: {hours:.2f}, expected {wanted[0]:g} to {wanted[1]:g}"
            yield Failure(f"harm {name}: {way}", text, tuple(sorted(worst)))


_EVALUATE: Final[dict[type[Check], Callable[[Any, Facts, Read], Iterator[Failure]]]] = {
    Verdicts: _verdicts,
    Fired: _fired,
    Notes: _notes,
    Requested: _requested,
    Alerts: _alerts,
    Oracle: _oracle,
    Harm: _harm,
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
