"""The column store: what goes in comes out, outside is refused, and a row stays small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.fleet.rows import ROW, Rows

BLOBS = st.lists(st.binary(max_size=300), min_size=1, max_size=40)


@given(st.integers(0, 2**40), BLOBS)
def test_rows_survive_a_dump(first: int, blobs: list[bytes]) -> None:
    """Blobs and columns are the same after dump and load, and so is the digest."""
    rows = Rows(first, len(blobs))
    for index, blob in enumerate(blobs):
        rows.store(first + index, blob)
        rows.begin(first + index, 1_000 + index)
        rows.finish(first + index, index % 4, index % 17, index, 2_000 + index)
    again = Rows.load(rows.dump())
    assert [again.row(first + index) for index in range(len(blobs))] == blobs
    assert [again.get(first + index) for index in range(len(blobs))] == [
        rows.get(first + index) for index in range(len(blobs))
    ]
    assert again.digest() == rows.digest()


@given(BLOBS, st.data())
def test_a_changed_row_changes_the_digest(blobs: list[bytes], data: st.DataObject) -> None:
    """No row can differ unnoticed."""
    rows = Rows(0, len(blobs))
    for index, blob in enumerate(blobs):
        rows.store(index, blob)
    before = rows.digest()
    which = data.draw(st.integers(0, len(blobs) - 1))
    rows.store(which, blobs[which] + b"\0")
    assert rows.digest() != before


@given(BLOBS, st.data())
def test_a_cut_dump_is_refused(blobs: list[bytes], data: st.DataObject) -> None:
    """Any part of a dump short of the whole, and any tail behind it, is refused."""
    rows = Rows(0, len(blobs))
    for index, blob in enumerate(blobs):
        rows.store(index, blob)
    dump = rows.dump()
    with pytest.raises(UsageError):
        Rows.load(dump[: data.draw(st.integers(0, len(dump) - 1))])
    with pytest.raises(UsageError):
        Rows.load(dump + b"\0")


def test_the_ledger_of_a_home() -> None:
    """Attempts are counted, exchanges add up, the first start stays, the last end counts."""
    rows = Rows(10, 3)
    assert rows.begin(11, 500) == 1
    rows.finish(11, 2, 5, 20, 600)
    assert rows.begin(11, 700) == 2
    rows.finish(11, 1, 0, 35, 900)
    rows.touch(11, 890)
    rows.audit(11, True)
    assert rows.get(11) == {
        "verdict": 1,
        "cause": 0,
        "attempts": 2,
        "audited": 1,
        "exchanges": 55,
        "switches": 0,
        "spare": 0,
        "started": 500,
        "finished": 900,
        "contact": 890,
    }
    assert rows.get(10) == dict.fromkeys(rows.get(10), 0)
    assert rows.tally("verdict") == {0: 2, 1: 1}
    assert rows.numbers("verdict", 0) == [10, 12]
    assert rows.columns()["exchanges"].tolist() == rows.column("exchanges").tolist() == [0, 55, 0]


def test_columns_sent_away_are_a_copy() -> None:
    """What a worker has sent does not change under the eyes of its reader."""
    rows = Rows(0, 2)
    sent = rows.columns()
    rows.finish(1, 1, 2, 3, 4)
    assert sent["verdict"].tolist() == [0, 0]
    assert rows.column("verdict").tolist() == [0, 1]


@pytest.mark.parametrize("number", [-1, 9, 13])
def test_a_stranger_does_not_sleep_here(number: int) -> None:
    """A number outside the cell is refused, not wrapped around."""
    rows = Rows(10, 3)
    with pytest.raises(UsageError):
        rows.row(number)
    with pytest.raises(UsageError):
        rows.store(number, b"x")


def test_a_sleeping_row_is_small() -> None:
    """Without deviations a home takes under 64 bytes; with 400 bytes of them, what those take and little more."""
    rows = Rows(0, 4_096)
    assert ROW.itemsize == 32
    assert rows.bytes_per_row() < 64
    for number in range(4_096):
        rows.store(number, number.to_bytes(4, "big") * 100)
    assert 400 < rows.bytes_per_row() < 500
