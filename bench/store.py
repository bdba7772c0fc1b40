"""What keeping a state costs: rows a second in batches, one home at a time, and opening a large estate's state.

    python bench/store.py [--to DIR-or-URL] [--homes N] [--json FILE]

Rows are as large as a re-keyed home with three devices in use. A folder is measured where it lies: on the disk whose
syncs are in question, and not in memory. Without `--to` it is a new folder in the current one, removed afterwards.
"""

import argparse
import json
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from emulator.crypto.keys import ContextStore
from emulator.fleet.estate import open_estate
from emulator.fleet.saved import Reservations, Saved
from emulator.fleet.store import StateStore, look, open_state

CELL = 4_096
BATCH = 1_000


def home(row: bytes) -> Saved:
    with ContextStore(3) as store:
        for index in range(3):
            store.load(index, ek=os.urandom(16), ak=os.urandom(16), title=b"ELS\0\0\0\0\1", peer=b"DCC\0\0\0\0\1",
                       kek=os.urandom(16))  # fmt: skip
        saved = Reservations().reserve(0, row, [store.export(index) for index in range(3)])
        assert saved is not None
        return saved


def reserving(rounds: int) -> float:
    """Seconds to ask whether a home has to be saved, and to hear that it has not."""
    ledger, row = Reservations(), bytes(300)
    with ContextStore(3) as store:
        for index in range(3):
            store.load(index, ek=bytes(16), ak=bytes(16), title=bytes(8), peer=bytes(8))
        saved = ledger.reserve(0, row, [store.export(index) for index in range(3)])
        assert saved is not None
        ledger.durable(0, saved)
        began = time.perf_counter()
        for _ in range(rounds):
            ledger.reserve(0, row, [store.export(index) for index in range(3)])
        return (time.perf_counter() - began) / rounds


def filling(store: StateStore, homes: int, saved: Saved) -> float:
    """Seconds to save so many homes, a thousand at a time."""
    began = time.perf_counter()
    for first in range(0, homes, BATCH):
        batch: dict[int, list[tuple[int, Saved]]] = {}
        for number in range(first, min(first + BATCH, homes)):
            batch.setdefault(number // CELL, []).append((number, saved))
        store.save(batch, first + 1)
    return time.perf_counter() - began


def single(store: StateStore, rounds: int) -> list[float]:
    """Seconds for each of so many saves of one home."""
    versions = [home(bytes([shade]) * 300) for shade in range(8)]
    found = []
    for turn in range(rounds):
        began = time.perf_counter()
        store.save({0: [(turn % CELL, versions[turn % 8])]}, 10**9 + turn)
        found.append(time.perf_counter() - began)
    return found


def measure(place: str, homes: int) -> dict[str, Any]:
    estate = open_estate("mds-cohort", installations=homes)
    store = open_state(place, estate)
    first = filling(store, homes, home(bytes(300)))
    again = filling(store, homes, home(bytes(range(100)) * 3))
    alone = sorted(single(store, 1_000))
    store.close()
    began = time.perf_counter()
    look(place).close()
    opened = time.perf_counter() - began
    return {
        "homes": homes,
        "rows_per_s_new": round(homes / first),
        "rows_per_s_again": round(homes / again),
        "single_ms_median": round(statistics.median(alone) * 1e3, 3),
        "single_ms_p99": round(alone[-len(alone) // 100] * 1e3, 3),
        "open_s": round(opened, 3),
        "reserve_us": round(reserving(10_000) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", help="a new folder, or a postgresql:// address without a state")
    parser.add_argument("--homes", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    place = chosen.to or f"bench-state.{os.getpid()}"
    try:
        found = measure(place, chosen.homes)
    finally:
        if not chosen.to:
            shutil.rmtree(place, ignore_errors=True)
    for name, value in found.items():
        print(f"{name:18} {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2), "utf-8")


if __name__ == "__main__":
    main()
