"""Writes native/include/sm_layout.h: where the fields of a packet's headers stand, from their definitions in
emulator/codecs.

A frame has one definition. C that reads or writes a field of one takes the place from here, so a definition that
changes moves the C with it. The header is committed, because building the core should need a compiler and nothing else;
run this after changing one of these definitions. A test regenerates the file and compares.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from construct import Const, Renamed, Transformed

from emulator.codecs import esp, ipv4, udp
from emulator.codecs.parts import BITS, InternetChecksum, Placeholder, Record, Rest, WholeLength

TARGET: Final = Path(__file__).resolve().parent / "include" / "sm_layout.h"
FRAMES: Final = {"IPV4": ipv4.DEFINITION, "UDP": udp.DEFINITION, "ESP": esp.DEFINITION}
PROTOCOLS: Final = {"UDP": udp.PROTOCOL, "ESP": esp.PROTOCOL}


def fields(record: Record) -> Iterator[tuple[str, int]]:
    """(name, value) of everything C may want of a fixed header: offsets in bytes, the header's length, constants.

    Of a group of bits: the group's offset, and of each member the shift and the mask it has after it.
    """
    at = 0
    for part in record.subcon.subcons:
        inner = part.subcon if isinstance(part, Renamed) else part
        match inner:
            case Rest():
                break
            case Const():
                yield "CONSTANT_AT", at
                yield "CONSTANT", inner.value
            case WholeLength():
                yield "LENGTH_AT", at
            case InternetChecksum():
                yield "CHECKSUM_AT", inner.at
            case Placeholder():
                pass  # belongs to the checksum
            case Transformed() if part.name == BITS:
                yield from _bits(inner, at)
            case _:
                yield f"{part.name.upper()}_AT", at
        at += inner.sizeof()
    yield "HEADER", at


def _bits(group: Any, at: int) -> Iterator[tuple[str, int]]:
    yield "BITS_AT", at
    shift = group.sizeof() * 8
    for member in group.subcon.subcons:
        shift -= member.subcon.length
        yield f"{member.name.upper()}_SHIFT", shift
        yield f"{member.name.upper()}_MASK", (1 << member.subcon.length) - 1


def generated() -> str:
    """The header file."""
    lines = [
        "/* Written by native/layout.py from the definitions in emulator/codecs; do not edit. Offsets are bytes. */",
        "#ifndef SM_LAYOUT_H",
        "#define SM_LAYOUT_H",
        "",
    ]
    for name, record in FRAMES.items():
        members = [f"    SM_{name}_{field} = {value}," for field, value in fields(record)]
        if name in PROTOCOLS:
            members.append(f"    SM_{name}_PROTOCOL = {PROTOCOLS[name]},")
        lines += ["enum {", *members[:-1], members[-1].rstrip(","), "};", ""]
    return "\n".join([*lines, "#endif", ""])


if __name__ == "__main__":
    TARGET.write_text(generated())
