"""The key schedule, the groups and the ciphers, against published answers and other implementations."""

import hashlib
import tomllib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dh, ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from ike_kit import Ends

from emulator import resources
from emulator.crypto.dh import MODP_2048, P_256, PUBLIC_BYTES, X25519, Half, _prime
from emulator.crypto.ike_cipher import AeadCipher, CbcCipher, IkeCipher
from emulator.crypto.prf import SIZES, prf_plus
from emulator.errors import CryptoError, EmulatorError, TagError, UsageError
from emulator.link.ike.keys import child_keys, ike_keys, skeyseed, skeyseed_of_rekey
from emulator.link.ike.suites import ESP, IKE, Suite, choose, offered, offers

HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def suite(text: str, protocol: int) -> Suite:
    ours = offers((text,), protocol)
    found = choose(ours, offered(ours, b""))
    assert found is not None
    return found[0]


def known() -> list[dict[str, str]]:
    with resources.fixture("vectors/ikev2/kdf.toml").open("rb") as file:
        cases: list[dict[str, str]] = tomllib.load(file)["case"]
    return cases


@pytest.mark.parametrize("case", known(), ids=lambda case: case["name"])
def test_the_published_answers(case: dict[str, str]) -> None:
    """All of them: SKEYSEED, key material, a child's without and with a new exchange, SKEYSEED of a rekey."""
    digest = case["digest"]
    given = {name: bytes.fromhex(value) for name, value in case.items() if name not in ("name", "digest")}
    nonces = given["ni"] + given["nr"]
    assert skeyseed(digest, nonces, given["secret"]) == given["skeyseed"]
    material = given["key_material"]
    assert prf_plus(digest, given["skeyseed"], nonces + given["spis"], len(material)) == material
    ike = suite(f"aes256-sha256-prf{digest}-x25519", IKE)
    keys = ike_keys(ike, given["skeyseed"], nonces, given["spis"])
    joined = keys.d + keys.ai + keys.ar + keys.ei + keys.er + keys.pi + keys.pr
    assert len(keys.d) == SIZES[digest]
    assert len(joined) == 3 * SIZES[digest] + 4 * 32
    assert joined[: len(material)] == material[: len(joined)]
    esp = suite("aes256-sha256", ESP)
    for secret, name in ((b"", "child"), (given["new_secret"], "child_with_new_secret")):
        there, back = child_keys(ike, keys.d, secret, nonces, esp)
        assert there.encryption + there.integrity + back.encryption + back.integrity == given[name][:128]
        assert prf_plus(digest, keys.d, secret + nonces, len(given[name])) == given[name]
    assert skeyseed_of_rekey(ike, keys.d, given["new_secret"], nonces) == given["skeyseed_of_rekey"]


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize("length", [0, 1, 20, 31, 32, 33, 100, 255 * 20])
def test_prf_plus_is_hkdf_expand(digest: str, length: int) -> None:
    """Another implementation of the same function, at every boundary."""
    key, seed = hashlib.sha512(digest.encode()).digest(), b"seed"
    if length:
        other = HKDFExpand(HASHES[digest], length, seed).derive(key)
        assert prf_plus(digest, key, seed, length) == other
    else:
        assert prf_plus(digest, key, seed, length) == b""
    with pytest.raises(UsageError):
        prf_plus(digest, key, seed, 255 * SIZES[digest] + 1)
    with pytest.raises(UsageError):
        prf_plus("md5", key, seed, 16)


@pytest.mark.parametrize("group", PUBLIC_BYTES)
def test_groups_agree(group: int) -> None:
    """Two halves make one secret, and another half another."""
    one, other, third = (Half(group, bytes((n,)) * 64) for n in (1, 2, 3))
    assert one.shared(other.public) == other.shared(one.public) != third.shared(one.public)
    assert len(one.public) == PUBLIC_BYTES[group]
    assert Half(group, bytes((1,)) * 64).public == one.public
    for bad in (bytes(PUBLIC_BYTES[group]), b"\xff" * PUBLIC_BYTES[group], one.public[:-1], b""):
        if group == X25519 and bad == b"\xff" * 32:
            continue  # any 32 bytes but a few are a point there
        with pytest.raises(CryptoError):
            one.shared(bad)
    for seed in (b"", bytes(63)):
        with pytest.raises(UsageError):
            Half(group, seed)


@pytest.mark.filterwarnings("ignore:Diffie-Hellman")
def test_modp_2048_is_the_published_prime() -> None:
    """The prime is computed here; `cryptography` knows it from RFC 3526 and takes part in an exchange."""
    half = Half(MODP_2048, b"\x07" * 64)
    hex_of_rfc = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    assert f"{_prime():X}".startswith(hex_of_rfc)
    assert f"{_prime():X}".endswith("15728E5A8AACAA68FFFFFFFFFFFFFFFF")
    numbers = dh.DHParameterNumbers(_prime(), 2)
    theirs = numbers.parameters().generate_private_key()
    public = theirs.public_key().public_numbers().y
    ours = dh.DHPublicNumbers(int.from_bytes(half.public, "big"), numbers).public_key()
    assert theirs.exchange(ours).rjust(256, b"\0") == half.shared(public.to_bytes(256, "big"))


def test_p_256_is_ecdh() -> None:
    """The x coordinate alone (RFC 5903 section 7)."""
    half = Half(P_256, b"\x07" * 64)
    theirs = ec.generate_private_key(ec.SECP256R1())
    numbers = theirs.public_key().public_numbers()
    ours = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + half.public)
    made = half.shared(numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))
    assert made == theirs.exchange(ec.ECDH(), ours)


CIPHERS: list[Callable[[], IkeCipher]] = [
    lambda: AeadCipher("gcm", bytes(20)),
    lambda: AeadCipher("gcm", bytes(36)),
    lambda: AeadCipher("chacha", bytes(36)),
    lambda: CbcCipher(bytes(16), bytes(32), "sha256"),
    lambda: CbcCipher(bytes(32), bytes(64), "sha512"),
]


@pytest.mark.parametrize("make", CIPHERS)
def test_ciphers_open_what_they_seal_and_nothing_else(make: Callable[[], IkeCipher]) -> None:
    """Every length to 70; the size is told beforehand; no two seals are alike; any bit bent is refused."""
    one, other = make(), make()
    for length in range(70):
        plain = bytes(range(length))
        text = one.seal(b"header", plain)
        assert len(text) == one.size(length)
        assert other.open(b"header", text) == plain
        assert one.seal(b"header", plain) != text
    text = one.seal(b"header", b"a payload")
    for at in range(len(text)):
        for bent in (text[:at] + bytes((text[at] ^ 1,)) + text[at + 1 :], text[:at]):
            with pytest.raises(TagError):
                other.open(b"header", bent)
    with pytest.raises(TagError):
        other.open(b"headed", text)


def test_authentic_nonsense_is_refused() -> None:
    """A pad length beyond the text, under a right check value, is a wrong message and not a crash."""

    class Wrong(AeadCipher):
        def seal(self, aad: bytes, plain: bytes) -> bytes:
            self._count += 1
            iv = self._count.to_bytes(8, "big")
            return iv + self._aead.encrypt(self._salt + iv, b"abc\x09", aad)

    with pytest.raises(EmulatorError, match="pad length"):
        AeadCipher("gcm", bytes(20)).open(b"", Wrong("gcm", bytes(20)).seal(b"", b""))
    for make in (
        lambda: AeadCipher("gcm", bytes(16)),
        lambda: AeadCipher("chacha", bytes(20)),
        lambda: CbcCipher(b"", b"", ""),
    ):
        with pytest.raises(UsageError):
            make()


def test_a_key_log_names_every_sa_once() -> None:
    """Both ends share one: an IKE SA is one line, a child two, in the words Wireshark wants."""
    ends = Ends().up()
    ends.do(ends.left, "rekey_ike", "core")
    ends.do(ends.right, "rekey_child", ends.children(ends.right)[0].spi_in)
    assert len(ends.keylog.ike_lines) == 2
    assert len(ends.keylog.esp_lines) == 4
    (sa,) = ends.left.sas.values()
    assert sa.keys is not None
    assert sa.keys.ei.hex() in ends.keylog.ike_lines[-1]
    assert ends.keylog.options.count("-o") == 2 + 2 + 4
