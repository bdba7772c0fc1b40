"""A capture of the core link that anybody's tools can open, with the keys beside it. Only when asked for.

What is captured is what leaves a gateway, at the instant it leaves, also when the link then loses it; and what a
gateway refuses, at the instant it refuses it, with the reason as the packet's comment. The two gateways are the
capture's two interfaces. The format is pcapng with LINKTYPE_RAW: the outermost packet is IPv4 on every kind of link.

Cells run apart, in processes of their own, so every cell writes a part of its own in time order and holds no packet in
memory; `finish` merges the parts by time, then by cell, and renames. A capture therefore appears whole or not at all,
and its bytes depend on the run and not on the number of workers.

Where the gateways agree on keys by IKEv2 their messages are captured too: the set-up (at the instant of the cell's
first packet: it was there before), renewals, and what they say when one of them dies, up to the new tunnel. Questions
whether the other lives are there only around such a failure (see `tunnel_control`).

pcapng can carry keys of TLS, SSH, WireGuard and ZigBee in Decryption Secrets Blocks but none of ESP or IKE, so the keys
stand in `FILE.keys/`, which is a Wireshark configuration directory: named in WIRESHARK_CONFIG_DIR it opens the
capture decrypted, without an option. Its `esp_sa` (a line for every association there was) and
`ikev2_decryption_table` can also be copied into a profile of one's own. What Wireshark 4.0 cannot do the capture's
comment says: it does not open ChaCha20-Poly1305 in ESP, and with extended sequence numbers it opens the packets but
calls every ICV bad, as its table has no room for the upper half.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from shlex import quote
from struct import Struct
from typing import BinaryIO, Final

from emulator.errors import FrameError, InputError
from emulator.kernel.effects import Instant
from emulator.link.esp_spec import SaSpec, wireshark_line
from emulator.link.ike.keylog import KeyLog
from emulator.link.kinds import kind as kind_named
from emulator.link.profile import STANDARD, Direction, LinkProfile

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_PACKET: Final = 6
_LINKTYPE_RAW: Final = 101
_COMMENT: Final = 1
_NAME: Final = 2
_APPLICATION: Final = 4
_FLAGS: Final = 2
_INBOUND: Final = 1
_OUTBOUND: Final = 2
_IKE: Final = "ike"
_EARLY: Final = "set up before the run"
ESP_KEYS: Final = "esp_sa"
IKE_KEYS: Final = "ikev2_decryption_table"
"""Wireshark's names of the tables, which are those of their files."""

_GATEWAYS: Final = ("data centre", "operator")
_BUFFER: Final = 1 << 16
_BLOCK_MAX: Final = 1 << 20

_HEAD: Final = Struct("<II")
_TRAILER: Final = Struct("<I")
_EPB: Final = Struct("<IIIII")
_OPTION: Final = Struct("<HH")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, data: bytes) -> bytes:
    return _OPTION.pack(code, len(data)) + _padded(data)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return _HEAD.pack(kind, length) + body + _TRAILER.pack(length)


def _part(path: Path, cell: int) -> Path:
    return path.with_name(f".{path.name}.cell-{cell:06d}.part")


def _further(path: Path, cell: int, what: str) -> Path:
    """`what`: "ike", the gateways' own messages; or the name of a table of keys."""
    return path.with_name(f".{path.name}.cell-{cell:06d}.{what}.part")


class Tap:
    """One cell's part of the capture `path`. Packets must come in time order."""

    __slots__ = ("_cell", "_file", "_first", "_keys", "_messages", "_path", "_wide", "keylog", "packets")

    def __init__(self, path: Path, cell: int, *, wide: bool = False) -> None:
        """`wide`: keys are for packets between any addresses, as a NAT changes them. All methods raise InputError when
        the place cannot be written."""
        self._path = path
        self._cell = cell
        self._keys: list[str] = []
        self._wide = wide
        self._first: Instant | None = None
        self._messages: list[tuple[Instant, int, bytes, str]] = []
        self.keylog = KeyLog()
        """The secrets of the gateways' IKE SAs."""
        with _told(path):
            self._file: BinaryIO = _part(path, cell).open("wb", buffering=_BUFFER)
        self.packets = 0

    def sent(self, direction: Direction, packet: bytes, now: Instant, remark: str = "") -> None:
        """A packet leaves its gateway."""
        self._write(int(direction), _OUTBOUND, packet, now, remark)

    def refused(self, direction: Direction, packet: bytes, now: Instant, remark: str) -> None:
        """A packet is refused by the gateway at the other end."""
        self._write(1 - direction, _INBOUND, packet, now, remark)

    def agreed(self, source: int, destination: int, spec: SaSpec) -> None:
        """An association of the tunnel: what Wireshark opens its packets with, if it knows the suite."""
        line = wireshark_line(spec) if self._wide else wireshark_line(spec, dotted(source), dotted(destination))
        if line is not None:
            self._keys.append(f"{line}\n")

    def exchanged(self, direction: Direction, packet: bytes, at: Instant, remark: str) -> None:
        """A message of the gateways' own leaves; in any order. Those from before the run are put at its first packet.
        They are few, and kept until the end."""
        self._messages.append((at, int(direction), packet, remark))

    def close(self) -> None:
        """The cell is done. Closing twice is harmless."""
        with _told(self._path):
            self._file.close()
            _further(self._path, self._cell, ESP_KEYS).write_text("".join(self._keys), "utf-8")
            lines = "".join(f"{line}\n" for line in self.keylog.ike_lines)
            _further(self._path, self._cell, IKE_KEYS).write_text(lines, "utf-8")
            first = self._first or 0
            with _further(self._path, self._cell, _IKE).open("wb", buffering=_BUFFER) as file:
                early = [(first, way, packet, _EARLY) for at, way, packet, _ in self._messages if not at]
                later = [one for one in self._messages if one[0]]
                for at, way, packet, remark in sorted(early + later, key=lambda one: one[0]):
                    file.write(_enhanced(way, _OUTBOUND, packet, at, remark))

    def _write(self, interface: int, way: int, packet: bytes, now: Instant, remark: str) -> None:
        if self._first is None:
            self._first = now
        with _told(self._path):
            self._file.write(_enhanced(interface, way, packet, now, remark))
        self.packets += 1


def _enhanced(interface: int, way: int, packet: bytes, now: Instant, remark: str) -> bytes:
    """The block of a packet."""
    options = _option(_FLAGS, way.to_bytes(4, "little"))
    if remark:
        options = _option(_COMMENT, remark.encode()) + options
    head = _EPB.pack(interface, now >> 32, now & 0xFFFF_FFFF, len(packet), len(packet))
    return _block(_PACKET, head + _padded(packet) + options + bytes(4))


def finish(path: Path, kind: str, seed: int, cells: Sequence[int], profile: LinkProfile = STANDARD) -> int:
    """Make the capture `path` and its `path.keys/` of the parts of these cells; the number of packets.

    Keys come first, so that no capture ever stands without them. The parts are removed, also when it fails. Raises
    InputError when the place cannot be written, FrameError when a part is not what its cell wrote.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _told(path):
            _write_keys(path, cells)
            packets = _write_merged(path, temporary, _about(path, kind, seed, profile), cells)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        abandon(path, cells)
    return packets


def _write_keys(path: Path, cells: Sequence[int]) -> None:
    keys = keys_directory(path)
    keys.mkdir(exist_ok=True)
    _replace(keys / "preferences", _PREFERENCES.encode())
    for table in (ESP_KEYS, IKE_KEYS):
        parts = [_further(path, cell, table) for cell in sorted(cells)]
        _replace(keys / table, b"".join(part.read_bytes() for part in parts if part.exists()))


def _write_merged(path: Path, temporary: Path, about: str, cells: Sequence[int]) -> int:
    packets = 0
    files = [(part, cell) for cell in sorted(cells) for part in (_further(path, cell, _IKE), _part(path, cell))]
    parts = [_packets(part, cell) for part, cell in files]
    with temporary.open("wb", buffering=_BUFFER) as out:
        out.write(_preamble(about))
        for _at, _cell, block in merge(*parts, key=lambda item: item[:2]):
            out.write(block)
            packets += 1
    return packets


def abandon(path: Path, cells: Sequence[int]) -> None:
    """Remove the parts of these cells. Those that are not there are no error."""
    for cell in cells:
        _part(path, cell).unlink(missing_ok=True)
        for what in (ESP_KEYS, IKE_KEYS, _IKE):
            _further(path, cell, what).unlink(missing_ok=True)


def keys_directory(path: Path) -> Path:
    """Where the keys of a capture stand."""
    return path.with_name(path.name + ".keys")


def opening(path: Path) -> str:
    """The command that shows a capture decrypted; put `wireshark` for `tshark` to see it in windows."""
    return f"WIRESHARK_CONFIG_DIR={quote(str(keys_directory(path)))} tshark -r {quote(str(path))}"


def dotted(address: int) -> str:
    """An IPv4 address as people write it."""
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))


_PREFERENCES: Final = """\
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
ip.check_checksum: TRUE
udp.check_checksum: TRUE
"""


def _about(path: Path, name: str, seed: int, profile: LinkProfile) -> str:
    """What the capture is, how to open it, and what a reader will not see."""
    kind = kind_named(name)
    layers = "/".join(kind.layers)
    if kind.standby is not None:
        layers += f", or {'/'.join(kind_named(kind.standby).layers)}"
    said = f"core link, kind {name} ({layers}), seed {seed}; to open it: {opening(Path(path.name))}"
    tunnels = "ESP" in layers or (profile.cut_over is not None and profile.cut_over.to == "ipsec")
    if tunnels and not profile.suite.encryption.title:
        said += f"; Wireshark 4.0 does not open {profile.suite.encryption.name} in ESP: those packets stay closed"
    if tunnels and profile.suite.esn:
        said += "; its table has no room for extended sequence numbers: it opens the packets and calls each ICV bad"
    return said


def _preamble(comment: str) -> bytes:
    options = _option(_COMMENT, comment.encode()) + _option(_APPLICATION, b"smets1") + bytes(4)
    section = (0x1A2B3C4D).to_bytes(4, "little") + b"\x01\0\0\0" + b"\xff" * 8 + options
    blocks = [_block(_SECTION, section)]
    for gateway in _GATEWAYS:
        body = _LINKTYPE_RAW.to_bytes(4, "little") + bytes(4) + _option(_NAME, f"gateway at the {gateway}".encode())
        blocks.append(_block(_INTERFACE, body + bytes(4)))
    return b"".join(blocks)


def _packets(part: Path, cell: int) -> Iterator[tuple[Instant, int, bytes]]:
    """(instant, cell, block) of every packet of a part, one at a time."""
    with part.open("rb", buffering=_BUFFER) as file:
        while head := file.read(8):
            if len(head) < 8:
                raise FrameError("capture part", "cut short")
            kind, length = _HEAD.unpack(head)
            if kind != _PACKET or not 32 <= length <= _BLOCK_MAX:
                raise FrameError("capture part", f"a block of type {kind} with {length} bytes")
            rest = file.read(length - 8)
            if len(rest) < length - 8:
                raise FrameError("capture part", "cut short")
            _interface, high, low, _size, _original = _EPB.unpack_from(rest)
            yield high << 32 | low, cell, head + rest


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """A file system that says no is a person's affair, not a traceback."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write the capture {path}: {error.strerror or error}; name another place") from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
