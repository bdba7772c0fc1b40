"""The journal: everything noted is hashed and counted; nothing is kept unless a sink asks.

Five million exchanges kept as objects would be gigabytes, so a Note becomes one line of text, the line goes into a
running BLAKE2b hash, its kind into a counter, and both are gone. The hash is the run's memory: two runs with the same
digest noted the same things, in the same order, at the same instants. Lines are hashed in blocks, because one hash
update a line would cost more than making the line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from emulator.kernel.effects import Instant, Note

_BLOCK: Final = 512


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

    __slots__ = ("_hash", "_lines", "_sinks", "counts")

    def __init__(self, sink: Sink | None = None) -> None:
        self._hash = blake2b(digest_size=32)
        self._lines: list[str] = []
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
        lines = self._lines
        lines.append(f"{at} {installation} {party:d} {kind} {note.detail}")
        if len(lines) >= _BLOCK:
            self._flush()
        for sink in self._sinks:
            sink(Entry(at, installation, int(party), kind, note.detail))

    def _flush(self) -> None:
        if self._lines:
            self._lines.append("")
            self._hash.update("\n".join(self._lines).encode())
            self._lines.clear()

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
