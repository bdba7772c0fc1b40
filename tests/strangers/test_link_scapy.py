"""scapy, an implementation of ESP, IPv4, UDP and MPLS that nobody here wrote, against our link, both ways."""

from pathlib import Path
from typing import Any

import pytest
from module_kit import module

from emulator.kernel.time import DAY
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.profile import LinkProfile
from emulator.link.sad import Association, pair
from emulator.link.tap import Tap, dotted, finish

pytestmark = pytest.mark.stranger

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
QUIET = LinkProfile(outages_per_day=0.0)
LENGTHS = [0, 1, 2, 3, 4, 13, 100, 255, 1000, 1418]


@pytest.fixture(scope="module")
def inet() -> Any:
    module("scapy.layers.ipsec")  # from then on its IPv4 knows what protocol 50 carries
    return module("scapy.layers.inet")


def their_association(agreed: Association) -> Any:
    """The same association in scapy."""
    ipsec, inet = module("scapy.layers.ipsec"), module("scapy.layers.inet")
    return ipsec.SecurityAssociation(
        ipsec.ESP,
        spi=agreed.spi,
        crypt_algo="AES-GCM",
        crypt_key=agreed.key + agreed.salt,
        tunnel_header=inet.IP(src=dotted(agreed.source), dst=dotted(agreed.destination)),
    )


def assert_datagram(inet: Any, packet: Any, ends: tuple[str, str], ports: tuple[int, int], frame: bytes) -> None:
    """An IPv4/UDP packet says what it should, and scapy makes the same checksums again."""
    assert (packet[inet.IP].src, packet[inet.IP].dst) == ends
    assert (packet[inet.UDP].sport, packet[inet.UDP].dport) == ports
    assert bytes(packet[inet.UDP].payload) == frame
    again = inet.IP(bytes(packet))
    del again[inet.IP].chksum, again[inet.UDP].chksum
    assert bytes(again) == bytes(packet)


@pytest.mark.parametrize("length", LENGTHS)
def test_scapy_opens_our_esp(inet: Any, length: int) -> None:
    """Both directions: its decryption and ICV check pass, the inner packet is ours, all checksums are right."""
    frame = bytes(range(256)) * 6
    frame = frame[:length]
    chain = Chain("ipsec", 11, 5, QUIET)
    down, up = pair(5, 11, QUIET)
    ((_, packet),) = chain.offer_down(77, 4059, 4058, frame, NOON, 3)
    outside = inet.IP(packet)
    assert (outside.src, outside.dst, outside.proto) == ("198.18.0.11", "198.19.0.11", 50)
    inside = their_association(down).decrypt(outside.copy())
    assert_datagram(inet, inside, ("10.0.0.1", "10.128.0.77"), (4059, 4058), frame)
    ((_, packet),) = chain.offer_up(77, HEAD_END, 4059, 4061, frame, NOON, 3)
    inside = their_association(up).decrypt(inet.IP(packet))
    assert_datagram(inet, inside, ("10.128.0.77", "10.0.0.1"), (4059, 4061), frame)
    outside = inet.IP(packet)
    del outside.chksum
    assert bytes(outside) == packet


def test_scapy_refuses_our_esp_when_it_is_bent(inet: Any) -> None:
    """Its ICV check is not a formality."""
    ipsec = module("scapy.layers.ipsec")
    ((_, packet),) = Chain("ipsec", 0, 5, QUIET).offer_down(1, 4059, 4059, b"frame", NOON, 0)
    bent = packet[:-1] + bytes([packet[-1] ^ 1])
    with pytest.raises(ipsec.IPSecIntegrityError):
        their_association(pair(5, 0, QUIET)[0]).decrypt(inet.IP(bent))


@pytest.mark.parametrize("length", LENGTHS)
def test_we_open_scapys_esp(inet: Any, length: int) -> None:
    """A packet scapy sealed, with an IV of its own choice, is delivered; sent again, it is a replay."""
    frame = bytes(length)
    chain = Chain("ipsec", 11, 5, QUIET)
    theirs = their_association(pair(5, 11, QUIET)[0])
    inside = inet.IP(src="10.0.0.1", dst="10.128.1.4") / inet.UDP(sport=4059, dport=4059) / frame
    packet = bytes(theirs.encrypt(inside))
    said = Delivered(260, HEAD_END, 4059, 4059, frame, 0x0A800104)
    assert chain.deliver_down(packet, NOON) == said
    again = chain.deliver_down(packet, NOON)
    assert isinstance(again, Refusal)
    assert again.reason == "replay"


def test_scapy_dissects_our_label_stack(inet: Any) -> None:
    """Two labels of the cell, S at the bottom, the TTL; under them the packet, checksums right."""
    mpls = module("scapy.contrib.mpls")
    packets = module("scapy.packet")
    packets.bind_layers(inet.UDP, mpls.MPLS, dport=6635)
    try:
        ((_, packet),) = Chain("mpls", 11, 5, QUIET).offer_down(77, 4059, 4059, b"frame", NOON, 3)
        outside = inet.IP(packet)
    finally:
        packets.split_layers(inet.UDP, mpls.MPLS, dport=6635)
    assert (outside.src, outside.dst) == ("198.18.0.11", "198.19.0.11")
    assert (outside[inet.UDP].sport, outside[inet.UDP].dport, outside[inet.UDP].chksum) == (49152, 6635, 0)
    first = outside[mpls.MPLS]
    second = first.payload
    assert [(one.label, one.cos, one.s, one.ttl) for one in (first, second)] == [
        (0x40000 + 22, 0, 0, 63),
        (0x80000 + 22, 0, 1, 63),
    ]
    assert_datagram(inet, second.payload, ("10.0.0.1", "10.128.0.77"), (4059, 4059), b"frame")


@pytest.mark.parametrize("kind", ["plain", "ipsec", "mpls"])
def test_scapy_reads_the_capture(inet: Any, tmp_path: Path, kind: str) -> None:
    """Its reader finds our packets, byte for byte, at their instants."""
    utils = module("scapy.utils")
    path = tmp_path / "run.pcapng"
    tap = Tap(path, 0)
    chain = Chain(kind, 0, 5, QUIET, tap)
    sent = []
    for number in range(5):
        ((_, packet),) = chain.offer_down(number, 4059, 4059, bytes(number), NOON + number, number)
        sent.append((NOON + number, packet))
    tap.close()
    finish(path, kind, 5, range(1), QUIET)
    read = utils.rdpcap(str(path))
    assert all(packet.haslayer(inet.IP) for packet in read)
    said = [packet for packet in read if packet.haslayer(inet.UDP) and packet[inet.UDP].dport == 500]
    assert len(said) == (4 if kind == "ipsec" else 0), "the set-up of the tunnel"
    assert [(round(packet.time * 1_000_000), bytes(packet)) for packet in read if packet not in said] == sent
