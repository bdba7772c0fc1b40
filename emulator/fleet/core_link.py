"""What a recipe says of the core link, as the link itself wants it: instants instead of days, one profile.

A recipe names settings of the link and the air by their names there (`settings.laid_over`); outages, deaths of gateways
and a cut-over are given by day and time of day. Everything that runs an estate asks here, so a setting of the recipe
holds in a migration, in a scenario and on a served estate alike.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from typing import Any, Final

import msgspec

from emulator.errors import InputError
from emulator.fleet import recipe
from emulator.fleet.recipe import Link
from emulator.fleet.settings import laid_over, merged
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.air import AirProfile
from emulator.link.kinds import kind as kind_named
from emulator.link.profile import CutOver, LinkProfile, Outage, PeerDeath

EVENTS: Final = ("outages", "peer_deaths", "cut_over")
"""Settings of the profile that a recipe says by days, and never under `core`."""


def of_kind(link: Link, kind: str | None) -> Link:
    """The link with another kind; None: its own. Its gateways' deaths and its cut-over are dropped with its kind."""
    if kind is None or kind == link.kind:
        return link
    return msgspec.structs.replace(link, kind=kind_named(kind).name, peer_deaths=(), cut_over=None)


def with_core(link: Link, settings: dict[str, Any]) -> Link:
    """The link with further settings of the core link laid over its own."""
    return msgspec.structs.replace(link, core=merged(link.core, settings))


def profile_of(link: Link, start: Instant, where: str = "link") -> LinkProfile:
    """The core link of an estate whose day 0 begins at `start`. Raises InputError, which names the key in `where`."""
    said = next((name for name in EVENTS if name in link.core), None)
    if said is not None:
        raise InputError(f"{where}.core.{said}: not here; write it as {where}.{said}, by day and time")
    cut = link.cut_over
    return replace(
        laid_over(LinkProfile(), link.core, f"{where}.core"),
        outages=tuple(Outage(begin, (end - begin) // SECOND) for begin, end in link.windows(start)),
        peer_deaths=tuple(death_of(each, start) for each in link.peer_deaths),
        cut_over=None if cut is None else cut_of(cut, start),
    )


def death_of(said: recipe.PeerDeath, start: Instant) -> PeerDeath:
    """With day 0 beginning at `start`."""
    return PeerDeath(_at(start, said.day, said.at), said.end, round(said.restart_s * SECOND))


def cut_of(said: recipe.CutOver, start: Instant) -> CutOver:
    """With day 0 beginning at `start`."""
    return CutOver(_at(start, said.day, said.at), said.to, black_us=round(said.black_s * SECOND))


def air_of(link: Link, where: str = "link") -> AirProfile:
    """The mobile network's side. Raises InputError."""
    return laid_over(AirProfile(), link.air, f"{where}.air")


def untroubled(profile: LinkProfile) -> LinkProfile:
    """The same link with no delay and nothing that goes wrong by itself: what is asked is answered at once."""
    cut = profile.cut_over and replace(profile.cut_over, black_us=0)
    return replace(profile, propagation_us=0, loss=0.0, outages=(), outages_per_day=0.0, peer_deaths=(), cut_over=cut)


def problems(link: Link, where: str) -> Iterator[str]:
    """What is wrong beyond types: "key: what; cure" each."""
    for make in (lambda: profile_of(link, 0, where), lambda: air_of(link, where)):
        try:
            make()
        except InputError as error:
            yield str(error)
    if link.peer_deaths and link.kind in ("plain", "mpls", "mpls-l3vpn"):
        yield f"{where}.peer_deaths: a link of kind {link.kind} has no IPsec gateway that could die; choose kind ipsec"
    cut = link.cut_over
    if cut is not None and (link.kind == "plain" or link.kind.startswith("mpls") != (cut.to == "ipsec")):
        yield f"{where}.cut_over: from {link.kind} to {cut.to} is none; choose ipsec to mpls, or mpls to ipsec"


def _at(start: Instant, day: int, at: time) -> Instant:
    return start + day * DAY + at.hour * HOUR + at.minute * MINUTE + at.second * SECOND + at.microsecond
