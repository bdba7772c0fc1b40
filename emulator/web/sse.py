"""The journal as server-sent events.

Each entry is an event with its number as id, so a reader that comes back with Last-Event-ID goes on where it was. The
stream keeps nothing for a reader but the number it has reached: a slow one holds up nobody, and what has fallen out of
the journal's ring in the meantime is told as an event `gap`, never passed over in silence.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec

from emulator.control.ring import Ring

BATCH: Final = 256
BEAT_S: Final = 15.0

_encode: Final = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader wants: entries after number `since` that fit, and `limit` of them (0: no end)."""

    since: int
    limit: int = 0
    kind: str | None = None
    installation: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """`missed` entries after number `after` are gone."""

    missed: int
    after: int


async def events(ring: Ring, asked: Asked, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """The stream, until it has given `limit` entries, its reader goes, or `closing` is set."""
    since, left = asked.since, asked.limit or 1 << 62
    news = asyncio.Event()
    ring.watchers.add(news.set)
    try:
        yield b"retry: 1000\n\n"
        while left and not closing.is_set():
            news.clear()
            missed = ring.missed(since)
            if missed:
                yield b"event: gap\nid: %d\ndata: %b\n\n" % (ring.first - 1, _encode(Gap(missed, since)))
                since = ring.first - 1
            found, until = ring.after(since, min(left, BATCH), asked.kind, asked.installation)
            if found:
                yield b"".join(b"id: %d\nevent: entry\ndata: %b\n\n" % (each.number, _encode(each)) for each in found)
                left -= len(found)
            since = max(since, until)
            if since < ring.last or not left:
                await asyncio.sleep(0)
                continue
            if not await _heard(news, closing):
                yield b": still here\n\n"
    finally:
        ring.watchers.discard(news.set)


async def _heard(news: asyncio.Event, closing: asyncio.Event) -> bool:
    """Wait for news or the end; False after a while without either."""
    waits = {asyncio.ensure_future(news.wait()), asyncio.ensure_future(closing.wait())}
    try:
        done, _ = await asyncio.wait(waits, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for each in waits:
            each.cancel()
