"""The world: order, sleep, and nothing but effects."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.commands import Command
from emulator.kernel.effects import Effects, Note, Send, Wake
from emulator.kernel.journal import Journal, combined_digest
from emulator.kernel.time import HOUR, SECOND
from emulator.kernel.world import World


@dataclass
class Echo:
    """Answers every frame once, notes everything, and wakes when told."""

    heard: list[tuple[int, str, bytes]] = field(default_factory=list)
    woken: list[int] = field(default_factory=list)
    answer: bool = False

    def receive(self, port: str, frame: bytes, now: int) -> Effects:
        self.heard.append((now, port, frame))
        effects: list[Any] = [Note("heard", (len(frame),))]
        if self.answer:
            effects.append(Send("a", frame[::-1]))
        return effects

    def wake(self, now: int) -> Effects:
        self.woken.append(now)
        return [Note("woken")]

    def command(self, command: Command, now: int) -> Effects:
        return [Wake(now + 5), Wake(now + 2 * HOUR)]


@dataclass
class Cable:
    """Two stages; `delays` are those of each, and the frame is delivered to `party`."""

    party: int
    delays: tuple[list[int], ...] = ([10], [5])
    hears: tuple[int, str] | None = None

    @property
    def stages(self) -> int:
        return len(self.delays)

    def carry(self, stage: int, installation: int, payload: Any, now: int, number: int) -> list[tuple[int, Any]]:
        return [(delay, payload) for delay in self.delays[stage]]

    def arrive(self, installation: int, payload: Any, now: int) -> tuple[int, str, bytes] | None:
        return (self.party, "b", payload) if payload else None


class Street:
    """Roster and wiring of a test: party 1 sends to 2, party 2 to 1."""

    def __init__(self, cable: Cable | None = None) -> None:
        self.machines: dict[tuple[int, int], Echo] = {}
        self.slept: list[int] = []
        self.up: dict[int, dict[int, Echo]] = {}
        self.wires = {(party, "a"): cable or Cable(3 - party) for party in (1, 2)}

    def machine(self, installation: int, party: int) -> Echo:
        return self.machines.setdefault((installation, party), Echo(answer=party == 2))

    def sleep(self, installation: int) -> None:
        self.slept.append(installation)


def world_of(street: Street, start: int = 0) -> World:
    return World(street, street, Journal(), start)


def test_a_frame_crosses_every_stage_and_the_answer_comes_back() -> None:
    """Delays add up over the stages, both ways, and the installation sleeps when nothing is under way."""
    street = Street()
    world = world_of(street)
    world.send(7, 1, "a", b"abc")
    world.run_until(SECOND)
    assert street.machines[7, 2].heard == [(15, "b", b"abc")]
    assert street.machines[7, 1].heard == [(30, "b", b"cba")]
    assert street.slept == [7]
    assert world.now == SECOND
    assert world.journal.counts == {"heard": 2}


def test_loss_duplicate_and_refusal() -> None:
    """A stage that gives nothing loses the frame, one that gives two repeats it, and a refused frame is not heard."""
    for delays, copies in ((([10], []), 0), (([1, 2], [1]), 2)):
        street = Street(Cable(1, delays))
        world = world_of(street)
        world.send(1, 1, "a", b"x")
        world.run_until(100)
        heard = street.machines[1, 1].heard if (1, 1) in street.machines else []
        assert len(heard) == copies
        assert street.slept == [1]
    street = Street(Cable(1))
    world = world_of(street)
    world.send(1, 1, "a", b"")
    world.run_until(100)
    assert street.machines == {}
    assert world.awake() == 0


def test_a_far_wake_lets_the_installation_sleep() -> None:
    """A wake more than an hour off keeps nobody awake, and still comes."""
    street = Street()
    world = world_of(street)
    world.command(3, 1, Command())
    world.run_until(HOUR)
    assert street.machines[3, 1].woken == [5]
    assert street.slept == [3]
    world.run_until(3 * HOUR)
    assert street.machines[3, 1].woken == [5, 2 * HOUR]
    assert street.slept == [3, 3]


def test_nothing_happens_before_it_is_due() -> None:
    """`run_until` stops at its end, inclusive, and time never goes back."""
    street = Street()
    world = world_of(street)
    world.wake(1, 1, 50)
    world.run_until(49)
    assert not street.machines
    world.run_until(50)
    assert street.machines[1, 1].woken == [50]
    world.run_until(10)
    assert world.now == 50


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=40))
def test_the_digest_does_not_depend_on_how_the_run_is_cut(wakes: list[tuple[int, int]]) -> None:
    """One long run and many short ones note the same things in the same order."""
    digests = []
    for steps in ([200], [0, 3, 50, 51, 120, 200]):
        street = Street()
        world = world_of(street)
        for installation, at in wakes:
            world.wake(installation, 1, at)
        for end in steps:
            world.run_until(end)
        digests.append(world.journal.digest())
    assert digests[0] == digests[1]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([0, 1, SECOND, 8 * SECOND, 2**23, 60 * SECOND, 3 * HOUR])),
        max_size=40,
    ),
    st.lists(st.integers(0, 4 * HOUR), max_size=5),
)
def test_events_come_in_order_however_far_off_they_were(asked: list[tuple[int, int]], stops: list[int]) -> None:
    """Wakes asked for before and between the pieces of a run come at their times, by (due, installation), whether they
    lay in the queue's front or far behind it."""
    street = Street()
    world = world_of(street)
    order: list[tuple[int, int]] = []
    for home in range(41):
        street.machines[home, 1] = Echo()
        street.machines[home, 1].woken = _Shared(home, order)  # type: ignore[assignment]
    wanted: list[tuple[int, int]] = []
    first, rest = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    for home, after in first:
        world.wake(home, 1, after)
        wanted.append((after, home))
    for stop in sorted(stops):
        world.run_until(stop)
        if rest:
            home, after = rest.pop()
            world.wake(home, 1, stop + after)
            wanted.append((stop + after, home))
    world.run_until(9 * HOUR)
    assert order == sorted(wanted)
    assert world.due is None


class _Shared(list[int]):
    """Writes down who was woken, too."""

    def __init__(self, home: int, order: list[tuple[int, int]]) -> None:
        super().__init__()
        self._home = home
        self._order = order

    def append(self, now: int) -> None:
        self._order.append((now, self._home))


def test_digests_combine_in_order() -> None:
    """A run's digest depends on its cells' digests and on their order."""
    one, two = Journal(), Journal()
    one.note(1, 2, 3, Note("x", (1, b"\x00", "y")))
    assert one.digest() != two.digest()
    assert combined_digest([one.digest(), two.digest()]) != combined_digest([two.digest(), one.digest()])


def test_reading_a_digest_changes_nothing() -> None:
    """Asking between notes gives the same end digest as not asking."""
    asked, unasked = Journal(), Journal()
    for number in range(1000):
        for journal in (asked, unasked):
            journal.note(number, 1, 1, Note("n", (number,)))
        if number % 7 == 0:
            asked.digest()
    assert asked.digest() == unasked.digest()
