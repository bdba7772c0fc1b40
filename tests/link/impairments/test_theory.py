"""Every random model against its theory: within three standard deviations of what it should be, at so many packets.

The deviations are those of the models themselves: where neighbours are alike (bursts, states, correlation), a share
varies more than that of independent packets, by a factor that the theory gives, too.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from math import asin, pi, sqrt
from typing import Any

import pytest

from emulator.kernel.time import MILLISECOND
from emulator.link.impairments.base import Impairment, Luck
from emulator.link.impairments.damage import MEGABYTE
from emulator.link.impairments.models import make
from emulator.link.impairments.modes import Mode, Modes
from emulator.link.impairments.pipeline import Pipeline

PACKET = bytes(range(100))
START = 1_600_000_000_000_000
SIGMAS = 3.0

SIZES = [pytest.param(20_000, id="20k"), pytest.param(100_000, id="100k", marks=pytest.mark.slow)]
sized = pytest.mark.parametrize("count", SIZES)


def luck(place: str = "theory") -> Luck:
    return Luck(11, place)


def model(name: str, **settings: Any) -> Impairment:
    return make(name, luck(name), settings)


def fates(one: Impairment, count: int, packet: bytes = PACKET, gap: int = 10 * MILLISECOND) -> Iterator[list[Any]]:
    pipeline = Pipeline([one])
    for number in range(count):
        yield pipeline.carry(packet, START + number * gap)


def losses(one: Impairment, count: int) -> list[bool]:
    return [not fate for fate in fates(one, count)]


def delays(one: Impairment, count: int, gap: int = 10 * MILLISECOND) -> list[float]:
    return [fate[0][0] / MILLISECOND for fate in fates(one, count, gap=gap)]


def within(measured: float, theory: float, deviation: float) -> None:
    assert abs(measured - theory) <= SIGMAS * deviation, f"{measured} instead of {theory} +- {SIGMAS * deviation}"


def mean(values: list[Any]) -> float:
    return float(sum(values)) / len(values)


def share_deviation(share: float, count: int, likeness: float = 0.0) -> float:
    """Of a measured share; `likeness`: the correlation of neighbours, falling geometrically."""
    return sqrt(share * (1 - share) / count * (1 + likeness) / (1 - likeness))


@sized
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.97])
def test_independent_loss(count: int, share: float) -> None:
    lost = losses(model("loss", probability=share, correlation=0), count)
    within(mean(lost), share, share_deviation(share, count))
    both = sum(one and other for one, other in pairwise(lost))
    within(both / count, share**2, sqrt(3 * share**2 / count))


def tetrachoric(share: float, rho: float) -> float:
    """P(both of two neighbours are lost), by the integral of the bivariate normal density over rho (Plackett)."""
    from math import exp
    from statistics import NormalDist

    at = NormalDist().inv_cdf(share)
    steps = 2_000
    total: float = 0.0
    for step in range(steps):
        each = rho * (step + 0.5) / steps
        total += exp(-(at**2) / (1 + each)) / (2 * pi * sqrt(1 - each**2)) * rho / steps
    return float(share**2 + total)


@sized
@pytest.mark.parametrize(("share", "rho"), [(0.1, 0.5), (0.02, 0.9)])
def test_correlated_loss_is_as_much_and_comes_together(count: int, share: float, rho: float) -> None:
    """Where netem loses a hundredth of what was asked for."""
    lost = losses(model("loss", probability=share, correlation=rho), count)
    both = tetrachoric(share, rho)
    variance = share * (1 - share) + 2 * sum(tetrachoric(share, rho**lag) - share**2 for lag in range(1, 60))
    within(mean(lost), share, sqrt(variance / count))
    pairs = mean([one and other for one, other in pairwise(lost)])
    assert both > 2 * share**2
    within(pairs, both, sqrt(both / count * (1 + rho) / (1 - rho)))


@sized
@pytest.mark.parametrize(
    ("p", "r", "bad", "good"), [(0.05, 0.3, 1.0, 0.0), (0.05, 0.3, 0.7, 0.01), (0.0102, 0.5, 1.0, 0.0)]
)
def test_bursts_of_gilbert_and_elliott(count: int, p: float, r: float, bad: float, good: float) -> None:
    lost = losses(model("burst-loss", p=p, r=r, loss_bad=bad, loss_good=good), count)
    share_bad = p / (p + r)
    share = share_bad * bad + (1 - share_bad) * good
    stays = 1 - p - r
    alike = (bad - good) ** 2 * share_bad * (1 - share_bad)  # covariance of neighbours is this times `stays`
    variance = share * (1 - share) + 2 * alike * stays / (1 - stays)
    within(mean(lost), share, sqrt(variance / count))
    if bad == 1 and not good:
        bursts = [len(list(group)) for is_lost, group in groupby(lost) if is_lost]
        within(mean(bursts), 1 / r, sqrt((1 - r) / r**2 / len(bursts)))


@sized
@pytest.mark.parametrize(
    "settings",
    [
        {"p13": 0.05, "p31": 0.3, "p32": 0.0, "p23": 1.0, "p14": 0.0},
        {"p13": 0.05, "p31": 0.3, "p32": 0.2, "p23": 0.4, "p14": 0.02},
    ],
)
def test_four_states(count: int, settings: dict[str, float]) -> None:
    """The stationary shares of the four states, each by itself; their deviations are the chain's own."""
    chain = [
        [1 - settings["p13"] - settings["p14"], 0.0, settings["p13"], settings["p14"]],
        [0.0, 1 - settings["p23"], settings["p23"], 0.0],
        [settings["p31"], settings["p32"], 1 - settings["p31"] - settings["p32"], 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ]
    three = settings["p13"] / settings["p31"]
    weights = [1.0, three * settings["p32"] / settings["p23"], three, settings["p14"]]
    shares = [weight / sum(weights) for weight in weights]
    one = model("markov-loss", **settings)
    pipeline = Pipeline([one])
    counts = [0, 0, 0, 0]
    lost = 0
    for _ in range(count):
        lost += not pipeline.carry(PACKET, START)
        counts[one.state - 1] += 1  # type: ignore[attr-defined]
    for state, share in enumerate(shares):
        row = [float(each == state) for each in range(4)]
        variance = share * (1 - share)
        for _ in range(500):
            row = [sum(row[come] * chain[come][go] for come in range(4)) for go in range(4)]
            variance += 2 * share * (row[state] - share)
        within(counts[state] / count, share, sqrt(max(variance, 0.0) / count))
    assert lost == counts[2] + counts[3]


@sized
@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", "pareto-normal"])
def test_jitter_has_its_middle_and_its_spread(count: int, distribution: str) -> None:
    settings = {"delay_ms": 400.0, "jitter_ms": 20.0, "correlation": 0, "keep_order": False, "table": ()}
    late = delays(model("delay", distribution=distribution, **settings), count)
    spread = 20 / sqrt(3) if distribution == "uniform" else 20.0
    within(mean(late), 400.0, spread / sqrt(count))
    # A Pareto distribution of shape 3 has no bound on the variance of its variance; its median tells what that hides.
    middle = sorted(late)[count // 2]
    if distribution in ("uniform", "normal"):
        variance = mean([(each - 400) ** 2 for each in late])
        excess = 1.8 if distribution == "uniform" else 3.0
        within(variance, spread**2, spread**2 * sqrt((excess - 1) / count))
        within(middle, 400.0, 1.26 * spread / sqrt(count) * (1.4 if distribution == "uniform" else 1))
    elif distribution == "pareto":
        scale = 20 / sqrt(0.75)
        median = 400 + scale * (2 ** (1 / 3) - 1.5)
        density = 3 * 2 ** (-4 / 3) / scale
        within(middle, median, 0.5 / density / sqrt(count))
        assert min(late) >= 400 - 0.5 * scale - 0.001
    else:
        assert middle < 400  # the tail is to the right


@sized
def test_jitter_of_a_table_has_its_numbers_alike(count: int) -> None:
    table = (-8192.0, -4096.0, 0.0, 16384.0)
    settings = {"delay_ms": 50.0, "jitter_ms": 10.0, "correlation": 0, "keep_order": False, "table": table}
    late = delays(model("delay", distribution="table", **settings), count)
    assert set(late) == {40.0, 45.0, 50.0, 70.0}
    for each in set(late):
        within(late.count(each) / count, 0.25, share_deviation(0.25, count))


@sized
@pytest.mark.parametrize("rho", [0.25, 0.8])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_neighbours_are_alike_as_was_asked(count: int, rho: float, distribution: str) -> None:
    """AR(1): the correlation of normal numbers is rho, of the even ones made from them 6/pi asin(rho/2)."""
    settings = {"delay_ms": 400.0, "jitter_ms": 20.0, "correlation": rho, "keep_order": False, "table": ()}
    late = delays(model("delay", distribution=distribution, **settings), count)
    middle = mean(late)
    variance = mean([(each - middle) ** 2 for each in late])
    for lag in (1, 3):
        alike = mean([(a - middle) * (b - middle) for a, b in zip(late, late[lag:], strict=False)]) / variance
        theory = rho**lag if distribution == "normal" else 6 / pi * asin(rho**lag / 2)
        within(alike, theory, sqrt((1 + 2 * rho**2 / (1 - rho**2)) / count))
    within(middle, 400, (20 if distribution == "normal" else 20 / sqrt(3)) / sqrt(count) * sqrt((1 + rho) / (1 - rho)))


@sized
def test_duplicates_reordered_and_corrupted_are_as_many_as_asked(count: int) -> None:
    twice = [len(fate) == 3 for fate in fates(model("duplicate", probability=0.05, copies=2, lag_ms=1), count)]
    within(mean(twice), 0.05, share_deviation(0.05, count))
    back = model("reorder", probability=0.25, gap=4, hold_ms=30, move="back", distance=0)
    within(mean([bool(late) for late in delays(back, count)]), 0.0625, share_deviation(0.25, count // 4) / 4)
    bent = model("corrupt", probability=0.1, bits=3, first=8)
    changed = [fate[0][1] for fate in fates(bent, count) if fate[0][1] != PACKET]
    within(len(changed) / count, 0.1, share_deviation(0.1, count))
    places = [0] * 100
    for packet in changed:
        flips = [a ^ b for a, b in zip(packet, PACKET, strict=True)]
        assert sum(flip.bit_count() for flip in flips) == 3
        for place, flip in enumerate(flips):
            places[place] += flip.bit_count()
    assert not any(places[:8])
    chi = sum((seen - 3 * len(changed) / 92) ** 2 / (3 * len(changed) / 92) for seen in places[8:])
    within(chi, 91, sqrt(2 * 91))


@sized
@pytest.mark.parametrize(("unit", "units"), [("bit", 800), ("byte", 100)])
def test_bit_errors_come_at_an_even_rate(count: int, unit: str, units: int) -> None:
    rate = 900 / MEGABYTE / (8 if unit == "bit" else 1)
    hit = damaged = 0
    for fate in fates(model("bit-errors", per_megabyte=900, unit=unit), count):
        flips = [a ^ b for a, b in zip(fate[0][1], PACKET, strict=True)]
        hit += sum(flip.bit_count() for flip in flips) if unit == "bit" else sum(map(bool, flips))
        damaged += any(flips)
    within(hit / count, units * rate, sqrt(units * rate / count))
    share = 1 - (1 - rate) ** units
    within(damaged / count, share, share_deviation(share, count))


@sized
def test_slots_are_as_far_apart_as_asked(count: int) -> None:
    """With more than they can take always waiting, the slots follow one another evenly spread."""
    out: dict[int, int] = {}
    slots = model("slots", slot_min_ms=20, slot_max_ms=60, slot_packets=4, slot_bytes=0)
    for number, fate in enumerate(fates(slots, count, gap=1)):
        out[START + number + fate[0][0]] = out.get(START + number + fate[0][0], 0) + 1
    assert set(list(out.values())[1:-1]) == {4}
    gaps = [(b - a) / MILLISECOND for a, b in pairwise(out)]
    assert min(gaps) >= 20
    assert max(gaps) <= 60
    within(mean(gaps), 40, 40 / sqrt(12) / sqrt(len(gaps)))


@sized
def test_modes_last_and_follow_as_asked(count: int) -> None:
    """Exponential stays of 30 s and 10 s, a third mode by a weight of one in four: the shares of time."""
    modes = [
        Mode("good", 30, 1.0, {"bad": 3.0, "worse": 1.0}, ()),
        Mode("bad", 10, 1.0, {"good": 1.0}, ()),
        Mode("worse", 20, 0.0, {"good": 1.0}, ()),
    ]
    turns = Modes(luck("modes"), modes=modes, since=START)
    seen = {"good": 0, "bad": 0, "worse": 0}
    for second in range(count):
        seen[turns.at(START + second * 1_000_000)] += 1
    cycle = 30 + 0.75 * 10 + 0.25 * 20
    cycles = count / cycle
    for name, each in (("good", 30.0), ("bad", 7.5), ("worse", 5.0)):
        # A cycle's deviation of any stay is below 30 s, and sampling by the second adds less than one.
        within(seen[name] / count, each / cycle, 30 / cycle / sqrt(cycles))


def test_the_luck_of_places_is_apart() -> None:
    """Two models of the same settings at two places, or on two links, have nothing to do with each other."""
    settings: dict[str, Any] = {"probability": 0.5, "correlation": 0}
    makers: list[Callable[[], Luck]] = [lambda: Luck(1, "a"), lambda: Luck(1, "b"), lambda: Luck(1, "a", 1)]
    rows = [losses(make("loss", maker(), settings), 20_000) for maker in makers]
    for one in range(3):
        for other in range(one):
            same = mean([a == b for a, b in zip(rows[one], rows[other], strict=True)])
            within(same, 0.5, share_deviation(0.5, 20_000))
