"""Registers over events: nothing is lost, nothing runs back, and every way of reading agrees."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.common import consumption, tariff
from devices.common.ledger import FOREVER, REGIMES_MOST, SLOT, Circuit, Hold, Ledger, Regime
from devices.electricity import snapshot
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND

BORN = 16_700 * DAY
START = 18_323 * DAY
E7, E10, E10_FOUR = tariff.named("economy7"), tariff.named("economy10"), tariff.named("economy10-four")


def make(home: int = 77, wired: bool = True) -> Ledger:
    return Ledger(
        lambda: (
            [consumption.electricity(1, home, 9_000)],
            [consumption.heating(1, home, 1, 1_500) if wired else None],
        ),
        [Circuit(1, E7.switched)],
        [Regime(BORN, FOREVER, {}, E7.calendar)],
    )


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["table", "hold on", "hold off", "release", "clock", "contact", "follow"]),
        st.integers(1, 30 * 3_600),
    ),
    max_size=12,
)


def happen(ledger: Ledger, event: str, at: int) -> int:
    """Carry out an event at a shown time; returns the time shown after it."""
    last = ledger.regimes[-1]
    if event == "table":
        ledger.change(at, at, calendar=(E10 if last.calendar is not E10.calendar else E10_FOUR).calendar)
    elif event.startswith("hold"):
        ledger.change(at, at, holds=(Hold(1, event == "hold on", at + 77 * MINUTE),))
    elif event == "release":
        ledger.change(at, at, holds=())
    elif event == "contact":
        ledger.change(at, at, flowing=not last.flowing)
    elif event == "follow":
        ledger.change(at, at, follows=(frozenset((1,)),))
    else:
        moved = at + (at // SECOND % 1_200 - 600) * SECOND
        ledger.change(at, moved)
        return moved
    return at


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_registers_never_run_back_over_any_event(events: list[tuple[str, int]]) -> None:
    """Whatever happens to a meter, each rate's register and the total only grow, and an event itself adds nothing."""
    ledger, at = make(), START
    before = ledger.grains(at)
    for event, seconds in events:
        at += seconds * SECOND
        reached = ledger.grains(at)
        assert all(reached[rate] >= held for rate, held in before.items())
        at = happen(ledger, event, at)
        assert ledger.grains(at) == reached
        assert ledger.total(at) == sum(ledger.rates(at).values())
        before = reached


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_half_hours_agree_with_the_register(events: list[tuple[str, int]]) -> None:
    """Half-hours read one after another sum to the register's growth, and agree with each read by itself."""
    ledger, at = make(), START
    for event, seconds in events:
        at = happen(ledger, event, at + seconds * SECOND)
    end = at // SLOT * SLOT
    start = end - 60 * SLOT
    totals = [ledger.total_at(boundary) for boundary in range(start, end + 1, SLOT)]
    assert totals == sorted(totals)
    assert sum(b - a for a, b in pairwise(totals)) == ledger.total(end) - ledger.total(start)
    again = make()
    again.regimes = ledger.regimes
    assert [again.total_at(boundary) for boundary in range(end, start - 1, -SLOT)] == totals[::-1]


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(0, 10 * 86_400))
def test_a_stored_ledger_is_the_same_ledger(events: list[tuple[str, int]], later: int) -> None:
    """Packed into a row and built again, a ledger shows the same at any later time; one without events packs to
    nothing."""
    ledger, at = make(), START
    for event, seconds in events:
        at = happen(ledger, event, at + seconds * SECOND)
    kept = snapshot.pack(ledger, E7.calendar)
    assert (kept is None) == (not events)
    restored = make()
    if kept is not None:
        restored.regimes = snapshot.unpack(kept, E7.calendar)
    at += later * SECOND
    assert restored.rates(at) == ledger.rates(at)
    assert restored.switch_on(1, at) == ledger.switch_on(1, at)
    assert restored.total_at(at - 3 * DAY) == ledger.total_at(at - 3 * DAY)


def test_many_events_keep_a_bounded_ledger_and_lose_no_energy() -> None:
    """After more events than are kept, the oldest regimes are gone and the total is still that of an undisturbed
    meter."""
    ledger = make(wired=False)
    for number in range(3 * REGIMES_MOST):
        at = START + number * HOUR
        ledger.change(at, at, calendar=(E10 if number % 2 else E7).calendar)
    assert len(ledger.regimes) == REGIMES_MOST
    end = START + 4 * REGIMES_MOST * HOUR
    assert sum(ledger.grains(end).values()) == sum(make(wired=False).grains(end).values())


def test_an_open_contact_lets_nothing_flow() -> None:
    """While the supply is off no register moves and no power is drawn; closing it goes on from there."""
    ledger = make()
    ledger.change(START, START, flowing=False)
    held = ledger.grains(START)
    assert ledger.grains(START + 3 * DAY) == held
    assert ledger.flow(START + DAY) == 0
    ledger.change(START + 3 * DAY, START + 3 * DAY, flowing=True)
    assert ledger.grains(START + 3 * DAY) == held
    assert ledger.total(START + 4 * DAY) > ledger.total(START + 3 * DAY)


def test_a_held_switch_draws_for_as_long_as_it_is_held() -> None:
    """An hour of heating by hand in the day costs exactly one hour of the heater, in the rate of the day."""
    ledger, plain = make(), make()
    at = START + 12 * HOUR
    ledger.change(at, at, holds=(Hold(1, True, at + HOUR),))
    day = at // DAY
    heater = consumption.heating(1, 77, 1, 1_500)
    end = at + 5 * HOUR
    extra = {rate: grains - plain.grains(end)[rate] for rate, grains in ledger.grains(end).items()}
    assert extra == {1: heater.rate(day, 12 * 3_600) * 3_600, 2: 0}
    assert ledger.switch_on(1, at + HOUR - 1)
    assert not ledger.switch_on(1, at + HOUR)


def test_a_tariff_write_moves_the_heating() -> None:
    """Under Economy 7 the switch is off at 14:00; with Economy 10 loaded it is on, because it follows the rate."""
    ledger = make()
    at = START + 14 * HOUR
    assert not ledger.switch_on(1, at)
    ledger.change(START, START, calendar=E10.calendar)
    assert ledger.switch_on(1, at)


def test_a_time_the_clock_jumped_over_reads_as_the_jump() -> None:
    """After the clock was put forward, the boundaries it skipped show what the register held at the jump."""
    ledger = make()
    ledger.change(START, START + 2 * HOUR)
    held = ledger.total(START + 2 * HOUR)
    assert ledger.total_at(START + HOUR) == held
    assert ledger.total_at(START - HOUR) < held
