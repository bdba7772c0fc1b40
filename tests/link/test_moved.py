"""Hubs at other addresses: who is where, and what the data centre's side knows of it."""

import pytest

from emulator.kernel.time import DAY
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.moved import Moved
from emulator.link.profile import LinkProfile

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
BASE, SPAN = 0x0A800000, 1 << 23
QUIET = LinkProfile(outages_per_day=0.0)
FRAME = bytes.fromhex("0001000100010005") + b"hello"


def test_a_hub_that_never_moved_is_at_home() -> None:
    moved = Moved(BASE, SPAN)
    assert moved.address(7) == moved.believed(7) == BASE + 7
    assert moved.at(BASE + 7) == moved.came_from(BASE + 7) == 7


def test_a_move_is_learned_from_what_comes_from_there() -> None:
    """Not from what was sent before the move."""
    moved = Moved(BASE, SPAN)
    address = moved.move(7)
    assert address is not None
    assert (moved.address(7), moved.believed(7)) == (address, BASE + 7)
    assert (moved.at(BASE + 7), moved.at(address)) == (None, 7)
    assert moved.came_from(BASE + 7) == 7  # it was under way
    assert moved.believed(7) == BASE + 7
    assert moved.came_from(address) == 7
    assert moved.believed(7) == address


def test_no_two_hubs_ever_have_one_address() -> None:
    """Over a hundred moves of neighbours, and of homes far apart."""
    moved = Moved(BASE, SPAN)
    for _ in range(100):
        for home in (0, 1, 2, 141_371, 262_143, 262_144, 300_000):
            before = moved.address(home)
            address = moved.move(home)
            assert address != before
            assert address is not None
            assert BASE <= address < BASE + SPAN
            assert moved.at(address) == home
        now = [moved.address(home) for home in (0, 1, 2, 141_371, 262_143, 262_144, 300_000)]
        assert len(set(now)) == len(now)


def test_a_network_without_room_moves_nobody() -> None:
    moved = Moved(BASE, 1 << 18)
    assert moved.move(3) is None
    assert moved.at(BASE + 3) == 3


@pytest.mark.parametrize("kind", ["plain", "ipsec", "mpls"])
def test_the_link_carries_to_where_it_believes_a_hub_to_be(kind: str) -> None:
    """Lost at the old address, heard from the new one, reached there; the neighbour is where it was."""
    chain = Chain(kind, 0, 7, QUIET)
    address = chain.move(5)

    def down(home: int, number: int) -> Delivered | Refusal:
        ((delay, packet),) = chain.offer_down(home, 4059, 4059, FRAME, NOON, number)
        return chain.deliver_down(packet, NOON + delay)

    lost = down(5, 1)
    assert isinstance(lost, Refusal)
    assert lost.reason == "selector"
    ((delay, packet),) = chain.offer_up(5, HEAD_END, 4059, 4059, FRAME, NOON, 2)
    heard = chain.deliver_up(packet, NOON + delay)
    assert isinstance(heard, Delivered)
    assert (heard.installation, heard.source_ip) == (5, address)
    found = down(5, 3)
    assert isinstance(found, Delivered)
    assert (found.installation, found.destination_ip) == (5, address)
    neighbour = down(6, 4)
    assert isinstance(neighbour, Delivered)
    assert neighbour.destination_ip == BASE + 6


def test_an_answer_that_comes_twice_is_one_exchange_and_one_that_nobody_asked_for() -> None:
    chain = Chain("plain", 0, 7, QUIET)
    ((_, packet),) = chain.offer_down(5, 4059, 4059, FRAME, NOON, 1)
    chain.deliver_down(packet, NOON)
    for number in (2, 3):
        ((_, packet),) = chain.offer_up(5, HEAD_END, 4059, 4059, FRAME, NOON, number)
        chain.deliver_up(packet, NOON)
    assert (chain.log.exchanges, chain.log.unasked, chain.log.unanswered) == (1, 1, 0)
