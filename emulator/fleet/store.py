"""Where an estate's state lies between two runs, and what every such place promises.

A store keeps homes by cell and number, as `Saved` values, and a few facts about the whole. It knows nothing of meters.
Two places exist: a folder of SQLite files (`store_sqlite`) and a PostgreSQL server (`store_postgres`); `open_state`
takes either by name, so no caller asks which.

Promises, the same for both:

- *Durable.* What was given to `save` survives the end of the process and of the power when `save` has returned. A
  shell lets no byte leave before that.
- *Whole.* One cell's part of a batch is there altogether or not at all. After `NotSavedError` a batch is saved again
  as it is; saving twice is harmless, and the cause may go away meanwhile (a full disk, a server that restarts).
- *Alone.* One process at a time runs a state. A second one is told so. Looking (`look`) is always possible.
- *Its own.* A state belongs to one estate: name, seed, homes and recipe are compared when it is opened.
- *Nothing lost.* What cannot be opened is left as it is, with one message that says what is wrong and what to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import msgspec

from emulator.errors import InputError
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Saved
from emulator.kernel.effects import Instant

FORMAT: Final = 1
"""Version of what lies in a store; a newer one is refused, an older one would be brought up to date here."""

Batch: TypeAlias = Mapping[int, Sequence[tuple[int, Saved | None]]]
"""Cell -> homes with what to keep of them; None: nothing any more."""


class NotSavedError(InputError):
    """Nothing, or not every cell, became durable, for a cause that may go away. Save the same batch again before any
    byte of it leaves."""


class Identity(msgspec.Struct, frozen=True):
    """Which estate a state belongs to. `recipe` is `Estate.digest()`."""

    estate: str
    seed: int
    installations: int
    recipe: str

    @classmethod
    def of(cls, estate: Estate) -> "Identity":
        return cls(estate.name, estate.seed, estate.installations, estate.digest())

    def check(self, found: "Identity", where: str) -> None:
        """Raises InputError when the state `found` at `where` is another estate's."""
        if found == self:
            return
        if found.estate != self.estate:
            what = f"holds estate {found.estate}, not {self.estate}"
        elif found.seed != self.seed:
            what = f"holds estate {found.estate} under seed {found.seed}, not {self.seed}"
        elif found.installations != self.installations:
            what = f"holds {found.installations} homes of estate {found.estate}, not {self.installations}"
        else:
            what = f"holds estate {found.estate} as an earlier recipe or list had it"
        raise InputError(f"{where}: {what}; name what it was made with, or another place for the state")

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes, where: str) -> "Identity":
        """Raises InputError."""
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise InputError(f"{where}: does not say which estate it holds ({error}); is it a state?") from error


@dataclass(frozen=True, slots=True)
class Facts:
    """A state at a glance. `homes` kept, by cell; `now` virtual time of the last save, 0 before the first."""

    where: str
    identity: Identity
    openings: int
    now: Instant
    homes: Mapping[int, int]


class StateStore(Protocol):
    """A state. Not for two threads at once, but not bound to the one that opened it."""

    @property
    def where(self) -> str:
        """Its name for messages; never a password."""
        ...

    @property
    def identity(self) -> Identity: ...

    @property
    def openings(self) -> int:
        """How often this state was opened to be run, this time included. Durable, so whatever must never come twice
        and is not kept (a tunnel's keys, a challenge) can be derived from it."""
        ...

    @property
    def now(self) -> Instant:
        """Virtual time of the last save; 0 before the first. Whoever goes on, goes on from there or later."""
        ...

    def load_cell(self, cell: int) -> Iterable[tuple[int, Saved]]:
        """The homes kept of a cell, by rising number. Raises InputError for one that is damaged."""
        ...

    def load_home(self, cell: int, installation: int) -> Saved | None:
        """One home; None: nothing deviates from its recipe. Raises InputError."""
        ...

    def save(self, batch: Batch, now: Instant = 0) -> None:
        """Make homes durable, and that it is `now` (which never goes back). Raises NotSavedError."""
        ...

    def get(self, key: str) -> bytes | None:
        """A fact that the runner keeps about the whole."""
        ...

    def set(self, key: str, value: bytes | None) -> None:
        """Keep such a fact, durably; None forgets it. Raises NotSavedError."""
        ...

    def keys(self) -> list[str]:
        """The facts there are."""
        ...

    def facts(self) -> Facts: ...

    def close(self) -> None:
        """Give it back. Closing twice is harmless."""
        ...


class FillingStore(StateStore, Protocol):
    """A state that is being filled from a file and cannot be opened until `finish`."""

    def finish(self) -> None: ...

    def discard(self) -> None:
        """Take away all that was put in, and close."""
        ...


def is_url(target: str) -> bool:
    """Does the name of a state mean a database server?"""
    return target.startswith(("postgresql://", "postgres://"))


def open_state(target: str, estate: Estate) -> StateStore:
    """The state in a folder (made when there is none) or at a `postgresql://` address, to be run. Raises InputError."""
    return _make(target, Identity.of(estate))


def look(target: str) -> StateStore:
    """An existing state, to be read only, whoever runs it meanwhile. Raises InputError."""
    if is_url(target):
        from emulator.fleet.store_postgres import PostgresStore

        return PostgresStore.look(target)
    from emulator.fleet.store_sqlite import SqliteStore

    return SqliteStore.look(target)


def fill(target: str, identity: Identity, openings: int) -> FillingStore:
    """A new state to be filled; there must be none yet. It counts as opened `openings` times. Raises InputError."""
    return _make(target, identity, openings)


def _make(target: str, identity: Identity, filling: int | None = None) -> FillingStore:
    if is_url(target):
        from emulator.fleet.store_postgres import PostgresStore

        return PostgresStore(target, identity, filling)
    from emulator.fleet.store_sqlite import SqliteStore

    return SqliteStore(target, identity, filling)
