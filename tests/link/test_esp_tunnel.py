"""The tunnel stage with associations that IKE agrees on: any suite, in UDP, renewed while packets are under way."""

from dataclasses import replace

import pytest

from emulator.codecs.ipv4 import IPV4_FRAME
from emulator.codecs.udp import UDP_FRAME
from emulator.crypto.choice import backend
from emulator.crypto.esp_suites import SUITES, suite
from emulator.errors import FrameError, ReplayError, TagError, UsageError
from emulator.link.carrier import Gateways
from emulator.link.datagram import build_through_codecs
from emulator.link.esp import Tunnel, static
from emulator.link.esp_end import EspEnd
from emulator.link.esp_spec import SaSpec, of_negotiated
from emulator.link.ike.pair import virtual_pair
from emulator.link.profile import Direction, LinkProfile
from emulator.link.stage import Leg, Refused

QUIET = LinkProfile(outages_per_day=0.0)
HEAD_END, HUB = 0x0A000001, 0x0A800005
LEG = Leg(1, 3, Direction.DOWN, QUIET)
IN_UDP = replace(LEG, profile=replace(LEG.profile, encap=True))


def spec(spi: int, name: str = "aes128gcm16", esn: bool = False) -> SaSpec:
    sizes = suite(name)
    return SaSpec(spi, name, bytes([spi & 255]) * sizes.key, b"salt"[: sizes.salt], bytes(sizes.integrity), esn)


def fields(frame: bytes, number: int = 0) -> tuple[int, int, int, int, bytes, int]:
    return HEAD_END, HUB, 4059, 4059, frame, number


def carry(both: Gateways, frame: bytes) -> bytes:
    """A frame through one direction, by whichever way there is; the packet."""
    packet = both.seal(*fields(frame)) or both.seal_by_stages(*fields(frame))
    assert (both.open(packet) or both.open_by_stages(packet))[4] == frame
    return packet


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("esn", [False, True], ids=["short", "extended"])
@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
def test_every_suite_carries_frames_to_the_mtu(name: str, esn: bool, encap: bool) -> None:
    """The stage's overhead is what the largest frame leaves of the MTU."""
    stage = Tunnel(IN_UDP if encap else LEG, spec(0x1001, name, esn))
    both = Gateways([stage], QUIET.ttl, True)
    room = QUIET.mtu - stage.overhead - 28
    for length in (0, 1, 2, 3, 16, 300, room):
        packet = carry(both, bytes(length))
    assert QUIET.mtu - suite(name).grain < len(packet) <= QUIET.mtu
    assert len(both.seal_by_stages(*fields(bytes(room + 1)))) > QUIET.mtu
    outer = IPV4_FRAME.parse(packet)
    assert (outer.source, outer.destination) == LEG.gateways
    assert outer.protocol == (17 if encap else 50)
    if encap:
        inside = UDP_FRAME.parse(outer.payload)
        assert (inside.source_port, inside.destination_port, inside.checksum) == (4500, 4500, 0)


def test_an_agreed_association_gives_the_packets_of_the_static_one() -> None:
    """The same keys, told as a specification: the same bytes by the short and by the long way."""
    agreed, fixed = (Gateways([stage], QUIET.ttl, True) for stage in (Tunnel(LEG, static(LEG)), Tunnel(LEG)))
    for length in (0, 1, 77, 1400):
        assert agreed.seal(*fields(bytes(length))) == fixed.seal(*fields(bytes(length)))
        assert agreed.seal_by_stages(*fields(bytes(length))) == fixed.seal_by_stages(*fields(bytes(length)))


def test_a_tunnel_is_renewed_while_packets_are_under_way() -> None:
    """Sealed with the new from now on; the old opens what was sent before, until it is retired; numbers begin again."""
    stage = Tunnel(LEG, spec(0x1001))
    both = Gateways([stage], QUIET.ttl, True)
    if backend() == "native":
        assert both.seal is not both.seal_by_stages
    old = [both.seal_by_stages(*fields(bytes([n]))) for n in range(5)]
    for number, name in enumerate(("aes128gcm16", "chacha20poly1305", "aes256gcm16"), start=2):
        stage.renew(spec(0x1000 + number, name))
        assert stage.spec.spi == 0x1000 + number
        packet = carry(both, b"new")
        assert packet[20:28] == (0x1000 + number).to_bytes(4, "big") + (1).to_bytes(4, "big")
        if backend() == "native":
            assert both.open(old[number]) is None  # the short way knows the newest association alone
        assert both.open_by_stages(old[number])[4] == bytes([number])
    with pytest.raises(ReplayError):
        both.open_by_stages(old[2])
    stage.retire(0x1001)
    stage.retire(0x1001)
    with pytest.raises(Refused) as refused:
        both.open_by_stages(old[0])
    assert refused.value.reason == "association"
    for spi in (0x1002, 0x1004):
        with pytest.raises(UsageError):
            stage.renew(spec(spi))
    with pytest.raises(UsageError):
        Tunnel(LEG).renew(spec(0x1001))


def test_what_is_no_esp_in_udp_is_refused() -> None:
    stage = Tunnel(IN_UDP, spec(0x1001))
    packet = stage.wrap(build_through_codecs(*fields(b"frame"), QUIET.ttl))
    for at, data, reason in (
        (22, (500).to_bytes(2, "big"), "protocol"),
        (28, bytes(4), "protocol"),
        (28, b"\0\0\1\7", "association"),
    ):
        bent = packet[:at] + data + packet[at + len(data) :]
        with pytest.raises(Refused) as refused:
            stage.unwrap(bent)
        assert refused.value.reason == reason
    with pytest.raises(FrameError):
        stage.unwrap(packet[:24] + (9).to_bytes(2, "big") + packet[26:])
    with pytest.raises(TagError):
        stage.unwrap(packet[:-1] + bytes([packet[-1] ^ 1]))
    assert stage.unwrap(packet)[28:] == b"frame"


def test_what_ike_agrees_on_makes_a_tunnel_and_two_ends() -> None:
    """The negotiated pair of a cell: one direction's stage each, and the same packets between the gateways' ends."""
    agreed = virtual_pair(1, 3, QUIET)
    down_out, down_in = of_negotiated(agreed.down)
    up_out, up_in = of_negotiated(agreed.up)
    assert (down_out, up_out) == (up_in, down_in)
    assert down_out.key != up_out.key
    for direction, one in ((Direction.DOWN, down_out), (Direction.UP, up_out)):
        carry(Gateways([Tunnel(Leg(1, 3, direction, QUIET), one)], QUIET.ttl, True), b"frame")
    left, right = EspEnd(agreed.down.local.ip, agreed.down.remote.ip), EspEnd(agreed.up.local.ip, agreed.up.remote.ip)
    for end, child in ((left, agreed.down), (right, agreed.up)):
        end.up(*of_negotiated(child), local=child.local_selectors, remote=child.remote_selectors)
    inner = build_through_codecs(*fields(b"frame"), QUIET.ttl)
    assert right.receive(left.send(inner, 0).packets[0], 0).data == inner
    assert left.send(build_through_codecs(HEAD_END + 1, HUB, 1, 2, b"", 0, 63), 0).reason == "selector"
