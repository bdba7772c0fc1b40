"""The journal: everything noted is hashed and counted; nothing is kept unless a sink asks.

Five million exchanges kept as objects would be gigabytes, so a Note becomes a few bytes (MessagePack: instant,
installation, party, kind, detail), the bytes go into a running BLAKE2b hash, its kind into a counter, and both are
gone. The hash is the run's memory: two runs with the same digest noted the same things, in the same order, at the
same instants. Notes are hashed in blocks, because one hash update a note would cost more than making its bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from emulator.kernel.effects import Instant, Note

_BLOCK: Final = 512
_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Entry:
    """One noted thing with its place: who (installation and party number), when, what."""

    at: Instant
    installation: int
    party: int
    kind: str
    detail: tuple[Any, ...]


Sink: TypeAlias = Callable[[Entry], None]


class Journal:
    """One cell's record. `sink`, when given, receives every entry as it is made."""

    __slots__ = ("_hash", "_notes", "_sinks", "counts")

    def __init__(self, sink: Sink | None = None) -> None:
        self._hash = blake2b(digest_size=32)
        self._notes: list[bytes] = []
        self._sinks: list[Sink] = [sink] if sink else []
        self.counts: dict[str, int] = {}

    def subscribe(self, sink: Sink) -> None:
        """Hand every later entry to `sink` too."""
        self._sinks.append(sink)

    def note(self, at: Instant, installation: int, party: int, note: Note) -> None:
        """Record one Note."""
        kind = note.kind
        counts = self.counts
        counts[kind] = counts.get(kind, 0) + 1
        notes = self._notes
        notes.append(_encode((at, installation, party, kind, note.detail)))
        if len(notes) >= _BLOCK:
            self._flush()
        for sink in self._sinks:
            sink(Entry(at, installation, int(party), kind, note.detail))

    def _flush(self) -> None:
        self._hash.update(b"".join(self._notes))
        self._notes.clear()

    def digest(self) -> str:
        """Hex digest (32 bytes) of all notes so far. Reading it changes nothing."""
        self._flush()
        return self._hash.hexdigest()


def combined_digest(digests: Iterable[str]) -> str:
    """The digest of a run: a hash over its cells' digests, in cell order."""
    total = blake2b(digest_size=32)
    for digest in digests:
        total.update(bytes.fromhex(digest))
    return total.hexdigest()
