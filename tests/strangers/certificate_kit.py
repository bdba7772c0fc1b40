"""Certificates for gateways, made when they are wanted: an authority, and ends that it signs. Good for a day."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass
class End:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """(certificate, key) as files, the key for its owner alone."""
        found = folder / f"{name}.pem", folder / f"{name}.key"
        for path, text in zip(found, (self.certificate, self.key), strict=True):
            path.touch(0o600)
            path.write_bytes(text)
        return found


class Authority:
    """Signs ends; `certificate` is its own, PEM."""

    def __init__(self, title: str = "an authority") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed(self._name, self._key, None)

    def end(self, name: str, kind: Literal["ecdsa", "rsa"] = "ecdsa") -> End:
        """An end that speaks for `name`."""
        key: Key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return End(self._signed(subject, key, name), text)

    def _signed(self, subject: x509.Name, key: Key, alternative: str | None) -> bytes:
        today = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(x509.BasicConstraints(alternative is None, None), True)
        )
        if alternative:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def charon_files(authority: Authority, end: End) -> dict[str, bytes]:
    """What swanctl reads from its folders, by path."""
    return {"x509ca/ca.pem": authority.certificate, "x509/charon.pem": end.certificate, "private/charon.pem": end.key}
