"""The estate a scenario runs on: one that exists, with another maker's devices in a share of it, or without what is
wrong with its homes of itself.

Only a recipe can be changed so; a list of homes is as it is. Homes that are spelled out keep the combination they name.
"""

from collections.abc import Iterator
from math import fsum
from typing import Final

import msgspec

from emulator.errors import InputError
from emulator.fleet import core_link, listing, recipe_reading
from emulator.fleet import recipe as recipe_words
from emulator.fleet.estate import Estate, drawn, locate, open_estate
from emulator.fleet.recipe import Combination, Conditions, EpclEntry, Link, Outage, Recipe
from emulator.fleet.settings import merged
from emulator.scenario.scenario import CutOver, EstateUse, LinkUse, PeerDeath

MOST_ATTACHED: Final = 0.999
NEVER_UPDATED: Final = "00.00"
"""What attached devices run that were never brought up to date, where nothing else is said. ASSUMED."""


def opened(use: EstateUse, seed: int | None = None, where: str = "estate") -> Estate:
    """The estate of a scenario under a seed (None: its own). Raises InputError."""
    try:
        file = locate(use.source)
    except InputError as error:
        raise InputError(f"{where}.source: {error}") from error
    if listing.is_listing(file):
        if use.attach or use.cell is not None or not use.conditions:
            raise InputError(
                f"{where}: {use.source} lists its homes one by one; attach, cell and conditions need a recipe"
            )
        estate = open_estate(use.source, seed, use.installations)
    else:
        recipe = changed(recipe_reading.read(file), use, where)
        recipe_reading.check(recipe, f"{where} ({use.source}, changed)")
        estate = drawn(recipe, seed, use.installations)
    for number in use.only or ():
        if number >= estate.installations:
            raise InputError(
                f"{where}.only: no installation {number}; {estate.name} has {estate.installations}, numbered from 0"
            )
    if use.only == ():
        raise InputError(f"{where}.only: names no home; leave it out to take them all")
    return estate


def events(use: LinkUse) -> Iterator[tuple[str, PeerDeath | CutOver]]:
    """What a scenario has happen to its link, and the key under which it says so."""
    yield from ((f"peer_deaths[{at}]", each) for at, each in enumerate(use.peer_deaths))
    if use.cut_over is not None:
        yield "cut_over", use.cut_over


def link(use: LinkUse, own: Link, *, timed: bool = False) -> Link:
    """The link of an estate as a scenario wants it, but for what waits for one of its campaigns; with `timed` with that
    too, as if all campaigns began on the first day."""
    own = core_link.of_kind(own, use.kind)
    known = [each for _, each in events(use) if timed or each.campaign is None]
    deaths = tuple(each for each in known if isinstance(each, PeerDeath))
    cuts = [each for each in known if isinstance(each, CutOver)]
    outages = own.outages
    if use.outages is not None:
        outages = tuple(Outage(day=each.day, at=each.at, seconds=each.seconds) for each in use.outages)
    return msgspec.structs.replace(
        own,
        outages=outages,
        peer_deaths=tuple(map(_plain_death, deaths)) or own.peer_deaths,
        cut_over=_plain_cut(cuts[0]) if cuts else own.cut_over,
        core=merged(own.core, use.core),
        air=merged(own.air, use.air),
    )


def _plain_death(said: PeerDeath) -> recipe_words.PeerDeath:
    return recipe_words.PeerDeath(day=said.day, at=said.at, end=said.end, restart_s=said.restart_s)


def _plain_cut(said: CutOver) -> recipe_words.CutOver:
    return recipe_words.CutOver(day=said.day, at=said.at, to=said.to, black_s=said.black_s)


def changed(recipe: Recipe, use: EstateUse, where: str) -> Recipe:
    """A recipe as a scenario wants it. Raises InputError."""
    if use.cell is not None:
        recipe = msgspec.structs.replace(recipe, cell=use.cell)
    if not use.conditions:
        homes = tuple(msgspec.structs.replace(home, condition=None) for home in recipe.homes)
        recipe = msgspec.structs.replace(recipe, conditions=Conditions(), homes=homes)
    if use.attach:
        recipe = _attached(recipe, use, where)
    return recipe


def _attached(recipe: Recipe, use: EstateUse, where: str) -> Recipe:
    share = fsum(each.share for each in use.attach)
    if share > MOST_ATTACHED:
        raise InputError(f"{where}.attach: the shares add up to {share:g}; leave some homes to the estate's own makers")
    own = fsum(each.weight for each in recipe.combinations)
    if not own:
        raise InputError(f"{where}.attach: no combination of {use.source} is drawn by chance; choose another estate")
    combinations, epcl, outdated = list(recipe.combinations), list(recipe.epcl), dict(recipe.outdated)
    for each in use.attach:
        combinations.append(
            Combination(
                name=each.name,
                hub=each.hub,
                electricity=each.electricity,
                gas=each.gas,
                ihd=each.ihd,
                weight=each.share * own / (1 - share),
                auxiliary=each.auxiliary,
            )
        )
        epcl.append(EpclEntry(combination=each.name, provider=recipe.provider, listed=recipe.start.date()))
        models = [model.model for model in (each.hub, each.electricity, each.gas) if model is not None]
        outdated.update({name: NEVER_UPDATED for name in models if name not in outdated})
        outdated.update(each.outdated)
    five = recipe.five_terminal
    if not any(each.auxiliary for each in use.attach):
        five = msgspec.structs.replace(five, share=five.share * (1 - share))
    return msgspec.structs.replace(
        recipe, combinations=tuple(combinations), epcl=tuple(epcl), outdated=outdated, five_terminal=five
    )
