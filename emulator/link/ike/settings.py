"""A gateway's settings: connections, children, who is who, and the timers.

Everything is data and frozen. Times are microseconds. What is ASSUMED has no published value and is for the user to
set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography import x509

from emulator.codecs.ike_payloads import Selector
from emulator.crypto.certificates import Credentials, authority_hash, names
from emulator.errors import InputError
from emulator.kernel.time import HOUR, SECOND
from emulator.link.ike.effects import Address
from emulator.link.ike.suites import DEFAULT_ESP, DEFAULT_IKE, ESP, IKE, Offer, offers

_LONGEST_NAME: Final = 255


class Identity(NamedTuple):
    """Who an end is: `kind` as in an ID payload (1 IPv4, 2 FQDN, 3 mail address, 9 distinguished name in DER)."""

    kind: int
    name: bytes

    @classmethod
    def of(cls, text: str) -> "Identity":
        """From text: an IPv4 address, `user@name`, or a name. InputError: empty or longer than 255 bytes."""
        name = text.encode()
        if not 0 < len(name) <= _LONGEST_NAME:
            raise InputError(f"{text!r} is no identity; give an IPv4 address or a name such as dc.example")
        parts = text.split(".")
        if len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
            return cls(1, bytes(int(part) for part in parts))
        return cls(3 if "@" in text else 2, name)

    def __str__(self) -> str:
        if self.kind == 1:
            return ".".join(str(byte) for byte in self.name)
        return self.name.decode("utf-8", "replace") if self.kind in (2, 3) else self.name.hex()


def network(text: str, protocol: int = 0, port: int | None = None) -> Selector:
    """A selector for an IPv4 network: `10.128.0.0/9`, or one address. `protocol` 0 and `port` None mean any.

    Raises InputError.
    """
    address, _, length = text.partition("/")
    parts = address.split(".")
    if (
        len(parts) != 4
        or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)
        or not (length == "" or (length.isascii() and length.isdigit() and int(length) <= 32))
    ):
        raise InputError(f"{text!r} is no IPv4 network; write it as 10.128.0.0/9")
    number = int.from_bytes(bytes(int(part) for part in parts), "big")
    free = (1 << 32 - int(length or 32)) - 1
    first, last = number & ~free, number | free
    ports = (0, 65_535) if port is None else (port, port)
    return Selector(7, protocol, *ports, first.to_bytes(4, "big"), last.to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Timers:
    """When things happen; microseconds.

    `dpd_delay`: with nothing heard for so long, ask whether the peer lives; 0: never. `retransmit`, `base`, `tries`:
    a request is sent again after `retransmit` times `base`^n, `tries` times, and the peer is dead after one wait more.
    The shipped figures make the published six seconds: 1 s of silence at most, then 5 x 1 s (FACT: an outage lasts six
    seconds. INFERENCE: from a profile like this one; strongSwan's own defaults come to 165 s).
    `rekey_child`, `rekey_ike`: age at which to replace, less a keyed part of `rekey_spread` (a share of it); 0: never.
    `life_margin`: share of the age by which an SA outlives its time of rekeying before it is closed. ASSUMED, all.
    `half_open`: how long a responder waits for IKE_AUTH. `retry`: after a refusal (RFC 7296 2.25) or a refused set-up,
    drawn from half of it to one and a half. `keepalive`: behind a NAT, RFC 3948 section 4; 0: never.
    """

    dpd_delay: int = SECOND
    retransmit: int = SECOND
    base: float = 1.0
    tries: int = 4
    rekey_child: int = HOUR
    rekey_ike: int = 4 * HOUR
    rekey_spread: float = 0.1
    life_margin: float = 0.1
    half_open: int = 30 * SECOND
    retry: int = 10 * SECOND
    keepalive: int = 20 * SECOND

    def __post_init__(self) -> None:
        times = (self.dpd_delay, self.rekey_child, self.rekey_ike, self.keepalive, self.life_margin)
        if min(times) < 0 or min(self.retransmit, self.half_open, self.retry) <= 0:
            raise InputError("a timer is negative, or one that cannot be 0 is 0 (retransmit, half_open, retry)")
        if self.base < 1 or not 0 <= self.tries <= 20 or not 0 <= self.rekey_spread < 1:
            raise InputError("retransmission wants a base of at least 1, 0 to 20 tries, and a spread from 0 to below 1")

    def wait(self, sent: int) -> int:
        """How long to wait after a request has been sent `sent` times (from 1)."""
        return int(self.retransmit * self.base ** (sent - 1))

    @property
    def patience(self) -> int:
        """From the first sending of a request to giving the peer up."""
        return sum(self.wait(sent) for sent in range(1, self.tries + 2))


@dataclass(frozen=True, slots=True)
class Secret:
    """A pre-shared key. `key` is any bytes and never shown."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key:
            raise InputError("a pre-shared key has at least one byte")


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates: our own credentials (None: this end proves itself otherwise) and whom we trust."""

    own: Credentials | None = None
    authorities: tuple[x509.Certificate, ...] = ()

    @property
    def hashes(self) -> bytes:
        """The authorities as a certificate request names them."""
        return b"".join(authority_hash(one) for one in self.authorities)


@dataclass(frozen=True, slots=True)
class Child:
    """Traffic to carry. `proposals` as in `suites`; a group in them asks for a new key exchange at each rekey (PFS)."""

    name: str
    local: tuple[Selector, ...]
    remote: tuple[Selector, ...]
    proposals: tuple[str, ...] = DEFAULT_ESP
    tunnel: bool = True

    @property
    def offers(self) -> tuple[Offer, ...]:
        return offers(self.proposals, ESP)


@dataclass(frozen=True, slots=True)
class Connection:
    """One peer we would talk to. `remote_id` None: whoever proves an identity. `remote`: where it is; None: it comes to
    us from anywhere. `secret` and `trust`: how ends prove themselves; an end with credentials signs, one without uses
    the secret, and the peer may do either that is set. `keep`: bring it up again whenever it is gone. `force_encap`:
    ESP in UDP even without a NAT, for peers that have no raw ESP."""

    name: str
    local_id: Identity
    children: tuple[Child, ...]
    remote_id: Identity | None = None
    remote: Address | None = None
    secret: Secret | None = None
    trust: Trust | None = None
    proposals: tuple[str, ...] = DEFAULT_IKE
    timers: Timers = Timers()
    keep: bool = False
    force_encap: bool = False
    mobike: bool = True
    remote_natt_port: int = 4500
    """Where the peer takes IKE and ESP in UDP; with a `remote` port equal to it, all goes there from the start."""
    fragment: int = 1280
    """Largest IP packet an IKE message makes before it is fragmented (RFC 7383); 0: never. ASSUMED: IPv6's least."""

    def __post_init__(self) -> None:
        if self.secret is None and self.trust is None:
            raise InputError(f"connection {self.name!r} has neither a pre-shared key nor certificates")
        if len({child.name for child in self.children}) != len(self.children):
            raise InputError(f"connection {self.name!r} names two children alike")
        if self.fragment and not 576 <= self.fragment <= 65_535:
            raise InputError(
                f"connection {self.name!r} fragments to {self.fragment} bytes; 576 to 65,535, or 0 for never"
            )
        own = self.trust.own if self.trust else None
        if own is not None and self.local_id not in names(own.chain[0]):
            raise InputError(f"the certificate of connection {self.name!r} does not speak for {self.local_id}")
        offers(self.proposals, IKE)
        for child in self.children:
            offers(child.proposals, ESP)

    @property
    def offers(self) -> tuple[Offer, ...]:
        return offers(self.proposals, IKE)

    def child(self, name: str) -> Child:
        """InputError: there is none of that name."""
        for one in self.children:
            if one.name == name:
                return one
        raise InputError(f"connection {self.name!r} has no child {name!r}; it has {_listed(self.children)}")


def _listed(children: Sequence[Child]) -> str:
    return ", ".join(repr(one.name) for one in children) or "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """How a responder holds out under load. `cookies_from`: half-open SAs from which on a cookie is asked for;
    `half_open`: how many there can be at all; `per_address`: of one source address. ASSUMED (the first as strongSwan).
    `fragments`: how many pieces of one message are taken. `tasks`: how many requests may wait for the window."""

    cookies_from: int = 10
    half_open: int = 1000
    per_address: int = 1000
    fragments: int = 64
    tasks: int = 64
