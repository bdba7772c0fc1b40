"""Shrinking: the smallest scenario that still fails the same way.

Delta debugging (Zeller and Hildebrandt, 2002) over homes, faults, outages, campaigns and wishes, and bisection of the
time in which each fault is in force. It works because luck is keyed: a home behaves the same whether its neighbours
take part or not, and a fault keeps its victims when other faults go (it keeps its number). "The same way" is a
signature (`report.Failure`): what failed and in which direction, without counts; and where it names homes, the home
that is aimed at is still among them, so that the outcome is one trouble's and not now this one's and now that one's.

Counts that are checked shrink along: of 1,000 homes that should all be migrated one is left that should be, so a
smaller run fails only if it holds the same trouble. A check that needs many homes ("at least 50 alerts") cannot be
held by fewer and keeps them.

Every trial is a run; there are at most `runs`, and no trial is run twice. The order is fixed, so is the outcome.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from emulator.errors import InputError
from emulator.fleet.estate import Estate
from emulator.scenario import narrowed, reading, virtual
from emulator.scenario.emit import toml
from emulator.scenario.reading import Read
from emulator.scenario.report import Failure, Report
from emulator.scenario.scenario import Requests, Scenario, Standing

T = TypeVar("T")
Progress: TypeAlias = Callable[[str], None]

GUILTY_MOST: Final = 200
"""So many of the homes a failure names are tried by themselves first."""
WINDOW_S: Final = 1.0
"""A fault's window is not shortened by less than this."""


@dataclass(slots=True)
class Shrunk:
    """The smallest that was found. `runs`: how many trials it took; `whole`: whether there were runs enough to be sure
    that nothing more can go."""

    read: Read
    seed: int
    failure: Failure
    runs: int
    whole: bool
    before: tuple[int, int]
    """(homes, faults) at first."""

    @property
    def homes(self) -> tuple[int, ...]:
        """The homes that are left."""
        return self.read.scenario.estate.only or ()

    def told(self) -> str:
        """What was found, in a line or two."""
        homes, faults = self.before
        sure = "" if self.whole else "; stopped before it was sure that nothing more can go"
        return (
            f"Shrunk from {homes:,} homes and {faults} faults to {len(self.homes)} and {len(self.read.faults)} in "
            f"{self.runs} runs{sure}.\nSeed {self.seed}. Fails: {self.failure}"
        )


class _SpentError(Exception):
    """No runs are left."""


@dataclass(slots=True)
class _Trials:
    """Runs candidates, and keeps the smallest that failed the same."""

    best: Read
    failure: Failure
    seed: int
    most: int
    workers: int
    progress: Progress
    aim: int | None = None
    """The home that must be to blame; None: no matter which."""
    done: int = 0
    length_s: float = 0.0
    """Virtual seconds that the best took."""
    tried: dict[str, bool] = field(default_factory=dict)

    def fails(self, scenario: Scenario, what: str) -> bool:
        """Whether a candidate fails the same; then it is the best. Raises _SpentError."""
        key = toml(scenario)
        if key in self.tried:
            return self.tried[key]
        if self.done >= self.most:
            raise _SpentError
        try:
            read = reading.checked(scenario, self.best.where)
        except InputError:
            self.tried[key] = False  # a check, say, that names a fault which is gone
            return False
        self.done += 1
        report = virtual.run(read, self.seed, workers=self.workers)
        found = same(report, self.failure, self.aim)
        self.tried[key] = found is not None
        self.progress(f"run {self.done}: {what}: {'fails the same' if found else 'does not'}")
        if found is None:
            return False
        self.best, self.failure, self.length_s = read, found, float(report.virtual_s)
        return True


def same(report: Report, failure: Failure, aim: int | None = None) -> Failure | None:
    """The failure of a report with the same signature, and to which the home `aim` contributes; or None."""
    for each in report.failures:
        if each.signature == failure.signature and (aim is None or aim in each.homes):
            return each
    return None


def shrink(
    read: Read,
    seed: int | None = None,
    *,
    runs: int = 200,
    workers: int = 1,
    signature: str | None = None,
    home: int | None = None,
    progress: Progress | None = None,
) -> Shrunk:
    """The smallest scenario that fails as this one does under a seed; by its first failure, or by that of a signature,
    or by the first one to which `home` contributes.

    Raises InputError for one that does not fail (so)."""
    tell = progress or (lambda _: None)
    estate = read.estate(seed)
    report = virtual.run(read, estate.seed, workers=workers)
    candidates = [each for each in report.failures if home is None or home in each.homes]
    wanted = next((each for each in candidates if signature in (None, each.signature)), None)
    if wanted is None:
        other = [f"by {signature!r}"] if signature is not None else []
        other += [f"by home {home}"] if home is not None else []
        told = f" {' and '.join(other)}, though otherwise" if other and report.failures else ""
        raise InputError(f"{read.where}: it does not fail{told} under seed {estate.seed}; name another --seed")
    aim = home if home is not None else next(iter(wanted.homes), None)
    homes = _homes(read.scenario, estate)
    tell(f"run 1: {len(homes):,} homes, {len(read.faults)} faults: {wanted}")
    numbered = _numbered(read)
    trials = _Trials(numbered, wanted, estate.seed, runs, workers, tell, aim, done=1, length_s=float(report.virtual_s))
    whole = True
    try:
        _everything(trials, estate)
    except _SpentError:
        whole = False
    best = trials.best.scenario
    if best.estate.only is None:
        best = narrowed.to_homes(best, homes, homes)
    left = reading.checked(msgspec.structs.replace(best, seed=estate.seed), read.where)
    return Shrunk(left, estate.seed, trials.failure, trials.done, whole, (len(homes), len(read.faults)))


def _homes(scenario: Scenario, estate: Estate) -> tuple[int, ...]:
    return scenario.estate.only or tuple(range(estate.installations))


def _numbered(read: Read) -> Read:
    """The same scenario with every fault's number said, so that it keeps it."""
    entries = tuple(
        {**entry, "number": planned.number} for entry, planned in zip(read.scenario.faults, read.faults, strict=True)
    )
    return reading.checked(msgspec.structs.replace(read.scenario, faults=entries), read.where)


def _everything(trials: _Trials, estate: Estate) -> None:
    """Round after round, until one changes nothing."""
    _guilty(trials, estate)
    while True:
        before = toml(trials.best.scenario)
        _fewer_homes(trials, estate)
        _fewer_faults(trials)
        _fewer_campaigns(trials)
        _fewer_wishes(trials)
        _fewer_outages(trials)
        _without_healing(trials)
        _fewer_checks(trials)
        if toml(trials.best.scenario) == before:
            break
    if not trials.failure.signature.startswith("quiet"):  # what never struck strikes no more often in less time
        _shorter(trials)


def _guilty(trials: _Trials, estate: Estate) -> None:
    """The home that is aimed at, or those the failure names, by themselves: often that is all."""
    scenario = trials.best.scenario
    homes, named = _homes(scenario, estate), trials.failure.homes
    alone = () if trials.aim is None else (trials.aim,)
    for few in (alone, named[:GUILTY_MOST]):
        if few and len(few) < len(homes):
            candidate = narrowed.to_homes(scenario, homes, few)
            if trials.fails(candidate, f"{len(few)} of {len(homes):,} homes, those it names"):
                return


def _fewer_homes(trials: _Trials, estate: Estate) -> None:
    scenario = trials.best.scenario
    every = _homes(scenario, estate)

    def without(left: Sequence[int]) -> Scenario:
        return narrowed.to_homes(scenario, every, left)

    _minimise(every, lambda left: trials.fails(without(left), f"{len(left):,} of {len(every):,} homes"))


def _fewer_faults(trials: _Trials) -> None:
    scenario = trials.best.scenario
    faults = scenario.faults

    def candidate(left: Sequence[int]) -> bool:
        kept = [faults[index] for index in left]
        return trials.fails(narrowed.to_faults(scenario, kept), f"{len(kept)} of {len(faults)} faults")

    _minimise(range(len(faults)), candidate, empty=True)


def _fewer_campaigns(trials: _Trials) -> None:
    """The last ones first. A fault that begins with one that goes begins with the next."""
    for index in reversed(range(len(trials.best.scenario.campaigns))):
        scenario = trials.best.scenario
        if len(scenario.campaigns) > 1:
            trials.fails(narrowed.without_campaign(scenario, index), f"without campaign {index}")


def _fewer_wishes(trials: _Trials) -> None:
    for index, step in enumerate(trials.best.scenario.campaigns):
        if not isinstance(step, Requests):
            continue
        scenario, wishes = trials.best.scenario, step.wishes

        def candidate(left: Sequence[int], index: int = index, wishes: Any = wishes, s: Scenario = scenario) -> bool:
            kept = tuple(wishes[at] for at in left)
            changed = narrowed.to_wishes(s, index, kept)
            return trials.fails(changed, f"{len(kept)} of {len(wishes)} wishes of campaign {index}")

        _minimise(range(len(wishes)), candidate)


def _fewer_outages(trials: _Trials) -> None:
    """Of those that are planned, and of the gateways' deaths; and the link that is not cut over."""
    _fewer_of_the_link(trials, "outages", "outages of the link")
    _fewer_of_the_link(trials, "peer_deaths", "deaths of its gateways")
    scenario = trials.best.scenario
    if scenario.link.cut_over is not None:
        link = msgspec.structs.replace(scenario.link, cut_over=None)
        trials.fails(msgspec.structs.replace(scenario, link=link), "without the cut-over")


def _fewer_of_the_link(trials: _Trials, field: str, what: str) -> None:
    scenario = trials.best.scenario
    every: Sequence[object] = getattr(scenario.link, field) or ()
    if not every:
        return

    def candidate(left: Sequence[int]) -> bool:
        link = msgspec.structs.replace(scenario.link, **{field: tuple(every[at] for at in left)})
        changed = msgspec.structs.replace(scenario, link=link)
        return trials.fails(changed, f"{len(left)} of {len(every)} {what}")

    _minimise(range(len(every)), candidate, empty=True)


def _without_healing(trials: _Trials) -> None:
    scenario = trials.best.scenario
    if scenario.healing is not None and not trials.failure.signature.startswith("healing"):
        trials.fails(msgspec.structs.replace(scenario, healing=None), "without the healing")


def _fewer_checks(trials: _Trials) -> None:
    """What does not fail need not be asked. What is turned off stays so: it would fail for a reason of its own."""
    for index in reversed(range(len(trials.best.scenario.checks))):
        scenario = trials.best.scenario
        if not isinstance(scenario.checks[index], Standing):
            left = tuple(check for at, check in enumerate(scenario.checks) if at != index)
            trials.fails(msgspec.structs.replace(scenario, checks=left), f"without check {index}")


def _minimise(items: Iterable[T], fails: Callable[[Sequence[T]], bool], *, empty: bool = False) -> None:
    """ddmin: `fails` is told what is left, and remembers the best by itself."""
    left = list(items)
    if empty and left and fails([]):
        return
    parts = 2
    while len(left) > 1:
        size = -(-len(left) // parts)
        chunks = [left[at : at + size] for at in range(0, len(left), size)]
        for chunk in chunks:
            if len(chunk) < len(left) and fails(chunk):
                left, parts = chunk, 2
                break
        else:
            for index in range(len(chunks)):
                rest = [item for at, chunk in enumerate(chunks) if at != index for item in chunk]
                if len(chunks) > 2 and fails(rest):
                    left, parts = rest, max(parts - 1, 2)
                    break
            else:
                if parts >= len(left):
                    return
                parts = min(parts * 2, len(left))


# Time


def _shorter(trials: _Trials) -> None:
    """Each fault's window, from both ends."""
    for index in range(len(trials.best.scenario.faults)):
        fault = trials.best.faults[index].fault
        since, end = fault.after_s, fault.after_s + fault.seconds
        if not fault.seconds:
            # What lasts until cleared may be said to last as long as the run; then it has an end to bring forward.
            end = max(since + WINDOW_S, trials.length_s)
            if not _try(trials, index, since, end):
                continue
        end = _least(since + WINDOW_S, end, partial(_until, trials, index, since))
        _most(since, end - WINDOW_S, partial(_since, trials, index, end))


def _until(trials: _Trials, index: int, since: float, end: float) -> bool:
    return _try(trials, index, since, end)


def _since(trials: _Trials, index: int, end: float, since: float) -> bool:
    return _try(trials, index, since, end)


def _try(trials: _Trials, index: int, since: float, until: float) -> bool:
    what = f"fault {index + 1} from {since:,.0f} to {until:,.0f} s"
    return trials.fails(_window(trials.best, index, since, until - since), what)


def _window(read: Read, index: int, after_s: float, seconds: float) -> Scenario:
    entries = list(read.scenario.faults)
    entries[index] = {**entries[index], "after_s": round(after_s, 3), "seconds": round(seconds, 3)}
    return msgspec.structs.replace(read.scenario, faults=tuple(entries))


def _least(low: float, high: float, fails: Callable[[float], bool]) -> float:
    """The least instant that fails, `high` being one that does; to within `_grain`."""
    grain = _grain(low, high)
    while high - low > grain and low < (middle := round((low + high) / 2)) < high:
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high


def _most(low: float, high: float, fails: Callable[[float], bool]) -> float:
    """The greatest instant that fails, `low` being one that does."""
    grain = _grain(low, high)
    while high - low > grain and low < (middle := round((low + high) / 2)) < high:
        low, high = (middle, high) if fails(middle) else (low, middle)
    return low


def _grain(low: float, high: float) -> float:
    """How finely a stretch is cut: a 256th, and not below `WINDOW_S`."""
    return max(WINDOW_S, (high - low) / 256)
