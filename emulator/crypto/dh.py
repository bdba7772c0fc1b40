"""Key exchange groups of IKEv2: X25519 (31, RFC 8031), P-256 (19, RFC 5903), MODP-2048 (14, RFC 3526).

A half is made from 64 secret bytes that the caller derives, so that a run is the same twice; whoever needs a secret
nobody can repeat derives them from the operating system's entropy. MODP-2048 is plain modular arithmetic with a
512-bit exponent: Python's `pow` is neither fast nor of constant time, and the group is there for peers that know no
other.
"""

from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from emulator.errors import CryptoError, UsageError

MODP_2048: Final = 14
P_256: Final = 19
X25519: Final = 31

PUBLIC_BYTES: Final = {X25519: 32, P_256: 64, MODP_2048: 256}
"""Group -> bytes of a public value. The three groups there are."""
SEED_BYTES: Final = 64

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@cache
def _prime() -> int:
    """2^2048 - 2^1984 - 1 + 2^64 * (floor(2^1918 pi) + 124476), RFC 3526 section 3; pi by Machin's formula."""
    bits = 1918 + 64
    one = 1 << bits

    def arctan_of_inverse(n: int) -> int:
        term = total = one // n
        k = 1
        while term:
            term //= -n * n
            k += 2
            total += term // k
        return total

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    return (1 << 2048) - (1 << 1984) - 1 + ((pi >> 64) + 124476 << 64)


class Half:
    """One side of an exchange: `public` goes to the peer, `shared` is the secret made with the peer's."""

    __slots__ = ("_private", "group", "public")

    def __init__(self, group: int, seed: bytes) -> None:
        """`seed`: 64 secret bytes. UsageError for another length or a group that is not in `PUBLIC_BYTES`."""
        if group not in PUBLIC_BYTES or len(seed) != SEED_BYTES:
            raise UsageError(f"a half of group {group} from {len(seed)} bytes; there are groups 31, 19 and 14, and 64")
        self.group = group
        self._private: X25519PrivateKey | ec.EllipticCurvePrivateKey | int
        if group == X25519:
            private = X25519PrivateKey.from_private_bytes(seed[:32])
            self._private = private
            self.public = private.public_key().public_bytes_raw()
        elif group == P_256:
            key = ec.derive_private_key(int.from_bytes(seed, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
            numbers = key.public_key().public_numbers()
            self._private = key
            self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        else:
            exponent = int.from_bytes(seed, "big") | 1 << 511
            self._private = exponent
            self.public = pow(2, exponent, _prime()).to_bytes(256, "big")

    def shared(self, public: bytes) -> bytes:
        """The secret (32, 32 or 256 bytes). CryptoError when `public` is no public value of this group."""
        if len(public) != PUBLIC_BYTES[self.group]:
            raise CryptoError(f"a public value of group {self.group} has {PUBLIC_BYTES[self.group]} bytes")
        private = self._private
        try:
            if isinstance(private, X25519PrivateKey):
                return private.exchange(X25519PublicKey.from_public_bytes(public))
            if isinstance(private, ec.EllipticCurvePrivateKey):
                point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
                return private.exchange(ec.ECDH(), point)
        except ValueError as error:  # the neutral element, or no point of the curve
            raise CryptoError(f"not a public value of group {self.group}") from error
        number = int.from_bytes(public, "big")
        if not 1 < number < _prime() - 1:
            raise CryptoError("not a public value of group 14")
        return pow(number, private, _prime()).to_bytes(256, "big")
