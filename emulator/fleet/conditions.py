"""Which homes have what wrong with them, and what that does to their hub's coverage.

A home's condition is drawn by its number, like everything else of it; but chance alone would leave a small estate
without its rarer failures. So a plan also *pins*: one home for every failure family, one for every switching table,
one for every further detail, as many as fit into half the estate, scattered by a bijection. Pins are a small dict; the
look-up stays one probe and one draw.

What else a condition does is said where it is done: what the devices hold in `drawn` and `estate`, what the old
operator and the inventory believe in `handover`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from emulator.fleet import identity
from emulator.fleet.installation import KINDS, Condition, Installation, Kind
from emulator.fleet.recipe import DETAILS, DEVICE_NAMES, Combination, Recipe, WanLoss, condition_parts
from emulator.fleet.weighted import Weighted
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, SECOND

NEVER: Final[Instant] = 1 << 62
"""An instant after every campaign."""

_PLASTIC: Final = 0.7548776662466927


@dataclass(frozen=True, slots=True)
class Pin:
    """What one home must have, for the estate to have it at all: a condition, or a switching table."""

    condition: Condition | None
    tariff: str | None


class Plan:
    """The conditions of one estate. `is_active` tells an active home's number from a dormant one's."""

    def __init__(self, recipe: Recipe, seed: int, is_active: Callable[[int], bool]) -> None:
        self._seed = seed
        self._with_gas = any(each.gas for each in recipe.combinations if each.weight > 0)
        rates = {kind: recipe.conditions.rate(kind) for kind in KINDS}
        self._limits = {
            True: list(accumulate(rates[kind].active for kind in KINDS)),
            False: list(accumulate(rates[kind].dormant for kind in KINDS)),
        }
        self._details = {
            kind: Weighted([(each, rate.details.get(each, 0.0)) for each in DETAILS[kind]])
            for kind, rate in rates.items()
        }
        self._devices = {
            (kind, detail): [(each, rate.devices.get(each, 0.0) if rate.devices else 1.0) for each in devices]
            for kind, rate in rates.items()
            for detail, devices in DETAILS[kind].items()
        }
        self._drawn_device = {key: Weighted(self._possible(key, self._with_gas)) for key in self._devices}
        self.pins = self._pin(recipe, is_active)

    def of(self, number: int, active: bool) -> Condition | None:
        """What is wrong with a home of chance (not one that a recipe spells out)."""
        pin = self.pins.get(number)
        if pin is not None:
            return pin.condition
        limits = self._limits[active]
        at = chance.draw(self._seed, "estate.condition", number)
        if at >= limits[-1]:
            return None
        return self._condition(KINDS[bisect_right(limits, at)], None, number)

    def spelled(self, text: str, number: int, combination: Combination | None) -> Condition:
        """The condition a recipe spells out; a device it leaves open is drawn among those the combination has."""
        parts = condition_parts(text)
        assert parts is not None, f"{text!r} passed the checks"
        kind, detail, device = next((each, *parts[1:]) for each in KINDS if each == parts[0])
        if device:
            return Condition(kind, DEVICE_NAMES[device], detail)
        gas = self._with_gas if combination is None else combination.gas is not None
        choice = Weighted(self._possible((kind, detail), gas))
        return Condition(kind, self._device(choice, number), detail)

    def _possible(self, key: tuple[Kind, str], gas: bool) -> list[tuple[str, float]]:
        return [(each, weight) for each, weight in self._devices[key] if gas or each != "gas"] or [("", 1.0)]

    def _condition(self, kind: Kind, detail: str | None, number: int) -> Condition:
        if detail is None:
            detail = self._details[kind](chance.draw(self._seed, "estate.condition.detail", number))
        return Condition(kind, self._device(self._drawn_device[kind, detail], number), detail)

    def _device(self, choice: Weighted[str], number: int) -> Party | None:
        return DEVICE_NAMES.get(choice(chance.draw(self._seed, "estate.condition.device", number)))

    def _pin(self, recipe: Recipe, is_active: Callable[[int], bool]) -> dict[int, Pin]:
        """Homes for what must be there at least once, until half the homes of chance are taken."""
        first, count = len(recipe.homes), recipe.installations
        spot = identity.scatter_for(count, self._seed, "estate.pin", _PLASTIC)
        left = (count - first) // 2
        pins: dict[int, Pin] = {}
        for kind, detail, tariff in self._wanted(recipe):
            rate = recipe.conditions.rate(kind) if kind else None
            for turn in range(count):
                number = spot(turn)
                if number < first or number in pins or left <= len(pins):
                    continue
                if rate is not None and not (rate.active if is_active(number) else rate.dormant):
                    continue
                pins[number] = Pin(self._condition(kind, detail, number) if kind else None, tariff)
                break
        return pins

    def _wanted(self, recipe: Recipe) -> Iterator[tuple[Kind | None, str | None, str | None]]:
        """(family, detail, None) or (None, None, table), the rarest kind of thing first."""
        spelled = {":".join(home.condition.split(":")[:2]) for home in recipe.homes if home.condition}
        tables = {home.tariff for home in recipe.homes if home.switches}
        later: list[tuple[Kind, str]] = []
        for kind in KINDS:
            rate = recipe.conditions.rate(kind)
            if rate.active or rate.dormant:
                details = list(self._details[kind].items)
                if not any(each.startswith(f"{kind}:") for each in spelled):
                    yield kind, details.pop(0), None
                later += [(kind, detail) for detail in details if f"{kind}:{detail}" not in spelled]
        if recipe.five_terminal.share:
            for name, weight in recipe.five_terminal.tariffs.items():
                if weight > 0 and name not in tables:
                    yield None, None, name
        for kind, detail in later:
            yield kind, detail, None


def outage(installation: Installation, seed: int, settings: WanLoss, begins: Instant) -> tuple[Instant, Instant] | None:
    """When the home's hub is out of coverage for good or for long: (from, until), or None.

    `begins` is when its migration begins, its hub first being heard. MF2: always. MF3: from some seconds later.
    """
    condition = installation.condition
    if condition is None or condition.kind not in ("MF2", "MF3"):
        return None
    if condition.kind == "MF2":
        return 0, NEVER
    number = installation.number
    low, high = settings.after_s
    lost = begins + chance.between(low * SECOND, high * SECOND, seed, "estate.wan-loss.after", number)
    if chance.draw(seed, "estate.wan-loss.for-good", number) < settings.for_good:
        return lost, NEVER
    low, high = settings.lasts_h
    return lost, lost + chance.between(low * HOUR, high * HOUR, seed, "estate.wan-loss.lasts", number)
