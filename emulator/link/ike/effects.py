"""What an IKE peer answers with: datagrams to send, and what has become of its security associations.

`Negotiated` holds everything an ESP security association is made from. Directions are named from the side of the peer
that says it: `inbound` opens what comes, `outbound` seals what goes.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from emulator.codecs.ike_payloads import Selector
from emulator.kernel.effects import Note
from emulator.link.ike.suites import Suite


class Address(NamedTuple):
    """An IPv4 address as an int, and a UDP port."""

    ip: int
    port: int

    def __str__(self) -> str:
        return f"{'.'.join(str(byte) for byte in self.ip.to_bytes(4, 'big'))}:{self.port}"


@dataclass(frozen=True, slots=True)
class Keys:
    """One direction of a child SA: `encryption` key, `salt` (4 bytes with an AEAD, else none), `integrity` key (none
    with an AEAD)."""

    encryption: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    integrity: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Negotiated:
    """A child SA as both ends agreed. `encap`: ESP travels in UDP between `local` and `remote` (RFC 3948); otherwise
    their ports mean nothing. `local_selectors` and `remote_selectors`: the traffic it serves. `initiator`: whether
    this end asked for it."""

    spi_in: int
    spi_out: int
    suite: Suite
    inbound: Keys
    outbound: Keys
    local_selectors: tuple[Selector, ...]
    remote_selectors: tuple[Selector, ...]
    encap: bool
    tunnel: bool
    local: Address
    remote: Address
    connection: str
    child: str
    initiator: bool

    @property
    def esn(self) -> bool:
        """Extended sequence numbers (RFC 4303 2.2.1)."""
        return self.suite.esn


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send one datagram. `payload` is what UDP carries, the non-ESP marker or a keepalive byte included."""

    payload: bytes
    source: Address
    destination: Address


@dataclass(frozen=True, slots=True)
class ChildUp:
    """Install an SA pair. `replaces`: the inbound SPI it was made to replace. `send`: seal with it from now on; when
    False (the peer asked for the replacement) the old one goes on sending until its `ChildDown`."""

    child: Negotiated
    replaces: int | None = None
    send: bool = True


@dataclass(frozen=True, slots=True)
class ChildDown:
    """Remove an SA pair."""

    spi_in: int
    spi_out: int
    reason: str


@dataclass(frozen=True, slots=True)
class IkeUp:
    """An IKE SA stands. `spi`: our own, by which the peer object's methods name it. `replaces`: after a rekey."""

    spi: int
    connection: str
    initiator: bool
    local: Address
    remote: Address
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class IkeDown:
    """An IKE SA is gone, or never came to be. Its children had their own `ChildDown` before."""

    spi: int
    connection: str
    reason: str


@dataclass(frozen=True, slots=True)
class PathChanged:
    """The outer addresses of these children are others now (NAT rebinding, RFC 7296 2.23; MOBIKE, RFC 4555)."""

    spis_in: tuple[int, ...]
    local: Address
    remote: Address
    encap: bool


Effect: TypeAlias = Transmit | ChildUp | ChildDown | IkeUp | IkeDown | PathChanged | Note
Effects: TypeAlias = list[Effect]
