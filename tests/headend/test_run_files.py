"""What a run writes beside its result: the journal in order of time, and samples of where the time went."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.fleet.journal_file import JournalPart, merge
from emulator.fleet.sampler import LAYERS, Sampler, shares
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party

START = 1_583_107_200_000_000


def write(folder: Path, cell: int, entries: list[Entry]) -> None:
    with JournalPart(str(folder), cell) as part:
        for entry in entries:
            part(entry)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_a_line_says_when_who_and_what(tmp_path: Path) -> None:
    """ISO time in UTC, the party by name, bytes as hex, tuples as lists."""
    write(tmp_path, 0, [Entry(START + 1_234_567, 7, int(Party.GAS), "a.kind", (1, "ä", b"\x0f\xff", (2, b"")))])
    assert merge(str(tmp_path), tmp_path / "out.jsonl") == 1
    assert read(tmp_path / "out.jsonl") == [
        {
            "at": "2020-03-02T00:00:01.234Z",
            "installation": 7,
            "party": "gas",
            "kind": "a.kind",
            "detail": [1, "ä", "0fff", [2, ""]],
        }
    ]


@given(st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=5))
def test_parts_merge_by_time_then_by_cell(tmp_path_factory: pytest.TempPathFactory, steps: list[list[int]]) -> None:
    """Within a cell the order stays; between cells time decides, and the lower cell at the same microsecond."""
    folder = tmp_path_factory.mktemp("journal")
    wanted = []
    for cell, delays in enumerate(steps):
        at, entries = START, []
        for place, delay in enumerate(delays):
            at += delay
            entries.append(Entry(at, cell, 0, "note", (place,)))
            wanted.append((at, cell, place))
        write(folder, cell, entries)
    target = folder / "all" / "run.jsonl"
    target.parent.mkdir()
    assert merge(str(folder), target) == len(wanted)
    assert [(line["installation"], line["detail"][0]) for line in read(target)] == [
        (cell, place) for _, cell, place in sorted(wanted)
    ]
    assert list(target.parent.iterdir()) == [target]  # no part of it is left


def test_more_than_ten_cells_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Cell 10 comes after cell 9, not after cell 1."""
    for cell in (10, 9, 1, 2):
        write(tmp_path, cell, [Entry(START, cell, 0, "note", ())])
    merge(str(tmp_path), tmp_path / "out")
    assert [line["installation"] for line in read(tmp_path / "out")] == [1, 2, 9, 10]


def test_a_journal_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A target that cannot be written leaves an older file as it was, and no rubbish."""
    write(tmp_path, 0, [Entry(START, 0, 0, "note", ())])
    with pytest.raises(OSError, match="No such file"):
        merge(str(tmp_path), tmp_path / "nowhere" / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        merge(str(tmp_path), tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.jsonl", "taken"]


def test_an_empty_run_is_an_empty_journal(tmp_path: Path) -> None:
    """No notes, no lines, and the file is there."""
    (tmp_path / "parts").mkdir()
    assert merge(str(tmp_path / "parts"), tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == b""


# Where the time goes


def test_samples_land_in_the_room_that_worked() -> None:
    """Work in the codecs counts for the codecs, also when C below them does it."""
    from emulator.codecs.axdr import DATA, array, unsigned

    value = array([unsigned(1)] * 200)
    sampler = Sampler()
    before = signal.getsignal(signal.SIGPROF)
    sampler.start()
    try:
        end = time.process_time() + 0.25
        while time.process_time() < end:
            DATA.parse(DATA.build(value))
    finally:
        sampler.stop()
        signal.signal(signal.SIGPROF, before)
    assert sum(sampler.samples.values()) > 10
    assert sampler.samples["codecs"] > sum(sampler.samples.values()) / 2
    assert set(sampler.samples) <= set(LAYERS)
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0


def test_shares_are_of_one_and_largest_first() -> None:
    """Every layer is named; nothing sampled is no division by zero."""
    found = shares({"dlms": 3, "codecs": 1})
    assert list(found.items())[:2] == [("dlms", 0.75), ("codecs", 0.25)]
    assert set(found) == set(LAYERS)
    assert sum(found.values()) == 1
    assert set(shares({}).values()) == {0.0}


@pytest.mark.parametrize(
    ("file", "layer"),
    [
        ("/x/emulator/kernel/world.py", "kernel"),
        ("/x/emulator/han/join.py", "link"),
        ("/x/devices/hub/model.py", "devices"),
        ("/x/emulator/dcc/audit.py", "headend"),
        ("/usr/lib/python3.11/heapq.py", "other"),
        ("/x/emulator/cli/migrate.py", "other"),
    ],
)
def test_files_stand_in_rooms(file: str, layer: str) -> None:
    """The table of rooms covers the house."""
    assert Sampler()._layer(file) == layer
