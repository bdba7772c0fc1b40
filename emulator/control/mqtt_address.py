"""Where the broker is, and who we are to it: checked before anything is opened, so that a wrong file is said at once.

A password comes from a file or from the environment and from nowhere else: what stands in a URL or on a command line
can be read by everybody on the machine. It is never in a `repr`, so no log that prints an address prints it.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from emulator.errors import InputError

Mode: TypeAlias = Literal["off", "one", "batch", "both"]
"""How a stream is published: not at all, a message an entry, in batches, or both."""

EMBEDDED: Final = "embedded"
USER_VARIABLE: Final = "SMETS1_MQTT_USER"
PASSWORD_VARIABLE: Final = "SMETS1_MQTT_PASSWORD"  # noqa: S105 (the name of one)

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_PREFIX_MOST: Final = 200
_EXAMPLE: Final = "give mqtt://HOST, mqtts://HOST:PORT or embedded"


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How the estate is on a broker.

    `broker` is a URL, or `embedded` (`embedded:PORT`) for one inside this process. `batch` entries make a message, or
    as many as there are after `batch_ms` real milliseconds. `credentials` names a file with `user:password` on its
    first line; `ca` a PEM file of whom to trust (the system's authorities without it)."""

    broker: str
    prefix: str = "smets1"
    journal: Mode = "batch"
    alerts: Mode = "off"
    alarms: Mode = "one"
    batch: int = 100
    batch_ms: int = 200
    credentials: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A broker and our name there. `embedded`: it is to be started by us, on that port (0: any)."""

    host: str
    port: int
    embedded: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """For people and programs; without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def root_of(prefix: str, estate: str) -> str:
    """The topic beneath which everything of an estate is: its name with what no topic carries made into dashes.

    Raises InputError for a prefix that is none."""
    if len(prefix) > _PREFIX_MOST or not _PREFIX.fullmatch(prefix):
        raise InputError(
            f"{prefix[:80]!r} is no topic prefix; give levels of letters, digits, dots, dashes and underscores, "
            "with slashes between them"
        )
    return f"{prefix}/{re.sub(r'[^A-Za-z0-9._-]', '-', estate)}"


def address_of(options: BusOptions, environ: Mapping[str, str]) -> Address:
    """Raises InputError saying what is wrong with an option and what to give."""
    user, password = _credentials(options.credentials, environ)
    if options.broker.partition(":")[0] == EMBEDDED:
        return _embedded(options, user, password)
    try:
        parts = urlsplit(options.broker)
        port = parts.port
    except ValueError as error:
        raise InputError(f"the broker's address: {error}; {_EXAMPLE}") from None
    if parts.password is not None:
        raise InputError(
            "the broker's address holds a password, which everybody on this machine can read; put it into a file for "
            f"--mqtt-credentials, or into {PASSWORD_VARIABLE}"
        )
    if parts.scheme not in _PORTS or not parts.hostname or not _bare(parts):
        raise InputError(f"{options.broker!r} is no broker's address; {_EXAMPLE}")
    return Address(
        parts.hostname,
        port if port is not None else _PORTS[parts.scheme],
        user=user or parts.username,
        password=password,
        tls=_tls(options, parts.scheme == "mqtts"),
    )


def _bare(parts: SplitResult) -> bool:
    return parts.path in ("", "/") and not parts.query and not parts.fragment


def _embedded(options: BusOptions, user: str | None, password: str | None) -> Address:
    _tls(options, False)
    _, _, text = options.broker.partition(":")
    if text and not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise InputError(f"{options.broker!r}: the port of an embedded broker is a number up to 65535 (0: any)")
    return Address("127.0.0.1", int(text or 0), embedded=True, user=user, password=password)


def _credentials(path: Path | None, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    if path is None:
        return environ.get(USER_VARIABLE) or None, environ.get(PASSWORD_VARIABLE) or None
    try:
        line = path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is no text"
        raise InputError(f"{path}: {why}; name a file with user:password on its first line") from None
    user, colon, password = line.partition(":")
    if not user or not colon or not password:
        raise InputError(f"{path}: write user:password on its first line")
    return user, password


def _tls(options: BusOptions, wanted: bool) -> ssl.SSLContext | None:
    given = [path for path in (options.ca, options.certificate, options.key) if path is not None]
    if not wanted:
        if given:
            raise InputError("certificates are for mqtts://; this broker is spoken to without TLS")
        return None
    if options.key is not None and options.certificate is None:
        raise InputError("a key without its certificate; give --mqtt-cert too")
    for path in given:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; name a PEM file")
    try:
        context = ssl.create_default_context(cafile=None if options.ca is None else str(options.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if options.certificate is not None:
            # An empty password: a key that needs one is refused instead of asked for on the terminal.
            context.load_cert_chain(options.certificate, options.key, password="")
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in given)
        raise InputError(f"{names}: {error}; name PEM files, a certificate with its key") from None
    return context
