"""A journal on disk: one JSON object a line, in order of time, whatever number of workers wrote it.

Each cell writes its own part while it runs; at the end the parts, each in order already, are merged into one file by
(instant, cell), which appears under its name only when it is whole. Bytes are written as hex.
"""

import heapq
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from emulator.kernel import time
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

_NAMES = {int(party): party.name.lower() for party in Party}


class JournalPart:
    """One cell's part: a sink for its journal. Close it before merging."""

    def __init__(self, folder: str, cell: int) -> None:
        self._file: TextIO = (Path(folder) / f"{cell:06d}.jsonl").open("w", encoding="utf-8")

    def __call__(self, entry: Entry) -> None:
        line = {
            "at": time.text(entry.at),
            "installation": entry.installation,
            "party": _NAMES.get(entry.party, str(entry.party)),
            "kind": entry.kind,
            "detail": [_plain(item) for item in entry.detail],
        }
        self._file.write(f"{entry.at} {json.dumps(line, separators=(',', ':'))}\n")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "JournalPart":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def merge(folder: str, target: Path) -> int:
    """Merge the parts in `folder` into `target`; how many entries there are. Raises OSError as the file system does."""
    parts = sorted(Path(folder).glob("*.jsonl"))
    beside = target.with_name(target.name + ".part")
    count = 0
    try:
        with beside.open("w", encoding="utf-8") as out:
            for _, _, line in heapq.merge(*(_entries(part, number) for number, part in enumerate(parts))):
                out.write(line)
                count += 1
            out.flush()
            os.fsync(out.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _entries(part: Path, number: int) -> Iterator[tuple[int, int, str]]:
    last = -1
    with part.open(encoding="utf-8") as lines:
        for line in lines:
            at, _, text = line.partition(" ")
            last = max(last, int(at))
            yield last, number, text


def _plain(item: Any) -> Any:
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, tuple):
        return [_plain(each) for each in item]
    return item
