"""Labels with a meaning of their own, and what may differ from router to router.

The standards leave some of it open and routers use the room; the Linux kernel goes its own way in three places and is
still the best judge at hand, so each difference is a setting and `LINUX` is the whole of them.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

IPV4_EXPLICIT_NULL: Final = 0
ROUTER_ALERT: Final = 1
IPV6_EXPLICIT_NULL: Final = 2
IMPLICIT_NULL: Final = 3
"""Only ever advertised: it asks the neighbour to pop (RFC 3032 2.1)."""
FIRST_FREE: Final = 16
"""Labels below are reserved."""
HIGHEST: Final = (1 << 20) - 1

TtlModel: TypeAlias = Literal["uniform", "pipe"]
"""RFC 3443. uniform: every hop of the path shows in the customer's TTL. pipe: the path is one hop to the customer."""


@dataclass(frozen=True, slots=True)
class Habits:
    """One router's ways.

    `ttl`: `TtlModel`; ASSUMED uniform, the default of most routers. `pipe_ttl`: what a label starts with in the pipe
    model, 1 to 255. `keep_traffic_class`: kept on swap, and set from the IP precedence on impose (RFC 3270, RFC 5462;
    ASSUMED, routers let it be mapped); Linux writes 0. `inner_ttl`: popping a label over another copies the TTL into
    it, as the uniform model says (RFC 3443 section 3.1); Linux does not. `look_for_bottom`: a stack in which no entry
    says that it is the last is dropped at once (ASSUMED); Linux forwards it by its top label. `steps_are_hops`: to pop
    is a hop, in the pipe model too, where it then takes one from the customer's TTL, and so is a lookup in the global
    table after it (in a VRF it is not); so Linux, whose packet leaves one device and enters another in between, while
    RFC 3443 takes one in every router.
    """

    ttl: TtlModel = "uniform"
    pipe_ttl: int = 255
    keep_traffic_class: bool = True
    inner_ttl: bool = True
    look_for_bottom: bool = True
    steps_are_hops: bool = False


STANDARD: Final = Habits()
LINUX: Final = Habits(keep_traffic_class=False, inner_ttl=False, look_for_bottom=False, steps_are_hops=True)
"""Kernel 6.1 with `net.mpls.ip_ttl_propagate=1`; for 0 replace `ttl` by "pipe"."""
