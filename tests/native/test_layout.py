"""The offsets C works with are those of the definitions."""

import importlib.util
import re
from pathlib import Path

from construct import Bytes

from emulator.codecs import ipv4, udp
from emulator.codecs.parts import Record
from emulator.codecs.value import field_names

NATIVE = Path(__file__).resolve().parents[2] / "native"


def layout_script():
    """native/layout.py as a module."""
    spec = importlib.util.spec_from_file_location("native_layout", NATIVE / "layout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_header_is_fresh() -> None:
    """native/include/sm_layout.h is what native/layout.py makes of the definitions."""
    assert (NATIVE / "include" / "sm_layout.h").read_text() == layout_script().generated()


def test_a_field_is_where_a_frame_has_it() -> None:
    """Found another way: the last byte that changes in a built header when the field's lowest bit does."""
    script = layout_script()
    places = dict(script.fields(ipv4.DEFINITION))
    plain = dict.fromkeys(field_names(ipv4.IPv4), 0) | {"payload": b""}
    widths = {"service": 1, "identification": 2, "ttl": 1, "protocol": 1, "source": 4, "destination": 4}
    checksum = {places["CHECKSUM_AT"], places["CHECKSUM_AT"] + 1}
    for name, width in widths.items():
        without, with_one = (ipv4.IPV4_FRAME.build(ipv4.IPv4(**(plain | {name: value}))) for value in (0, 1))
        changed = {place for place in range(places["HEADER"]) if without[place] != with_one[place]}
        assert changed - checksum == {places[f"{name.upper()}_AT"] + width - 1}, name
        assert changed & checksum
    ports = dict(script.fields(udp.DEFINITION))
    datagram = udp.UDP_FRAME.build(udp.UDP(0x0102, 0x0304, 0x0506, b""))
    wanted = {"SOURCE_PORT_AT": 0x0102, "DESTINATION_PORT_AT": 0x0304, "LENGTH_AT": 8, "CHECKSUM_AT": 0x0506}
    for name, value in wanted.items():
        assert datagram[ports[name] : ports[name] + 2] == value.to_bytes(2, "big")


def test_a_definition_that_moves_moves_the_header() -> None:
    """Two bytes put into IPv4 and every offset behind them is another."""
    script = layout_script()
    parts = ipv4.DEFINITION.subcon.subcons
    moved = Record(ipv4.IPv4, *parts[:2], "extra" / Bytes(2), *parts[2:])
    before, after = dict(script.fields(ipv4.DEFINITION)), dict(script.fields(moved))
    assert after["LENGTH_AT"] == before["LENGTH_AT"] + 2
    assert after["SOURCE_AT"] == before["SOURCE_AT"] + 2
    assert after["HEADER"] == before["HEADER"] + 2


def test_no_source_of_the_tunnel_writes_an_offset_by_hand() -> None:
    """tunnel.c names every place in a header: no bare number stands behind a pointer or in brackets."""
    text = re.sub(r"/\*.*?\*/", "", (NATIVE / "src" / "tunnel.c").read_text(), flags=re.DOTALL)
    outside_sum = text[text.index("int sm_tunnel_set") :]
    assert not re.findall(r"(?:\bip|\budp|\bouter|\binner|\bpacket|\bsealed|\bout)(?:\[| \+ )\d", outside_sum)
