"""What the watch lets pass. All ASSUMED: no published document says where care ends."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Limits of the watch.

    `gap_most`: a counter may rise by so much at once (a head end that reserves blocks of counters skips some when it
    restarts). `protection`: security control bits that a supply-affecting command must carry (30h: authenticated and
    encrypted). `heating_moved_s`: switching times that move by less are not called moved; `clock_moved_s`: the same for
    a clock that is set to a worse time. `proof_s`: within so long keys that were transferred must be proven;
    `lock_s`: so long a change of keys that nobody proved shuts other head ends out.
    """

    gap_most: Annotated[int, Meta(ge=1, le=0xFFFF_FFFF, description="counters")] = 1_000_000
    protection: Annotated[int, Meta(ge=0, le=0x30)] = 0x30
    heating_moved_s: Annotated[int, Meta(ge=0, le=86_400, description="seconds")] = 60
    clock_moved_s: Annotated[int, Meta(ge=0, le=86_400, description="seconds")] = 60
    proof_s: Annotated[int, Meta(ge=1, le=31_536_000, description="seconds")] = 86_400
    lock_s: Annotated[int, Meta(ge=1, le=31_536_000, description="seconds")] = 3_600
