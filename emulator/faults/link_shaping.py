"""Impairments of what a link can carry: bandwidth, queues, slots, sizes, budgets; and of what is inside a tunnel."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from emulator.faults.fault import Fault, Seconds
from emulator.faults.link_impairment import LinkImpairment, Milliseconds, Probability, address
from emulator.faults.wire import Way

_Bits = Annotated[float, Meta(ge=1, le=1e12, description="bits a second")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRate(LinkImpairment):
    """The link carries so many bits a second, behind a queue. A packet costs its bytes and `overhead_bytes`, in whole
    cells where `cell_bytes` says so; an idle link lets `burst_bytes` through at once. Over its limits the queue drops;
    between the thresholds packets are marked (with `ecn`, those that take part) or dropped, ever more of them."""

    name: ClassVar[str] = "link-rate"
    model: ClassVar[str] = "rate"
    example: ClassVar[dict[str, Any]] = {"where": "air", "bits_per_second": 20_000, "limit_packets": 20}

    bits_per_second: _Bits = 1_000_000
    burst_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="bytes that pass at once; 0: serialised")] = 0
    overhead_bytes: Annotated[int, Meta(ge=0, le=1_500, description="bytes a packet costs more")] = 0
    cell_bytes: Annotated[int, Meta(ge=0, le=65_535, description="bytes in a cell; 0: no cells")] = 0
    cell_overhead_bytes: Annotated[int, Meta(ge=0, le=1_500, description="bytes a cell costs more")] = 0
    limit_packets: Annotated[int, Meta(ge=0, le=1_000_000, description="packets that may wait; 0: no limit")] = 0
    limit_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="bytes that may wait; 0: no limit")] = 0
    mark_from_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="bytes from which some are marked")] = 0
    mark_full_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="bytes from which all are; 0: none")] = 0
    mark_most: Probability = 0.1
    ecn: bool = True

    def check(self) -> None:
        if self.mark_from_bytes > self.mark_full_bytes:
            raise ValueError("mark_from_bytes: above mark_full_bytes; lower it, or raise that")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSenderRate(LinkImpairment):
    """The sender's own interface takes so many bits a second and makes it wait: nothing is lost by that, whatever the
    link behind it carries (which is `link-rate`; put this one in force first)."""

    name: ClassVar[str] = "link-sender-rate"
    model: ClassVar[str] = "sender-rate"
    example: ClassVar[dict[str, Any]] = {"bits_per_second": 64_000, "way": "down"}

    bits_per_second: _Bits = 1_000_000
    overhead_bytes: Annotated[int, Meta(ge=0, le=1_500, description="bytes a packet costs more")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSlots(LinkImpairment):
    """Packets come out in bursts, as of a channel that is lent in turns: in slots from `slot_min_ms` to `slot_max_ms`
    apart, each of which lets `slot_packets` or `slot_bytes` through (0: no such limit)."""

    name: ClassVar[str] = "link-slots"
    model: ClassVar[str] = "slots"
    example: ClassVar[dict[str, Any]] = {"where": "air", "slot_min_ms": 200, "slot_max_ms": 900, "slot_packets": 2}

    slot_min_ms: Milliseconds = 20
    slot_max_ms: Milliseconds = 60
    slot_packets: Annotated[int, Meta(ge=0, le=1_000_000, description="packets a slot; 0: no limit")] = 4
    slot_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="bytes a slot; 0: no limit")] = 0

    def check(self) -> None:
        if self.slot_min_ms > self.slot_max_ms:
            raise ValueError("slot_min_ms: above slot_max_ms; lower it, or raise that")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMtu(LinkImpairment):
    """A hop carries packets of at most `mtu` bytes: others vanish (`black-hole`), vanish and are answered with ICMP by
    `router` (`too-big`), or are cut in pieces, whatever they say of that (`fragment`)."""

    name: ClassVar[str] = "link-mtu"
    model: ClassVar[str] = "mtu"
    example: ClassVar[dict[str, Any]] = {"mtu": 128, "policy": "too-big"}

    mtu: Annotated[int, Meta(ge=68, le=65_535, description="bytes of the outermost packet")] = 576
    policy: Literal["black-hole", "too-big", "fragment"] = "black-hole"
    router: str = "198.19.255.254"

    def check(self) -> None:
        address("router", self.router)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDown(LinkImpairment):
    """The link is down, one way or both: by a schedule for `down_s` of every `up_s` + `down_s` seconds, `phase_s` after
    the fault is in force; without `up_s` as long as it is. (The core link black both ways for once: link-outage.)"""

    name: ClassVar[str] = "link-down"
    model: ClassVar[str] = "down"
    example: ClassVar[dict[str, Any]] = {"way": "up", "down_s": 6, "up_s": 10}

    down_s: Seconds = 6
    up_s: Seconds = 0
    phase_s: Seconds = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDataLimit(LinkImpairment):
    """The link carries `limit_bytes`, or for `limit_s` from its first packet on, and then nothing for `pause_s` (0: for
    good); 0: no such limit. What comes then is lost (`cut`), or waits for the end of the pause (`hang`), as behind a
    process that was stopped."""

    name: ClassVar[str] = "link-data-limit"
    model: ClassVar[str] = "data-limit"
    example: ClassVar[dict[str, Any]] = {"where": "air", "limit_bytes": 250, "pause_s": 30, "action": "hang"}

    limit_bytes: Annotated[int, Meta(ge=0, le=1 << 40, description="bytes carried; 0: no limit")] = 0
    limit_s: Seconds = 0
    pause_s: Seconds = 0
    action: Literal["cut", "hang"] = "cut"

    def check(self) -> None:
        if self.action == "hang" and not self.pause_s:
            raise ValueError("pause_s: what hangs has to go on once; give seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEsp(LinkImpairment):
    """Packets of an ESP tunnel, bare or in UDP, come to harm: the one `back` packets earlier is replayed `lag_ms`
    later, the SPI or the sequence number is `by` more, or the integrity check value is wrong."""

    name: ClassVar[str] = "link-esp"
    model: ClassVar[str] = "esp"
    example: ClassVar[dict[str, Any]] = {"action": "replay", "probability": 0.1}

    where: Literal["core"] = "core"
    action: Literal["replay", "wrong-spi", "wrong-sequence", "bad-tag"] = "replay"
    probability: Probability = 0.05
    by: Annotated[int, Meta(ge=1, le=4_294_967_295, description="added to SPI or sequence number")] = 1
    back: Annotated[int, Meta(ge=0, le=10_000, description="packets back; 0: the packet itself")] = 0
    lag_ms: Milliseconds = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLabels(LinkImpairment):
    """Packets of a labelled path come to harm, all or those with `label` on top: the label is withdrawn, another one
    (`by` more), its TTL is 1, no entry says that it is the last, the path is down while IP passes, or the router
    before the last leaves `label` on."""

    name: ClassVar[str] = "link-labels"
    model: ClassVar[str] = "labels"
    example: ClassVar[dict[str, Any]] = {"action": "ttl-1", "probability": 0.2}

    where: Literal["core"] = "core"
    way: Way = "both"
    action: Literal["label-withdrawn", "wrong-label", "ttl-1", "missing-bottom", "lsp-down", "php-off"] = "wrong-label"
    probability: Probability = 1
    label: Annotated[int, Meta(ge=0, le=1_048_575, description="the label on top; none: any")] | None = None
    by: Annotated[int, Meta(ge=1, le=1_048_575, description="added to the label")] = 1

    def check(self) -> None:
        if self.action == "php-off" and self.label is None:
            raise ValueError("label: which one is left on has to be said")


FAULTS: tuple[type[Fault], ...] = (
    LinkRate,
    LinkSenderRate,
    LinkSlots,
    LinkMtu,
    LinkDown,
    LinkDataLimit,
    LinkEsp,
    LinkLabels,
)
