"""The journal looked back on: numbers, gaps, and what was asked how often and in which order."""

from collections.abc import Callable
from typing import Any

from emulator.commands import Expectation, Journal, RotateKeys, SetSupply, Verify
from emulator.control.ring import Ring
from emulator.control.verify import verify
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

Make = Callable[..., Any]


def ring(*kinds: str, most: int = 100, last: int = 0) -> Ring:
    found = Ring(most, last)
    for at, kind in enumerate(kinds):
        found.take(Entry(at, at % 2, int(Party.ELECTRICITY), kind, (at, "x", b"\x0a", (1, 2))))
    return found


def test_numbers_go_on_and_a_gap_is_counted() -> None:
    """The ring keeps the newest; who comes late hears how many are gone and goes on with the oldest there is."""
    here = ring(*"abcdef", most=4, last=10)
    assert (here.first, here.last) == (13, 16)
    found, until = here.after(0, 3)
    assert [(each.number, each.kind) for each in found] == [(13, "c"), (14, "d"), (15, "e")]
    assert until == 15
    assert (here.missed(0), here.missed(11), here.missed(12), here.missed(16)) == (12, 1, 0, 0)
    assert here.after(16, 5) == ([], 16)
    assert here.after(99, 5) == ([], 99)


def test_kinds_and_installations_choose_and_bytes_become_hex() -> None:
    """A kind ending in a dot takes all that begin so; details are plain JSON."""
    here = ring("relay.opened", "relay.closed", "keys.installed")
    found, _ = here.after(0, 10, "relay.")
    assert [each.kind for each in found] == ["relay.opened", "relay.closed"]
    assert here.after(0, 10, "relay.", 1)[0][0].detail == [1, "x", "0a", [1, 2]]
    assert here.after(0, 10, "relay")[0] == []


def differences(found: Any) -> list[int | None]:
    return [each.expectation for each in found.differences]


def test_exactly_once_and_in_order() -> None:
    """Counts and order are judged apart, and what differs is named."""
    here = ring("a", "b", "a", "c")
    a, b, c = Expectation("a"), Expectation("b"), Expectation("c")
    assert differences(verify(Verify([a]), here)) == [0]
    assert differences(verify(Verify([Expectation("a", at_most=2), b]), here)) == []
    assert verify(Verify([b, c], ordered=True), here).fulfilled
    wrong = verify(Verify([c, b], ordered=True), here)
    assert (differences(wrong), wrong.fulfilled) == ([1], False)
    assert differences(verify(Verify([Expectation("d", at_least=0, at_most=0)]), here)) == []
    assert differences(verify(Verify([Expectation("d")]), here)) == [0]
    assert differences(verify(Verify([Expectation("a", at_least=2, at_most=2), c], ordered=True), here)) == []
    assert differences(verify(Verify([a, c], since=1), here)) == []


def test_nothing_else_may_have_happened() -> None:
    """`only` names the kinds whose entries must all be expected."""
    here = ring("relay.opened", "keys.installed", "relay.closed")
    only = Verify([Expectation("relay.opened")], only=["relay."])
    found = verify(only, here)
    assert (differences(found), found.differences[0].entries[0].kind) == ([None], "relay.closed")


def test_details_devices_and_installations_are_compared() -> None:
    """Null fits anything; a longer detail fits a shorter pattern; another device or home does not fit."""
    here = ring("a", "a")
    for each, count in (
        (Expectation("a", detail=[1]), 1),
        (Expectation("a", detail=[None, "x", "0a", [1]], at_most=2), 2),
        (Expectation("a", detail=[None, None, None, None, None]), 0),
        (Expectation("a", installation=1), 1),
        (Expectation("a", device="gas"), 0),
        (Expectation("a", device="electricity", at_most=2), 2),
    ):
        assert verify(Verify([each]), here).counts == [count]


def test_what_has_fallen_out_cannot_be_verified() -> None:
    """A question that reaches back past the ring is answered as incomplete, never as fulfilled."""
    here = ring(*"aab", most=2)
    found = verify(Verify([Expectation("b")]), here)
    assert (found.complete, found.fulfilled, found.differences) == (False, False, [])
    assert verify(Verify([Expectation("b")], since=1), here).fulfilled


def test_a_real_change_of_keys_happened_once_and_before_the_switch(bench: Make) -> None:
    """The journal of two visits answers the question the way it was done, and not the other way round."""
    here = bench()
    here.ask(RotateKeys(), 0, Party.ELECTRICITY)
    here.ask(SetSupply("off"), 0, Party.ELECTRICITY)
    rotated = Expectation("rotation.confirmed", installation=0)
    moved = Expectation("switch.moved", installation=0, device="electricity", detail=["supply", 0])
    assert here.ask(Verify([rotated, moved], ordered=True)).fulfilled
    assert not here.ask(Verify([moved, rotated], ordered=True)).fulfilled
    page = here.ask(Journal(limit=5))
    assert ([each.number for each in page.entries], page.until) == ([1, 2, 3, 4, 5], 5)
