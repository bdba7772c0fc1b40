"""A scenario with less in it: fewer homes, faults, campaigns or wishes, and checks that ask no more than what is left
can give.

The rule for a count: what goes might have been all good, so the least that is asked falls by as many as went, and the
most stays. A smaller run that breaks the rule therefore holds the whole run's trouble, and not merely less of its good.
A least that cannot be put down to homes is dropped.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from emulator.scenario.scenario import (
    Alerts,
    AnyCheck,
    Check,
    Count,
    Fired,
    Harm,
    Notes,
    Oracle,
    Requested,
    Requests,
    Scenario,
    Step,
    Verdicts,
    Wish,
    least,
    most,
)

COUNT_MOST = 10_000_000

C = TypeVar("C", bound=Check)


def to_homes(scenario: Scenario, before: Sequence[int], after: Sequence[int]) -> Scenario:
    """The same with only the homes `after` of those `before` taking part."""
    left = frozenset(after)
    gone = frozenset(before) - left
    wishes_gone = sum(
        wish.home in gone for step in scenario.campaigns if isinstance(step, Requests) for wish in step.wishes
    )
    steps = [_step(step, left) for step in scenario.campaigns]
    checks = [_check(check, left, len(gone), wishes_gone) for check in scenario.checks]
    faults = tuple(
        {**entry, "may_stay_quiet": True} if entry.get("installation") in gone else entry for entry in scenario.faults
    )
    return msgspec.structs.replace(
        scenario,
        estate=msgspec.structs.replace(scenario.estate, only=tuple(sorted(left))),
        campaigns=tuple(step for step in steps if step is not None),
        checks=tuple(check for check in checks if check is not None),
        faults=faults,
    )


def _step(step: Step, left: frozenset[int]) -> Step | None:
    """A campaign for these homes; None when it has nothing to do."""
    if isinstance(step, Requests):
        return _with_wishes(step, [wish for wish in step.wishes if wish.home in left])
    homes: tuple[int, ...] | None = getattr(step, "homes", None)
    if homes is None:
        return step
    kept = tuple(home for home in homes if home in left)
    return msgspec.structs.replace(step, homes=kept)


def _with_wishes(step: Requests, wishes: Sequence[Wish]) -> Requests | None:
    return msgspec.structs.replace(step, wishes=tuple(wishes)) if wishes else None


def _check(check: AnyCheck, left: frozenset[int], gone: int, wishes_gone: int) -> AnyCheck | None:
    """A check that asks what these homes can give; None when they can give nothing."""
    if isinstance(check, Verdicts):
        if check.homes is not None:
            kept = tuple(home for home in check.homes if home in left)
            if not kept:
                return None
            gone = len(check.homes) - len(kept)
            check = msgspec.structs.replace(check, homes=kept)
        names = ("migrated", "failed", "unrecoverable", "pending", "audited")
        population = len(left) if check.homes is None else len(check.homes)
        return _lowered(check, dict.fromkeys(names, gone), population)
    if isinstance(check, Requested):
        return _lowered(check, {"done": wishes_gone or gone * 3, "failed": wishes_gone or gone * 3})
    if isinstance(check, Oracle):
        if check.homes is not None:
            kept = tuple(home for home in check.homes if home in left)
            if not kept:
                return None
            check = msgspec.structs.replace(check, homes=kept)
        return _lowered(check, dict.fromkeys(("healthy", "recoverable", "reads_only", "unrecoverable"), COUNT_MOST))
    if isinstance(check, Notes | Alerts | Fired):
        return _lowered(check, {"count": COUNT_MOST}) if gone else check
    if isinstance(check, Harm) and gone:
        hours = {
            name: (0.0, value[1]) for name in ("lost_h", "gained_h") if (value := getattr(check, name)) is not None
        }
        return _lowered(msgspec.structs.replace(check, **hours), {"cold": COUNT_MOST})
    return check


def _lowered(check: C, by: dict[str, int], population: int = COUNT_MOST) -> C:
    """Least counts lowered, and most counts not above what there can be at all."""
    changes: dict[str, Count] = {}
    for name, count in by.items():
        value: Count | None = getattr(check, name)
        if value is not None:
            low, high = max(0, least(value) - count), most(value)
            high = max(low, min(high, population))
            changes[name] = high if low == high else (low, high)
    return msgspec.structs.replace(check, **changes)


def to_faults(scenario: Scenario, entries: Sequence[dict[str, Any]]) -> Scenario:
    """The same with only these faults; checks of those that went go with them."""
    names = {entry["fault"] for entry in entries}
    gone = len(scenario.faults) > len(entries)
    checks = tuple(
        check for check in scenario.checks if not isinstance(check, Fired) or (check.fault in names and not gone)
    )
    healing = scenario.healing
    if healing is not None:
        healing = msgspec.structs.replace(healing, keep=tuple(name for name in healing.keep if name in names))
    return msgspec.structs.replace(scenario, faults=tuple(entries), checks=checks, healing=healing)


def without_campaign(scenario: Scenario, index: int) -> Scenario:
    """The same without a campaign; faults that begin later, and what happens to the link then, begin with the same
    campaign as before."""
    entries = []
    last = len(scenario.campaigns) - 2

    def renumbered(begins: int) -> int:
        return min(begins - 1 if begins > index else begins, last)

    for entry in scenario.faults:
        begins = renumbered(int(entry.get("campaign", 0)))
        entries.append({**{key: value for key, value in entry.items() if key != "campaign"}, "campaign": begins})
        if not begins:
            del entries[-1]["campaign"]
    left = tuple(step for at, step in enumerate(scenario.campaigns) if at != index)
    link = scenario.link
    deaths = tuple(
        each if each.campaign is None else msgspec.structs.replace(each, campaign=renumbered(each.campaign))
        for each in link.peer_deaths
    )
    cut = link.cut_over
    if cut is not None and cut.campaign is not None:
        cut = msgspec.structs.replace(cut, campaign=renumbered(cut.campaign))
    link = msgspec.structs.replace(link, peer_deaths=deaths, cut_over=cut)
    return msgspec.structs.replace(scenario, campaigns=left, faults=tuple(entries), link=link)


def to_wishes(scenario: Scenario, index: int, wishes: Sequence[Wish]) -> Scenario:
    """The same with only these wishes in a campaign; what was to be done falls with them."""
    step = scenario.campaigns[index]
    assert isinstance(step, Requests)
    gone = len(step.wishes) - len(wishes)
    steps = list(scenario.campaigns)
    steps[index] = msgspec.structs.replace(step, wishes=tuple(wishes))
    checks = tuple(
        _lowered(check, {"done": gone, "failed": gone}) if isinstance(check, Requested) else check
        for check in scenario.checks
    )
    return msgspec.structs.replace(scenario, campaigns=tuple(steps), checks=checks)
