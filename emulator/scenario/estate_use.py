"""The estate a scenario runs on: one that exists, with another maker's devices in a share of it, or without what is
wrong with its homes of itself.

Only a recipe can be changed so; a list of homes is as it is. Homes that are spelled out keep the combination they name.
"""

from math import fsum
from typing import Final

import msgspec

from emulator.errors import InputError
from emulator.fleet import core_link, listing, recipe_reading
from emulator.fleet.estate import Estate, drawn, locate, open_estate
from emulator.fleet.recipe import Combination, Conditions, EpclEntry, Link, Outage, Recipe
from emulator.fleet.settings import merged
from emulator.scenario.scenario import EstateUse, LinkUse

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


def link(use: LinkUse, own: Link) -> Link:
    """The link of an estate as a scenario wants it."""
    own = core_link.of_kind(own, use.kind)
    outages = own.outages
    if use.outages is not None:
        outages = tuple(Outage(day=each.day, at=each.at, seconds=each.seconds) for each in use.outages)
    return msgspec.structs.replace(
        own,
        outages=outages,
        peer_deaths=use.peer_deaths or own.peer_deaths,
        cut_over=use.cut_over or own.cut_over,
        core=merged(own.core, use.core),
        air=merged(own.air, use.air),
    )


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
