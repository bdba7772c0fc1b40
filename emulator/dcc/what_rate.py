"""Which settings give a rate of lost meters: the question turned round.

A rate is never an input of this emulator; it comes of outages and losses, of how long a meter writes a master key, and
of how the head end tries again. So "one in a thousand was lost" is answered by a search: each of these is moved, the
others kept, until the cohort loses as many. The search is bisection, which wants a rate that does not fall when the
setting grows; under common random numbers (see `rekeying`) it hardly ever does, and what is reported is always a rate
that was measured, with its interval.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from emulator.dcc.rates import LEVEL, Rate
from emulator.dcc.rekeying import Rekeying, RekeyingOptions, Rekeyings
from emulator.errors import InputError
from emulator.fleet import estate as estates
from emulator.fleet import listing, recipe_reading, registry
from emulator.fleet.estate import Estate
from emulator.fleet.recipe import Recipe
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.link import kinds
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile

Retry = Literal["patient", "impatient"]

LOSS_MOST: Final = 0.02
OUTAGES_MOST: Final = 64.0
WINDOW_MOST_S: Final = 120.0
RETRY_MOST_S: Final = 120.0
STEPS: Final = 10

MAKERS: Final = {"itron": "itron_e", "elster": "elster_as300p"}
"""Maker -> its electricity meter."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is moved. `loss`: share of packets the air loses, each way; `outages`: of six seconds, a day and cell;
    `window_s`: how long the meter writes its master key; `retry`, `retry_after_s`: the head end's policy."""

    retry: Retry
    retry_after_s: float
    window_s: float
    loss: float
    outages: float

    def options(self, model: str, link: str) -> RekeyingOptions:
        """As a run takes it."""
        policy = RotationPolicy(retry=self.retry, retry_after_s=self.retry_after_s)
        return RekeyingOptions(
            link=link,
            profile=LinkProfile(outages_per_day=self.outages),
            air=AirProfile(loss=self.loss),
            custody=CustodySettings(rotation=policy),
            model=model,
            write_ms=round(self.window_s * 1_000),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting and what it came to. `unnoticed`: lost meters whose head end believes that all went well."""

    setting: Setting
    rate: Rate
    failure: Rate
    unnoticed: int


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: `knob` set to `value` gives `measured`; `reached` False: not even its end of the scale does."""

    knob: str
    unit: str
    value: float
    reached: bool
    measured: Measured


@dataclass(frozen=True, slots=True)
class Answer:
    """All of it. `table` are settings side by side, `found` those that give `target`; `homes` is the cohort's size,
    `runs` how many runs it took and `looked_at` how many homes were really run in them."""

    estate: str
    seed: int
    maker: str
    target: float
    homes: int
    table: list[Measured]
    found: list[Found]
    runs: int
    looked_at: int

    def object(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "estate": self.estate,
            "seed": self.seed,
            "maker": self.maker,
            "target": self.target,
            "homes": self.homes,
            "level": LEVEL,
            "table": [_object(each) for each in self.table],
            "found": [
                {"knob": each.knob, "unit": each.unit, "value": each.value, "reached": each.reached}
                | _object(each.measured)
                for each in self.found
            ],
            "runs": self.runs,
            "looked_at": self.looked_at,
        }


def _object(measured: Measured) -> dict[str, Any]:
    setting = measured.setting
    return {
        "retry": setting.retry,
        "retry_after_s": setting.retry_after_s,
        "window_s": setting.window_s,
        "loss": setting.loss,
        "outages_per_day": setting.outages,
        "lost": measured.rate.count,
        "of": measured.rate.of,
        "rate": measured.rate.share,
        "low": measured.rate.low,
        "high": measured.rate.high,
        "failure_rate": measured.failure.share,
        "unnoticed": measured.unnoticed,
    }


def cohort(source: str, maker: str, seed: int | None, installations: int) -> Estate:
    """An estate's homes with the electricity meter of `maker` in each, and nothing else wrong with any. Raises
    InputError for an unknown maker or estate, and for a list of homes, whose meters are as they are."""
    if maker not in MAKERS:
        raise InputError(f"maker {maker!r}: there are {', '.join(MAKERS)}")
    file = estates.locate(source)
    if listing.is_listing(file):
        raise InputError(f"{source} lists its homes one by one; name an estate that is a recipe")
    return estates.drawn(refitted(recipe_reading.read(file), MAKERS[maker]), seed, installations)


def refitted(recipe: Recipe, model: str) -> Recipe:
    """A recipe whose homes all have this electricity meter, and no conditions."""
    first = recipe.combinations[0]
    meter = msgspec.structs.replace(first.electricity, model=model)
    only = msgspec.structs.replace(first, electricity=meter, gas=None, ihd=None, weight=1.0, auxiliary=False)
    plain = type(recipe.five_terminal)()
    return msgspec.structs.replace(
        recipe, combinations=(only,), conditions=type(recipe.conditions)(), homes=(), five_terminal=plain, outdated={}
    )


class Bench:
    """Measures settings on one cohort. What was measured once is remembered; and a home that nothing happened to under
    settings that were worse is not run again."""

    def __init__(self, runs: Rekeyings, model: str, link: str) -> None:
        self._runs = runs
        self._model = model
        self._link = link
        self._known: dict[Setting, Measured] = {}
        self._troubled: list[tuple[float, float, frozenset[int]]] = []
        self.runs = 0
        self.looked_at = 0
        self.homes = 0

    def measure(self, setting: Setting) -> Measured:
        """What a setting comes to."""
        found = self._known.get(setting)
        if found is None:
            options = setting.options(self._model, self._link)
            worse = [
                homes for loss, outages, homes in self._troubled if loss >= setting.loss and outages >= setting.outages
            ]
            only = min(worse, key=len, default=None)
            run = self._runs.run(replace(options, only=only))
            self._troubled.append((setting.loss, setting.outages, run.troubled))
            self.runs += 1
            self.homes = run.homes
            self.looked_at += run.homes if only is None else len(only)
            found = self._known[setting] = _measured(setting, run)
        return found


def _measured(setting: Setting, run: Rekeying) -> Measured:
    return Measured(setting, run.rate(), run.failure(), run.unnoticed)


@dataclass(frozen=True, slots=True)
class _Knob:
    """What is moved: `at` puts it to a value, `most` is its worst, `least` its mildest."""

    name: str
    unit: str
    most: float
    least: float
    at: Callable[[float], Setting]
    begin: float
    digits: int


def _knobs(base: Setting) -> tuple[_Knob, ...]:
    return (
        _Knob("air loss", "of packets", LOSS_MOST, 0.0, lambda x: replace(base, loss=x), base.loss, 6),
        _Knob(
            "outages alone, no air loss",
            "a day and cell",
            OUTAGES_MOST,
            0.0,
            lambda x: replace(base, loss=0.0, outages=x),
            OUTAGES_MOST,
            2,
        ),
        _Knob("write window", "s", WINDOW_MOST_S, 0.0, lambda x: replace(base, window_s=x), base.window_s, 2),
        _Knob("retry after", "s", 0.0, RETRY_MOST_S, lambda x: replace(base, retry_after_s=x), base.retry_after_s, 2),
    )


def search(bench: Bench, knob: _Knob, target: float) -> Found:
    """The mildest value of a knob, as far as bisection goes, that gives `target` or more; else its worst."""
    mild, bad = knob.least, knob.begin
    while bench.measure(knob.at(bad)).rate.share < target:
        if bad == knob.most:
            return Found(knob.name, knob.unit, bad, False, bench.measure(knob.at(bad)))
        mild = bad
        bad = min(bad * 2, knob.most) if knob.most > knob.least else knob.most
    for _ in range(STEPS):
        middle = round((mild + bad) / 2, knob.digits)
        if middle in (mild, bad):
            break
        if bench.measure(knob.at(middle)).rate.share >= target:
            bad = middle
        else:
            mild = middle
    return Found(knob.name, knob.unit, bad, True, bench.measure(knob.at(bad)))


def table(base: Setting) -> list[Setting]:
    """Settings worth seeing side by side: the policy, the window, losses and outages, each alone."""
    return [
        replace(base, retry="patient"),
        replace(base, retry="impatient"),
        replace(base, retry="impatient", window_s=base.window_s / 4),
        replace(base, retry="impatient", loss=0.0),
        replace(base, retry="impatient", loss=0.0, outages=0.0),
        replace(base, retry="impatient", outages=0.0),
    ]


def what_rate(
    target: float,
    *,
    source: str = "thousand",
    maker: str = "itron",
    installations: int = 4_000,
    seed: int | None = None,
    link: str = "ipsec",
    workers: int = 1,
    heard: Callable[[str], None] | None = None,
) -> Answer:
    """Which settings lose `target` (0 to 1) of the meters. `heard` is told what is done next.

    Raises InputError for a target outside (0, 1), a cohort too small to show it, an unknown maker, estate or link."""
    if not 0 < target < 1:
        raise InputError(f"--rate {target}: give a share between 0 and 1, such as 0.001")
    if target * installations < 1:
        raise InputError(f"{installations} homes cannot show a rate of {target}; take {round(1 / target) * 2} or more")
    estate = cohort(source, maker, seed, installations)
    model = MAKERS[maker]
    keys = registry.model(model).profile.keys
    base = Setting("impatient", RotationPolicy().retry_after_s, keys.write_ms / 1_000, AirProfile().loss,
                   kinds.kind(link).outages_per_day)  # fmt: skip
    tell = heard or (lambda text: None)
    with Rekeyings(estate, workers) as runs:
        bench = Bench(runs, model, link)
        rows = []
        tell("settings side by side")
        bench.measure(replace(base, retry="impatient"))  # the worst of the table: the others are parts of it
        for setting in table(base):
            rows.append(bench.measure(setting))
        found = []
        for knob in _knobs(base):
            tell(f"searching: {knob.name}")
            found.append(search(bench, knob, target))
        return Answer(estate.name, estate.seed, maker, target, bench.homes, rows, found, bench.runs, bench.looked_at)
