"""One SQLite file of a state: made whole, opened with suspicion, written so that a commit is a promise.

Write-ahead logging with `synchronous=FULL`: a commit returns after the log with all its pages has been synced, so it
survives the death of the process and of the power (in this mode `EXTRA` adds nothing; `NORMAL` would give up the last
commits to a power cut). Losing power in the middle of a commit loses that commit and nothing before it: log frames
carry checksums.
A file is made beside its name and renamed when it is complete, so a file under its own name that is empty, or no
database, is damage and not a beginning. `secure_delete` overwrites what is replaced inside the file; the log may hold
replaced pages until it is started over, at the latest when the file is closed.

SQLite's errors become two of ours: `NotSavedError` where trying again can help (a full disk, a failing write), and
InputError for what a person has to look at.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from emulator.errors import InputError
from emulator.fleet.saved import CURE
from emulator.fleet.store import FORMAT, NotSavedError

APPLICATION: Final = 0x534D4731
"""`PRAGMA application_id`: "SMG1"."""

_MAGIC: Final = b"SQLite format 3\0"
_WAIT_S: Final = 2.0
_LOG_LIMIT: Final = 4 << 20

SCHEMA: Final = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE home (installation INTEGER PRIMARY KEY, saved BLOB NOT NULL);
"""


def create(path: Path, facts: dict[str, bytes]) -> None:
    """A new file under `path`, whole or not at all, for its owner's eyes. Raises InputError."""
    beside = path.with_name(path.name + ".new")
    with refusals(path), _alone(beside):
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = _connect(beside, "rw")
        try:
            connection.execute("PRAGMA synchronous=OFF")  # it is synced below, once, before anybody can find it
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.executescript(f"BEGIN;{SCHEMA}COMMIT;")
            connection.executemany("INSERT INTO fact VALUES (?, ?)", list(facts.items()))
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise InputError(f"{path.parent}: this file system has no write-ahead logging; name a local folder")
        finally:
            connection.close()
        sync(beside)
        os.rename(beside, path)
        sync(path.parent)


@contextlib.contextmanager
def _alone(beside: Path) -> Iterator[None]:
    """Nothing left over from an earlier try, and nothing left behind by this one."""
    try:
        _remove(beside)
        yield
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    for left in (path, *_companions(path)):
        left.unlink(missing_ok=True)


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """An existing file, checked: is it one of ours, of a version known here, and sound? Raises InputError."""
    with refusals(path):
        with path.open("rb") as stream:
            head = stream.read(len(_MAGIC))
        if head != _MAGIC:
            raise InputError(f"{path}: is damaged, or not a state ({len(head)} bytes say no database); {CURE}")
        connection = _connect(path, "rw" if writing else _reading(path))
        try:
            _check(connection, path)
            if writing:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT}")
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """All of it, durable when the block is left, or nothing. Raises NotSavedError, InputError."""
    with refusals(path):
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise


def close(connection: sqlite3.Connection, *, writing: bool) -> None:
    """Start the log over where that can be done, and close. What cannot be done now is done at the next opening."""
    if writing:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with contextlib.suppress(sqlite3.Error):
        connection.close()


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _refusal(path, error) from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; nothing was changed") from error


def sync(path: Path) -> None:
    """Have a file, or a folder's entries, on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def _reading(path: Path) -> str:
    """How to read a file that may lie in a folder where nothing can be written."""
    log = _companions(path)[0]
    settled = not log.exists() or not log.stat().st_size
    return "ro&immutable=1" if settled and not os.access(path.parent, os.W_OK) else "ro"


def _companions(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise InputError(f"{path}: is a database, but not a state; name another folder")
    if version > FORMAT:
        raise InputError(f"{path}: was written by a newer version (format {version}, here {FORMAT}); use that one")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise InputError(f"{path}: is damaged ({' '.join(verdict.split())}); {CURE}")


def _refusal(path: Path, error: sqlite3.DatabaseError) -> InputError:
    code = getattr(error, "sqlite_errorcode", 0)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return NotSavedError(f"{path}: the disk is full; make room, nothing saved before is lost")
        case sqlite3.SQLITE_IOERR:
            return NotSavedError(f"{path}: cannot be written ({error}); is the disk full? nothing saved before is lost")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return NotSavedError(f"{path}: another program holds it locked; end that one")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return InputError(f"{path}: cannot be written by you ({error}); nothing was changed")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return InputError(f"{path}: is damaged ({error}); {CURE}")
    return InputError(f"{path}: {error}; {CURE}")
