"""What happens to a tunnel that stands: rekeying from either end and both, death and resurrection, moves, age."""

from typing import Any

import pytest
from ike_kit import LEFT, QUIET, RIGHT, Ends, connection, downs, ups

from emulator.kernel.effects import Instant
from emulator.kernel.time import HOUR, MILLISECOND, SECOND
from emulator.link.ike.children import CreateChild
from emulator.link.ike.effects import Address, ChildDown, ChildUp, IkeDown, IkeUp, PathChanged, Transmit
from emulator.link.ike.memory import Memory
from emulator.link.ike.pair import CONNECTION, DATA_CENTRE, gateways
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.rekey import RekeyIke
from emulator.link.ike.settings import Child, Timers
from emulator.link.profile import STANDARD

PFS = ("aes128gcm16-x25519", "aes128gcm16")


def wish_both(ends: Ends, wishes: list[tuple[IkePeer, str]], seconds: float = 3) -> None:
    """Several wishes in one instant: their requests cross."""
    for peer, wish in wishes:
        word = "core" if wish == "rekey_ike" else ends.children(peer)[0].spi_in
        ends.memory.do(peer, getattr(peer, wish)(word, ends.memory.now))
    ends.wait(seconds)


@pytest.mark.parametrize("who", ["left", "right"])
@pytest.mark.parametrize("esp", [("aes128gcm16",), PFS, ("aes128gcm16-modp2048",)])
def test_a_child_is_rekeyed_from_either_end(who: str, esp: tuple[str, ...]) -> None:
    """New before old goes: both ends have the new SA when the old one is closed, with and without a new exchange."""
    sides = [
        {"children": (Child("hubs", one.local, one.remote, esp),)}
        for one in (connection(n).children[0] for n in (0, 1))
    ]
    ends = Ends(sides[0], sides[1]).up()
    old = {peer.name: ends.children(peer)[0] for peer in (ends.left, ends.right)}
    peer = getattr(ends, who)
    ends.do(peer, "rekey_child", old[who].spi_in)
    assert ends.agree() == 1
    for one in (ends.left, ends.right):
        new = ups(ends.said(peer=one))[-1]
        assert new.replaces == old[one.name].spi_in
        assert new.send is (one is peer)
        assert [down.reason for down in downs(ends.said(peer=one))] == ["rekeyed"]
        order = [effect for effect in ends.said(peer=one) if type(effect) in (ChildUp, ChildDown)]
        assert [type(effect) for effect in order] == [ChildUp, ChildUp, ChildDown]
        assert new.child.inbound.encryption != old[one.name].inbound.encryption


@pytest.mark.parametrize("who", ["left", "right"])
def test_an_ike_sa_is_rekeyed_from_either_end(who: str) -> None:
    """The new SA inherits the child untouched, and can do all the old one could: by then roles may be turned."""
    ends = Ends().up()
    before = ends.children(ends.left)
    for _ in range(3):
        ends.do(getattr(ends, who), "rekey_ike", "core")
        assert ends.children(ends.left) == before
        assert [len(one.sas) for one in (ends.left, ends.right)] == [1, 1]
    assert [effect.reason for effect in ends.said(IkeDown)] == ["rekeyed"] * 6
    for peer in (ends.left, ends.right):
        ends.do(peer, "rekey_child", ends.children(peer)[0].spi_in)
        assert ends.agree() == 1
    assert next(iter(ends.left.sas.values())).initiator is (who == "left")


def crossing(first: int, second: int) -> Any:
    """Different delays each way, so that every order of arrival comes up."""

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        return [(first if sent.source.ip == LEFT.ip else second, sent.payload)]

    return path


DELAYS = [(1_000, 1_000), (1_000, 90_000), (90_000, 1_000), (50_000, 49_000), (400_000, 5_000)]
REKEYS = ("rekey_child", "rekey_ike")
CLOSES = ("rekey_child", "rekey_ike", "close_child")


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("one", REKEYS)
@pytest.mark.parametrize("other", REKEYS)
@pytest.mark.parametrize("seed", range(3))
def test_both_ends_rekey_at_once(delays: tuple[int, int], one: str, other: str, seed: int) -> None:
    """Whatever crosses whatever: one IKE SA and one child are left, alike at both ends, and nothing hangs."""
    ends = Ends(path=crossing(*delays)).up()
    for _ in range(seed):
        ends.left.chance.take(1)  # other nonces: each end wins some of the time
    wish_both(ends, [(ends.left, one), (ends.right, other)], seconds=30)
    assert ends.agree() == 1
    assert [len(peer.sas) for peer in (ends.left, ends.right)] == [1, 1]
    assert all(sa.outstanding is None and not sa.queue for peer in (ends.left, ends.right) for sa in peer.sas.values())
    assert all(
        child.state == "up"
        for peer in (ends.left, ends.right)
        for sa in peer.sas.values()
        for child in sa.children.values()
    )
    assert "the peer is dead" not in ends.reasons(ends.left) + ends.reasons(ends.right)
    ends.do(ends.left, "rekey_child", ends.children(ends.left)[0].spi_in)
    ends.do(ends.right, "rekey_ike", "core")
    assert ends.agree() == 1


def test_the_lowest_nonce_decides() -> None:
    """RFC 7296 2.8.1: the end whose exchange holds the lowest nonce closes what it made; over many seeds, both do."""
    closed = set()
    for seed in range(12):
        ends = Ends().up()
        for _ in range(seed):
            ends.left.chance.take(1)
        wish_both(ends, [(ends.left, "rekey_child"), (ends.right, "rekey_child")])
        losers = [
            name
            for _, name, effect in ends.memory.said
            if type(effect) is ChildDown and effect.reason == "lost to the peer's own rekeying"
        ]
        assert len(losers) == 1
        closed.add(losers[0])
        assert ends.agree() == 1
    assert closed == {"left", "right"}


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("other", CLOSES)
def test_closing_crosses_anything(delays: tuple[int, int], other: str) -> None:
    """One end closes the child while the other rekeys or closes: both agree on what is left, and it is not both."""
    ends = Ends(path=crossing(*delays)).up()
    wish_both(ends, [(ends.left, "close_child"), (ends.right, other)], seconds=30)
    assert ends.children(ends.left) == []
    assert ends.children(ends.right) == []
    assert [len(peer.sas) for peer in (ends.left, ends.right)] == [1, 1]
    assert "the peer is dead" not in ends.reasons(ends.left) + ends.reasons(ends.right)


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("other", ["terminate", "rekey_ike", "rekey_child"])
def test_ending_it_all_crosses_anything(delays: tuple[int, int], other: str) -> None:
    """One end closes the IKE SA: nothing is left at either, whatever the other was about to do."""
    ends = Ends(path=crossing(*delays)).up()
    word: Any = ends.children(ends.right)[0].spi_in if other == "rekey_child" else "core"
    ends.memory.do(ends.left, ends.left.terminate("core", ends.memory.now))
    ends.memory.do(ends.right, getattr(ends.right, other)(word, ends.memory.now))
    ends.wait(30)
    assert not ends.left.sas
    assert not ends.right.sas
    assert ends.children(ends.left) == ends.children(ends.right) == []


def test_what_cannot_be_now_is_put_off() -> None:
    """RFC 7296 2.25: a child asked for while the IKE SA is being replaced is refused for now, and asked for again."""
    timers = Timers(dpd_delay=0, rekey_child=0, rekey_ike=0, retry=SECOND)
    ends = Ends(timers=timers).up()
    wish_both(ends, [(ends.left, "rekey_ike"), (ends.right, "rekey_child")], seconds=1)
    refused = ends.notes("ike.child.refused", ends.right) + ends.notes("ike.rekey.refused", ends.left)
    assert [note[-1] for note in refused] == ["TEMPORARY_FAILURE"] * len(refused)
    assert refused
    ends.wait(5)
    assert ends.agree() == 1
    assert len(ups(ends.said(peer=ends.right))) == 2


def test_a_child_the_peer_does_not_know_is_dropped() -> None:
    """CHILD_SA_NOT_FOUND ends it here too."""
    ends = Ends().up()
    child = ends.children(ends.left)[0]
    sa = next(iter(ends.right.sas.values()))
    sa.drop_child(next(iter(sa.children.values())), "lost")
    ends.memory.do(ends.right, ends.right._told())
    ends.do(ends.left, "rekey_child", child.spi_in)
    assert [down.reason for down in downs(ends.said(peer=ends.left))] == ["the peer does not know it"]
    assert ends.agree() == 0
    assert ends.standing(ends.left) == 1


def test_age_replaces_everything_in_time() -> None:
    """A day with hourly rekeys from both ends: no gap, no growth, no death; jitter keeps the ends apart."""
    timers = Timers(dpd_delay=60 * SECOND, rekey_child=HOUR, rekey_ike=4 * HOUR)
    ends = Ends(timers=timers).up()
    ends.wait(24 * 3600)
    assert ends.agree() == 1
    assert [len(peer.sas) for peer in (ends.left, ends.right)] == [1, 1]
    assert {down.reason for down in downs(ends.said())} <= {"rekeyed", "lost to the peer's own rekeying"}
    assert 24 <= len(ups(ends.said(peer=ends.left))) <= 33
    assert 6 <= len(ends.said(IkeUp, ends.left)) <= 10


def test_a_child_never_rekeyed_is_closed_at_the_end_of_its_life() -> None:
    """When the peer refuses every rekey, life_margin later the child is closed."""
    ends = Ends({"timers": Timers(dpd_delay=0, rekey_child=100 * SECOND, rekey_ike=0, rekey_spread=0)}).up()
    ends.right.connections["core"] = connection(1, children=())
    for sa in ends.right.sas.values():
        sa.connection = ends.right.connections["core"]
        for child in sa.children.values():
            child.config = Child("hubs", (), (), ("chacha20poly1305",))
    ends.wait(109)
    assert ends.agree() == 1
    assert ends.notes("ike.child.refused", ends.left)
    ends.wait(3)
    assert [down.reason for down in downs(ends.said(peer=ends.left))] == ["its life is over"]
    assert ends.agree() == 0


def outage(fraction: float) -> float:
    """Seconds without a tunnel when the peer dies `fraction` of a second after it was heard, and is back at once."""
    timers = Timers(rekey_child=0, rekey_ike=0)
    ends = Ends({"timers": timers, "keep": True}, {"timers": timers}).up()
    (sa,) = ends.left.sas.values()
    ends.wait(9)
    before = sa.heard
    while sa.heard == before:
        ends.wait(0.001)
    ends.wait(fraction)
    died = ends.memory.now
    fresh = IkePeer("right", [connection(1, timers=timers)], b"right, restarted", RIGHT)
    ends.memory.peers[1] = fresh
    ends.memory.moved(fresh)
    ends.memory.children["right"].clear()
    ends.wait(10)
    back = [at for at, name, effect in ends.memory.said if name == "left" and type(effect) is ChildUp and at > died]
    assert ends.agree() == 1
    assert ends.reasons(ends.left) == ["the peer is dead"]
    return (back[0] - died) / SECOND


def test_a_dead_peer_costs_five_to_six_seconds() -> None:
    """The shipped profile: what is left of a second of silence, five waits of a second, one set-up."""
    outages = [outage(fraction / 10) for fraction in range(10)]
    assert all(5.0 <= one <= 6.1 for one in outages), outages
    assert max(outages) - min(outages) > 0.5


def test_a_peer_that_stays_away_is_asked_again_and_again() -> None:
    """keep: set-ups follow each other until one succeeds."""
    black: list[bool] = []
    timers = Timers(rekey_child=0, rekey_ike=0)
    ends = Ends(
        {"timers": timers, "keep": True},
        {"timers": timers},
        path=lambda sent, now: [] if black else [(1, sent.payload)],
    )
    ends.up()
    black.append(True)
    ends.wait(60)
    assert ends.agree() == 0
    assert len(ends.reasons(ends.left)) >= 10
    black.clear()
    ends.wait(6)
    assert ends.agree() == 1


def test_a_black_path_shorter_than_patience_keeps_the_sas() -> None:
    """Four seconds of nothing: retransmission covers it."""
    black: list[bool] = []
    timers = Timers(rekey_child=0, rekey_ike=0)
    ends = Ends(timers=timers, path=lambda sent, now: [] if black else [(1_000, sent.payload)]).up()
    black.append(True)
    ends.wait(4)
    black.clear()
    ends.wait(4)
    assert ends.agree() == 1
    assert not ends.said(IkeDown)


def test_traffic_spares_the_question() -> None:
    """ESP that is heard counts as life: no probe is sent."""
    sent: list[Instant] = []
    timers = Timers(rekey_child=0, rekey_ike=0)
    ends = Ends({"timers": timers}, path=lambda one, now: sent.append(now) or [(1_000, one.payload)]).up()
    sent.clear()
    for _ in range(50):
        ends.left.heard(ends.children(ends.left)[0].spi_in, ends.memory.now)
        ends.wait(0.5)
    assert not sent
    ends.wait(1.5)
    assert sent


def test_an_old_request_gets_its_old_answer() -> None:
    """Word for word, and nothing happens twice; one older still gets none."""
    kept: list[Transmit] = []
    ends = Ends(path=lambda one, now: kept.append(one) or [(1_000, one.payload)]).up()
    ends.do(ends.left, "rekey_child", ends.children(ends.left)[0].spi_in)
    requests = [one for one in kept if one.source.ip == LEFT.ip]
    answers = [one for one in kept if one.source.ip == RIGHT.ip]
    before = ends.right.status()
    again = ends.right.handle(requests[-1].payload, LEFT, ends.memory.now)
    assert [one.payload for one in again if type(one) is Transmit] == [answers[-1].payload]
    older = ends.right.handle(requests[-2].payload, LEFT, ends.memory.now)
    assert not [one for one in older if type(one) is Transmit]
    assert ends.right.status() == before
    late = ends.left.handle(answers[-1].payload, RIGHT, ends.memory.now)
    assert [note.detail[0] for note in late] == ["no such request"]


def nat(ends: Ends, port: list[int]) -> Any:
    """A translator before the left end: its datagrams come from another address and port, answers go back."""
    outside = 0xC6336401
    ends.memory._at[outside] = ends.left

    def path(sent: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        if sent.source.ip == LEFT.ip:
            arrived = ends.right.handle(
                sent.payload, Address(outside, port[0] + sent.source.port), now, sent.destination
            )
            ends.memory.do(ends.right, arrived)
            return []
        inside = Address(LEFT.ip, sent.destination.port - port[0])
        if inside.port in (500, 4500):
            ends.memory.do(ends.left, ends.left.handle(sent.payload, sent.source, now, inside))
        return []

    ends.memory.path = path
    return path


def test_a_nat_is_seen_kept_open_and_followed() -> None:
    """ESP goes in UDP, keepalives go out, and when the mapping changes the responder follows the authentic sender."""
    port = [10_000]
    sent: list[bytes] = []
    ends = Ends(mobike=False)
    inner = nat(ends, port)
    ends.right.connections["core"] = connection(1, remote=None, mobike=False)
    ends.memory.path = lambda one, now: sent.append(one.payload) or inner(one, now)
    ends.do(ends.left, "initiate", "core", seconds=0.5)
    assert ends.agree() == 1
    (child,) = ends.children(ends.right)
    assert child.encap
    assert child.remote == Address(0xC6336401, 14_500)
    ends.wait(70)
    assert sent.count(b"\xff") == 3
    port[0] = 20_000
    ends.do(ends.left, "rekey_child", ends.children(ends.left)[0].spi_in)
    (moved,) = ends.said(PathChanged, ends.right)
    assert moved.remote == Address(0xC6336401, 24_500)
    assert moved.encap
    assert ends.agree() == 1


def test_a_gateway_moves_with_mobike() -> None:
    """UPDATE_SA_ADDRESSES: the SAs stay, traffic goes to the new address, which must prove itself."""
    ends = Ends().up()
    there = Address(0xC0000299, 500)
    ends.memory.do(ends.left, ends.left.move(there, ends.memory.now))
    ends.memory.moved(ends.left)
    ends.wait(1)
    assert [one.remote for one in ends.said(PathChanged, ends.right)] == [there]
    assert [one.local for one in ends.said(PathChanged, ends.left)] == [there]
    ends.do(ends.right, "rekey_child", ends.children(ends.right)[0].spi_in)
    assert ends.agree() == 1
    assert not ends.said(IkeDown)


def test_without_mobike_nobody_moves() -> None:
    """An end that did not agree to it stays."""
    ends = Ends(right={"mobike": False}).up()
    ends.memory.do(ends.left, ends.left.move(Address(0xC0000299, 500), ends.memory.now))
    ends.wait(1)
    assert not ends.said(PathChanged)


def test_tasks_wait_in_a_bounded_line() -> None:
    """More wishes than the line holds are dropped with a note, not kept forever."""
    ends = Ends(path=lambda sent, now: [(1_000, sent.payload)]).up()
    ends.memory.path = lambda sent, now: []
    for _ in range(100):
        ends.memory.do(ends.left, ends.left.rekey_ike("core", ends.memory.now))
    assert len(next(iter(ends.left.sas.values())).queue) == ends.left.limits.tasks
    assert len(ends.notes("ike.busy")) == 35


def test_a_run_repeats_itself() -> None:
    """Two runs of an hour with losses: the same effects at the same instants."""

    def run() -> list[Any]:
        count = iter(range(1_000_000))
        timers = Timers(dpd_delay=10 * SECOND, rekey_child=300 * SECOND, rekey_ike=900 * SECOND)
        ends = Ends(
            {"keep": True},
            timers=timers,
            path=lambda sent, now: [] if next(count) % 7 == 3 else [(20_000, sent.payload)],
        )
        ends.do(ends.left, "initiate", "core", seconds=3600)
        assert ends.agree() == 1
        return ends.memory.said

    assert run() == run()


@pytest.mark.slow
def test_two_hundred_tunnels_for_a_day() -> None:
    """Hourly rekeys, a question a minute: none dies, and the gateways stay as they began."""
    timers = Timers(dpd_delay=60 * SECOND, rekey_child=HOUR, rekey_ike=4 * HOUR)
    for cell in range(200):
        down, up = gateways(1, cell, STANDARD, timers=timers)
        memory = Memory((down, up), delay=20 * MILLISECOND)
        memory.do(down, down.initiate(CONNECTION, 0))
        memory.run(24 * HOUR)
        assert len(memory.children[DATA_CENTRE]) == 1
        assert len(down.sas) == len(up.sas) == 1
        assert not [
            one
            for _, _, one in memory.said
            if type(one) is IkeDown and one.reason not in ("rekeyed", "lost to the peer's own rekeying")
        ]


def test_tasks_are_what_the_peer_hands_out() -> None:
    """Ages make the same tasks as wishes do."""
    ends = Ends().up()
    sa = next(iter(ends.left.sas.values()))
    assert type(ends.left.rekey_task()) is RekeyIke
    assert type(ends.left.rekey_child_task(next(iter(sa.children.values())))) is CreateChild
    assert QUIET.wait(3) == SECOND
