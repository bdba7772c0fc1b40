"""Who is there: the AUTH payload made and checked (RFC 7296 2.15, RFC 7427 for signatures).

What is signed is the end's own first message as it went out, the other's nonce, and prf(SK_p, its ID payload's body).
"""

from collections.abc import Sequence
from typing import Final

from emulator.codecs.ike_payloads import Auth
from emulator.crypto.certificates import names, public_key, sign, trusted, verify
from emulator.crypto.prf import prf, same
from emulator.errors import CryptoError
from emulator.kernel.effects import Instant
from emulator.link.ike.settings import Connection, Identity

SHARED_KEY: Final = 2
_PAD: Final = b"Key Pad for IKEv2"


def octets(digest: str, message: bytes, nonce: bytes, sk_p: bytes, who: Identity) -> bytes:
    """InitiatorSignedOctets or ResponderSignedOctets."""
    return message + nonce + prf(digest, sk_p, bytes((who.kind, 0, 0, 0)) + who.name)


def make(connection: Connection, digest: str, signed: bytes, peer_hashes: Sequence[int]) -> Auth:
    """Our proof: a signature when the connection has credentials, else by its secret. CryptoError."""
    if connection.trust is not None and connection.trust.own is not None:
        return Auth(*sign(connection.trust.own.key, signed, peer_hashes))
    if connection.secret is None:
        raise CryptoError(f"connection {connection.name!r} has nothing to prove itself with")
    return Auth(SHARED_KEY, prf(digest, prf(digest, connection.secret.key, _PAD), signed))


def check(
    connection: Connection, digest: str, signed: bytes, auth: Auth, who: Identity, chain: Sequence[bytes], now: Instant
) -> None:
    """CryptoError unless the peer proved to be `who` in a way the connection allows."""
    if auth.method == SHARED_KEY:
        if connection.secret is None:
            raise CryptoError("a pre-shared key proves nothing here")
        if not same(prf(digest, prf(digest, connection.secret.key, _PAD), signed), auth.proof):
            raise CryptoError("the pre-shared keys differ")
        return
    if connection.trust is None or not connection.trust.authorities:
        raise CryptoError("no authority is trusted here")
    leaf = trusted(chain, connection.trust.authorities, now)
    if who not in names(leaf):
        raise CryptoError(f"the certificate does not speak for {who}")
    verify(public_key(leaf), auth.method, signed, auth.proof)
