"""A state in a folder: one SQLite file for the whole, one for every cell.

    DIR/            mode 0700; every file 0600
      lock          held by the process that runs the state; names it
      estate.sqlite which estate, how often opened, the runner's facts, which cells there are
      cell-00000.sqlite ...

A file a cell, because cells share nothing: each has its own log and its own commit, so a batch costs one synced
transaction for every cell in it, and any process can be given one. A cell's file is made when something of it is first
saved. Virtual time is written with every commit of a cell; the state's is the latest of them.

The folder is opened all at once: every file is looked through before a run begins, because damage found in the
middle of one helps nobody. Copy a state with `smets1 state export`: a copy of the files alone, taken while it runs,
may miss what lies in the logs.
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from emulator.errors import InputError
from emulator.fleet import sqlite_file
from emulator.fleet.saved import CURE, Saved, pack, unpack
from emulator.fleet.sqlite_file import refusals, transaction
from emulator.fleet.store import Batch, Facts, Identity
from emulator.kernel.effects import Instant

_ESTATE: Final = "estate.sqlite"
_LOCK: Final = "lock"
_IDENTITY: Final = "identity"
_OPENINGS: Final = "openings"
_FILLING: Final = "filling"
_NOW: Final = "now"
_CELL: Final = "cell."
_RUNNER: Final = "runner."

_PUT: Final = "INSERT INTO home VALUES (?, ?) ON CONFLICT (installation) DO UPDATE SET saved = excluded.saved"
_DROP: Final = "DELETE FROM home WHERE installation = ?"
_STATE: Final = "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class SqliteStore:
    """A state in `folder`, made when there is none, to be run by this process alone. Raises InputError.

    `filling`: make a new one, opened so many times elsewhere, that cannot be opened here before `finish`.
    """

    def __init__(self, folder: str | Path, identity: Identity, filling: int | None = None) -> None:
        self._prepare(Path(folder), writing=True)
        try:
            _own_folder(self._folder, filling)
            self._lock = _take_lock(self._folder / _LOCK)
            if not (self._folder / _ESTATE).exists():
                facts = {_IDENTITY: identity.encode(), _OPENINGS: b"%d" % (filling or 0)}
                sqlite_file.create(self._folder / _ESTATE, facts | ({_FILLING: b"1"} if filling is not None else {}))
            self._open(filling)
            identity.check(self.identity, self.where)
            self._put(_OPENINGS, b"%d" % (self.openings + 1))
            self._openings += 1
        except BaseException:
            self.close()
            raise

    @classmethod
    def look(cls, folder: str | Path) -> "SqliteStore":
        """An existing state, to read; another process may be running it. Raises InputError."""
        store = cls.__new__(cls)
        store._prepare(Path(folder), writing=False)
        if not (store._folder / _ESTATE).is_file():
            raise InputError(f"{folder}: no state lies there; name a folder that was given to --state")
        try:
            store._open()
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self, folder: Path, *, writing: bool) -> None:
        self._folder = folder
        self._writing = writing
        self._files: dict[int, sqlite3.Connection] = {}
        self._estate: sqlite3.Connection | None = None
        self._lock = -1
        self._turn = Lock()
        self._now: Instant = 0

    def _open(self, filling: int | None = None) -> None:
        """Open and check every file."""
        path = self._folder / _ESTATE
        self._estate = sqlite_file.connect(path, writing=self._writing)
        raw = self._fact(_IDENTITY)
        self._identity = Identity.decode(raw or b"", str(path))
        self._openings = int(self._fact(_OPENINGS) or 0)
        self._now = int(self._fact(_NOW) or 0)
        if filling is None and self._fact(_FILLING) is not None:
            raise InputError(f"{self._folder}: an import into it was broken off; remove it and import again")
        for cell in self._cells():
            if not self._path(cell).exists():
                raise InputError(f"{self._path(cell)}: is missing; {CURE}")
            self._attach(cell)

    def _cells(self) -> list[int]:
        assert self._estate is not None
        with refusals(self._folder / _ESTATE):
            rows = self._estate.execute("SELECT name FROM fact WHERE name GLOB 'cell.*' ORDER BY name").fetchall()
        return [int(name.removeprefix(_CELL)) for (name,) in rows]

    def _path(self, cell: int) -> Path:
        return self._folder / f"cell-{cell:05d}.sqlite"

    def _attach(self, cell: int) -> sqlite3.Connection:
        path = self._path(cell)
        connection = self._files[cell] = sqlite_file.connect(path, writing=self._writing)
        with refusals(path):
            facts = dict(connection.execute("SELECT name, value FROM fact"))
        self.identity.check(Identity.decode(facts.get(_IDENTITY, b""), str(path)), str(path))
        if facts.get(_CELL) != b"%d" % cell:
            raise InputError(f"{path}: is another cell's file; {CURE}")
        self._now = max(self._now, int(facts.get(_NOW, 0)))
        return connection

    def _make(self, cell: int) -> sqlite3.Connection:
        """The file of a cell of which nothing was saved before. It counts from when the estate's file names it."""
        path = self._path(cell)
        if not path.exists():
            sqlite_file.create(path, {_IDENTITY: self.identity.encode(), _CELL: b"%d" % cell, _NOW: b"0"})
        connection = self._attach(cell)
        try:
            self._put(f"{_CELL}{cell:05d}", b"")
        except BaseException:
            sqlite_file.close(self._files.pop(cell), writing=False)
            raise
        return connection

    # StateStore

    @property
    def where(self) -> str:
        return str(self._folder)

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def openings(self) -> int:
        return self._openings

    @property
    def now(self) -> Instant:
        return self._now

    def load_cell(self, cell: int) -> Iterable[tuple[int, Saved]]:
        connection = self._files.get(cell)
        if connection is None:
            return
        path = self._path(cell)
        with self._turn, refusals(path):
            rows = connection.execute("SELECT installation, saved FROM home ORDER BY installation").fetchall()
        for installation, raw in rows:
            yield installation, unpack(installation, raw, str(path))

    def load_home(self, cell: int, installation: int) -> Saved | None:
        connection = self._files.get(cell)
        if connection is None:
            return None
        path = self._path(cell)
        with self._turn, refusals(path):
            row = connection.execute("SELECT saved FROM home WHERE installation = ?", (installation,)).fetchone()
        return None if row is None else unpack(installation, row[0], str(path))

    def save(self, batch: Batch, now: Instant = 0) -> None:
        with self._turn:
            for cell, homes in batch.items():
                connection = self._files.get(cell)
                if connection is None:
                    connection = self._make(cell)
                with transaction(connection, self._path(cell)):
                    keep = [(number, pack(number, saved)) for number, saved in homes if saved is not None]
                    gone = [(number,) for number, saved in homes if saved is None]
                    if gone:
                        connection.executemany(_DROP, gone)
                    connection.executemany(_PUT, keep)
                    if now > self._now:
                        connection.execute(_STATE, (_NOW, b"%d" % now))
            if not batch and now > self._now:
                self._put(_NOW, b"%d" % now)
            self._now = max(self._now, now)

    def get(self, key: str) -> bytes | None:
        return self._fact(_RUNNER + key)

    def set(self, key: str, value: bytes | None) -> None:
        with self._turn:
            self._put(_RUNNER + key, value)

    def keys(self) -> list[str]:
        assert self._estate is not None
        with refusals(self._folder / _ESTATE):
            rows = self._estate.execute("SELECT name FROM fact WHERE name GLOB 'runner.*' ORDER BY name").fetchall()
        return [name.removeprefix(_RUNNER) for (name,) in rows]

    def facts(self) -> Facts:
        homes = {}
        for cell, connection in sorted(self._files.items()):
            with refusals(self._path(cell)):
                homes[cell] = connection.execute("SELECT count(*) FROM home").fetchone()[0]
        return Facts(self.where, self.identity, self.openings, self.now, homes)

    def finish(self) -> None:
        """The state is filled: from now on it can be opened."""
        self._put(_FILLING, None)

    def discard(self) -> None:
        """Close, and take every file of the state away."""
        self.close()
        for pattern in ("cell-*.sqlite*", f"{_ESTATE}*", _LOCK):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        while self._files:
            sqlite_file.close(self._files.popitem()[1], writing=self._writing)
        if self._estate is not None:
            sqlite_file.close(self._estate, writing=self._writing)
            self._estate = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "SqliteStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Inside

    def _fact(self, name: str) -> bytes | None:
        assert self._estate is not None
        with refusals(self._folder / _ESTATE):
            row = self._estate.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def _put(self, name: str, value: bytes | None) -> None:
        assert self._estate is not None
        with transaction(self._estate, self._folder / _ESTATE) as connection:
            if value is None:
                connection.execute("DELETE FROM fact WHERE name = ?", (name,))
            else:
                connection.execute(_STATE, (name, value))


def _own_folder(folder: Path, filling: int | None) -> None:
    """The folder, made if need be, closed to others. Anything in it that is no state keeps us out of it."""
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            sqlite_file.sync(folder.parent)
        names = {path.name for path in folder.iterdir()}
        state = _ESTATE in names
        if filling is not None and state:
            raise InputError(f"{folder}: holds a state already; name a new folder")
        if not state and names - {_LOCK, _ESTATE + ".new", _ESTATE + ".new-wal", _ESTATE + ".new-shm"}:
            raise InputError(f"{folder}: is neither empty nor a state; name a new or an empty folder")
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077:
            folder.chmod(mode & 0o700)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}; name a folder that you can write to") from error


def _take_lock(path: Path) -> int:
    """The lock, held until it is closed or the process ends."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; name a folder that you can write to") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(handle, 16, 0).decode("ascii", "replace").strip()
        os.close(handle)
        raise InputError(
            f"{path.parent}: is in use by process {holder or 'unknown'}; stop that one, or name another folder"
        ) from error
    with contextlib.suppress(OSError):  # on a full disk nobody is named, but the lock is held all the same
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
    return handle
