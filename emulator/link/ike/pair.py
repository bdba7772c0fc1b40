"""A cell's tunnel, negotiated: both gateways run IKEv2 against each other in memory and hand out the SAs they agreed
on.

Every key of it comes from the run's seed and the cell, as with the static pair of `link/sad.py`: test keys by
construction, the same in every run and on any number of workers.
"""

from typing import NamedTuple

from emulator.codecs.ike_payloads import Selector
from emulator.crypto import derive
from emulator.kernel.effects import Instant
from emulator.link.ike.effects import Address, Negotiated
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.memory import Memory
from emulator.link.ike.peer import IKE_PORT, IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Secret, Timers
from emulator.link.profile import LinkProfile

CONNECTION = "core"
CHILD = "hubs"
DATA_CENTRE = "data-centre"
OPERATOR = "operator"


class VirtualPair(NamedTuple):
    """Both ends' view of one tunnel. What `down` seals outbound, `up` opens inbound."""

    down: Negotiated
    """At the data centre's gateway, which set it up."""
    up: Negotiated
    """At the operator's gateway."""


def _range(first: int, last: int) -> tuple[Selector, ...]:
    return (Selector(7, 0, 0, 65_535, first.to_bytes(4, "big"), last.to_bytes(4, "big")),)


def gateways(
    seed: int,
    cell: int,
    profile: LinkProfile,
    *,
    timers: Timers | None = None,
    proposals: tuple[str, ...] = ("aes128gcm16-prfsha256-x25519",),
    esp: tuple[str, ...] = ("aes128gcm16-noesn",),
    encap: bool = False,
    keylog: KeyLog | None = None,
) -> tuple[IkePeer, IkePeer]:
    """The data centre's and the operator's gateway of a cell, not yet connected. `encap`: ESP in UDP.

    ASSUMED: a pre-shared key per tunnel; the suites; everything a hub sends goes to the head end.
    """
    secret = Secret(b"".join(derive.keys(str(seed).encode(), 2, "link.ike.psk", cell)))
    head, hubs = (
        _range(profile.head_end, profile.head_end),
        _range(profile.hub_base, profile.hub_base + profile.hub_span - 1),
    )
    names = (Identity.of(f"gateway-{cell}.data-centre.example"), Identity.of(f"gateway-{cell}.operator.example"))
    places = (Address(profile.gateway_down + cell, IKE_PORT), Address(profile.gateway_up + cell, IKE_PORT))
    made = []
    for end, name in enumerate((DATA_CENTRE, OPERATOR)):
        other = 1 - end
        local, remote = (head, hubs) if end == 0 else (hubs, head)
        connection = Connection(
            CONNECTION,
            names[end],
            (Child(CHILD, local, remote, esp),),
            names[other],
            places[other],
            secret,
            proposals=proposals,
            timers=timers or Timers(),
            keep=end == 0,
            force_encap=encap,
        )
        stream = b"".join(derive.keys(str(seed).encode(), 4, "link.ike.seed", cell, name))
        made.append(IkePeer(name, (connection,), stream, places[end], keylog=keylog))
    return made[0], made[1]


def virtual_pair(
    seed: int, cell: int, profile: LinkProfile, *, now: Instant = 0, keylog: KeyLog | None = None
) -> VirtualPair:
    """Both ends of a cell's tunnel as IKEv2 made it. `now` is when; nothing of the result depends on it."""
    down, up = gateways(seed, cell, profile, keylog=keylog)
    memory = Memory((down, up), delay=0)
    memory.now = now
    memory.do(down, down.initiate(CONNECTION, now))
    memory.run(now)
    (one,), (other,) = memory.children[DATA_CENTRE].values(), memory.children[OPERATOR].values()
    return VirtualPair(one, other)
