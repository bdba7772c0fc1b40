"""How a live gateway and its peers prove who they are, from files: a pre-shared key, or certificates (RFC 7296 2.15).

Private files are taken only where nobody but their owner can read them; what is wrong is said without a byte of them.
"""

import os
import stat
from pathlib import Path
from typing import Final

from cryptography import x509

from emulator.crypto.certificates import Credentials, authorities, credentials, names
from emulator.errors import InputError
from emulator.link.ike.settings import Identity, Secret, Trust

_PSK_MOST: Final = 1_024
_PEM_MOST: Final = 1 << 20
_CERTIFICATE: Final = "the gateway's certificate"


def read_secret(path: Path) -> Secret:
    """The pre-shared key in a file: its bytes without the line's end.

    InputError: it cannot be read, others than its owner may read it, or it holds no key."""
    key = _private(path, _PSK_MOST + 2, "the pre-shared key").rstrip(b"\r\n")
    if not 0 < len(key) <= _PSK_MOST or b"\n" in key:
        raise InputError(f"{path} is to hold a pre-shared key on one line, of 1 to {_PSK_MOST} bytes")
    return Secret(key)


def read_trust(certificate: Path | None, key: Path | None, authority: Path | None) -> Trust | None:
    """Our certificate (PEM, its chain behind it) with its private key, and the authorities whose certificates we take;
    each may be missing, but for half of a pair. None: there is nothing of it.

    InputError: a file cannot be read, is not what it should be, or others may read the key."""
    if (certificate is None) != (key is None):
        raise InputError("a certificate and its private key go together; name both, --cert-file and --key-file")
    own: Credentials | None = None
    if certificate is not None and key is not None:
        chain = _public(certificate, _CERTIFICATE)
        own = credentials(chain, _private(key, _PEM_MOST, "the private key"), where=str(certificate))
    if own is None and authority is None:
        return None
    return Trust(own, () if authority is None else read_authorities(authority))


def read_authorities(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file. InputError: it cannot be read, or holds none."""
    return authorities(_public(path, "the authorities"), where=str(path))


def read_certificate(path: Path, identity: str) -> x509.Certificate:
    """The first certificate of a PEM file. InputError: there is none, or it does not speak for `identity`."""
    found = authorities(_public(path, _CERTIFICATE), where=str(path))[0]
    if Identity.of(identity) not in names(found):
        raise InputError(f"{path} does not speak for {identity}; name one of its subjectAltNames with --local-id")
    return found


def _public(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_PEM_MOST)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file that holds {what}") from error


def _private(path: Path, most: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            text = file.read(most)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file that holds {what}") from error
    if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o077:
        raise InputError(f"{path} can be read by others than its owner; say chmod 600 {path}")
    if about.st_uid not in (os.geteuid(), 0):
        raise InputError(f"{path} belongs to somebody else; use a file of your own")
    return text
