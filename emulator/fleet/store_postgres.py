"""A state on a PostgreSQL server: `postgresql://...` in place of a folder. Needs the extra `postgres` (psycopg).

One database holds one state, in the schema `smets1` with two tables: facts about the whole, and homes with their cell.
A batch is one transaction over all its cells, committed with `synchronous_commit=on`; what the server then makes of
the power going is its own business (`fsync`, and it is said aloud when that is off).

Alone: a session lock on the server, and a fence. The lock goes when the connection goes, so after an interruption
another process may have taken the state over; each transaction therefore checks that nobody opened it since, and a
process that was overtaken is told so and saves nothing. An interruption by itself is `NotSavedError`: the next save
connects anew, and a batch whose commit was cut in the middle is simply saved again.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from emulator.errors import InputError
from emulator.fleet.saved import Saved, pack, unpack
from emulator.fleet.store import FORMAT, Batch, Facts, Identity, NotSavedError
from emulator.kernel.effects import Instant

try:
    import psycopg
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise InputError(
        f"a postgresql:// address needs psycopg ({error}); pip install 'smets1-emulator[postgres]'"
    ) from error

_LOCK: Final = 0x534D455453310001
_IDENTITY: Final = "identity"
_OPENINGS: Final = "openings"
_FILLING: Final = "filling"
_VERSION: Final = "format"
_NOW: Final = "now"
_RUNNER: Final = "runner."

_SCHEMA: Final = """
CREATE SCHEMA smets1;
CREATE TABLE smets1.fact (name text PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE smets1.home (installation bigint PRIMARY KEY, cell integer NOT NULL, saved bytea NOT NULL);
CREATE INDEX home_by_cell ON smets1.home (cell, installation);
"""
_STATE: Final = (
    "INSERT INTO smets1.fact VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_PUT: Final = (
    "INSERT INTO smets1.home (installation, cell, saved) SELECT * FROM unnest(%s::bigint[], %s::int[], %s::bytea[]) "
    "ON CONFLICT (installation) DO UPDATE SET cell = excluded.cell, saved = excluded.saved"
)
_SETTINGS: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 10,
    "application_name": "smets1",
}
_TIMEOUTS: Final = (
    "SET synchronous_commit = on; SET statement_timeout = '30s'; SET lock_timeout = '500ms'; "
    "SET idle_in_transaction_session_timeout = '60s'"
)


class PostgresStore:
    """The state in the database at `url`, made when there is none, to be run by this process alone. Raises InputError.

    `filling`: make a new one, opened so many times elsewhere, that cannot be opened here before `finish`.
    """

    def __init__(self, url: str, identity: Identity, filling: int | None = None) -> None:
        self._prepare(url, writing=True)
        try:
            self._connect()
            with self._refusals():
                self._begin(identity, filling)
        except BaseException:
            self.close()
            raise

    @classmethod
    def look(cls, url: str) -> "PostgresStore":
        """An existing state, to read; another process may be running it. Raises InputError."""
        store = cls.__new__(cls)
        store._prepare(url, writing=False)
        try:
            store._connect()
            with store._refusals():
                if not store._exists():
                    raise InputError(f"{store.where}: no state lies there; name a database that a run was given")
                store._read()
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self, url: str, *, writing: bool) -> None:
        self._url = url
        self._writing = writing
        self._where = _shown(url)
        self._connection: psycopg.Connection[Any] | None = None
        self._openings = 0
        self._now: Instant = 0

    def _connect(self) -> "psycopg.Connection[Any]":
        """A session of our own, with the lock when we run the state."""
        with self._refusals():
            connection = psycopg.connect(self._url, autocommit=True, **self._defaults())
            self._connection = connection
            connection.execute(_TIMEOUTS)
            if self._writing:
                # A server needs a moment to see that a process is gone: hence a wait, if a short one.
                try:
                    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
                except psycopg.errors.LockNotAvailable:
                    self._locked_out(connection)
            return connection

    def _locked_out(self, connection: "psycopg.Connection[Any]") -> NoReturn:
        """Somebody else's session holds the lock; after an interruption it may be our own last one, not yet gone."""
        try:
            if self._openings:
                self._fence(connection)
                raise NotSavedError(f"{self.where}: the server still keeps the broken connection; it will give it up")
            raise InputError(f"{self.where}: is in use by another process; stop that one")
        finally:
            self._drop()

    def _defaults(self) -> dict[str, Any]:
        said = psycopg.conninfo.conninfo_to_dict(self._url)
        return {name: value for name, value in _SETTINGS.items() if name not in said}

    def _begin(self, identity: Identity, filling: int | None) -> None:
        connection = self._session()
        row = connection.execute("SHOW fsync").fetchone()
        if row is not None and row[0] == "off":
            logging.getLogger("emulator.fleet").warning(
                "%s: the server runs with fsync off; it may lose what it acknowledged when the power goes", self.where
            )
        with connection.transaction():
            exists = self._exists()
            if exists and filling is not None:
                raise InputError(f"{self.where}: holds a state already; name another database")
            if not exists:
                connection.execute(_SCHEMA)
                facts = {_VERSION: b"%d" % FORMAT, _IDENTITY: identity.encode(), _OPENINGS: b"%d" % (filling or 0)}
                for name, value in (facts | ({_FILLING: b"1"} if filling is not None else {})).items():
                    connection.execute(_STATE, (name, value))
            self._read(filling)
            identity.check(self.identity, self.where)
            self._openings += 1
            connection.execute(_STATE, (_OPENINGS, b"%d" % self._openings))

    def _exists(self) -> bool:
        row = self._session().execute("SELECT to_regclass('smets1.fact') IS NOT NULL").fetchone()
        return row is not None and bool(row[0])

    def _read(self, filling: int | None = None) -> None:
        rows = self._session().execute("SELECT name, value FROM smets1.fact").fetchall()
        facts = {name: bytes(value) for name, value in rows if not name.startswith(_RUNNER)}
        version = int(facts.get(_VERSION, b"0"))
        if version > FORMAT:
            raise InputError(
                f"{self.where}: was written by a newer version (format {version}, here {FORMAT}); use that one"
            )
        self._identity = Identity.decode(facts.get(_IDENTITY, b""), self.where)
        self._openings = int(facts.get(_OPENINGS, b"0"))
        self._now = int(facts.get(_NOW, b"0"))
        if filling is None and _FILLING in facts:
            raise InputError(
                f"{self.where}: an import into it was broken off; DROP SCHEMA smets1 CASCADE and import again"
            )

    # StateStore

    @property
    def where(self) -> str:
        return self._where

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
        query = "SELECT installation, saved FROM smets1.home WHERE cell = %s ORDER BY installation"
        for installation, raw in self._rows(query, (cell,)):
            yield installation, unpack(installation, bytes(raw), self.where)

    def load_home(self, cell: int, installation: int) -> Saved | None:
        query = "SELECT saved FROM smets1.home WHERE cell = %s AND installation = %s"
        for (raw,) in self._rows(query, (cell, installation)):
            return unpack(installation, bytes(raw), self.where)
        return None

    def save(self, batch: Batch, now: Instant = 0) -> None:
        gone = [number for homes in batch.values() for number, saved in homes if saved is None]
        # One row a home: the last word of a batch counts, and one statement may name a row once.
        kept = {number: (cell, saved) for cell, homes in batch.items() for number, saved in homes if saved is not None}
        with self._transaction() as connection:
            if gone:
                connection.execute("DELETE FROM smets1.home WHERE installation = ANY(%s)", (gone,))
            if kept:
                rows = [pack(number, saved) for number, (_, saved) in kept.items()]
                connection.execute(_PUT, (list(kept), [cell for cell, _ in kept.values()], rows), binary=True)
            if now > self._now:
                connection.execute(_STATE, (_NOW, b"%d" % now))
        self._now = max(self._now, now)

    def get(self, key: str) -> bytes | None:
        for (value,) in self._rows("SELECT value FROM smets1.fact WHERE name = %s", (_RUNNER + key,)):
            return bytes(value)
        return None

    def set(self, key: str, value: bytes | None) -> None:
        self._put(_RUNNER + key, value)

    def keys(self) -> list[str]:
        rows = self._rows("SELECT name FROM smets1.fact WHERE starts_with(name, %s) ORDER BY name", (_RUNNER,))
        return [name.removeprefix(_RUNNER) for (name,) in rows]

    def facts(self) -> Facts:
        rows = self._rows("SELECT cell, count(*) FROM smets1.home GROUP BY cell ORDER BY cell", ())
        return Facts(self.where, self.identity, self.openings, self.now, dict(rows))

    def finish(self) -> None:
        """The state is filled: from now on it can be opened."""
        self._put(_FILLING, None)

    def discard(self) -> None:
        """Take the whole state away, and close."""
        with suppress(NotSavedError), self._transaction() as connection:
            connection.execute("DROP SCHEMA smets1 CASCADE")
        self.close()

    def close(self) -> None:
        if self._connection is not None and self._writing:
            with suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._drop()

    def __enter__(self) -> "PostgresStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Inside

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._refusals():
            return self._session().execute(query, values).fetchall()

    def _put(self, name: str, value: bytes | None) -> None:
        with self._transaction() as connection:
            if value is None:
                connection.execute("DELETE FROM smets1.fact WHERE name = %s", (name,))
            else:
                connection.execute(_STATE, (name, value))

    @contextmanager
    def _transaction(self) -> "Iterator[psycopg.Connection[Any]]":
        """All or nothing, and only while nobody else has opened the state. Raises NotSavedError, InputError."""
        with self._refusals():
            connection = self._session()
            with connection.transaction():
                self._fence(connection)
                yield connection

    def _fence(self, connection: "psycopg.Connection[Any]") -> None:
        """Has nobody opened the state since we did? Raises InputError."""
        row = connection.execute(
            "SELECT value FROM smets1.fact WHERE name = %s FOR SHARE", (_OPENINGS,)
        ).fetchone()
        if row is None or int(bytes(row[0])) != self._openings:
            raise InputError(f"{self.where}: another process has taken this state over; stop this one")

    def _session(self) -> "psycopg.Connection[Any]":
        connection = self._connection
        return connection if connection is not None else self._connect()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """The server's errors as ours. A broken connection is given up; the next use makes a new one."""
        try:
            yield
        except psycopg.Error as error:
            if self._connection is not None and self._connection.broken:
                self._drop()
            raise self._refusal(error) from error

    def _refusal(self, error: "psycopg.Error") -> InputError:
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, psycopg.errors.DiskFull):
            return NotSavedError(f"{self.where}: the server's disk is full; make room, nothing saved before is lost")
        if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction):
            return InputError(f"{self.where}: may not be written by this user ({said}); nothing was changed")
        if isinstance(error, psycopg.OperationalError):
            return NotSavedError(f"{self.where}: {said}; nothing saved before is lost")
        return InputError(f"{self.where}: {said}; nothing was changed")


def _shown(url: str) -> str:
    """The address without its password and its settings."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or 'local'}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "postgresql address"
    return f"postgresql://{host}{parts.path}"
