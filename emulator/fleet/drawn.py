"""Homes of a recipe, drawn by their number: nothing is listed, everything is computed when asked.

The same number under the same recipe and seed is the same home in every process and on every Python. Which homes are
active is a bijection's business, so the two counts hold exactly; all other choices are keyed draws. What a condition
needs (gas, a fifth terminal, a combination off the EPCL) narrows the choice of the combination, never the other way, so
that rates mean what they say.
"""

from math import fsum
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.fleet import identity
from emulator.fleet.conditions import Plan
from emulator.fleet.installation import Condition, DeviceKeys, DeviceSpec, Installation, Wiring
from emulator.fleet.recipe import Combination, Home, Recipe
from emulator.fleet.weighted import Weighted
from emulator.kernel import chance
from emulator.kernel.machine import Party

_GOLDEN: Final = 0.6180339887498949


@mypyc_attr(allow_interpreted_subclasses=True, serializable=True)
class DrawnHomes:
    """Home n of a recipe under a seed."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self._seed = seed
        homes = recipe.homes
        self._first = len(homes)
        rest = recipe.installations - self._first
        self._rank = identity.scatter_for(rest, seed, "estate.active", _GOLDEN) if rest else None
        self._active = recipe.active - sum(home.active for home in homes)
        self._numbers = identity.Numbers(seed, recipe.flag, bytes.fromhex(recipe.eui64_prefix))
        every = recipe.combinations
        self._by_name = {each.name: each for each in every}
        self._models = {
            each.name: tuple((kind, model.model, model.firmware) for kind, model in each.models()) for each in every
        }
        drawn = [each for each in every if each.weight > 0]
        self._any = Weighted([(each, each.weight) for each in drawn])
        self._gas = Weighted([(each, each.weight) for each in drawn if each.gas is not None])
        self._auxiliary = Weighted([(each, each.weight) for each in drawn if each.auxiliary])
        self._unlisted = Weighted([(each, each.weight) for each in recipe.unlisted()])
        five = recipe.five_terminal
        able = fsum(each.weight for each in drawn if each.auxiliary)
        self._five_share = five.share * fsum(each.weight for each in drawn) / able if able else 0.0
        self._switches = Weighted([(int(count), weight) for count, weight in five.switches.items()])
        self._tariffs = Weighted(five.tariffs.items())
        self._suppliers = Weighted(recipe.suppliers.items())
        self._regions = Weighted((region, weight) for region, weight in recipe.regions.items())
        self._plan = Plan(recipe, seed, self.is_active)

    def is_active(self, number: int) -> bool:
        """Is home `number` one of the active ones?"""
        if number < self._first:
            return self.recipe.homes[number].active
        assert self._rank is not None
        return self._rank(number - self._first) < self._active

    def installation(self, number: int) -> Installation:
        """The truth about home `number`."""
        seed = self._seed
        home = self.recipe.homes[number] if number < self._first else None
        active = self.is_active(number)
        if home is None:
            condition = self._plan.of(number, active)
            combination = self._combination(number, condition)
            region = self._regions(chance.draw(seed, "estate.region", number))
            supplier = self._suppliers(chance.draw(seed, "estate.supplier", number))
        else:
            named = self._by_name[home.combination] if home.combination else None
            condition = self._plan.spelled(home.condition, number, named) if home.condition else None
            combination = named or self._combination(number, condition, auxiliary=bool(home.switches))
            region = home.region or self._regions(chance.draw(seed, "estate.region", number))
            supplier = home.supplier or self._suppliers(chance.draw(seed, "estate.supplier", number))
        numbers = self._numbers
        return Installation(
            number,
            active,
            combination.name,
            supplier,
            self._devices(number, combination, condition),
            numbers.mpan(number, identity.DISTRIBUTORS[region]),
            numbers.mprn(number) if combination.gas is not None else None,
            self._wiring(number, combination, condition, home),
            condition,
            region,
        )

    def keys(self, number: int, party: Party) -> DeviceKeys | None:
        """None: a recipe spells out no keys."""
        return None

    def label(self, number: int) -> str:
        """What people call the home."""
        return str(number)

    def find(self, label: str) -> int | None:
        """The number of the home called so."""
        return int(label) if label.isascii() and label.isdigit() and len(label) < 19 else None

    def digest(self) -> bytes:
        """Nothing is spelled out beside the recipe."""
        return b""

    def _combination(self, number: int, condition: Condition | None, auxiliary: bool = False) -> Combination:
        choice = self._any
        if auxiliary or (number in self._plan.pins and self._plan.pins[number].tariff):
            choice = self._auxiliary
        if condition is not None:
            if condition.device is Party.GAS:
                choice = self._gas
            elif condition.detail == "configuration":
                choice = self._auxiliary
            elif condition.detail == "not-on-epcl":
                choice = self._unlisted
        return choice(chance.draw(self._seed, "estate.combination", number))

    def _devices(self, number: int, combination: Combination, condition: Condition | None) -> tuple[DeviceSpec, ...]:
        models = self._models[combination.name]
        names = self._numbers.devices(number, [kind for kind, _, _ in models])
        behind = _behind(condition)
        if behind is None:
            return tuple(
                DeviceSpec(kind, model, serial, title, firmware, eui64)
                for (kind, model, firmware), (serial, title, eui64) in zip(models, names, strict=True)
            )
        old = self.recipe.outdated
        return tuple(
            DeviceSpec(
                kind,
                model,
                serial,
                title,
                old.get(model, firmware) if behind is True or kind is behind else firmware,
                eui64,
            )
            for (kind, model, firmware), (serial, title, eui64) in zip(models, names, strict=True)
        )

    def _wiring(
        self, number: int, combination: Combination, condition: Condition | None, home: Home | None
    ) -> Wiring | None:
        if not combination.auxiliary:
            return None
        if home is not None and home.switches is not None:
            return Wiring(home.switches, home.tariff or self._tariff(number)) if home.switches else None
        pin = self._plan.pins.get(number)
        pinned = pin.tariff if pin else None
        forced = pinned or (condition is not None and condition.detail == "configuration")
        if not forced and chance.draw(self._seed, "estate.five-terminal", number) >= self._five_share:
            return None
        switches = self._switches(chance.draw(self._seed, "estate.switches", number))
        return Wiring(switches, pinned or self._tariff(number))

    def _tariff(self, number: int) -> str:
        return self._tariffs(chance.draw(self._seed, "estate.tariff", number))


def _behind(condition: Condition | None) -> Party | bool | None:
    """Which device runs old firmware: one, every one (True), or none."""
    if condition is None:
        return None
    if condition.kind == "MF2":
        return True
    return condition.device if condition.detail == "firmware" else None
