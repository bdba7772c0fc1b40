"""Three fidelities behind one interface: pipe, wire, and bytes that leave memory."""

from dataclasses import replace

import pytest

from emulator.errors import InputError
from emulator.kernel.time import DAY, HOUR, SECOND
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.kinds import KINDS
from emulator.link.profile import CutOver, Direction, LinkProfile, Outage, PeerDeath
from emulator.link.tap import Tap
from emulator.shell.loopback import Loopback

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


@pytest.mark.parametrize("kind", ["ipsec", "mpls", "ipsec-standby"])
def test_bytes_that_leave_memory_come_back_as_themselves(kind: str) -> None:
    """Interop: through an eventful quarter of an hour every packet by UDP on loopback, delivered as over the wire."""
    profile = LinkProfile(outages=(Outage(NOON + 60 * SECOND),), loss=0.02)
    memory, abroad = Chain(kind, 0, 1, profile), Chain(kind, 0, 1, replace(profile, fidelity="interop"))
    with Loopback() as loopback:
        abroad.leave(loopback.carry)
        assert fates(abroad) == fates(memory)
        delivered = sum(way.delivered for way in memory.log.ways)
        assert loopback.carried == delivered > 3000
    assert abroad.log.digest() == memory.log.digest()


def test_what_comes_back_bent_is_refused() -> None:
    """It is what comes back that is opened, and not what was sent."""
    chain = Chain("ipsec", 0, 1)
    chain.leave(lambda direction, packet: packet[:-1] + bytes([packet[-1] ^ 1]))
    ((delay, packet),) = chain.offer_down(3, PORT, PORT, b"ask", NOON, 0)
    refusal = chain.deliver_down(packet, NOON + delay)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "integrity"


def test_sockets_that_are_gone_are_told() -> None:
    loopback = Loopback()
    loopback.close()
    with pytest.raises(InputError, match="lost a packet"):
        loopback.carry(Direction.DOWN, b"x")
    with Loopback() as other, pytest.raises(InputError, match="does not fit"):
        other.carry(Direction.UP, bytes(65_508))
