"""Algorithms by name, offered and chosen (RFC 7296 3.3; numbers: IANA, IKEv2 transform types).

A proposal is written as strongSwan writes it, so that one text configures both ends: `aes256gcm16-prfsha384-x25519`,
`aes128-sha256-modp2048`, `aes128gcm16-esn-noesn`. Several of a kind in one text are alternatives, the preferred first.
An AEAD and a cipher that needs integrity beside it do not go into one text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from emulator.codecs.ike_payloads import SA, Proposal, Transform
from emulator.errors import InputError

ENCR: Final = 1
PRF: Final = 2
INTEG: Final = 3
GROUP: Final = 4
ESN: Final = 5
IKE: Final = 1
ESP: Final = 3
"""Protocol numbers."""

Mode: TypeAlias = Literal["gcm", "cbc", "chacha"]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One transform. `key`: bytes of key (ENCR, without salt; INTEG, PRF); `salt`, `icv`: bytes, of an AEAD; `digest`:
    the hash of a PRF or INTEG; `title`: its name in Wireshark's table, if it has one."""

    name: str
    kind: int
    number: int
    key: int = 0
    attribute: bool = False
    salt: int = 0
    icv: int = 0
    mode: Mode | None = None
    digest: str = ""
    title: str = ""

    @property
    def transform(self) -> Transform:
        attributes = (0x800E0000 | self.key * 8).to_bytes(4, "big") if self.attribute else b""
        return Transform(self.kind, self.number, attributes)


def _gcm(bits: int, icv: int, number: int) -> Algorithm:
    title = f"AES-GCM-{bits} with {icv} octet ICV [RFC5282]"
    return Algorithm(f"aes{bits}gcm{icv}", ENCR, number, bits // 8, True, 4, icv, "gcm", title=title)


ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        one.name: one
        for one in (
            _gcm(128, 16, 20),
            _gcm(256, 16, 20),
            _gcm(128, 8, 18),
            _gcm(256, 8, 18),
            Algorithm("aes128", ENCR, 12, 16, True, mode="cbc", title="AES-CBC-128 [RFC3602]"),
            Algorithm("aes256", ENCR, 12, 32, True, mode="cbc", title="AES-CBC-256 [RFC3602]"),
            Algorithm("chacha20poly1305", ENCR, 28, 32, False, 4, 16, "chacha"),
            Algorithm("prfsha256", PRF, 5, 32, digest="sha256"),
            Algorithm("prfsha384", PRF, 6, 48, digest="sha384"),
            Algorithm("prfsha512", PRF, 7, 64, digest="sha512"),
            Algorithm("sha256", INTEG, 12, 32, icv=16, digest="sha256", title="HMAC_SHA2_256_128 [RFC4868]"),
            Algorithm("sha384", INTEG, 13, 48, icv=24, digest="sha384", title="HMAC_SHA2_384_192 [RFC4868]"),
            Algorithm("sha512", INTEG, 14, 64, icv=32, digest="sha512", title="HMAC_SHA2_512_256 [RFC4868]"),
            Algorithm("x25519", GROUP, 31),
            Algorithm("ecp256", GROUP, 19),
            Algorithm("modp2048", GROUP, 14),
            Algorithm("noesn", ESN, 0),
            Algorithm("esn", ESN, 1),
        )
    }
)
_KINDS: Final = {IKE: (ENCR, PRF, INTEG, GROUP), ESP: (ENCR, INTEG, GROUP, ESN)}

DEFAULT_IKE: Final = (
    "aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-modp2048",
    "aes128-aes256-sha256-prfsha256-prfsha384-prfsha512-x25519-ecp256-modp2048",
)
DEFAULT_ESP: Final = ("aes128gcm16-aes256gcm16-chacha20poly1305-noesn-esn", "aes128-aes256-sha256-noesn-esn")
"""ASSUMED: what the real gateways agreed on is not published; AES-GCM with a 128-bit key comes first."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What was agreed on: one algorithm of a kind, or none where the kind is not needed."""

    encryption: Algorithm
    prf: Algorithm | None = None
    integrity: Algorithm | None = None
    group: Algorithm | None = None
    sequence: Algorithm | None = None

    @property
    def esn(self) -> bool:
        """Extended sequence numbers."""
        return self.sequence is not None and self.sequence.number == 1

    @property
    def name(self) -> str:
        """As a proposal is written, the group left out: it belongs to an exchange and not to the SA."""
        return "-".join(one.name for one in (self.encryption, self.integrity, self.prf, self.sequence) if one)

    @property
    def encryption_bytes(self) -> int:
        return self.encryption.key + self.encryption.salt

    @property
    def integrity_bytes(self) -> int:
        return self.integrity.key if self.integrity else 0


class Offer:
    """One proposal text, understood: per kind the alternatives, the preferred first."""

    __slots__ = ("kinds", "protocol", "text")

    def __init__(self, text: str, protocol: int) -> None:
        self.text = text
        self.protocol = protocol
        self.kinds: dict[int, tuple[Algorithm, ...]] = {}
        for word in text.split("-"):
            algorithm = ALGORITHMS.get(word)
            if algorithm is None:
                raise InputError(f"no algorithm {word!r} in proposal {text!r}; choose from {', '.join(ALGORITHMS)}")
            if algorithm.kind not in _KINDS[protocol]:
                raise InputError(f"{word!r} has no place in proposal {text!r}, which is for {_name(protocol)}")
            self.kinds[algorithm.kind] = (*self.kinds.get(algorithm.kind, ()), algorithm)
        if protocol == IKE and PRF not in self.kinds and INTEG in self.kinds:
            same = [ALGORITHMS[f"prf{one.name}"] for one in self.kinds[INTEG]]  # as strongSwan reads it
            self.kinds[PRF] = tuple(same)
        if protocol == ESP:
            self.kinds.setdefault(ESN, (ALGORITHMS["noesn"],))
        self._check()

    def _check(self) -> None:
        ciphers = self.kinds.get(ENCR, ())
        if not ciphers:
            raise InputError(f"proposal {self.text!r} names no cipher")
        modes = {one.mode == "cbc" for one in ciphers}
        if len(modes) > 1:
            raise InputError(f"proposal {self.text!r} mixes an AEAD with AES-CBC; make two of it")
        if (INTEG in self.kinds) is not modes.pop():
            raise InputError(f"in proposal {self.text!r} integrity stands beside AES-CBC and beside nothing else")
        if self.protocol == IKE and not (self.kinds.get(PRF) and self.kinds.get(GROUP)):
            raise InputError(f"proposal {self.text!r} needs a PRF and a group, as in aes128gcm16-prfsha256-x25519")
        if self.protocol == IKE and any(one.mode == "gcm" and one.icv != 16 for one in ciphers):
            raise InputError(f"proposal {self.text!r}: IKE itself is sealed with a check value of 16 bytes")

    def proposal(self, number: int, spi: bytes, *, group: bool = True) -> Proposal:
        """As offered on the wire; `group` False leaves out the key exchange (the child that IKE_AUTH makes)."""
        transforms = [
            one.transform for kind in sorted(self.kinds) if group or kind != GROUP for one in self.kinds[kind]
        ]
        return Proposal(number, self.protocol, spi, tuple(transforms))

    @property
    def groups(self) -> tuple[int, ...]:
        return tuple(one.number for one in self.kinds.get(GROUP, ()))


def _name(protocol: int) -> str:
    return "IKE" if protocol == IKE else "ESP"


@lru_cache(maxsize=256)
def offers(texts: tuple[str, ...], protocol: int) -> tuple[Offer, ...]:
    """Proposal texts understood. InputError: an unknown word, or a combination that makes no suite."""
    if not texts:
        raise InputError(f"at least one {_name(protocol)} proposal must stand, for example {DEFAULT_ESP[0]!r}")
    return tuple(Offer(text, protocol) for text in texts)


def offered(ours: Iterable[Offer], spi: bytes, *, group: bool = True) -> SA:
    """The SA payload of an initiator. With `group` False, offers that differ only there come once."""
    made: list[Proposal] = []
    for one in ours:
        proposal = one.proposal(len(made) + 1, spi, group=group)
        if all(proposal.transforms != known.transforms for known in made):
            made.append(proposal)
    return SA(tuple(made))


def choose(
    ours: Iterable[Offer], theirs: SA, *, group: bool = True, only: int | None = None
) -> tuple[Suite, Proposal] | None:
    """The first of their proposals that one of ours has in full, with the alternatives in our order; None: none.

    `only`: if that group can be had, it is taken before ones we prefer, which spares a round trip. `group` False: key
    exchange is not spoken of.
    """
    mine = tuple(ours)
    for proposal in theirs.proposals:
        for offer in mine:
            suite = _match(offer, proposal, group, only) if proposal.protocol == offer.protocol else None
            if suite is not None:
                return suite, _answer(suite, proposal)
    return None


def _match(offer: Offer, proposal: Proposal, group: bool, only: int | None) -> Suite | None:
    found: dict[int, Algorithm | None] = {}
    kinds = {one.kind for one in proposal.transforms}
    if kinds - {ENCR, PRF, INTEG, GROUP, ESN}:
        return None  # a kind that is not known cannot be chosen from (RFC 7296 3.3.6)
    for kind in (ENCR, PRF, INTEG, GROUP, ESN):
        given = [(one.number, one.attributes) for one in proposal.transforms if one.kind == kind]
        mine = offer.kinds.get(kind, ()) if group or kind != GROUP else ()
        if kind == GROUP and only is not None:
            mine = tuple(sorted(mine, key=lambda one: one.number != only))
        if not mine:
            # NONE may be offered where we want nothing: integrity beside an AEAD, no new key exchange.
            if given and not any(number == 0 for number, _ in given) and not (kind == GROUP and not group):
                return None
            continue
        if not given and kind == ESN:
            given = [(0, b"")]
        chosen = next((one for one in mine if (one.number, one.transform.attributes) in given), None)
        if chosen is None:
            return None
        found[kind] = chosen
    cipher = found.get(ENCR)
    if cipher is None:
        return None
    return Suite(cipher, found.get(PRF), found.get(INTEG), found.get(GROUP), found.get(ESN))


def _answer(suite: Suite, proposal: Proposal) -> Proposal:
    """The chosen proposal, under its number, with exactly one transform of a kind."""
    chosen = [suite.encryption, suite.prf, suite.integrity, suite.group, suite.sequence]
    transforms = tuple(one.transform for one in chosen if one is not None)
    return Proposal(proposal.number, proposal.protocol, b"", transforms)


def accepted(ours: Iterable[Offer], answer: SA, *, group: bool = True) -> tuple[Suite, Proposal] | None:
    """What a responder chose, if it is one proposal with one transform of a kind and one that we offered."""
    if len(answer.proposals) != 1:
        return None
    proposal = answer.proposals[0]
    kinds = [one.kind for one in proposal.transforms]
    if len(kinds) != len(set(kinds)):
        return None
    found = choose(ours, answer, group=group)
    return (found[0], proposal) if found else None
