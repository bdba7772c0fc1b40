"""Microseconds per parse and build of every frame, on each rung: `python bench/frames.py [--json FILE]`.

The best of several rounds is shown: everything that disturbs a round makes it slower and nothing makes it faster.
Not called `codecs.py`, because a script's folder comes first on the path and that name is the standard library's.
"""

import argparse
import json
import sys
from pathlib import Path
from timeit import repeat
from typing import Any

from emulator.codecs.axdr import DATA, array, double_long_unsigned, octet_string, structure, unsigned
from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.codec import RUNGS, Codec

MOMENT = bytes.fromhex("07E403020100001E00000000")


def day() -> bytes:
    """A day of half-hours as a profile's buffer has them: 48 rows of time, status, energy."""
    rows = (structure([octet_string(MOMENT), unsigned(0), double_long_unsigned(123_456 + n)]) for n in range(48))
    return DATA.build(array(rows))


def measure(codec: Codec[Any], data: bytes) -> dict[str, float]:
    """Microseconds by "rung parse" and "rung build"."""
    taken = {}
    for rung in RUNGS:
        parse, build = codec.functions(rung)
        value = parse(data)
        once = min(repeat(lambda: parse(data), number=1, repeat=3))  # noqa: B023 - used before the next turn
        number = max(1, min(20_000, int(0.01 / once)))
        for name, call in (("parse", lambda: parse(data)), ("build", lambda: build(value))):  # noqa: B023
            taken[f"{rung} {name}"] = round(min(repeat(call, number=number, repeat=7)) / number * 1e6, 3)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = {}
    for frame in CATALOGUE.values():
        for sample in frame.samples[:2]:
            table[f"{frame.name}: {sample.name} ({len(sample.data)} bytes)"] = measure(frame.codec, sample.data)
    table["data: a day of half-hours"] = measure(DATA, day())
    columns = [f"{rung} {way}" for rung in RUNGS for way in ("parse", "build")]
    sys.stdout.write(f"{'us a frame':62}{''.join(f'{column:>17}' for column in columns)}\n")
    for name, taken in table.items():
        sys.stdout.write(f"{name:62.62}{''.join(f'{taken[column]:17.2f}' for column in columns)}\n")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
