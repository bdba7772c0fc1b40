"""Rows of a table that a person made: whatever a spreadsheet, an export or an editor did to it, told by line.

It knows text files and nothing of homes: encodings, delimiters, quotes, cells that a spreadsheet would run as a
formula, cells of absurd size. Every mistake is collected with its line and column, so that one look is enough to mend
the file; only what makes the rest unreadable stops the reading.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.errors import InputError

FILE_MOST: Final = 1 << 30
LINE_MOST: Final = 1 << 16
CELL_MOST: Final = 200
ROWS_MOST: Final = 1_000_000

_DELIMITERS: Final = ",;\t"
_FORMULA: Final = tuple("=+-@")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in one place, with its cure. `column` is empty where the whole line is meant."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}{', ' if self.column else ''}{self.column}: {self.text}"


class MistakesError(InputError):
    """A table with mistakes: `mistakes` holds the first ones, `total` counts them all."""

    def __init__(self, file: Path, mistakes: list[Mistake], total: int) -> None:
        self.mistakes = mistakes
        self.total = total
        head = f"{file}: {total:,} mistake{'s' * (total > 1)}, nothing written"
        more = [f"and {total - len(mistakes):,} more"] if total > len(mistakes) else []
        super().__init__("\n  ".join([head, *map(str, mistakes), *more]))


class Mistakes:
    """Collects mistakes, and keeps the first `most` of them."""

    def __init__(self, file: Path, most: int) -> None:
        self._file = file
        self._most = most
        self._kept: list[Mistake] = []
        self.total = 0

    def add(self, line: int, column: str, text: str) -> None:
        """One more."""
        self.total += 1
        if len(self._kept) < self._most:
            self._kept.append(Mistake(line, column, text))

    def finish(self) -> None:
        """Raises MistakesError when there was any."""
        if self.total:
            raise MistakesError(self._file, sorted(self._kept, key=lambda each: each.line), self.total)


def table(file: Path, columns: dict[str, bool], mistakes: Mistakes) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column) of every row that can be read; `columns` says of each name whether it must be there.

    Raises InputError (or MistakesError, by way of `mistakes`) when nothing sensible can follow.
    """
    lines = _Lines(file, mistakes)
    first = next(iter(lines), None)
    if first is None or not first.strip():
        raise InputError(f"{file}: empty; put the column names into the first line (smets1 estate example-csv)")
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        names = _names(next(csv.reader([first], delimiter=delimiter), []), columns, mistakes)
    except csv.Error as error:
        raise InputError(f"{file}: line 1: {error}; put plain column names into the first line") from error
    mistakes.finish()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows = 0
    while True:
        begin = 2 + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            mistakes.add(
                begin, "", f"{error}; a quote opened here is not closed, or stands inside a cell; mend the quotes"
            )
            break
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        rows += 1
        if rows > ROWS_MOST:
            mistakes.add(begin, "", f"more than {ROWS_MOST:,} rows; split the list")
            break
        if len(cells) != len(names):
            mistakes.add(begin, "", f"{len(cells)} cells, the first line names {len(names)} columns; mend the line")
            continue
        values = {}
        sound = True
        for name, cell in zip(names, cells, strict=True):
            values[name] = cell.strip()
            objection = _objection(values[name])
            if objection:
                sound = False
                mistakes.add(begin, name, objection)
        if sound:
            yield begin, values


def _objection(cell: str) -> str | None:
    if len(cell) > CELL_MOST:
        return f"{len(cell):,} characters; a cell has at most {CELL_MOST}"
    if cell.startswith(_FORMULA):
        return f"begins with {cell[0]!r}, which a spreadsheet would run as a formula; give the plain value"
    if _CONTROL.search(cell):
        return "holds a control character or a line break; give plain text"
    return None


def _names(cells: list[str], columns: dict[str, bool], mistakes: Mistakes) -> list[str]:
    names = [cell.strip().lower().replace(" ", "_") for cell in cells]
    for at, name in enumerate(names):
        if name not in columns:
            shown = ascii(name[:40])
            mistakes.add(1, "", f"column {at + 1} is called {shown}; known are {', '.join(columns)}")
        elif name in names[:at]:
            mistakes.add(1, name, "stands twice; keep one")
    for name, needed in columns.items():
        if needed and name not in names:
            mistakes.add(1, name, "this column is missing; add it (smets1 estate example-csv shows all)")
    return names


class _Lines:
    """The lines of a file as text. Bytes that are not UTF-8 are a mistake of their line and no more."""

    def __init__(self, file: Path, mistakes: Mistakes) -> None:
        self._file = file
        self._mistakes = mistakes
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def _read(self) -> Iterator[str]:
        file = self._file
        try:
            if not file.is_file():
                raise InputError(f"{file}: no such file")
            if file.stat().st_size > FILE_MOST:
                raise InputError(f"{file}: {file.stat().st_size:,} bytes; at most {FILE_MOST:,}; split the list")
            with file.open("rb") as stream:
                for number, line in enumerate(iter(lambda: stream.readline(LINE_MOST + 1), b""), 1):
                    if len(line) > LINE_MOST:
                        raise InputError(f"{file}: line {number}: longer than {LINE_MOST:,} bytes; is this a CSV file?")
                    yield self._text(number, line)
        except OSError as error:
            raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error

    def _text(self, number: int, line: bytes) -> str:
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise InputError(f"{self._file}: UTF-16; save it as CSV UTF-8")
            if line.startswith(b"PK\x03\x04"):
                raise InputError(f"{self._file}: a spreadsheet or zip file; save it as CSV UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            self._mistakes.add(number, "", f"byte {error.start + 1} is not UTF-8; save the file as CSV UTF-8")
            return line.decode("latin-1")
