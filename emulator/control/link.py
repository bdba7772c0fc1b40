"""The core link in an operator's hands: how it stands, and over to another kind. Failing and healing it are faults."""

from dataclasses import dataclass
from typing import Any, Final

from emulator.commands import CutOver, KillGateway, LinkStatus
from emulator.control.desk import Desk
from emulator.control.faults import FaultView
from emulator.control.registry import handles
from emulator.faults.link import LinkOutage
from emulator.link import kinds
from emulator.link.profile import Direction

_CELLS: Final = 8


@dataclass(frozen=True, slots=True)
class LinkView:
    """The core link. `black`: nothing crosses it now, by a fault in force; `failures` are those, past ones aside.
    `crossed`: by direction, packets offered, lost, delivered and refused. `layers`: headers from outside in. `cells`:
    of the first few that were touched, by which path each direction goes, with which associations, and what happened to
    the paths. `tunnels`: those that lead here from outside, by the kind of link they belong to."""

    kind: str
    about: str
    layers: list[str]
    black: bool
    failures: list[FaultView]
    crossed: dict[str, dict[str, int]]
    cells: dict[str, Any]
    tunnels: dict[str, Any]


@handles(LinkStatus)
def status(desk: Desk, wish: LinkStatus) -> LinkView:
    """Told from the gateways themselves."""
    live = desk.live
    kind = kinds.kind(live.link.kind)
    return LinkView(
        kind.name,
        kind.about,
        list(kind.layers),
        live.black(desk.pace.target()),
        [each for each in desk.faults.all() if each.fault == LinkOutage.name],
        {way.name.lower(): _crossed(desk, way) for way in Direction},
        {str(number): cell.chain.status(live.now) for number, cell in list(live.cells.items())[:_CELLS]},
        {name: told() for name, told in live.link.ways_in.items()},
    )


@handles(KillGateway)
def kill(desk: Desk, wish: KillGateway) -> LinkView:
    """Without a word to anybody."""
    desk.live.link.kill_gateway(wish.seconds, wish.after_s, wish.end)
    return status(desk, LinkStatus())


@handles(CutOver)
def cut_over(desk: Desk, wish: CutOver) -> LinkView:
    """Make before break: the other link stands before this one is left."""
    desk.live.link.cut_over(wish.kind, wish.after_s, wish.black_s)
    return status(desk, LinkStatus())


def _crossed(desk: Desk, way: Direction) -> dict[str, int]:
    ways = [cell.chain.log.ways[way] for cell in desk.live.cells.values()]
    return {each: sum(getattr(way, each) for way in ways) for each in ("offered", "lost", "delivered", "refused")}
