"""An estate's state as one file, to be moved, kept or sent.

Integers are little-endian.

    "SMETS1ST"                      8 bytes
    version                         u16, now 1
    length, header                  u32, then JSON: identity (estate, seed, installations, recipe digest), now (virtual
                                    time, µs since 1970), openings (how often it was run), store_format, facts
                                    (name -> base64: what the runner keeps of the whole)
    home, any number of times:      cell u32 | installation u32 | length u32 | the home's bytes (`saved.pack`)
    end                             cell FFFFFFFF | count of homes u32 | 0 u32
    digest                          BLAKE2b, 32 bytes, over everything before

The file appears under its name when it is whole and on the disk, readable for its owner alone: test keys stand in it
in clear. It is checked altogether before anything of it is used.

A file is a moment. Where the original went on after it was written, counters in the file lie behind what was sent
since under the same keys; therefore `load` gives up a stretch of send counters and of openings (`AHEAD`), far more than
a device spends between an export and its import, unless told otherwise.
"""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import msgspec

from emulator.errors import InputError
from emulator.files import replacing
from emulator.fleet.saved import Saved, pack, unpack
from emulator.fleet.store import FORMAT, FillingStore, Identity, StateStore, fill
from emulator.kernel.effects import Instant

AHEAD: Final = 65_536
"""Send counters given up in every context when a file is loaded."""

_MAGIC: Final = b"SMETS1ST"
_VERSION: Final = 1
_START: Final = Struct("<8sHI")
_HOME: Final = Struct("<III")
_END: Final = 0xFFFF_FFFF
_DIGEST: Final = 32
_HEADER_MOST: Final = 16 << 20
_HOME_MOST: Final = 16 << 20
_PIECE: Final = 1 << 20
_BATCH: Final = 1_000


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    identity: Identity
    now: Instant
    openings: int
    store_format: int
    facts: dict[str, bytes]


def write(store: StateStore, file: Path) -> int:
    """Write a state to `file`, replacing it whole or not at all; how many homes. Raises InputError.

    The store may be in use: each home is whole, of one moment."""
    with replacing(file) as stream:
        return _write(store, stream)


def load(file: Path, target: str, ahead: int = AHEAD) -> tuple[int, Identity]:
    """Make the state at `target` (a folder or an address, holding none yet) from `file`; how many homes, whose.

    All or nothing: what an error or a crash leaves behind cannot be opened as a state. Raises InputError."""
    header = _check(file)
    store = fill(target, header.identity, header.openings + ahead)
    try:
        count = _fill(store, file, header, ahead)
    except BaseException:
        store.discard()
        raise
    store.close()
    return count, header.identity


def _write(store: StateStore, stream: BinaryIO) -> int:
    digest = blake2b(digest_size=_DIGEST)

    def put(piece: bytes) -> None:
        digest.update(piece)
        stream.write(piece)

    facts = {key: value for key in store.keys() if (value := store.get(key)) is not None}  # noqa: SIM118
    header = msgspec.json.encode(_Header(store.identity, store.now, store.openings, FORMAT, facts))
    put(_START.pack(_MAGIC, _VERSION, len(header)) + header)
    count = 0
    for cell in store.facts().homes:
        for installation, saved in store.load_cell(cell):
            raw = pack(installation, saved)
            put(_HOME.pack(cell, installation, len(raw)) + raw)
            count += 1
    put(_HOME.pack(_END, count, 0))
    stream.write(digest.digest())
    return count


def _check(file: Path) -> _Header:
    """Is the file whole? Its header."""
    try:
        with file.open("rb") as stream:
            left = os.fstat(stream.fileno()).st_size - _DIGEST
            digest = blake2b(digest_size=_DIGEST)
            header = _header(stream, file)
            stream.seek(0)
            while left > 0:
                piece = stream.read(min(_PIECE, left))
                if not piece:
                    break
                digest.update(piece)
                left -= len(piece)
            if stream.read(_DIGEST + 1) != digest.digest():
                raise _damaged(file)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error
    return header


def _header(stream: BinaryIO, file: Path) -> _Header:
    start = stream.read(_START.size)
    if len(start) != _START.size or start[:8] != _MAGIC:
        raise InputError(f"{file}: is no exported state; smets1 state export writes one")
    _, version, length = _START.unpack(start)
    if version > _VERSION:
        raise InputError(f"{file}: was written by a newer version (format {version}, here {_VERSION}); use that one")
    if length > _HEADER_MOST:
        raise _damaged(file)
    try:
        header = msgspec.json.decode(stream.read(length), type=_Header)
    except msgspec.MsgspecError as error:
        raise _damaged(file) from error
    if header.store_format > FORMAT:
        raise InputError(f"{file}: holds homes of a newer version (format {header.store_format}); use that one")
    return header


def _fill(store: FillingStore, file: Path, header: _Header, ahead: int) -> int:
    for key, value in header.facts.items():
        store.set(key, value)
    count = 0
    batch: dict[int, list[tuple[int, Saved | None]]] = {}
    for cell, installation, saved in _homes(file):
        batch.setdefault(cell, []).append((installation, saved.ahead(ahead)))
        count += 1
        if not count % _BATCH:
            store.save(batch, header.now)
            batch = {}
    store.save(batch, header.now)
    store.finish()
    return count


def _homes(file: Path) -> Iterator[tuple[int, int, Saved]]:
    with file.open("rb") as stream:
        _header(stream, file)
        count = 0
        while True:
            cell, installation, length = _HOME.unpack(stream.read(_HOME.size))
            if cell == _END:
                break
            if length > _HOME_MOST:
                raise _damaged(file)
            yield cell, installation, unpack(installation, stream.read(length), str(file))
            count += 1
        if count != installation:
            raise _damaged(file)


def _damaged(file: Path) -> InputError:
    return InputError(f"{file}: was cut or changed since it was exported; nothing was taken from it; export it again")
