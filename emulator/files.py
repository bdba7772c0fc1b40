"""Files that appear under their name when they are whole, and files that a person named.

What others read (a state, an estate, a measurement) is written beside its place and moved there: whoever looks sees
the old file or the new one, after a crash and a power cut too. What a person wants printed somewhere is just written,
as the name may be that of a device (/dev/stdout).
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from emulator.errors import InputError


@contextlib.contextmanager
def replacing(file: Path, *, public: bool = False) -> Iterator[BinaryIO]:
    """A stream that becomes `file` when the block ends without an error, and is gone otherwise.

    Readable for its owner alone unless `public`. Raises InputError for what the file system refuses, in the block too.
    """
    temporary: str | None = None
    folder = file.absolute().parent
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{file.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            if public:
                os.fchmod(stream.fileno(), 0o644)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
        temporary = None
        entry = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a place that can be written") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def replace_text(file: Path, text: str) -> None:
    """`file` holds `text` from now on, for everybody to read. Raises InputError."""
    with replacing(file, public=True) as stream:
        stream.write(text.encode())


def check(file: Path) -> None:
    """Whether `file` can be replaced later. Raises InputError: a run of minutes should not end at a wrong name."""
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{file}: cannot be written; name a file in a folder that is there and yours")


def write_text(path: Path, text: str) -> None:
    """Write what a person asked for where they said. Raises InputError."""
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a file that can be written") from error
