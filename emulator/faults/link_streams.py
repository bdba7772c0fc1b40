"""What befalls a client's TCP connection to a home of a served estate, apart from the datagrams behind it.

The emulated link carries datagrams; a stream there is only between an outsider and the served estate's own socket. So
this strikes connections, once each when they are made, and its milliseconds are of real time. A PDU of which the bearer
makes two pieces is `gprs-split`. In virtual time nobody has a connection, and it never strikes.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from msgspec import Meta

from emulator.faults.fault import Fault, Point
from emulator.faults.link_impairment import refuse_device

_Real: TypeAlias = Annotated[int, Meta(ge=0, le=60_000, description="milliseconds of real time")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStream(Fault):
    """A client's TCP connection is slow or torn: nothing of it is read for `open_ms` after it was made, it is closed
    `close_ms` late, it is reset (RST) when `reset_after_bytes` of answers are written, and what is written goes out in
    slices of `slice_bytes` (0: whole), `slice_gap_ms` apart."""

    name: ClassVar[str] = "link-stream"
    row: ClassVar[str] = "F14"
    points: ClassVar[frozenset[Point]] = frozenset({Point.STREAM})
    example: ClassVar[dict[str, Any]] = {"slice_bytes": 3, "slice_gap_ms": 10}

    open_ms: _Real = 0
    close_ms: _Real = 0
    reset_after_bytes: (
        Annotated[int, Meta(ge=0, le=1 << 30, description="bytes of answers; 0: at once; none: never")] | None
    ) = None
    slice_bytes: Annotated[int, Meta(ge=0, le=65_535, description="bytes in a slice; 0: no slices")] = 0
    slice_gap_ms: _Real = 0

    def __post_init__(self) -> None:
        refuse_device(self)


FAULTS: tuple[type[Fault], ...] = (LinkStream,)
