"""ESP against a kernel nobody here wrote: what we seal it opens, what it seals we open, what it refuses we refuse.

The guest answers ICMP echo requests inside the tunnel, so every packet shows both directions: it comes back only if the
kernel took ours, and our association opens the kernel's own.
"""

import itertools
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from uml_kit import Guest

from emulator.codecs.esp import ESP_FRAME, PROTOCOL
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.crypto.esp_sa import Sa, SaState
from emulator.errors import CounterExhaustedError, ReplayError, TagError
from emulator.kernel.chance import between, bits

pytestmark = pytest.mark.stranger

OUR_END, ITS_END = "192.0.2.1", "192.0.2.2"
OUR_INNER, ITS_INNER = "10.1.0.1", "10.2.0.1"
SALT = bytes.fromhex("01020304")
IPV4_IN_IP, DUMMY, ICMP = 4, 59, 1
MARK = 0xFFFF

_spis = itertools.count(0x1000, 4)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(tmp_path_factory.mktemp("uml")) as found:
        found.ip(
            f"addr add {ITS_END}/24 dev vec0",
            f"addr add {ITS_INNER}/32 dev lo",
            f"neigh add {OUR_END} lladdr {found.wires[0].ours.hex(':')} dev vec0 nud permanent",
            f"route add 10.1.0.0/24 via {OUR_END} src {ITS_INNER}",
        )
        yield found


class Ends(NamedTuple):
    """A tunnel to the guest: SPIs of both directions, our two associations."""

    guest: Guest
    key: bytes
    to_it: int
    from_it: int
    sealing: Sa
    opening: Sa
    marking: Sa
    """A second association towards the guest, whose packets it always takes."""

    def send(self, sealed: bytes) -> None:
        self.guest.wires[0].send(ip(OUR_END, ITS_END, PROTOCOL, sealed))

    def sealed_at(self, sequence: int, inner: bytes, next_header: int = IPV4_IN_IP) -> bytes:
        with Sa(self.to_it, self.key, SALT, state=SaState(sequence, 0, 0)) as once:
            return once.seal(inner, next_header)

    def receive(self, timeout: float = 10.0) -> bytes | None:
        """The kernel's next ESP packet, its outer header checked and taken off."""
        while (packet := self.guest.wires[0].receive(timeout)) is not None:
            outside = IPV4_FRAME.parse(packet)
            if outside.protocol == PROTOCOL:
                assert (str(IPv4Address(outside.source)), str(IPv4Address(outside.destination))) == (ITS_END, OUR_END)
                return outside.payload
        return None

    def takes(self, sealed: bytes, number: int = 0) -> bool:
        """Whether the kernel answers the echo request in this packet: told by the answer to a later one, under another
        association, so that nobody has to wait for silence."""
        self.send(sealed)
        self.send(self.marking.seal(echo(MARK), IPV4_IN_IP))
        numbers = []
        while MARK not in numbers:
            answer = self.receive()
            assert answer is not None, f"the guest is silent: {self.refused()}"
            numbers.append(echo_number(self.opening.open(answer)[1]))
        assert numbers in ([MARK], [number, MARK])
        return number in numbers

    def refused(self) -> dict[str, int]:
        return {name: value for name, value in self.guest.counters().items() if value}


def tunnel(guest: Guest, key: bytes = bytes(range(16)), sequence: tuple[int, int] = (0, 0), window: int = 64) -> Ends:
    """Both SAs in the kernel and here; what stood before is gone. `sequence`: (last it sent, last it received)."""
    to_it = next(_spis)
    guest.ip("xfrm state flush", "xfrm policy flush")
    guest.add_sa(OUR_END, ITS_END, to_it, key + SALT, window=window, sequence=(0, sequence[1]))
    guest.add_sa(ITS_END, OUR_END, to_it + 1, key + SALT, sequence=(sequence[0], 0))
    guest.add_sa(OUR_END, ITS_END, to_it + 2, key + SALT)
    inner = f"{OUR_INNER}/32", f"{ITS_INNER}/32"
    guest.add_policy("in", inner, (OUR_END, ITS_END))
    guest.add_policy("out", inner[::-1], (ITS_END, OUR_END))
    ours = (Sa(spi, key, SALT) for spi in range(to_it, to_it + 3))
    return Ends(guest, key, to_it, to_it + 1, *ours)


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    return IPV4_FRAME.build(IPv4(int(IPv4Address(source)), int(IPv4Address(destination)), protocol, 7, 64, payload))


def echo(number: int, data: bytes = b"") -> bytes:
    """An echo request (RFC 792) inside the tunnel."""
    head = struct.pack(">BBHHH", 8, 0, 0, 0x5145, number & 0xFFFF)
    return ip(OUR_INNER, ITS_INNER, ICMP, head[:2] + struct.pack(">H", checksum(head + data)) + head[4:] + data)


def checksum(message: bytes) -> int:
    total = int.from_bytes(message + b"\0" * (len(message) % 2), "big") % 65_535
    return 65_535 - total


def echo_number(inner: bytes) -> int:
    answer = IPV4_FRAME.parse(inner).payload
    assert answer[:2] == b"\0\0", "not an echo answer"
    return int.from_bytes(answer[6:8], "big")


def echoes(ends: Ends, count: int, seed: int) -> None:
    """`count` random packets each way, all sizes that fit, none lost, each answer to the byte."""
    waiting: dict[int, bytes] = {}
    for number in range(count):
        data = draw_bytes(seed, number)
        ends.send(ends.sealing.seal(echo(number, data), IPV4_IN_IP))
        waiting[number] = data
        if len(waiting) == 16 or number == count - 1:
            while waiting:
                sealed = ends.receive()
                assert sealed is not None, f"{len(waiting)} packets unanswered: {ends.refused()}"
                next_header, inner = ends.opening.open(sealed)
                assert next_header == IPV4_IN_IP
                answer = IPV4_FRAME.parse(inner)
                assert answer.payload[8:] == waiting.pop(echo_number(inner))


def draw_bytes(seed: int, number: int) -> bytes:
    """0 to 1,418 bytes, so that the inner packet is 28 to 1,446: what fits an MTU of 1,500."""
    length = between(0, 1_418, seed, "length", number)
    return b"".join(bits(seed, "data", number, at).to_bytes(8, "big") for at in range(178))[:length]


KEYS = [bytes(range(16)), bytes(range(100, 132))]


@pytest.mark.parametrize("key", KEYS, ids=["aes-128", "aes-256"])
def test_packets_of_every_size_cross_both_ways(guest: Guest, key: bytes) -> None:
    """2,000: sealed here and opened there, sealed there and opened here, to the byte; the kernel refused nothing."""
    ends = tunnel(guest, key)
    before = ends.refused()
    echoes(ends, 2_000, seed=len(key))
    assert ends.refused() == before
    assert ends.opening.state() == SaState(1, 2_000, (1 << 64) - 1)


def test_the_kernel_writes_what_we_write(guest: Guest) -> None:
    """Sequence from 1, eight bytes of IV, padding 1, 2, 3, next header 4: and ours is the same but for the IV."""
    ends = tunnel(guest)
    for number in range(1, 9):
        inner = echo(number, bytes(number))
        sealed = ends.sealing.seal(inner, IPV4_IN_IP)
        ends.send(sealed)
        theirs = ends.receive()
        assert theirs is not None
        packets = [ESP_FRAME.parse(sealed), ESP_FRAME.parse(theirs)]
        assert [packet.spi for packet in packets] == [ends.to_it, ends.from_it]
        assert [packet.sequence for packet in packets] == [number, number]
        plain = [
            AESGCM(ends.key).decrypt(SALT + each.iv, each.text, struct.pack(">II", each.spi, each.sequence))
            for each in packets
        ]
        padding = -(len(inner) + 2) % 4
        trailer = bytes(range(1, padding + 1)) + bytes([padding, IPV4_IN_IP])
        assert [text[len(inner) :] for text in plain] == [trailer, trailer]


def test_a_repeated_packet_is_refused(guest: Guest) -> None:
    ends = tunnel(guest)
    sealed = ends.sealing.seal(echo(1), IPV4_IN_IP)
    before = guest.counters()["XfrmInStateSeqError"]
    assert ends.takes(sealed, 1)
    assert not ends.takes(sealed, 1)
    assert guest.counters()["XfrmInStateSeqError"] == before + 1


def test_the_window_is_64_wide(guest: Guest) -> None:
    """Top - 63 is taken, top - 64 is not: there and here."""
    ends = tunnel(guest)
    with Sa(ends.to_it, ends.key, SALT) as ours:
        for sequence, expected in ((1_000, True), (1_000 - 63, True), (1_000 - 64, False)):
            sealed = ends.sealed_at(sequence, echo(sequence))
            assert ends.takes(sealed, sequence) is expected
            assert opens(ours, sealed) is expected


def opens(association: Sa, sealed: bytes) -> bool:
    try:
        association.open(sealed)
    except (ReplayError, TagError):
        return False
    return True


def test_a_forged_packet_moves_no_window(guest: Guest) -> None:
    """A bent ICV far ahead, then the packet that it would have put out of the window."""
    ends = tunnel(guest)
    before = guest.counters()["XfrmInStateProtoError"]
    far = ends.sealed_at(5_000, echo(1))
    assert not ends.takes(far[:-1] + bytes([far[-1] ^ 1]), 1)
    assert guest.counters()["XfrmInStateProtoError"] == before + 1
    assert ends.takes(ends.sealed_at(1, echo(2)), 2)
    assert ends.takes(far, 1), "the forged one did not use its number up"


def test_an_unknown_spi_is_counted_and_dropped(guest: Guest) -> None:
    ends = tunnel(guest)
    before = guest.counters()["XfrmInNoStates"]
    sealed = ends.sealing.seal(echo(1), IPV4_IN_IP)
    assert not ends.takes(b"\0\0\x77\x77" + sealed[4:], 1)
    assert guest.counters()["XfrmInNoStates"] == before + 1


def test_a_dummy_packet_is_dropped(guest: Guest) -> None:
    """Next header 59 (RFC 4303 2.6) brings no answer. Here the kernel is not the model: it counts a protocol error and
    does not use the number up, so that its window moves on good packets of any other kind only."""
    ends = tunnel(guest)
    before = guest.counters()["XfrmInStateProtoError"]
    dummy = ends.sealed_at(7, bytes(40), DUMMY)
    assert not ends.takes(dummy)
    assert guest.counters()["XfrmInStateProtoError"] == before + 1
    assert ends.takes(ends.sealed_at(7, echo(1)), 1)
    with Sa(ends.to_it, ends.key, SALT) as ours:
        assert ours.open(dummy) == (DUMMY, bytes(40))
        assert not opens(ours, ends.sealed_at(7, echo(1)))


def test_both_stop_after_the_last_sequence_number(guest: Guest) -> None:
    """2^32 - 1 is used, then nothing more is sent (RFC 4303 3.3.3): there and here."""
    ends = tunnel(guest, sequence=(0xFFFFFFFD, 0))
    before = guest.counters()["XfrmOutStateSeqError"]
    for number in (1, 2, 3):
        ends.send(ends.sealing.seal(echo(number), IPV4_IN_IP))
    sequences = [ESP_FRAME.parse(ends.receive() or b"").sequence for _ in range(2)]
    assert sequences == [0xFFFFFFFE, 0xFFFFFFFF]
    assert ends.receive(0.3) is None
    assert guest.counters()["XfrmOutStateSeqError"] == before + 1
    with Sa(ends.to_it, ends.key, SALT, state=SaState(0xFFFFFFFF, 0, 0)) as last:
        last.seal(echo(4), IPV4_IN_IP)
        with pytest.raises(CounterExhaustedError):
            last.seal(echo(5), IPV4_IN_IP)


def test_kernel_and_emulator_agree_on_every_packet_of_a_bad_link(guest: Guest) -> None:
    """Duplicates, late ones, jumps ahead and bent bytes, 300 in a row: both take the same ones."""
    ends = tunnel(guest)
    verdicts = []
    with Sa(ends.to_it, ends.key, SALT) as ours:
        top = 1
        for number in range(300):
            kind = between(0, 9, 9, "kind", number)
            sequence = top + 1 if kind < 5 else max(1, top - between(0, 80, 9, "late", number))
            if kind == 9:
                sequence = top + between(1, 100, 9, "ahead", number)
            sealed = bytearray(ends.sealed_at(sequence, echo(number)))
            if between(0, 9, 9, "bent", number) == 0:
                sealed[between(8, len(sealed) - 1, 9, "where", number)] ^= 1 << between(0, 7, 9, "bit", number)
            here, there = opens(ours, bytes(sealed)), ends.takes(bytes(sealed), number)
            assert here is there, f"packet {number}, sequence {sequence}, top {top}"
            verdicts.append(here)
            top = max(top, ours.state().top)
    assert 100 < sum(verdicts) < 250, "the run had both in it"
