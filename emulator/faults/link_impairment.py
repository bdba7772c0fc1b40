"""Impairments of the ways to a home, as faults: what a network emulator offers, by its settings (`emulator.link` has
the models, and carries them out).

**One fault a model** and not one fault with a `kind`: so each has its own settings with ranges and units in every list,
form and help that is made from the classes, and a setting that its model does not have is refused by name.

`where` says on which way: the core link of a cell ("core": the packets of all homes as they leave the gateway, the
outermost IPv4 in front), the mobile bearer of each home ("air": COSEM wrapper frames), or its short messages ("sms",
with a loss and a delay of their own). `way` is one direction or both, each with a memory and luck of its own; different
settings for the two are two faults. Several at once are met in the order in which they were put in force. Fields common
to all faults choose which packets come to an impairment at all: of which homes, from when and for how long, with which
`chance`.

**Beside the faults of row F14 in `wire` and `link`.** Those are incidents on one home's bearer or the black link: each
meets a frame now and then, is told in the journal, and knows of streams and of attaching. These are the standing
properties of a link: they meet every packet, keep a memory (a queue, a burst), and may be on the core link, too. A
strike is a packet that came out otherwise than it went in; one that is only later is counted and not noted.

All of it is ASSUMED, as nothing is published of what this network did.
"""

from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta

from emulator.faults.fault import Fault, Point, Seconds
from emulator.faults.wire import Way

Where: TypeAlias = Literal["core", "air", "sms"]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="probability a packet")]
Correlation: TypeAlias = Annotated[float, Meta(ge=0, le=0.999, description="of a packet's number with the last one's")]
Milliseconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400_000, description="milliseconds of virtual time")]
Transition: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="probability of the passage, a packet")]

LINK: Final = frozenset({Point.LINK})


def refuse_device(fault: Fault) -> None:
    """A link knows homes and no devices. Raises ValueError."""
    if fault.device is not None:
        raise ValueError("device: a link carries for the whole home; leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkImpairment(Fault):
    """Root of the impairments. `way`: towards the hub ("down"), from it ("up"), or both; `where`: see above."""

    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = LINK
    model: ClassVar[str] = ""
    """The model that carries it out; it has the same settings."""
    not_the_models: ClassVar[frozenset[str]] = frozenset()
    """Own settings that are not handed to the model."""

    way: Way = "both"
    where: Where = "core"

    def __post_init__(self) -> None:
        refuse_device(self)
        self.check()

    def check(self) -> None:
        """Raises ValueError for settings that do not go together."""

    def arguments(self) -> dict[str, Any]:
        """The model's settings."""
        others = _COMMON | self.not_the_models
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in others}


_COMMON: Final = frozenset(each.name for each in fields(LinkImpairment))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDelay(LinkImpairment):
    """Packets are late by `delay_ms`, with a jitter: half the width of a uniform distribution, the standard deviation
    of the others; `table` is a file of a distribution's numbers (8192 is one jitter). With `keep_order` none overtakes
    another. On top of the link's own delay, or `instead` of it."""

    name: ClassVar[str] = "link-delay"
    model: ClassVar[str] = "delay"
    not_the_models: ClassVar[frozenset[str]] = frozenset({"instead"})
    files: ClassVar[frozenset[str]] = frozenset({"table"})
    example: ClassVar[dict[str, Any]] = {"where": "air", "delay_ms": 400, "jitter_ms": 80, "distribution": "pareto"}

    delay_ms: Milliseconds = 100
    jitter_ms: Milliseconds = 0
    distribution: Literal["uniform", "normal", "pareto", "pareto-normal", "table"] = "uniform"
    correlation: Correlation = 0
    keep_order: bool = True
    table: str | None = None
    instead: bool = False

    def check(self) -> None:
        if (self.distribution == "table") != (self.table is not None):
            raise ValueError('table: name its file, and distribution = "table", both or neither')
        self.arguments()

    def arguments(self) -> dict[str, Any]:
        # The one-argument form of `super` does not know a class that was made anew for its slots.
        table = () if self.table is None else read_distribution(self.table)
        return {**LinkImpairment.arguments(self), "table": table}


def read_distribution(path: str) -> tuple[float, ...]:
    """The numbers of a file, in order of size, as netem's `.dist` files have them; lines behind # do not count.
    Raises ValueError."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
        values = tuple(float(word) for line in lines for word in line.partition("#")[0].split())
    except OSError as error:
        raise ValueError(f"table: cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        raise ValueError(f"table: {path} holds something else than numbers") from None
    if not values or list(values) != sorted(values):
        raise ValueError(f"table: {path} has to hold numbers in order of size")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLoss(LinkImpairment):
    """Packets are lost with a probability; with a correlation in clusters, and as many of them."""

    name: ClassVar[str] = "link-loss"
    model: ClassVar[str] = "loss"
    example: ClassVar[dict[str, Any]] = {"where": "air", "probability": 0.02, "correlation": 0.25}

    probability: Probability = 0.01
    correlation: Correlation = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBurstLoss(LinkImpairment):
    """Packets are lost in bursts (Gilbert-Elliott): behind each packet the link passes from good to bad with `p` and
    back with `r`; a packet is lost with `loss_good` or `loss_bad`. A burst has 1/r packets on average."""

    name: ClassVar[str] = "link-burst-loss"
    model: ClassVar[str] = "burst-loss"
    example: ClassVar[dict[str, Any]] = {"where": "air", "p": 0.05, "r": 0.3}

    p: Transition = 0.01
    r: Transition = 0.5
    loss_bad: Probability = 1
    loss_good: Probability = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMarkovLoss(LinkImpairment):
    """Packets are lost as a chain of four states has it: 1 received, 2 received within a burst, 3 lost within a burst,
    4 lost alone (from which the next packet always returns to 1)."""

    name: ClassVar[str] = "link-markov-loss"
    model: ClassVar[str] = "markov-loss"
    example: ClassVar[dict[str, Any]] = {"p13": 0.05, "p31": 0.3, "p32": 0.2, "p23": 0.4, "p14": 0.01}

    p13: Transition = 0.01
    p31: Transition = 0.5
    p32: Transition = 0
    p23: Transition = 1
    p14: Transition = 0

    def check(self) -> None:
        for one, other in (("p13", "p14"), ("p31", "p32")):
            if getattr(self, one) + getattr(self, other) > 1:
                raise ValueError(f"{one}: together with {other} more than 1; lower one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNth(LinkImpairment):
    """Every so many packets one is lost: the last of them; 1 loses all. Counted for each link and direction."""

    name: ClassVar[str] = "link-nth"
    model: ClassVar[str] = "nth"
    example: ClassVar[dict[str, Any]] = {"every": 5}

    every: Annotated[int, Meta(ge=1, le=1_000_000, description="packets of which the last is lost")] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkList(LinkImpairment):
    """Exactly these packets are lost: by `ordinals` ("1, 3, 7-9"), counted from 1 for each link and direction since the
    fault is in force, or because they hold one of the byte strings of `contents` (hexadecimal, with commas)."""

    name: ClassVar[str] = "link-list"
    model: ClassVar[str] = "list"
    example: ClassVar[dict[str, Any]] = {"where": "air", "way": "up", "ordinals": "1, 3"}

    ordinals: str = ""
    contents: str = ""

    def check(self) -> None:
        self.arguments()

    def arguments(self) -> dict[str, Any]:
        contents = (part.strip() for part in self.contents.split(","))
        return {
            "ordinals": ordinals_of(self.ordinals),
            "contents": tuple(unhex("contents", part) for part in contents if part),
        }


_MOST_LISTED: Final = 100_000


def ordinals_of(text: str) -> frozenset[int]:
    """The numbers of "1, 3, 7-9". Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not first and not dash:
            continue
        if not first.isdecimal() or not (last if dash else first).isdecimal():
            raise ValueError(f"ordinals: {part.strip()[:32]!r} is no number and no range; write 1, 3, 7-9")
        low, high = int(first), int(last if dash else first)
        if not 1 <= low <= high or high - low + len(found) >= _MOST_LISTED:
            raise ValueError(
                f"ordinals: {part.strip()[:32]!r}; they begin at 1, rise, and are {_MOST_LISTED:,} at most"
            )
        found.update(range(low, high + 1))
    return frozenset(found)


def unhex(field: str, text: str) -> bytes:
    """The bytes that hexadecimal digits say. Raises ValueError."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{field}: {text[:32]!r} is not hexadecimal; write pairs of digits") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFilter(LinkImpairment):
    """Packets are lost that meet all conditions: IP protocol, networks, a port, an SPI, a label, one of the wrapper's
    ends (`sap`), an exchange type of IKE (36 is CREATE_CHILD_SA) and whether it is an answer, length, bytes."""

    name: ClassVar[str] = "link-filter"
    model: ClassVar[str] = "filter"
    example: ClassVar[dict[str, Any]] = {"way": "up", "ike_exchange": 36, "ike_response": True}

    protocol: Annotated[int, Meta(ge=0, le=255, description="IP protocol; 50 is ESP, 17 UDP")] | None = None
    source: str | None = None
    destination: str | None = None
    port: Annotated[int, Meta(ge=0, le=65_535, description="UDP port, of either end")] | None = None
    spi: Annotated[int, Meta(ge=0, le=4_294_967_295, description="SPI of ESP")] | None = None
    label: Annotated[int, Meta(ge=0, le=1_048_575, description="MPLS label, anywhere in the stack")] | None = None
    sap: Annotated[int, Meta(ge=0, le=65_535, description="of the COSEM wrapper, of either end")] | None = None
    ike_exchange: Annotated[int, Meta(ge=0, le=255, description="exchange type of IKE")] | None = None
    ike_response: bool | None = None
    longer_than: Annotated[int, Meta(ge=0, le=65_535, description="bytes")] | None = None
    shorter_than: Annotated[int, Meta(ge=0, le=65_535, description="bytes")] | None = None
    contains: str = ""

    def check(self) -> None:
        unhex("contains", self.contains)
        for field in ("source", "destination"):
            network = getattr(self, field)
            try:
                IPv4Network(network if network is not None else 0)
            except ValueError as error:
                raise ValueError(f"{field}: {error}; write 10.0.0.0/8 or one address") from None

    def arguments(self) -> dict[str, Any]:
        return {**LinkImpairment.arguments(self), "contains": unhex("contains", self.contains)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDuplicate(LinkImpairment):
    """Packets come more than once: `copies` further ones, `lag_ms` apart."""

    name: ClassVar[str] = "link-duplicate"
    model: ClassVar[str] = "duplicate"
    example: ClassVar[dict[str, Any]] = {"probability": 0.3, "lag_ms": 3}

    probability: Probability = 0.01
    copies: Annotated[int, Meta(ge=1, le=16, description="further copies")] = 1
    lag_ms: Milliseconds = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReorder(LinkImpairment):
    """Packets change places. `back`: a chosen one is held for `hold_ms` and overtaken; `ahead`: all are held and a
    chosen one is not, so that it overtakes up to `distance` others (0: all). Only the last of `gap` may be chosen."""

    name: ClassVar[str] = "link-reorder"
    model: ClassVar[str] = "reorder"
    example: ClassVar[dict[str, Any]] = {"probability": 0.25, "hold_ms": 40}

    probability: Probability = 0.05
    gap: Annotated[int, Meta(ge=1, le=1_000_000, description="packets of which one may be chosen")] = 1
    hold_ms: Milliseconds = 20
    move: Literal["back", "ahead"] = "back"
    distance: Annotated[int, Meta(ge=0, le=1_000, description="packets overtaken at most; 0: no limit")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCorrupt(LinkImpairment):
    """Bits of a share of packets are flipped, from byte `first` on. On the core link a tunnel's integrity check finds
    it, a checksum does in part, and labels do not look."""

    name: ClassVar[str] = "link-corrupt"
    model: ClassVar[str] = "corrupt"
    example: ClassVar[dict[str, Any]] = {"probability": 0.2, "bits": 1}

    probability: Probability = 0.01
    bits: Annotated[int, Meta(ge=1, le=1_024, description="bits flipped")] = 1
    first: Annotated[int, Meta(ge=0, le=65_535, description="first byte that may be hit")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBitErrors(LinkImpairment):
    """Of every megabyte that passes so many bits are flipped, or bytes replaced, wherever they are: long packets suffer
    more than short ones."""

    name: ClassVar[str] = "link-bit-errors"
    model: ClassVar[str] = "bit-errors"
    example: ClassVar[dict[str, Any]] = {"per_megabyte": 3_000}

    per_megabyte: Annotated[float, Meta(ge=0, le=1_048_576, description="damaged on average of 1 048 576 bytes")] = 100
    unit: Literal["bit", "byte"] = "bit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNat(LinkImpairment):
    """A NAT stands in the path, one for both directions, with one of the gateways behind it. It forgets a mapping that
    rests, and everything each `rebind_s` seconds (0: never). Bare ESP passes only with `esp`."""

    name: ClassVar[str] = "link-nat"
    model: ClassVar[str] = "nat"
    example: ClassVar[dict[str, Any]] = {"mapping_s": 30, "rebind_s": 600}

    way: Literal["both"] = "both"
    where: Literal["core"] = "core"
    behind: Literal["data-centre", "operator"] = "operator"
    public: str = "198.19.255.1"
    mapping_s: Annotated[float, Meta(ge=1, le=86_400, description="seconds a mapping may rest")] = 120
    filtering: Literal["any", "address", "address-and-port"] = "address-and-port"
    keep_port: bool = False
    esp: bool = False
    rebind_s: Seconds = 0

    def check(self) -> None:
        address("public", self.public)


def address(field: str, text: str) -> None:
    """Raises ValueError for what is no IPv4 address."""
    try:
        IPv4Address(text)
    except ValueError:
        raise ValueError(f"{field}: {text[:32]!r} is no IPv4 address; write four numbers with dots") from None


FAULTS: tuple[type[Fault], ...] = (
    LinkDelay,
    LinkLoss,
    LinkBurstLoss,
    LinkMarkovLoss,
    LinkNth,
    LinkList,
    LinkFilter,
    LinkDuplicate,
    LinkReorder,
    LinkCorrupt,
    LinkBitErrors,
    LinkNat,
)
