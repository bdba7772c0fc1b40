"""Certificates instead of a secret: what is believed and what is not (RFC 7296 2.15, 3.6; RFC 7427)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from ike_kit import Ends

from emulator.crypto import certificates
from emulator.crypto.certificates import authorities, credentials, sign, verify
from emulator.errors import CryptoError, InputError
from emulator.kernel.time import DAY, instant
from emulator.link.ike.settings import Identity, Secret, Trust

TODAY = datetime(2020, 3, 2, tzinfo=UTC)
NOW = instant(TODAY)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(thing: Any) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """A certificate that may sign others; `above` signs it, or it signs itself."""

    def __init__(self, title: str, above: "Authority | None" = None, *, may_sign: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.title = title
        signer = above or self
        self.certificate = self._made(title, self.key.public_key(), signer, may_sign, (), DAY)

    def _made(self, title: str, key: Any, signer: "Authority", ca: bool, names: Any, life: int) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(name(title))
            .issuer_name(name(signer.title))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(TODAY - timedelta(days=1))
            .not_valid_after(TODAY + timedelta(microseconds=life))
            .add_extension(x509.BasicConstraints(ca, None), True)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
        return made.sign(signer.key, hashes.SHA256())

    def issue(self, key: Any, *names: str, life: int = DAY) -> x509.Certificate:
        return self._made(names[0], key.public_key(), self, False, names, life)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        return authorities(pem(self.certificate))


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority("an authority")


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def trust(ca: Authority, key: Any, *names: str, chain: tuple[x509.Certificate, ...] = (), **more: Any) -> Trust:
    leaf = ca.issue(key, *names, **more)
    return Trust(credentials(pem(leaf) + b"".join(map(pem, chain)), pem(key)), ca.trusted)


def ends(left: Trust, right: Trust, **more: Any) -> Ends:
    made = Ends({"trust": left}, {"trust": right}, secret=None, **more)
    made.memory.now = NOW
    return made


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "one of each"])
def test_both_ends_sign(ca: Authority, rsa_key: rsa.RSAPrivateKey, kind: str) -> None:
    """ECDSA, RSA, and each end with its own kind."""
    left: Any = {"p256": ec_key(), "p384": ec_key(ec.SECP384R1())}.get(kind, rsa_key)
    right: Any = rsa_key if kind == "rsa" else ec_key()
    ends(trust(ca, left, "left.example"), trust(ca, right, "right.example")).up()


def test_the_older_methods_without_rfc_7427(ca: Authority, rsa_key: rsa.RSAPrivateKey) -> None:
    """Methods 1 and 9 for a peer that names no hash; P-384 has none there."""
    for key, method in ((rsa_key, certificates.RSA), (ec_key(), certificates.ECDSA_256)):
        found, proof = sign(key, b"octets", ())
        assert found == method
        verify(key.public_key(), found, b"octets", proof)
        with pytest.raises(CryptoError):
            verify(key.public_key(), found, b"octetz", proof)
    with pytest.raises(CryptoError, match="P-256"):
        sign(ec_key(ec.SECP384R1()), b"octets", ())


def test_pss_is_understood(rsa_key: rsa.RSAPrivateKey) -> None:
    """A peer may sign with RSASSA-PSS; we never do."""
    parameters = "304106092A864886F70D01010A3034A00F300D06096086480165030402010500"
    parameters += "A11C301A06092A864886F70D010108300D06096086480165030402010500A203020120"
    algorithm = bytes.fromhex(parameters)
    signature = rsa_key.sign(b"octets", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    proof = bytes((len(algorithm),)) + algorithm + signature
    verify(rsa_key.public_key(), certificates.DIGITAL_SIGNATURE, b"octets", proof)
    with pytest.raises(CryptoError):
        verify(rsa_key.public_key(), certificates.DIGITAL_SIGNATURE, b"others", proof)


def test_bent_proofs_never_hold(ca: Authority, rsa_key: rsa.RSAPrivateKey) -> None:
    """Every byte of a signature bent, cut anywhere, and of a method the key has not: one error and no other."""
    for key in (rsa_key, ec_key()):
        for known in ((), (2,)):
            method, proof = sign(key, b"octets", known)
            for at in range(0, len(proof), 3):
                for bent in (proof[:at], proof[:at] + bytes((proof[at] ^ 1,)) + proof[at + 1 :]):
                    with pytest.raises(CryptoError):
                        verify(key.public_key(), method, b"octets", bent)
            for other in {0, 1, 2, 9, 14, 255} - {method}:
                with pytest.raises(CryptoError):
                    verify(key.public_key(), other, b"octets", proof)


def test_an_authority_in_between(ca: Authority) -> None:
    """A chain of two is sent and followed."""
    between = Authority("in between", ca)
    key = ec_key()
    leaf = between.issue(key, "left.example")
    chained = Trust(credentials(pem(leaf) + pem(between.certificate), pem(key)), ca.trusted)
    ends(chained, trust(ca, ec_key(), "right.example")).up()


@pytest.mark.parametrize("why", ["another authority", "another name", "not yet or no more", "no authority above"])
def test_what_is_not_believed(ca: Authority, why: str) -> None:
    """The responder refuses by AUTHENTICATION_FAILED; nothing is set up."""
    key = ec_key()
    match why:
        case "another authority":
            left, word = Trust(trust(Authority("an authority"), key, "left.example").own, ca.trusted), "does not hold"
        case "another name":
            left, word = trust(ca, key, "left.example"), "does not speak"
        case "not yet or no more":
            left, word = trust(ca, key, "left.example", life=-1), "not valid at this moment"
        case _:
            below = Authority("no authority", ca, may_sign=False)
            leaf = below.issue(key, "left.example")
            left = Trust(credentials(pem(leaf) + pem(below.certificate), pem(key)), ca.trusted)
            word = "no authority"
    made = ends(left, trust(ca, ec_key(), "right.example"))
    if why == "another name":
        somebody = ec_key()
        made = Ends(
            {"trust": trust(ca, somebody, "left.example", "imposter.example")},
            {"trust": trust(ca, ec_key(), "right.example")},
            secret=None,
        )
        made.memory.now = NOW
        imposter = trust(ca, somebody, "imposter.example")
        sneaky = made.left.connections["core"]
        object.__setattr__(sneaky, "trust", imposter)  # past the check that refuses it at configuration
    made.do(made.left, "initiate", "core")
    assert made.reasons(made.left) == ["refused: AUTHENTICATION_FAILED"]
    assert word in made.reasons(made.right)[0]


def test_an_initiator_that_does_not_believe_says_so(ca: Authority) -> None:
    """The responder's certificate is of an authority we do not know: it learns of it in an exchange of its own."""
    left = Trust(trust(ca, ec_key(), "left.example").own, Authority("a third").trusted)
    made = ends(left, trust(ca, ec_key(), "right.example"))
    made.do(made.left, "initiate", "core")
    assert "no trusted authority" in made.reasons(made.left)[0]
    assert made.reasons(made.right) == ["the peer closed it: AUTHENTICATION_FAILED"]
    assert made.agree() == 0
    assert not made.left.sas
    assert not made.right.sas


def test_one_end_signs_and_the_other_has_a_secret(ca: Authority) -> None:
    """Each proves itself in its own way."""
    made = Ends(
        {"trust": Trust(None, ca.trusted)}, {"trust": trust(ca, ec_key(), "right.example")}, secret=Secret(b"shared")
    )
    made.memory.now = NOW
    made.up()


def test_refusals_at_configuration(ca: Authority, rsa_key: rsa.RSAPrivateKey) -> None:
    """Each InputError names what is wrong with the files."""
    leaf = pem(ca.issue(rsa_key, "left.example"))
    for make, word in (
        (lambda: credentials(b"nonsense", pem(rsa_key)), "PEM"),
        (lambda: credentials(leaf, b"nonsense"), "private key"),
        (lambda: credentials(leaf, pem(ec_key())), "does not belong"),
        (lambda: credentials(leaf, pem(ed25519.Ed25519PrivateKey.generate())), "neither RSA nor ECDSA"),
        (lambda: authorities(b""), "PEM"),
        (
            lambda: Ends({"trust": trust(ca, rsa_key, "left.example"), "local_id": Identity.of("x.example")}),
            "speak for",
        ),
    ):
        with pytest.raises(InputError, match=word):
            make()


def test_a_private_key_is_never_shown(ca: Authority) -> None:
    """Not in the repr of credentials, trust or a connection."""
    key = ec_key()
    held = trust(ca, key, "left.example")
    number = key.private_numbers().private_value
    assert str(number) not in repr(held)
    assert f"{number:x}" not in repr(held)
