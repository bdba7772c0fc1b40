"""What is kept of one home, as a value and as bytes; and how far its send counters are spoken for.

A stored send counter is never the one in use: it is a *reservation* ahead of it. Every frame that left was sealed
below the reservation that was durable at the time, and whoever loads the home starts at the reservation, so no
(key, title, counter) comes twice, however the process ended. A frame that moves nothing but its send counter costs
no write as long as the reservation covers it.

All else is kept as it is: the devices' own bytes (relays, switches, tariffs, logs: the row), and for each security
context its keys, titles and the lowest received counter it accepts. Keys stand here in clear. They are test keys, and
whatever holds these bytes is made readable for its owner alone.

A home's bytes carry a digest over themselves and the home's number, so bytes that were bent, cut or put in another
home's place are found when they are read, and not when a meter behaves oddly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from emulator.crypto.layout import COUNTER_MAX, EXPORT_BYTES, FRESH, LINE
from emulator.errors import InputError, UsageError

BLOCK: Final = 256
"""Send counters reserved at a time."""

_DIGEST_BYTES: Final = 8
_TX: Final = 40
_FLAGS: Final = 50
_FIELDS: Final = LINE.unpack

_Packed: TypeAlias = tuple[bytes, bytes, list[bytes | None], list[int]]
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Packed).decode


@dataclass(frozen=True, slots=True)
class Saved:
    """One home. `machines` is its row; `contexts` are `ContextStore.export`s, None for one never loaded, the devices'
    in the order of `KEYED` and then whatever else the home's runner keeps; `reserved_tx`, one for each context, the
    send counter to go on from (0 for None), which stands in the context's own bytes too; `other` is the runner's own.
    """

    machines: bytes
    contexts: tuple[bytes | None, ...]
    reserved_tx: tuple[int, ...]
    other: bytes = b""

    def __repr__(self) -> str:
        return f"<saved home, {len(self.machines)} bytes, send counters from {self.reserved_tx}>"  # never a key

    def ahead(self, count: int) -> "Saved":
        """The same with `count` more send counters given up in every context; exhausted ones stay so."""
        raised = tuple(
            0 if raw is None else min(tx + count, COUNTER_MAX)
            for raw, tx in zip(self.contexts, self.reserved_tx, strict=True)
        )
        return replace(self, contexts=tuple(map(_at, self.contexts, raised)), reserved_tx=raised)

    def states(self) -> Iterator[dict[str, Any] | None]:
        """Every context without its keys: title, peer, send counter to go on from, lowest accepted one, epoch, whether
        it has a master key. None for one never loaded."""
        for raw in self.contexts:
            if raw is None:
                yield None
                continue
            _, _, title, tx, rx, _, _, flags, epoch, peer = _FIELDS(raw[: LINE.size])
            yield {"title": title, "peer": peer, "tx": tx, "rx": rx, "epoch": epoch, "master": bool(flags & 4)}


def pack(installation: int, saved: Saved) -> bytes:
    """The home's bytes for a store."""
    body = _ENCODE((saved.machines, saved.other, saved.contexts, saved.reserved_tx))
    return body + _digest(installation, body)


def unpack(installation: int, raw: bytes, where: str) -> Saved:
    """The home in `raw`. Raises InputError, which names `where`, for anything `pack` did not make for this home."""
    body = raw[:-_DIGEST_BYTES]
    if _digest(installation, body) != raw[-_DIGEST_BYTES:]:
        raise InputError(f"{where}: what is kept of installation {installation} is damaged; {CURE}")
    try:
        machines, other, contexts, reserved = _DECODE(body)
    except msgspec.DecodeError as error:
        raise InputError(f"{where}: what is kept of installation {installation} is not readable; {CURE}") from error
    if len(contexts) != len(reserved) or any(raw is not None and len(raw) != EXPORT_BYTES for raw in contexts):
        raise InputError(f"{where}: what is kept of installation {installation} is not readable; {CURE}")
    return Saved(machines, tuple(contexts), tuple(reserved), other)


CURE: Final = "nothing was changed; put a copy back (smets1 state import), or start anew elsewhere"


class Reservations:
    """Which homes have to be made durable before their next frame leaves.

    For each home it remembers what was last durable: a digest of all that must not be lost, and the reservations.
    `reserve` asks, the store saves, `durable` confirms; until then the old answer stands, so a save that failed is
    simply asked for again.
    """

    __slots__ = ("_kept", "block")

    def __init__(self, block: int = BLOCK) -> None:
        if block < 1:
            raise UsageError("send counters are reserved at least one at a time")
        self.block = block
        self._kept: dict[int, tuple[bytes, tuple[int, ...]]] = {}

    def reserve(
        self, installation: int, machines: bytes, contexts: Sequence[bytearray | None], other: bytes = b""
    ) -> Saved | None:
        """What to save of a home as it stands now; None when what is durable covers it and its frames may leave.

        `contexts` are fresh exports; they are wiped."""
        used = [int.from_bytes(raw[_TX : _TX + 4], "little") if raw is not None else 0 for raw in contexts]
        print_ = _fingerprint(machines, contexts, other)
        kept = self._kept.get(installation)
        held = kept[1] if kept is not None and len(kept[1]) == len(used) else ()
        if kept is not None and held and kept[0] == print_ and all(map(int.__le__, used, held)):
            _wipe(contexts)
            return None
        held = held or (0,) * len(used)
        reserved = tuple(map(self._ahead, contexts, used, held))
        exports = tuple(map(_at, contexts, reserved))
        _wipe(contexts)
        return Saved(machines, exports, reserved, other)

    def durable(self, installation: int, saved: Saved) -> None:
        """`saved` lies in the store now, or was just loaded from it."""
        self._kept[installation] = (
            _fingerprint(saved.machines, saved.contexts, saved.other),
            saved.reserved_tx,
        )

    def forget(self, installation: int) -> None:
        """Nothing of this home is in the store any more."""
        self._kept.pop(installation, None)

    def _ahead(self, raw: bytearray | None, used: int, held: int) -> int:
        """A new reservation, or the old one where it still reaches half a block ahead. One that reaches further than
        any block stems from before a new key, whose counters began anew."""
        if raw is None:
            return 0
        if used + self.block // 2 <= held <= used + self.block:
            return held
        return min(used + self.block, COUNTER_MAX)


def _at(raw: bytes | bytearray | None, tx: int) -> bytes | None:
    """An export that goes on at `tx`. It is no longer fresh: frames may be sealed below `tx` without another save."""
    if raw is None:
        return None
    line = bytearray(raw)
    line[_TX : _TX + 4] = tx.to_bytes(4, "little")
    line[_FLAGS] &= ~FRESH & 0xFF
    return bytes(line)


def _fingerprint(machines: bytes, contexts: Sequence[bytes | bytearray | None], other: bytes) -> bytes:
    """Equal for equal homes, whatever their send counters. 16 bytes."""
    digest = blake2b(machines, digest_size=16)
    digest.update(b"%d|%d|" % (len(machines), len(other)))
    digest.update(other)
    for raw in contexts:
        if raw is None:
            digest.update(b"-")
        else:
            digest.update(raw[:_TX])
            digest.update(raw[_TX + 4 : _FLAGS])
            digest.update(bytes((raw[_FLAGS] & ~FRESH & 0xFF,)))
            digest.update(raw[_FLAGS + 1 :])
    return digest.digest()


def _wipe(contexts: Sequence[bytearray | None]) -> None:
    for raw in contexts:
        if raw is not None:
            raw[:] = bytes(len(raw))


def _digest(installation: int, body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES, key=installation.to_bytes(8, "little")).digest()
