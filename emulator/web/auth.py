"""Who may ask: whoever holds the token. It is made at start, from the system's own randomness, or read from a file.

Tokens are compared in constant time, and a wrong one is answered like a missing one.
"""

import secrets
from collections.abc import Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Final

from emulator.errors import InputError

_BYTES: Final = 32
_LEAST: Final = 16
_MOST: Final = 512
_SCHEME: Final = "bearer "


def new_token() -> str:
    """A fresh token: 43 characters, fit for a URL or a shell."""
    return secrets.token_urlsafe(_BYTES)


def read_token(path: Path) -> str:
    """The token in a file: its first line. Raises InputError for none, a short one, or characters a header cannot
    carry."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; name a file that holds a token on one line") from error
    token = text.partition("\n")[0].strip()
    if not _LEAST <= len(token) <= _MOST or not token.isprintable() or " " in token:
        raise InputError(f"{path}: a token has {_LEAST} to {_MOST} characters and no spaces; write another")
    return token


def allowed(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request bears the token."""
    given = headers.get("authorization", "")
    if given[: len(_SCHEME)].lower() != _SCHEME:
        return False
    return compare_digest(given[len(_SCHEME) :].strip().encode("utf-8", "replace"), token.encode())
