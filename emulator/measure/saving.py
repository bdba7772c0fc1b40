"""Files of a measurement: written whole or not at all, and asked about before the measuring begins."""

import contextlib
import os
import tempfile
from pathlib import Path

from emulator.errors import InputError


def check(file: Path) -> None:
    """Whether `file` can be written later. Raises InputError: a run of minutes should not end at a wrong name."""
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{file}: cannot be written; name a file in a folder that is there and yours")


def save(file: Path, text: str) -> None:
    """Write `text`, replacing the file at once. Raises InputError."""
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
        temporary = None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a place that can be written") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
