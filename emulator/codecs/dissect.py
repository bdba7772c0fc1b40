"""The dissector: any frame of the catalogue as a tree of names, values and what they mean.

It walks the typed value a codec returns, so a new frame shows itself without a line here; what is added below are
meanings (`MEANINGS`), and which field carries which other frame (`carried`). A part that should be a frame and is none
becomes a node that says why: a dissector is used on broken frames most of all.

It holds no keys. Whoever has some passes an `Opener`; what that opens is dissected in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from emulator.codecs import names
from emulator.codecs.acse import AARE, AARQ
from emulator.codecs.action import ActionResponse, ActionResponseList, ActionResult, MethodRef
from emulator.codecs.axdr import Data, Tag
from emulator.codecs.catalogue import BY_TAG, CATALOGUE
from emulator.codecs.datum import CompactArray
from emulator.codecs.esp import ESP
from emulator.codecs.get import AttributeRef
from emulator.codecs.glo import DEDICATED, Ciphered, GeneralCiphered
from emulator.codecs.hdlc import HDLC, LLC_REQUEST, LLC_RESPONSE, SNRM, UA
from emulator.codecs.ike_payloads import NUMBERS, Unknown
from emulator.codecs.ipv4 import IPv4
from emulator.codecs.ldp import PORT as LDP_PORT
from emulator.codecs.ldp_tlvs import NUMBERS as LDP_NUMBERS
from emulator.codecs.ldp_tlvs import UnknownTLV
from emulator.codecs.meanings import HEX_WIDTHS, MEANINGS, text_of
from emulator.codecs.mpls import MPLS
from emulator.codecs.udp import UDP
from emulator.codecs.value import field_names
from emulator.codecs.wrapper import Wrapper, split
from emulator.errors import FrameError


@dataclass(slots=True)
class Node:
    """One line of the tree. `value` is the thing itself, `meaning` what it is called; either may be empty."""

    name: str
    value: str = ""
    meaning: str = ""
    children: list["Node"] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists and strings; empty parts left out."""
        made: dict[str, Any] = {"name": self.name}
        if self.value:
            made["value"] = self.value
        if self.meaning:
            made["meaning"] = self.meaning
        if self.children:
            made["children"] = [child.as_json() for child in self.children]
        return made


class NotOpenedError(Exception):
    """An opener has no key for this, or the keys it has do not open it. The text says which."""


@dataclass(slots=True)
class Opened:
    """Plaintext, and how it was opened, for people. `next_header` is what ESP says stands inside."""

    plaintext: bytes
    how: str
    next_header: int = 0


class Opener(Protocol):
    """Keys, seen from here. Both methods raise NotOpenedError."""

    def open_apdu(self, value: Ciphered | GeneralCiphered, title: bytes | None, dedicated: bool) -> Opened:
        """`title` is the sender's system title if the frames around this one named it."""
        ...

    def open_esp(self, value: ESP) -> Opened: ...


def recognise(data: bytes) -> list[str]:
    """Names of the frames these bytes may be, likeliest first. The last resort is always A-XDR data."""
    likely = []
    if len(data) >= 28 and data[17] >> 4 == 2 and int.from_bytes(data[24:28], "big") == len(data):
        likely.append("ike")
    if data[:1] == b"\x7e":
        likely.append("hdlc")
    if data[:1] == b"\x45":
        likely.append("ipv4")
    if data[:2] == b"\0\1":
        # An LDP PDU begins like a wrapper frame: the one whose length field tells the truth goes first.
        wrapped = int.from_bytes(data[6:8], "big") == len(data) - 8
        pdu = len(data) >= 10 and int.from_bytes(data[2:4], "big") == len(data) - 4
        likely += ["wrapper"] if not pdu else ["wrapper", "ldp"] if wrapped else ["ldp", "wrapper"]
    if data and data[0] in BY_TAG:
        likely.append(BY_TAG[data[0]].name)
    if len(data) > 24 and any(data[at + 2] & 1 and data[at + 4] == 0x45 for at in (0, 4)):
        likely.append("mpls")
    return [*likely, "data"]


def dissect(data: bytes, *, kind: str | None = None, opener: Opener | None = None) -> Node:
    """The tree of one frame (or of a stream of wrapper frames). `kind` is a catalogue name, or None to recognise it.

    Raises FrameError when the bytes are not that kind of frame, or none that is known; parts inside never raise.
    """
    if not data:
        raise FrameError("frame", "no bytes", 0)
    walk = _Walk(opener)
    first: FrameError | None = None
    candidates = recognise(data) if kind is None else [kind]
    for name in candidates:
        try:
            return walk.frame(name, data)
        except FrameError as error:
            first = first or error
            if name == "wrapper" and (stream := walk.stream(data)) is not None:
                return stream
    assert first is not None
    if candidates == ["data"]:
        raise FrameError("frame", f"{data[0]:02X} begins none that is known, and as data: {first.reason}", 0)
    raise first


_NAMED = frozenset({*NUMBERS, Unknown, *LDP_NUMBERS, UnknownTLV})
"""Parts of which several kinds may stand in one place: shown with their kind."""


class _Walk:
    """One dissection: the opener, and the system title the frames passed so far have named."""

    def __init__(self, opener: Opener | None) -> None:
        self.opener = opener
        self.title: bytes | None = None

    def frame(self, name: str, data: bytes) -> Node:
        line = CATALOGUE[name]
        value = line.codec.parse(data)
        if isinstance(value, Data):
            return self.datum("data", value)
        return Node(line.title, meaning=f"{len(data)} bytes", children=self.fields(value))

    def stream(self, data: bytes) -> Node | None:
        try:
            frames, rest = split(data)
        except FrameError:
            return None
        if not frames or (len(frames) < 2 and not rest):
            return None
        node = Node("stream of COSEM wrapper frames", meaning=f"{len(data)} bytes")
        node.children = [self.frame("wrapper", frame) for frame in frames]
        if rest:
            node.children.append(Node("rest", rest.hex().upper(), f"{len(rest)} bytes of a frame that is not whole"))
        return node

    def inside(self, name: str, data: bytes, kind: str | None = None) -> Node:
        """A frame in a field; bytes that are none keep their place and say why."""
        if not data:
            return Node(name, meaning="empty")
        if kind is None:
            if data[0] not in BY_TAG:
                return Node(name, data.hex().upper(), f"no APDU that is known begins with {data[0]:02X}")
            kind = BY_TAG[data[0]].name
        try:
            return Node(name, children=[self.frame(kind, data)])
        except FrameError as error:
            return Node(name, data.hex().upper(), str(error))

    def fields(self, value: Any) -> list[Node]:
        found = []
        if isinstance(value, AARQ):
            self.title = value.calling_title
        elif isinstance(value, AARE):
            self.title = value.responding_title
        for part in field_names(type(value)):
            held = getattr(value, part)
            if (carried := self.carried(value, part, held)) is not None:
                found.extend(carried)
            else:
                found.extend(self.shown(part.replace("_", " "), held, type(value), part, value))
        return found

    def shown(self, label: str, held: Any, owner: type, part: str, around: Any) -> Iterator[Node]:
        meaning = MEANINGS.get((owner, part))
        if held is None:
            return
        if isinstance(held, Data):
            yield self.datum(label, held)
        elif isinstance(held, tuple):
            yield Node(label, meaning=f"{len(held)}", children=list(self.members(held, owner, part)))
        elif isinstance(held, msgspec.Struct):
            kind = type(held).__name__ if type(held) in _NAMED else ""
            yield Node(label, meaning=kind, children=self.fields(held))
        elif isinstance(held, bytes):
            yield Node(label, held.hex().upper(), meaning(held) if meaning else "")
        elif isinstance(held, bool):
            yield Node(label, "yes" if held else "no")
        else:
            text = f"{held:0{HEX_WIDTHS[part]}X}h" if part in HEX_WIDTHS else str(held)
            yield Node(label, text, meaning(held) if meaning else self.more(part, held, around))

    def members(self, held: tuple[Any, ...], owner: type, part: str) -> Iterator[Node]:
        for n, item in enumerate(held, 1):
            if owner is ActionResponseList:
                result, returned = item
                yield Node(
                    str(n),
                    children=[
                        Node("result", str(result), names.enumerated(ActionResult, result)),
                        *self.shown("data", returned, ActionResponse, "data", None),
                    ],
                )
            else:
                yield from self.shown(str(n), item, owner, part, None)

    def more(self, part: str, held: Any, around: Any) -> str:
        """Meanings that need the field's neighbours, or hold for every frame."""
        if part == "invoke" and held < 256:
            return names.invoke(held)
        if isinstance(around, AttributeRef) and part == "attribute":
            return names.attribute(around.class_id, held)
        if isinstance(around, MethodRef) and part == "method":
            return names.method(around.class_id, held)
        return ""

    def carried(self, value: Any, part: str, held: Any) -> list[Node] | None:
        """The nodes of a field that carries another frame; None for a field that does not."""
        match value, part:
            case Wrapper(), "payload":
                return [self.inside("APDU", held)]
            case ((AARQ() | AARE()), "user_information") if held is not None:
                return [self.inside("user information", held)]
            case UDP(), "payload" if LDP_PORT in (value.source_port, value.destination_port):
                return [self.inside("payload", held, "ldp")]
            case UDP(), "payload" if value.destination_port == 6635:  # RFC 7510
                return [self.inside("payload", held, "mpls")]
            case UDP(), "payload" if held[:2] == b"\0\1":
                return [self.inside("payload", held, "wrapper")]
            case UDP(), "payload" if 500 in (value.source_port, value.destination_port):
                return [self.inside("payload", held, "ike")]
            case UDP(), "payload" if 4500 in (value.source_port, value.destination_port) and len(held) >= 4:  # RFC 3948
                ike = held[:4] == bytes(4)
                return [self.inside("payload", held[4:] if ike else held, "ike" if ike else "esp")]
            case IPv4(), "payload" if value.fragment_offset == 0 and not value.flags & 1:
                kind = {1: "icmp", 17: "udp", 50: "esp", 4: "ipv4", 137: "mpls"}.get(value.protocol)
                return [self.inside("payload", held, kind)] if kind else None
            case MPLS(), "payload" if held[:1] == b"\x45":
                return [self.inside("payload", held, "ipv4")]
            case HDLC(), "information":
                return self.information(value)
            case ESP(), "text":
                return [self.sealed_packet(value)]
            case ((Ciphered() | GeneralCiphered()), "text"):
                return [self.sealed_apdu(value)]
        return None

    def information(self, frame: HDLC) -> list[Node]:
        held = frame.information
        if not held:
            return []
        if frame.control in (SNRM, UA) and held[:2] == b"\x81\x80" and held[2:3] == bytes([len(held) - 3 & 0xFF]):
            return [Node("parameters", children=list(_parameters(held[3:])))]
        if held[:3] in (LLC_REQUEST, LLC_RESPONSE):
            way = "request" if held[:3] == LLC_REQUEST else "response"
            llc = Node("LLC", held[:3].hex().upper(), way)
            if frame.segmented:
                return [llc, Node("segment", held[3:].hex().upper(), "more segments follow")]
            return [llc, self.inside("APDU", held[3:])]
        return [Node("information", held.hex().upper())]

    def sealed_apdu(self, value: Ciphered | GeneralCiphered) -> Node:
        node = Node("text", value.text.hex().upper(), f"{len(value.text)} bytes")
        title = value.system_title if isinstance(value, GeneralCiphered) and value.system_title else self.title
        dedicated = isinstance(value, Ciphered) and value.tag in DEDICATED
        if not value.security_control & 0x30:
            node.children = [self.inside("plaintext", value.text)]
        elif self.opener is None and value.security_control & 0x30 == 0x10:
            node.children = [self.inside("plaintext, not checked", value.text[:-12])]
        elif self.opener is not None:
            try:
                opened = self.opener.open_apdu(value, title, dedicated)
            except NotOpenedError as error:
                node.children = [Node("not opened", meaning=str(error))]
            else:
                plain = self.inside("plaintext", opened.plaintext)
                plain.meaning = ", ".join(part for part in (plain.meaning, opened.how) if part)
                node.children = [plain]
        return node

    def sealed_packet(self, value: ESP) -> Node:
        node = Node("text", value.text.hex().upper(), f"{len(value.text)} bytes")
        if self.opener is not None:
            try:
                opened = self.opener.open_esp(value)
            except NotOpenedError as error:
                node.children = [Node("not opened", meaning=str(error))]
            else:
                kind = {1: "icmp", 4: "ipv4", 17: "udp"}.get(opened.next_header)
                carries = names.PROTOCOLS.get(opened.next_header, "")
                node.children = [Node("next header", str(opened.next_header), carries)]
                if kind is not None:
                    node.children.append(self.inside("plaintext", opened.plaintext, kind))
                else:
                    node.children.append(Node("plaintext", opened.plaintext.hex().upper()))
                node.children[-1].meaning = ", ".join(part for part in (node.children[-1].meaning, opened.how) if part)
        return node

    def datum(self, label: str, datum: Data) -> Node:
        tag, value = datum
        kind = Tag(tag).name.lower().replace("_", "-")
        if tag in (Tag.ARRAY, Tag.STRUCTURE):
            children = [self.datum(str(n), item) for n, item in enumerate(value, 1)]
            return Node(label, meaning=f"{kind} of {len(value)}", children=children)
        if isinstance(value, CompactArray):
            children = [self.datum(str(n), item) for n, item in enumerate(value.items, 1)]
            return Node(label, meaning=f"{kind} of {len(value.items)}", children=children)
        if value is None:
            return Node(label, meaning=kind)
        if isinstance(value, bytes):
            return Node(label, value.hex().upper(), ", ".join(part for part in (kind, _octets(tag, value)) if part))
        return Node(label, repr(value) if isinstance(value, str) and tag != Tag.BIT_STRING else str(value), kind)


def _octets(tag: int, value: bytes) -> str:
    """What an octet string may well be: a moment, a logical name, text."""
    if len(value) == 12 and (moment := names.date_time(value)):
        return moment
    if tag == Tag.OCTET_STRING and len(value) == 6 and value[5] in (0xFF, 0) and value[0] < 16:
        return names.obis(value)
    return text_of(value) if len(value) > 2 else ""


def _parameters(data: bytes) -> Iterator[Node]:
    """HDLC parameters of SNRM and UA: identifier, length, number (IEC 62056-46 6.4.4.4.3.2)."""
    at = 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        end = at + 2 + data[at + 1]
        yield Node(
            f"{data[at]:02X}",
            str(int.from_bytes(data[at + 2 : end], "big")),
            names.HDLC_PARAMETERS.get(data[at], ""),
        )
        at = end
    if at < len(data):
        yield Node("rest", data[at:].hex().upper())
