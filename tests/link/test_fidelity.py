"""Three fidelities behind one interface: pipe, wire, and bytes that leave memory."""

import socket
from dataclasses import replace

import pytest

from emulator.errors import InputError
from emulator.kernel.time import DAY, HOUR, SECOND
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.fidelity import Interop
from emulator.link.kinds import KINDS
from emulator.link.profile import CutOver, Direction, LinkProfile, Outage, PeerDeath
from emulator.link.tap import Tap

NOON = 18_300 * DAY + 12 * HOUR
HEAD_END = 0x0A000001
PORT = 4059


def fates(chain: Chain) -> list[tuple[int, int, int | None, Delivered | Refusal | None]]:
    """Packets through an eventful quarter of an hour: (number, direction, delay, what was delivered)."""
    told: list[tuple[int, int, int | None, Delivered | Refusal | None]] = []
    for number in range(1800):
        now = NOON + number * SECOND // 2
        frame = b"%d" % number * (400 if number % 90 == 0 else 1)
        for direction, offered in enumerate(
            (
                chain.offer_down(number % 7, PORT, PORT, frame, now, number),
                chain.offer_up(number % 7, HEAD_END, PORT, 4061, frame, now, number),
            )
        ):
            if not offered:
                told.append((number, direction, None, None))
            for delay, packet in offered:
                got = (chain.deliver_up if direction else chain.deliver_down)(packet, now + delay)
                told.append((number, direction, delay, got))
    return told


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_pipe_delays_loses_and_delivers_what_the_wire_does(kind: str) -> None:
    """Losses, outages, a gateway's death, a cut-over, packets too big: the same packets, at the same instants."""
    events: dict[str, object] = {"outages": (Outage(NOON + 60 * SECOND),), "loss": 0.02}
    if KINDS[kind].layers[1] == "ESP":
        events["peer_deaths"] = (PeerDeath(NOON + 200 * SECOND),)
        events["cut_over"] = CutOver(NOON + 600 * SECOND)
    wire = LinkProfile(**events)  # type: ignore[arg-type]
    real, pipe = (fates(Chain(kind, 0, 1, profile)) for profile in (wire, replace(wire, fidelity="pipe")))
    assert real == pipe
    assert 20 < sum(delay is None for _, _, delay, _ in pipe) < 300


def test_what_a_pipe_cannot_do() -> None:
    """It has no packets to capture, and no check but of length."""
    pipe = LinkProfile(fidelity="pipe")
    chain = Chain("ipsec", 0, 1, pipe)
    refusal = chain.deliver_down(b"short", NOON)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "malformed"
    with pytest.raises(InputError, match="fidelity wire"):
        Chain("ipsec", 0, 1, pipe, tap=Tap.__new__(Tap))


def test_the_same_bytes_over_a_real_socket() -> None:
    """Interop: what leaves by UDP on loopback and comes back is what memory delivers, to the log's digest."""
    memory = Chain("ipsec", 0, 1)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        for one in (here, there):
            one.bind(("127.0.0.1", 0))
            one.settimeout(5)
        at: list[tuple[Direction, int]] = []

        def send(direction: Direction, packet: bytes, when: int) -> None:
            here.sendto(packet, there.getsockname())
            at.append((direction, when))

        link = Interop(Chain("ipsec", 0, 1), send)
        for number in range(50):
            now = NOON + number * SECOND
            assert link.offer_down(3, PORT, PORT, b"ask", now, number) == []
            assert link.offer_up(3, HEAD_END, PORT, PORT, b"answer", now, number) == []
            for direction, when in at:
                packet = there.recv(2048)
                ((delay, kept),) = (
                    memory.offer_up(3, HEAD_END, PORT, PORT, b"answer", now, number)
                    if direction
                    else memory.offer_down(3, PORT, PORT, b"ask", now, number)
                )
                assert (kept, now + delay) == (packet, when)
                deliver = memory.deliver_up if direction else memory.deliver_down
                assert link.receive(direction, packet, when) == deliver(kept, when)
            at.clear()
    assert isinstance(link.link, Chain)
    assert link.link.log.digest() == memory.log.digest()
    assert link.link.log.exchanges == 50
