"""X.509 certificates and signatures, as IKEv2 uses them to say who is there (RFC 7296 3.8, RFC 4754, RFC 7427).

Trust is plain: a chain from the leaf to one of the given authorities, each link signed by the next, each valid at the
instant asked about (virtual time, so a run of 2020 wants certificates of 2020), each authority allowed to sign.
Neither revocation nor name constraints are looked at. RSA and ECDSA on P-256 and P-384.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from emulator.errors import CryptoError, InputError
from emulator.kernel.effects import Instant
from emulator.kernel.time import utc

RSA: Final = 1
ECDSA_256: Final = 9
DIGITAL_SIGNATURE: Final = 14
"""Authentication methods (RFC 7296 3.8, RFC 7427)."""

SHA2_256: Final = 2
HASHES: Final = {2: hashes.SHA256(), 3: hashes.SHA384(), 4: hashes.SHA512()}
"""Hash algorithm numbers of RFC 7427 section 7."""

_RSA: Final = {n: bytes.fromhex(f"300D06092A864886F70D0101{last}0500") for n, last in ((2, "0B"), (3, "0C"), (4, "0D"))}
_ECDSA: Final = {n: bytes.fromhex(f"300A06082A8648CE3D0403{last}") for n, last in ((2, "02"), (3, "03"), (4, "04"))}
"""AlgorithmIdentifiers, DER (RFC 7427 appendix A)."""
_PSS: Final = bytes.fromhex("06092A864886F70D01010A")
_SHA2: Final = {n: bytes.fromhex(f"06096086480165030402{last}") for n, last in ((2, "01"), (3, "02"), (4, "03"))}
_CHAIN_MOST: Final = 5

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are: a chain of certificates, leaf first, and the leaf's private key."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)

    @property
    def encoded(self) -> tuple[bytes, ...]:
        """The chain as DER, leaf first."""
        return tuple(one.public_bytes(serialization.Encoding.DER) for one in self.chain)


def credentials(chain_pem: bytes, key_pem: bytes, *, where: str = "the certificate") -> Credentials:
    """From PEM texts. InputError: not certificates, no usable private key, or one that is not the leaf's."""
    try:
        chain = tuple(x509.load_pem_x509_certificates(chain_pem))
    except ValueError as error:
        raise InputError(f"{where} is not PEM; give certificates, the gateway's own first") from error
    try:
        key = serialization.load_pem_private_key(key_pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"the private key of {where} is not an unencrypted PEM key") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InputError(f"the private key of {where} is neither RSA nor ECDSA")
    if key.public_key() != chain[0].public_key():
        raise InputError(f"the private key does not belong to the first certificate of {where}")
    return Credentials(chain, key)


def authorities(pem: bytes, *, where: str = "the authorities") -> tuple[x509.Certificate, ...]:
    """Trusted certificates from PEM text. InputError when there are none."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise InputError(f"{where} are not PEM certificates") from error


def authority_hash(certificate: x509.Certificate) -> bytes:
    """SHA-1 of the public key, by which a certificate request names an authority (RFC 7296 3.7)."""
    info = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha1(info, usedforsecurity=False).digest()


def sign(key: PrivateKey, octets: bytes, peer_hashes: Iterable[int]) -> tuple[int, bytes]:
    """(authentication method, proof) over `octets`; method 14 when the peer named a hash it knows, else 1 or 9.

    Deterministic: PKCS #1 v1.5, and ECDSA by RFC 6979. CryptoError: an elliptic curve the older methods do not have.
    """
    known = sorted(HASHES.keys() & set(peer_hashes))
    digest = HASHES[known[0]] if known else hashes.SHA256()
    if isinstance(key, rsa.RSAPrivateKey):
        if not known:
            return RSA, key.sign(octets, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - RFC 7296 3.8, method 1
        made = key.sign(octets, padding.PKCS1v15(), digest)
        return DIGITAL_SIGNATURE, bytes((len(_RSA[known[0]]),)) + _RSA[known[0]] + made
    made = key.sign(octets, ec.ECDSA(digest, deterministic_signing=True))
    if known:
        return DIGITAL_SIGNATURE, bytes((len(_ECDSA[known[0]]),)) + _ECDSA[known[0]] + made
    if key.key_size != 256:
        raise CryptoError("a peer without RFC 7427 takes ECDSA on P-256 alone")
    r, s = decode_dss_signature(made)
    return ECDSA_256, r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(key: PublicKey, method: int, octets: bytes, proof: bytes) -> None:
    """CryptoError unless `proof` is this key's signature over `octets` by `method` (1, 9 or 14)."""
    try:
        _verify(key, method, octets, proof)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
        raise CryptoError("the signature does not hold") from error


def _verify(key: PublicKey, method: int, octets: bytes, proof: bytes) -> None:
    if method == RSA and isinstance(key, rsa.RSAPublicKey):
        key.verify(proof, octets, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    elif method == ECDSA_256 and isinstance(key, ec.EllipticCurvePublicKey) and len(proof) == 64:
        r, s = int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big")
        key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(hashes.SHA256()))
    elif method == DIGITAL_SIGNATURE and proof and len(proof) > 1 + proof[0]:
        algorithm, signature = proof[1 : 1 + proof[0]], proof[1 + proof[0] :]
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, octets, ec.ECDSA(_hash(_ECDSA, algorithm)))
        elif _PSS in algorithm[:16]:
            digest = next((HASHES[n] for n, name in _SHA2.items() if name in algorithm), None)
            if digest is None:
                raise InvalidSignature
            key.verify(signature, octets, padding.PSS(padding.MGF1(digest), padding.PSS.AUTO), digest)
        else:
            key.verify(signature, octets, padding.PKCS1v15(), _hash(_RSA, algorithm))
    else:
        raise CryptoError(f"authentication method {method} does not fit the certificate")


def _hash(table: dict[int, bytes], algorithm: bytes) -> hashes.HashAlgorithm:
    for number, known in table.items():
        if algorithm == known:
            return HASHES[number]
    raise InvalidSignature


def trusted(chain: Sequence[bytes], anchors: Sequence[x509.Certificate], now: Instant) -> x509.Certificate:
    """The leaf of a chain of DER certificates, leaf first, that leads to one of `anchors` at `now`. CryptoError."""
    if not chain:
        raise CryptoError("no certificate came")
    try:
        given = [x509.load_der_x509_certificate(one) for one in chain[:_CHAIN_MOST]]
        leaf = given[0]
        held = leaf
        for _ in range(_CHAIN_MOST):
            _valid(held, now)
            anchor = next((one for one in anchors if one.subject == held.issuer), None)
            if held in anchors:
                return leaf
            if anchor is not None:
                _issued(held, anchor)
                _valid(anchor, now)
                return leaf
            above = next((one for one in given[1:] if one.subject == held.issuer and one != held), None)
            if above is None:
                break
            _issued(held, above)
            held = above
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CryptoError("a certificate does not hold") from error
    raise CryptoError("no trusted authority stands above the certificate")


def _valid(certificate: x509.Certificate, now: Instant) -> None:
    if not certificate.not_valid_before_utc <= utc(now) <= certificate.not_valid_after_utc:
        raise CryptoError("a certificate is not valid at this moment")


def _issued(below: x509.Certificate, above: x509.Certificate) -> None:
    try:
        constraints = above.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound as error:
        raise CryptoError("a certificate above is no authority") from error
    if not constraints.ca:
        raise CryptoError("a certificate above is no authority")
    below.verify_directly_issued_by(above)


def public_key(certificate: x509.Certificate) -> PublicKey:
    """CryptoError for a key that is neither RSA nor on an elliptic curve."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CryptoError("the certificate's key cannot be read") from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise CryptoError("the certificate's key is neither RSA nor ECDSA")
    return key


def names(certificate: x509.Certificate) -> frozenset[tuple[int, bytes]]:
    """Every identity (kind as in an ID payload, bytes) a certificate speaks for: its subject and alternative names."""
    found = {(9, certificate.subject.public_bytes())}
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return frozenset(found)
    for name in alternative:
        if isinstance(name, x509.DNSName):
            found.add((2, name.value.encode()))
        elif isinstance(name, x509.RFC822Name):
            found.add((3, name.value.encode()))
        elif isinstance(name, x509.IPAddress) and hasattr(name.value, "packed"):
            found.add((1 if name.value.version == 4 else 5, name.value.packed))
    return frozenset(found)
