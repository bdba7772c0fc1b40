"""Registration data of a home: what the market holds on its electricity meter, right or wrong.

A meter point is registered with a profile class, a standard settlement configuration (SSC) and its time pattern regimes
(TPR). Whether a load is switched can only be concluded from them. What is registered is derived from the truth of the
home with keyed mistakes (`recipe.Registration`), like the rest of what others believe (`handover`); and so are the gaps
in the old operator's own data on auxiliary load.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emulator.fleet import handover, registry
from emulator.fleet.estate import Estate
from emulator.fleet.installation import Installation
from emulator.kernel import chance
from emulator.kernel.machine import Party

PLAIN: Final = "single-rate"
"""The switching table of a home without auxiliary load."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """One SSC: its TPRs, the profile classes it goes with, and whether it means a switched load."""

    ssc: str
    tprs: tuple[str, ...]
    classes: tuple[int, ...]
    auxiliary: bool


@dataclass(frozen=True, slots=True)
class Registered:
    """One meter point. `ssc` is None where none is registered."""

    profile_class: int
    ssc: str | None
    tprs: tuple[str, ...]


def registered(estate: Estate, home: Installation, by_table: Mapping[str, Settlement]) -> Registered:
    """What is registered for a home. `by_table`: a switching table's settlement, with `PLAIN` among them."""
    rates, seed, number = estate.recipe.registration, estate.seed, home.number
    plain = by_table[PLAIN]
    settlement = plain
    if home.wiring is not None:
        if chance.draw(seed, "registration.unregistered", number) >= rates.unregistered:
            settlement = by_table.get(home.wiring.tariff, plain)
    elif chance.draw(seed, "registration.overstated", number) < rates.overstated:
        switched = [each for each in by_table.values() if each.auxiliary]
        if switched:
            settlement = switched[chance.bits(seed, "registration.as", number) % len(switched)]
    luck = chance.draw(seed, "registration.entry", number)
    if luck < rates.missing:
        return Registered(settlement.classes[0], None, ())
    if luck < rates.missing + rates.contradictory:
        tprs = () if settlement.auxiliary else ("00043", "00210")  # an older configuration's, or none
        return Registered(settlement.classes[0], settlement.ssc, tprs)
    return Registered(settlement.classes[0], settlement.ssc, settlement.tprs)


def registration_says(entry: Registered, by_ssc: Mapping[str, Settlement]) -> str:
    """What follows from an entry: "auxiliary", "none", "missing" or "contradictory"."""
    if entry.ssc is None or entry.ssc not in by_ssc:
        return "missing"
    settlement = by_ssc[entry.ssc]
    if entry.tprs != settlement.tprs or entry.profile_class not in settlement.classes:
        return "contradictory"
    return "auxiliary" if settlement.auxiliary else "none"


def smso_says(estate: Estate, home: Installation) -> str:
    """What the old operator's data says of a home's auxiliary load, in the same four words. Contradictory: wiring that
    its own record of the meter has no terminal for, or two records that differ."""
    rates = estate.recipe.registration
    luck = chance.draw(estate.seed, "registration.smso", home.number)
    if luck < rates.smso_missing:
        return "missing"
    if luck < rates.smso_missing + rates.smso_contradictory:
        return "contradictory"
    if chance.draw(estate.seed, "registration.unlisted", home.number) < rates.smso_unlisted:
        return "none"
    wiring = handover.believed_wiring(home, estate.recipe, estate.seed)
    if wiring is None:
        return "none"
    spec = home.device(Party.ELECTRICITY)
    able = spec is not None and registry.model(spec.model).profile.auxiliary.switches >= wiring.switches
    return "auxiliary" if able else "contradictory"
