"""The key schedule (RFC 7296 2.14, 2.17, 2.18)."""

from dataclasses import dataclass, field

from emulator.crypto.ike_cipher import AeadCipher, CbcCipher, IkeCipher
from emulator.crypto.prf import prf, prf_plus
from emulator.link.ike.effects import Keys
from emulator.link.ike.suites import Algorithm, Suite


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The seven secrets of an IKE SA. Encryption keys carry their salt behind them; `ai` and `ar` are empty with an
    AEAD."""

    d: bytes = field(repr=False)
    ai: bytes = field(repr=False)
    ar: bytes = field(repr=False)
    ei: bytes = field(repr=False)
    er: bytes = field(repr=False)
    pi: bytes = field(repr=False)
    pr: bytes = field(repr=False)


def digest(suite: Suite) -> str:
    """The hash of a suite's PRF; an IKE suite always has one."""
    assert suite.prf is not None
    return suite.prf.digest


def skeyseed(hash_name: str, nonces: bytes, secret: bytes) -> bytes:
    """SKEYSEED = prf(Ni | Nr, g^ir)."""
    return prf(hash_name, nonces, secret)


def skeyseed_of_rekey(old: Suite, old_d: bytes, secret: bytes, nonces: bytes) -> bytes:
    """SKEYSEED = prf(SK_d (old), g^ir | Ni | Nr), with the PRF of the SA that is replaced."""
    return prf(digest(old), old_d, secret + nonces)


def ike_keys(suite: Suite, seed: bytes, nonces: bytes, spis: bytes) -> IkeKeys:
    """SK_d, ai, ar, ei, er, pi, pr out of prf+(SKEYSEED, Ni | Nr | SPIi | SPIr). `spis` is 16 bytes."""
    assert suite.prf is not None
    size = suite.prf.key
    lengths = (size, *[suite.integrity_bytes] * 2, *[suite.encryption_bytes] * 2, size, size)
    return IkeKeys(*cut(prf_plus(digest(suite), seed, nonces + spis, sum(lengths)), lengths))


def cut(material: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    """Key material cut into pieces of these lengths, in order."""
    found = []
    at = 0
    for length in lengths:
        found.append(material[at : at + length])
        at += length
    return found


def child_keys(ike: Suite, d: bytes, secret: bytes, nonces: bytes, suite: Suite) -> tuple[Keys, Keys]:
    """KEYMAT = prf+(SK_d, [g^ir] | Ni | Nr): the keys from initiator to responder, and from responder to initiator."""
    cipher = suite.encryption
    lengths = (cipher.key, cipher.salt, suite.integrity_bytes) * 2
    pieces = cut(prf_plus(digest(ike), d, secret + nonces, sum(lengths)), lengths)
    return Keys(*pieces[:3]), Keys(*pieces[3:])


def cipher(algorithm: Algorithm, key: bytes, integrity: bytes, integrity_digest: str) -> IkeCipher:
    """The cipher of one direction."""
    if algorithm.mode == "cbc":
        return CbcCipher(key, integrity, integrity_digest)
    return AeadCipher("chacha" if algorithm.mode == "chacha" else "gcm", key)


def ciphers(suite: Suite, keys: IkeKeys) -> tuple[IkeCipher, IkeCipher]:
    """(what the original initiator seals with, what the original responder seals with)."""
    name = suite.integrity.digest if suite.integrity else ""
    return cipher(suite.encryption, keys.ei, keys.ai, name), cipher(suite.encryption, keys.er, keys.ar, name)
