"""Where a cell's installations sleep: columns of numbers, and a few bytes for what deviates.

A home asleep is not an object. What every home has (how its migration stands) is a row of fixed columns, 32 bytes; what
only some have (registers written, switches held, a changed destination) is one opaque byte string that its devices
made and will read. Most homes deviate in little, so most strings are short. Keys and counters are not here: they live
in the context store, where they are counted and wiped.

Rows know nothing of what a verdict or a cause means: both are small numbers of the ledger's own tables.
"""

import sys
from collections.abc import Mapping
from hashlib import blake2b
from struct import Struct
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emulator.errors import UsageError
from emulator.kernel.effects import Instant

Column: TypeAlias = NDArray[Any]

ROW: Final = np.dtype(
    [
        ("verdict", "<u1"),
        ("cause", "<u1"),
        ("attempts", "<u1"),
        ("audited", "<u1"),
        ("exchanges", "<u2"),
        ("switches", "<u1"),
        ("spare", "<u1"),
        ("started", "<i8"),
        ("finished", "<i8"),
        ("contact", "<i8"),
    ]
)
"""One row, little-endian wherever it runs. `audited`: 0 not yet, 1 as the ledger says, 2 otherwise. `switches`: how
many auxiliary switches were seen to follow their times across a switching time. `exchanges` stands still at 65,535.
`started` is the first attempt, `contact` the last frame heard from the home, 0 for never."""

_HEAD: Final = Struct("<4sQQ")
_LENGTH: Final = Struct("<I")
_MAGIC: Final = b"ROW1"


class Rows:
    """The rows of installations `first` .. `first + count - 1`. A number outside raises UsageError."""

    __slots__ = ("_blobs", "_columns", "count", "first")

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self._columns = np.zeros(count, ROW)
        self._blobs: list[bytes] = [b""] * count

    def row(self, number: int) -> bytes:
        """What the home's devices stored; b"" when nothing deviates."""
        return self._blobs[self._at(number)]

    def store(self, number: int, blob: bytes) -> None:
        """Keep what the home's devices hand over on falling asleep."""
        self._blobs[self._at(number)] = blob

    def begin(self, number: int, now: Instant) -> int:
        """Count one more attempt (255 at most), and keep the instant of the first. Returns which one it is."""
        row = self._columns[self._at(number)]
        if not row["started"]:
            row["started"] = now
        attempts = min(int(row["attempts"]) + 1, 255)
        row["attempts"] = attempts
        return attempts

    def finish(
        self, number: int, verdict: int, cause: int, exchanges: int, now: Instant, *, switches: int = 0
    ) -> None:
        """Write the end of an attempt: verdict, cause, its exchanges on top of those before, switches followed."""
        row = self._columns[self._at(number)]
        row["verdict"] = verdict
        row["cause"] = cause
        row["exchanges"] = min(int(row["exchanges"]) + exchanges, 0xFFFF)
        row["switches"] = max(int(row["switches"]), switches)
        row["finished"] = now

    def touch(self, number: int, now: Instant) -> None:
        """The home was heard at `now`."""
        self._columns["contact"][self._at(number)] = now

    def forget(self, number: int) -> None:
        """The home's migration never began: its columns are as new. What its devices stored stays."""
        self._columns[self._at(number)] = np.zeros((), ROW)

    def audit(self, number: int, agrees: bool) -> None:
        """The audit has been there: does what it found agree with the verdict?"""
        self._columns["audited"][self._at(number)] = 1 if agrees else 2

    def get(self, number: int) -> Mapping[str, int]:
        """The columns of one row by name."""
        row = self._columns[self._at(number)]
        names = ROW.names
        assert names is not None
        return {name: int(row[name]) for name in names}

    def value(self, number: int, name: str) -> int:
        """One column of one row; `get` makes all ten, which takes ten times as long."""
        return int(self._columns[name][self._at(number)])

    def columns(self) -> Column:
        """All columns of the whole cell as an array of `ROW`, in the order of numbers: a copy, fit to be sent away."""
        return self._columns.copy()

    def ledger(self, number: int) -> bytes:
        """The columns of one row as bytes, for a store."""
        return bytes(self._columns[self._at(number)].tobytes())

    def recall_ledger(self, number: int, ledger: bytes) -> None:
        """Take back what `ledger` gave. Raises UsageError for another size."""
        if len(ledger) != ROW.itemsize:
            raise UsageError(f"{len(ledger)} bytes of columns; a row has {ROW.itemsize}")
        self._columns[self._at(number)] = np.frombuffer(ledger, ROW)[0]

    def put_columns(self, columns: Column) -> None:
        """Take back what `columns` gave. Raises UsageError for another cell's."""
        if columns.shape != self._columns.shape or columns.dtype != ROW:
            raise UsageError("these are not this cell's columns")
        self._columns[:] = columns

    def column(self, name: str) -> Column:
        """A column of the whole cell; a view, in the order of numbers."""
        column: Column = self._columns[name]
        return column

    def tally(self, name: str) -> dict[int, int]:
        """How many rows hold each value of a column, by rising value."""
        values, counts = np.unique(self._columns[name], return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True)}

    def numbers(self, name: str, value: int) -> list[int]:
        """The homes whose column holds a value, in order."""
        return [self.first + int(at) for at in np.flatnonzero(self._columns[name] == value)]

    def bytes_per_row(self) -> float:
        """Memory a sleeping home takes here, measured: columns, strings and the list that holds them."""
        strings = sum(sys.getsizeof(blob) for blob in self._blobs if blob)
        total = self._columns.nbytes + sys.getsizeof(self._blobs) + strings + sys.getsizeof(b"")
        return total / self.count if self.count else 0.0

    def digest(self) -> bytes:
        """16 bytes that stand for every row; the same on every machine."""
        return blake2b(self.dump(), digest_size=16).digest()

    def dump(self) -> bytes:
        """All rows as bytes, for a store or another process."""
        parts = [_HEAD.pack(_MAGIC, self.first, self.count), self._columns.tobytes()]
        for blob in self._blobs:
            parts.append(_LENGTH.pack(len(blob)))
            parts.append(blob)
        return b"".join(parts)

    @classmethod
    def load(cls, data: bytes) -> "Rows":
        """Rows from `dump`. Raises UsageError for anything else."""
        if len(data) < _HEAD.size or data[:4] != _MAGIC:
            raise UsageError("these bytes are no dump of rows")
        _, first, count = _HEAD.unpack_from(data)
        at = _HEAD.size + count * ROW.itemsize
        if at + count * _LENGTH.size > len(data):
            raise UsageError("a dump of rows was cut")
        rows = cls(first, count)
        rows._columns = np.frombuffer(data, ROW, count, _HEAD.size).copy()
        for index in range(count):
            if at + _LENGTH.size > len(data):
                raise UsageError("a dump of rows was cut")
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            rows._blobs[index] = data[at : at + length]
            at += length
        if at != len(data):
            raise UsageError("a dump of rows was cut or has more behind it")
        return rows

    def _at(self, number: int) -> int:
        at = number - self.first
        if not 0 <= at < self.count:
            raise UsageError(
                f"installation {number} does not sleep here; {self.first} to {self.first + self.count - 1} do"
            )
        return at
