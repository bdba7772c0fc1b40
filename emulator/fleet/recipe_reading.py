"""Reading a recipe: every mistake named with file, key and cure, before anything runs.

The decoder stops at the first value of a wrong type or an unknown key. What types cannot say (a tariff that does not
exist, a share nobody can have) is collected, so that one look at the error is enough to mend the file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from emulator.errors import InputError
from emulator.fleet import alert_causes, core_link, identity, models, tariffs
from emulator.fleet.installation import KEYED, KINDS
from emulator.fleet.recipe import (
    DETAILS,
    Alerts,
    Combination,
    Conditions,
    CutOver,
    EpclEntry,
    FiveTerminal,
    Home,
    Link,
    Model,
    Outage,
    Pacing,
    PeerDeath,
    Rate,
    Recipe,
    WanLoss,
    condition_parts,
)
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, instant

BYTES_MOST: Final = 1 << 20


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    return msgspec.json.schema(Recipe)


def read(file: Path) -> Recipe:
    """The recipe in a TOML file, checked. Raises InputError with file, key and cure."""
    try:
        size = file.stat().st_size
        if size > BYTES_MOST:
            raise InputError(f"{file}: {size:,} bytes; a recipe has at most {BYTES_MOST:,}")
        text = file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError is a ValueError; so is an absurd number
        cure = "import a list first (smets1 estate import)" if file.suffix == ".csv" else "see https://toml.io"
        raise InputError(f"{file}: not TOML: {error}; {cure}") from error
    return convert(document, str(file))


def convert(document: Any, where: str) -> Recipe:
    """A recipe from plain data; `where` names its source in errors. Raises InputError."""
    try:
        recipe = msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {_explain(str(error))}") from error
    check(recipe, where)
    return recipe


def check(recipe: Recipe, where: str) -> None:
    """Raises InputError with everything that is wrong with a recipe beyond its types."""
    found = list(problems(recipe))
    if found:
        raise InputError("\n  ".join([f"{where}: {len(found)} mistake{'s' * (len(found) > 1)}", *found]))


_UNKNOWN: Final = re.compile(r"unknown field `(?P<field>[^`]*)`")
_PLACE: Final = re.compile(r"(?P<what>.*) - at `(?:key in )?\$?\.?(?P<key>.*)`\Z", re.DOTALL)


def _explain(message: str) -> str:
    """Key, what is wrong and a cure, from a decoder's message."""
    place = _PLACE.match(message)
    key, what = (place["key"], place["what"]) if place else ("", message)
    cure = "correct its value"
    unknown = _UNKNOWN.search(message)
    if unknown:
        key = f"{key}.{unknown['field']}".lstrip(".")
        what = "no such key"
        near = difflib.get_close_matches(unknown["field"], _field_names(), 1)
        cure = f"did you mean {near[0]!r}?" if near else "remove it"
    elif "timezone" in what:
        cure = "write 2020-03-02T00:00:00Z"
    elif "missing required" in message:
        cure = "add it"
    return f"{key or 'the file'}: {what}; {cure} (smets1 estate validate --schema shows every key)"


def _field_names() -> list[str]:
    structs: list[type[Struct]] = [Recipe]
    structs += [Combination, Model, EpclEntry, FiveTerminal, Rate, Conditions, WanLoss, Pacing, Outage, Link, Alerts]
    structs += [Home, PeerDeath, CutOver]
    return sorted({name for struct in structs for name in struct.__struct_fields__})


def _weights(key: str, weights: Mapping[str, float]) -> Iterator[str]:
    if weights and not sum(weights.values()) > 0:
        yield f"{key}: every weight is 0; give one a weight above 0"


def problems(recipe: Recipe) -> Iterator[str]:
    """What is wrong with a recipe beyond its types: "key: what; cure" each."""
    if instant(recipe.start) % DAY or not 2000 <= recipe.start.astimezone(UTC).year <= 2100:
        yield "start: not a midnight in UTC from 2000 to 2100; a campaign's days begin at midnight, GMT"
    if not recipe.installations:
        yield "active: no homes at all; give active or dormant a number above 0"
    elif recipe.installations > identity.HOMES_MOST:
        yield f"active: {recipe.installations:,} homes; at most {identity.HOMES_MOST:,}"
    spelled_active = sum(home.active for home in recipe.homes)
    if spelled_active > recipe.active or len(recipe.homes) - spelled_active > recipe.dormant:
        yield "homes: more active or dormant ones spelled out than active and dormant say; raise active or dormant"
    yield from _weights("regions", recipe.regions)
    yield from _weights("suppliers", recipe.suppliers)
    for region in recipe.regions:
        if region not in identity.DISTRIBUTORS:
            yield f"regions.{region}: no such region; one of {', '.join(identity.DISTRIBUTORS)}"
    yield from _combination_problems(recipe)
    yield from _five_terminal_problems(recipe)
    for kind in KINDS:
        yield from _rate_problems(recipe, kind)
    yield from _outdated_problems(recipe)
    low, high = recipe.wan_loss.after_s
    if not 0 < low <= high:
        yield "wan_loss.after_s: not [low, high] with 0 < low <= high; give seconds into the migration"
    low, high = recipe.wan_loss.lasts_h
    if not 0 < low <= high:
        yield "wan_loss.lasts_h: not [low, high] with 0 < low <= high; give hours"
    try:
        alert_causes.read(recipe.alerts.causes)
    except InputError as error:
        yield f"alerts.causes: {error}"
    yield from core_link.problems(recipe.link, "link")
    for index, home in enumerate(recipe.homes):
        yield from _home_problems(recipe, f"homes[{index}]", home)


def _combination_problems(recipe: Recipe) -> Iterator[str]:
    names = [each.name for each in recipe.combinations]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"combinations: {name!r} stands twice; names are unique"
    known = models.known()
    for each in recipe.combinations:
        for kind, model in each.models():
            there = models.find(model.model)
            if there is None or there.kind != kind.name.lower():
                able = ", ".join(name for name, one in known.items() if one.kind == kind.name.lower())
                yield f"combinations {each.name}: {model.model!r} is no {kind.name.lower()} model; one of {able}"
            elif kind is Party.ELECTRICITY and each.auxiliary and not there.switches:
                yield f"combinations {each.name}: auxiliary = true, but a {model.model} has no switches; drop it"
    yield from _weights("combinations.weight", {each.name: each.weight for each in recipe.combinations})
    for index, entry in enumerate(recipe.epcl):
        if entry.combination not in names:
            yield f"epcl[{index}].combination: no combination {entry.combination!r}; one of {', '.join(names)}"


def _five_terminal_problems(recipe: Recipe) -> Iterator[str]:
    five = recipe.five_terminal
    known = tariffs.tables()
    for name in five.tariffs:
        if name not in known:
            yield f"five_terminal.tariffs.{name}: no such switching table; one of {', '.join(known)}"
        elif not known[name].switched:
            yield f"five_terminal.tariffs.{name}: this table switches nothing; choose one whose switched is not empty"
    yield from _weights("five_terminal.switches", five.switches)
    yield from _weights("five_terminal.tariffs", five.tariffs)
    if not five.switches or not five.tariffs:
        yield "five_terminal: no switches or no tariffs; name at least one of each"
    if five.share:
        total = sum(each.weight for each in recipe.combinations)
        able = sum(each.weight for each in recipe.combinations if each.auxiliary)
        if total > 0 and five.share > able / total + 1e-9:
            yield (
                f"five_terminal.share: {five.share} of homes, but combinations with auxiliary = true make up "
                f"{able / total:.3f}; lower the share or mark more combinations"
            )


def _rate_problems(recipe: Recipe, kind: str) -> Iterator[str]:
    rate = recipe.conditions.rate(kind)
    key = f"conditions.{kind}"
    for detail in rate.details:
        if detail not in DETAILS[kind]:
            yield f"{key}.details.{detail}: no such detail; one of {', '.join(DETAILS[kind])}"
    yield from _weights(f"{key}.details", rate.details)
    if not rate.active and not rate.dormant:
        return
    chosen = [detail for detail in DETAILS[kind] if not rate.details or rate.details.get(detail, 0) > 0]
    drawn = [each for each in recipe.combinations if each.weight > 0]
    for detail in chosen:
        devices = [name for name in DETAILS[kind][detail] if not rate.devices or rate.devices.get(name, 0) > 0]
        if not devices and DETAILS[kind][detail] != ("",):
            yield f"{key}.devices: none of {', '.join(DETAILS[kind][detail])} has a weight, but {detail} concerns those"
        elif devices == ["gas"] and not any(each.gas for each in drawn):
            yield f"{key}: {detail} concerns gas, but no combination with a weight has gas; set its rates to 0"
        if detail == "not-on-epcl" and not recipe.unlisted():
            yield f"{key}.details.not-on-epcl: every combination is on the EPCL; leave one out, its weight may be 0"
        if detail == "configuration" and (
            not any(each.auxiliary for each in drawn) or len(recipe.five_terminal.tariffs) < 2
        ):
            yield (
                f"{key}.details.configuration: a tariff other than the recorded one needs a combination with "
                "auxiliary = true and two of five_terminal.tariffs; add them or leave the detail out"
            )
    share = sum(max(recipe.conditions.rate(each).active, recipe.conditions.rate(each).dormant) for each in KINDS)
    if kind == KINDS[-1] and share > 1:
        yield f"conditions: the rates add up to {share:.2f}; a home has one condition at most"


def _outdated_problems(recipe: Recipe) -> Iterator[str]:
    """Where a device can run old firmware, every model with firmware that matters needs an old version."""
    drawn = (recipe.conditions.MF2, "no-wan"), (recipe.conditions.MF10, "firmware")
    by_chance = any(
        (rate.active or rate.dormant) and (not rate.details or rate.details.get(detail)) for rate, detail in drawn
    )
    spelled = any(
        home.condition and home.condition.split(":")[1:2] in (["no-wan"], ["firmware"]) for home in recipe.homes
    )
    if not by_chance and not spelled:
        return
    firmware = {
        model.model: model.firmware for each in recipe.combinations for kind, model in each.models() if kind in KEYED
    }
    for model, current in sorted(firmware.items()):
        if model not in recipe.outdated:
            yield f"outdated.{model}: missing; MF2 and MF10 firmware need an older version of every model"
        elif recipe.outdated[model] == current:
            yield f"outdated.{model}: {current} is what combinations have; give another version"


def _home_problems(recipe: Recipe, key: str, home: Home) -> Iterator[str]:
    combination = recipe.combination(home.combination) if home.combination else None
    if home.combination and combination is None:
        yield f"{key}.combination: no combination {home.combination!r}; name one of the file"
        return
    if home.region is not None and home.region not in identity.DISTRIBUTORS:
        yield f"{key}.region: no region {home.region!r}; one of {', '.join(identity.DISTRIBUTORS)}"
    if home.tariff is not None and home.tariff not in tariffs.tables():
        yield f"{key}.tariff: no switching table {home.tariff!r}; one of {', '.join(tariffs.tables())}"
    if home.tariff is not None and not home.switches:
        yield f"{key}.tariff: a tariff but no switches; give switches = 1 to 5"
    kind, detail, device = "", "", ""
    if home.condition is not None:
        parts = condition_parts(home.condition)
        if parts is None:
            every = ", ".join(f"{each}:{detail}" for each, details in DETAILS.items() for detail in details)
            yield f"{key}.condition: no condition {home.condition!r}; one of {every}, then perhaps :device"
            return
        kind, detail, device = parts
        device = device or DETAILS[kind][detail][0]
    candidates = [combination] if combination else [each for each in recipe.combinations if each.weight > 0]
    if detail == "not-on-epcl":
        candidates = [
            each for each in (candidates if combination else recipe.combinations) if each in recipe.unlisted()
        ]
        if not candidates:
            yield f"{key}.condition: every combination it may have is on the EPCL; name one that is not"
    if device == "gas":
        candidates = [each for each in candidates if each.gas is not None]
        if not candidates:
            yield f"{key}.condition: {home.condition} concerns gas, but the home has none; name another combination"
    if home.switches or detail == "configuration":
        if not any(each.auxiliary for each in candidates) or (device == "gas" and not combination):
            yield f"{key}.switches: needs a fifth terminal; name a combination with auxiliary = true"
        if home.switches == 0:
            yield f"{key}.switches: 0, but {home.condition} is about auxiliary switches; give 1 to 5"
    if detail == "configuration" and not set(recipe.five_terminal.tariffs) - {home.tariff}:
        yield f"{key}.condition: no other table under five_terminal.tariffs that could be recorded; add one"
