"""A tunnel between a test and a kernel's ESP: packets that come back only if both ends took them.

    guest = EspGuest(folder)
    tunnel = Tunnel(guest, "aes256gcm16", esn=True)
    tunnel.takes(tunnel.sealed_at(7, tunnel.echo(1)), 1)      # what the kernel says
    echoes(tunnel, 2_000, seed=1)                             # both ways, to the byte

The guest answers ICMP echo requests inside the tunnel, so each packet shows both directions: the kernel opens ours, and
our association opens the kernel's own.
"""

import itertools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from uml_kit import Guest, policy, sa

from emulator.codecs import udp
from emulator.codecs.esp import PROTOCOL
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.crypto.esp_general import GeneralSa
from emulator.crypto.esp_sa import Sa, SaBase, SaState
from emulator.crypto.esp_suites import SUITES, EspSuite
from emulator.errors import ReplayError, TagError
from emulator.kernel.chance import between, bits

OUR_END, ITS_END = "192.0.2.1", "192.0.2.2"
OUR_INNER, ITS_INNER = "10.1.0.1", "10.2.0.1"
IPV4_IN_IP, DUMMY, ICMP = 4, 59, 1
NAT_T = 4_500
_MARK = 0xFFFF
_ENCAP = """
import socket, time
taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taken.bind(("0.0.0.0", 4500))
taken.setsockopt(socket.IPPROTO_UDP, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP: the kernel takes what is ESP out of it
print("listening", flush=True)
time.sleep(100_000)
"""

_spis = itertools.count(0x1000, 4)


@contextmanager
def esp_guest(folder: Path) -> Iterator[Guest]:
    """A guest that stands at the other end of the tunnels below."""
    with Guest(folder) as found:
        found.ip(
            f"addr add {ITS_END}/24 dev vec0",
            f"addr add {ITS_INNER}/32 dev lo",
            f"neigh add {OUR_END} lladdr {found.wires[0].ours.hex(':')} dev vec0 nud permanent",
            f"route add 10.1.0.0/24 via {OUR_END} src {ITS_INNER}",
        )
        yield found


def listen_for_udp(guest: Guest) -> None:
    """Let the guest's kernel take ESP out of UDP 4500 (RFC 3948), as an IKE daemon does."""
    guest.start(["python3", "-ISc", _ENCAP], "encap.log")
    while "listening" not in guest.read("encap.log"):
        pass


class Tunnel:
    """Both SAs in the kernel and here; what stood in the kernel before is gone.

    `sealing` and `opening` are ours: the compiled core's where `core`, which has one suite, else those of every suite.
    `its` is the kernel's (last sent, last received); `window` is the kernel's and ours. `mode` is tunnel or
    transport; with `in_udp` the packets travel in UDP 4500.
    """

    def __init__(
        self,
        guest: Guest,
        suite: str = "aes128gcm16",
        *,
        core: bool = False,
        esn: bool = False,
        window: int = 64,
        its: tuple[int, int] = (0, 0),
        mode: str = "tunnel",
        in_udp: bool = False,
    ) -> None:
        self.guest, self.suite = guest, SUITES[suite]
        self._core, self._esn, self._window, self._mode, self._in_udp = core, esn, window, mode, in_udp
        self.key = bytes(range(self.suite.key))
        self.salt = bytes(range(1, 1 + self.suite.salt))
        self.integrity = bytes(range(100, 100 + self.suite.integrity))
        self.to_it = next(_spis)
        self.from_it, marking = self.to_it + 1, self.to_it + 2
        self._install(marking, its)
        self.sealing, self.opening = self.association(self.to_it), self.association(self.from_it)
        self._marking = self.association(marking)

    def _install(self, marking: int, its: tuple[int, int]) -> None:
        algorithm, key, auth_key, icv_bits = in_kernel(self.suite, self.key + self.salt, self.integrity)
        lines = ["xfrm state flush", "xfrm policy flush"]
        for source, destination, spi, window, sequence in (
            (OUR_END, ITS_END, self.to_it, self._window, (0, its[1])),
            (ITS_END, OUR_END, self.from_it, self._window, (its[0], 0)),
            (OUR_END, ITS_END, marking, 64, (0, 0)),
        ):
            line = sa(
                source, destination, spi, key, auth_key=auth_key, algorithm=algorithm, icv_bits=icv_bits,
                mode=self._mode, window=window, esn=self._esn, sequence=sequence,
                encap=(NAT_T, NAT_T) if self._in_udp else None,
            )  # fmt: skip
            lines.append(line)
        # Between the ends themselves only the echoes are IPsec's affair: UDP that carries ESP must not want ESP again.
        users, words = ((OUR_INNER, ITS_INNER), "") if self._mode == "tunnel" else ((OUR_END, ITS_END), " proto icmp")
        lines.append(policy("in", (users[0], users[1] + words), (OUR_END, ITS_END), mode=self._mode))
        lines.append(policy("out", (users[1], users[0] + words), (ITS_END, OUR_END), mode=self._mode))
        self.guest.ip(*lines)

    def association(self, spi: int, state: SaState | None = None) -> SaBase:
        """One of ours with this tunnel's keys."""
        if self._core:
            return Sa(spi, self.key, self.salt, state=state)
        return GeneralSa(
            self.suite, spi, self.key, self.salt, self.integrity, esn=self._esn, window=self._window, state=state
        )

    # Packets

    def echo(self, number: int, data: bytes = b"") -> bytes:
        """An echo request (RFC 792), as it stands inside ESP."""
        head = struct.pack(">BBHHH", 8, 0, 0, 0x5145, number & 0xFFFF)
        message = head[:2] + struct.pack(">H", _checksum(head + data)) + head[4:] + data
        return message if self._mode == "transport" else ip(OUR_INNER, ITS_INNER, ICMP, message)

    def sealed(self, inner: bytes) -> bytes:
        """The next packet of our sending association."""
        return self.sealing.seal(inner, self._next_header)

    def sealed_at(self, sequence: int, inner: bytes, next_header: int | None = None) -> bytes:
        """A packet with a sequence number of choice."""
        with self.association(self.to_it, SaState(sequence, 0, 0)) as once:
            return once.seal(inner, self._next_header if next_header is None else next_header)

    def opened(self, sealed: bytes) -> tuple[int, bytes]:
        """(number, data) of an echo answer that the kernel sealed."""
        next_header, inner = self.opening.open(sealed)
        assert next_header == self._next_header
        message = inner if self._mode == "transport" else IPV4_FRAME.parse(inner).payload
        assert message[:2] == b"\0\0", "not an echo answer"
        return int.from_bytes(message[6:8], "big"), message[8:]

    def send(self, sealed: bytes) -> None:
        if self._in_udp:
            datagram = UDP_FRAME.build(UDP(NAT_T, NAT_T, 0, sealed))
            self.guest.wires[0].send(ip(OUR_END, ITS_END, udp.PROTOCOL, datagram))
        else:
            self.guest.wires[0].send(ip(OUR_END, ITS_END, PROTOCOL, sealed))

    def receive(self, timeout: float = 10.0) -> bytes | None:
        """The kernel's next ESP packet, what is around it checked and taken off."""
        while (packet := self.guest.wires[0].receive(timeout)) is not None:
            outside = IPV4_FRAME.parse(packet)
            if outside.protocol not in (PROTOCOL, udp.PROTOCOL):
                continue
            assert (str(IPv4Address(outside.source)), str(IPv4Address(outside.destination))) == (ITS_END, OUR_END)
            assert (outside.protocol == udp.PROTOCOL) is self._in_udp
            if not self._in_udp:
                return outside.payload
            datagram = UDP_FRAME.parse(outside.payload)
            assert (datagram.source_port, datagram.destination_port, datagram.checksum) == (NAT_T, NAT_T, 0)
            return datagram.payload
        return None

    def takes(self, sealed: bytes, number: int = 0) -> bool:
        """Whether the kernel answers the echo request in this packet: told by the answer to a later one, under another
        association, so that nobody has to wait for silence."""
        self.send(sealed)
        self.send(self._marking.seal(self.echo(_MARK), self._next_header))
        numbers: list[int] = []
        while _MARK not in numbers:
            answer = self.receive()
            assert answer is not None, f"the guest is silent: {self.refused()}"
            numbers.append(self.opened(answer)[0])
        assert numbers in ([_MARK], [number, _MARK])
        return number in numbers

    def refused(self) -> dict[str, int]:
        """The kernel's counters of what IPsec refused, those that are not 0."""
        return {name: value for name, value in self.guest.counters().items() if value}

    @property
    def _next_header(self) -> int:
        return ICMP if self._mode == "transport" else IPV4_IN_IP


def in_kernel(suite: EspSuite, key: bytes, integrity: bytes) -> tuple[str, bytes, bytes, int]:
    """(algorithm, key, authentication key, ICV bits) in the kernel's words, for `uml_kit.sa`. `key` has its salt."""
    names = {"gcm": "aead rfc4106(gcm(aes))", "chacha": "aead rfc7539esp(chacha20,poly1305)"}
    name = names.get(suite.mode, f"enc cbc(aes) auth-trunc hmac({suite.digest})")
    return name, key, integrity, 8 * suite.icv


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    return IPV4_FRAME.build(IPv4(int(IPv4Address(source)), int(IPv4Address(destination)), protocol, 7, 64, payload))


def echoes(tunnel: Tunnel, count: int, seed: int, longest: int = 1_418) -> None:
    """`count` random packets each way with 0 to `longest` bytes of data, none lost, each answer to the byte."""
    waiting: dict[int, bytes] = {}
    for number in range(count):
        length = between(0, longest, seed, "length", number)
        data = b"".join(bits(seed, "data", number, at).to_bytes(8, "big") for at in range(-(-length // 8)))[:length]
        tunnel.send(tunnel.sealed(tunnel.echo(number, data)))
        waiting[number] = data
        if len(waiting) == 16 or number == count - 1:
            while waiting:
                sealed = tunnel.receive()
                assert sealed is not None, f"{len(waiting)} packets unanswered: {tunnel.refused()}"
                answer, returned = tunnel.opened(sealed)
                assert returned == waiting.pop(answer)


def opens(association: SaBase, sealed: bytes) -> bool:
    """Whether an association of ours takes a packet; what it refuses it refuses as a replay or a forgery."""
    try:
        association.open(sealed)
    except (ReplayError, TagError):
        return False
    return True


def _checksum(message: bytes) -> int:
    return 65_535 - int.from_bytes(message + b"\0" * (len(message) % 2), "big") % 65_535
