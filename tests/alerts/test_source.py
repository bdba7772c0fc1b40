"""When alerts happen: their number, their shares, and that nothing but (seed, installation, day) decides."""

from collections import Counter
from math import exp, factorial, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.fleet import alert_causes
from emulator.fleet.alert_causes import PER_DAY, Occurrence
from emulator.fleet.alert_source import FOREVER, AlertSource, mix_many, poisson
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.kernel.world import World

START = 18_323 * DAY
CAUSES = alert_causes.read("standard")


class Nobody:
    """A world's roster and wiring for homes that are never called."""

    up: dict[int, dict[int, object]] = {}  # noqa: RUF012
    wires: dict[tuple[int, str], object] = {}  # noqa: RUF012

    def machine(self, installation: int, party: int) -> object:
        raise AssertionError("nobody is called")


def run(
    members: range, days: float, *, seed: int = 1, per_day: float = PER_DAY, begin: Instant = START, step: Instant = DAY
) -> list[tuple[Instant, int, str, Party]]:
    """What happens in so many days, as (instant, installation, cause, party)."""
    nobody = Nobody()
    world = World(nobody, nobody, Journal(), begin)  # type: ignore[arg-type]
    seen: list[tuple[Instant, int, str, Party]] = []

    def happen(installation: int, what: Occurrence, luck: int) -> None:
        assert 0 <= luck < 2_048
        seen.append((world.now, installation, what.name, what.party))

    world.agenda = AlertSource(seed, members, CAUSES, per_day, happen, begin)
    end = START + round(days * DAY)
    while world.now < end:
        world.run_until(min(world.now + step, end))
    return seen


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 2**40))
def test_chance_for_many_is_chance_for_one(key: int, installation: int, number: int) -> None:
    """The array form draws what `chance.mix` draws."""
    found = mix_many(key, np.array([installation], np.uint64), np.array([number], np.uint64))
    assert int(found[0]) == int(mix_many(key, np.array([installation], np.uint64), number)[0])
    assert int(found[0]) == chance.mix(key, installation, number)


@pytest.mark.parametrize("mean", [0.001, 1.0, 2.3, 17.5, 64.0])
def test_the_table_of_chances_is_poissons(mean: float) -> None:
    """Against the formula, term by term."""
    table = poisson(mean).astype(float) / 2**53
    total = 0.0
    for count, found in enumerate(table[:100]):
        total += exp(-mean) * mean**count / factorial(count)
        assert found == pytest.approx(total, abs=1e-12)
    assert table[-1] == pytest.approx(1.0, abs=1e-12)


def test_the_rate_is_kept_over_many_homes() -> None:
    """4,096 homes over four days: alerts and incidents within five standard deviations of what was asked for, and as
    uneven from home to home as independent incidents are."""
    homes, days = 4_096, 4
    seen = run(range(homes), days)
    incidents = PER_DAY / CAUSES.incident
    pairs = CAUSES.incident - 1
    wanted = PER_DAY * homes * days
    spread = sqrt(incidents * (1 + 3 * pairs) * homes * days)  # a pair counts two alerts at once
    assert abs(len(seen) - wanted) < 5 * spread
    follow = {"power-restored", "power-restored-late", "han-joined"}
    each = np.bincount([home for _, home, name, _ in seen if name not in follow], minlength=homes)
    assert each.mean() == pytest.approx(incidents * days, rel=5 / sqrt(incidents * days * homes))
    assert each.var() / each.mean() == pytest.approx(1.0, abs=5 * sqrt(2 / homes))
    hours = np.bincount([at % DAY // HOUR for at, _, _, _ in seen], minlength=24)
    assert hours.min() > 0.85 * hours.max()


def test_causes_have_their_shares() -> None:
    """Each cause, and each device of it, as often as the table says."""
    seen = run(range(4_096), 5)
    counts = Counter((name, party) for _, _, name, party in seen)
    begun = CAUSES.occurrences[: len(CAUSES.shares)]
    incidents = sum(counts[each.name, each.party] for each in begun)
    before = 0
    for each, until in zip(begun, CAUSES.shares, strict=True):
        share = (until - before) / 2**53
        before = until
        assert abs(counts[each.name, each.party] - share * incidents) < 5 * sqrt(share * incidents) + 1
    assert set(counts) == {(each.name, each.party) for each in CAUSES.occurrences}


def test_what_is_lost_comes_back_on_the_same_day() -> None:
    """Every interruption of a home has its restoration, as long after it as the table allows."""
    seen = run(range(500), 20)
    for first, second, low, high in (
        ("power-interrupted", "power-restored", 5, 170),
        ("power-outage", "power-restored-late", 180, 7_200),
        ("han-lost", "han-joined", 30, 3_600),
    ):
        waiting: dict[int, list[Instant]] = {}
        pairs = 0
        for at, home, name, _ in seen:
            if name == first:
                waiting.setdefault(home, []).append(at)
            elif name == second:
                fitting = [began for began in waiting[home] if low * SECOND <= at - began <= high * SECOND]
                assert fitting
                assert fitting[0] // DAY == at // DAY
                waiting[home].remove(fitting[0])
                pairs += 1
        assert pairs > 50
        assert not any(waiting.values())


def test_neighbours_and_beginnings_have_no_say() -> None:
    """A home's alerts are the same among ten neighbours or thousands, asked for day by day or minute by minute, and
    from whatever moment on they are asked for."""
    whole = run(range(4_096), 2)
    few = range(1_000, 1_010)
    mine = [each for each in whole if each[1] in few]
    assert len(mine) > 20
    assert run(few, 2) == mine
    assert run(few, 2, step=7 * MINUTE) == mine
    noon = START + DAY // 2 + 1_234_567
    assert run(few, 2, begin=noon) == [each for each in mine if each[0] > noon]
    at = mine[3][0]
    assert run(few, 2, begin=at) == mine[4:]
    assert run(few, 2, begin=at - 1) == mine[3:]


def test_seeds_and_days_differ() -> None:
    """Another seed is another day, and no day is like the one before."""
    one = run(range(50), 2)
    assert one != run(range(50), 2, seed=2)
    first = [(at % DAY, home) for at, home, _, _ in one if at < START + DAY]
    second = [(at % DAY, home) for at, home, _, _ in one if at >= START + DAY]
    assert not set(first) & set(second)


def test_very_high_rates_are_kept_too() -> None:
    """Where a day's draw would be too long for one window, windows are shorter and the rate is the same."""
    seen = run(range(20), 1, per_day=3_000)
    assert abs(len(seen) - 60_000) < 5 * sqrt(60_000)


def source(homes: int = 100, per_day: float = 0.0) -> tuple[AlertSource, World, list[tuple[Instant, int, Occurrence]]]:
    nobody = Nobody()
    world = World(nobody, nobody, Journal(), START)  # type: ignore[arg-type]
    seen: list[tuple[Instant, int, Occurrence]] = []

    def happen(installation: int, what: Occurrence, luck: int) -> None:
        seen.append((world.now, installation, what))

    made = AlertSource(1, range(homes), CAUSES, per_day, happen, START)
    world.agenda = made
    return made, world, seen


def test_nothing_is_due_where_nobody_alerts() -> None:
    """Rate 0 and no storm: the agenda is empty, and a rate that is taken back leaves nothing."""
    made, world, seen = source()
    assert made.due is None
    assert world.due is None
    made.set_rate(2.3, START)
    assert world.due is not None
    assert START < world.due < START + DAY
    made.set_rate(0, START)
    world.run_until(START + 10 * DAY)
    assert seen == []


@pytest.mark.parametrize("factor", [500.0, 5_000.0])
def test_a_storm_rages_over_its_cohort_and_ends(factor: float) -> None:
    """`factor` times the usual rate, in the cohort alone, with the one code, from its beginning to its end."""
    made, world, seen = source()
    begin = START + 5 * HOUR + 17
    world.run_until(begin)
    until = begin + 30 * MINUTE
    cohort = [3, 5, 8, 99, 100_000]
    assert made.storm(0x8F57, factor, until, begin, installations=cohort) == 4
    assert len(made.storms) == 1
    world.run_until(begin + DAY)
    wanted = 4 * factor * PER_DAY * 30 / 1_440
    assert abs(len(seen) - wanted) < 5 * sqrt(wanted)
    assert {home for _, home, _ in seen} == {3, 5, 8, 99}
    assert {(what.notice.code, what.party, what.then) for _, _, what in seen} == {(0x8F57, Party.ELECTRICITY, -1)}
    assert begin < seen[0][0] <= seen[-1][0] < until
    assert made.due is None
    assert made.storms == []


def test_a_share_of_the_cohort_is_chosen_by_the_seed() -> None:
    """About so many, always the same, and a storm at another time takes others."""
    made, world, seen = source(homes=1_000)
    homes = made.storm(0x8F75, 1_000, START + HOUR, START, share=0.3, device="gas")
    assert abs(homes - 300) < 5 * sqrt(210)
    assert homes == source(homes=1_000)[0].storm(0x8F75, 1_000, START + HOUR, START, share=0.3, device="gas")
    world.run_until(START + MINUTE)
    assert {what.party for _, _, what in seen} == {Party.GAS}
    first = {home for _, home, _ in seen}
    assert made.end_storms() == 1
    assert made.due is None
    seen.clear()
    made.storm(0x8F75, 1_000, START + HOUR, START + MINUTE, share=0.3, device="gas")
    world.run_until(START + 2 * MINUTE)
    assert {home for _, home, _ in seen} != first


def test_a_storm_comes_on_top_of_the_usual() -> None:
    """What the homes say anyhow does not change by a microsecond."""
    calm, world, usual = source(per_day=24.0)
    world.run_until(START + DAY)
    made, other, seen = source(per_day=24.0)
    made.storm(0x1234, 20, START + HOUR, START)
    other.run_until(START + DAY)
    rest = [each for each in seen if each[2].notice.code != 0x1234]
    assert [each[:2] for each in rest] == [each[:2] for each in usual]
    assert len(seen) > len(usual)
    assert {what.party for _, _, what in seen if what.notice.code == 0x1234} == {Party.ELECTRICITY}
    assert calm.due is not None
    assert calm.due < FOREVER
