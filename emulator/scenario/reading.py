"""Reading a scenario: every mistake named with file, key and cure, before anything runs.

A scenario is found by its name among those that ship, or by its file. Whatever can be known without running is checked
here: the estate opens, the faults are in the catalogue and their settings fit, checks name what exists.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from emulator.dcc.casework import CampaignSettings
from emulator.dcc.verdict import CAUSE_CODES
from emulator.errors import InputError
from emulator.fleet import core_link
from emulator.fleet.estate import Estate
from emulator.fleet.settings import laid_over, merged
from emulator.resources import fixture, list_fixtures, root
from emulator.scenario import estate_use
from emulator.scenario import scenario as words
from emulator.scenario.faultlist import Planned, planned
from emulator.scenario.scenario import Migrate, Requests, Scenario, Standing, Verdicts, least, most
from emulator.scenario.standing import names as standing_names
from emulator.scenario.wishes import check_wish

BYTES_MOST: Final = 1 << 20
FOLDER: Final = "scenarios"


@dataclass(frozen=True, slots=True)
class Read:
    """A scenario, checked, with what it names made: `where` is its file."""

    scenario: Scenario
    where: str
    faults: tuple[Planned, ...]

    def estate(self, seed: int | None = None) -> Estate:
        """Its estate under a seed; None: the scenario's, else the estate's own. Raises InputError."""
        chosen = self.scenario.seed if seed is None else seed
        return estate_use.opened(self.scenario.estate, chosen, f"{self.where}: estate")


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario, for editors."""
    return msgspec.json.schema(Scenario)


def names() -> list[str]:
    """The scenarios that come with the project."""
    if not (root() / FOLDER).is_dir():
        return []
    return [name.removeprefix(f"{FOLDER}/").removesuffix(".toml") for name in list_fixtures(FOLDER, ".toml")]


def locate(source: str | Path) -> Path:
    """The file of a scenario: a path if it looks like one, else a name. Raises InputError."""
    path = Path(source)
    if path.suffix or len(path.parts) != 1:
        if not path.is_file():
            raise InputError(f"{source}: no such file; name a scenario's file, or one of {', '.join(names())}")
        return path
    if str(source) not in names():
        near = difflib.get_close_matches(str(source), names(), 1)
        cure = f"did you mean {near[0]!r}?" if near else f"name a file, or one of {', '.join(names())}"
        raise InputError(f"no scenario is called {str(source)!r}; {cure}")
    return fixture(f"{FOLDER}/{source}.toml")


def opened(source: "str | Path | dict[str, Any]", overrides: dict[str, Any] | None = None) -> Read:
    """A scenario from whatever stands for one: a name, a file, TOML (more than one line), or plain data. `overrides`
    are laid over it: tables key by key, everything else (lists too) instead of what stands there."""
    if isinstance(source, dict):
        document, where = source, "scenario"
    elif isinstance(source, str) and "\n" in source:
        document, where = _loaded(source, "scenario"), "scenario"
    else:
        file = locate(source)
        document, where = _loaded(_text(file), str(file)), str(file)
        _resolve(document, file.parent)
    return convert(merged(document, overrides or {}), where)


def read(source: str | Path) -> Read:
    """The scenario of that name or in that file, checked. Raises InputError with file, key and cure."""
    file = locate(source)
    return parse(_text(file), str(file), file.parent)


def _text(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > BYTES_MOST:
            raise InputError(f"{file}: {size:,} bytes; a scenario has at most {BYTES_MOST:,}")
        return file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; name a readable file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def parse(text: str, where: str, folder: Path | None = None) -> Read:
    """A scenario from TOML; files it names are looked for in `folder` first. Raises InputError."""
    document = _loaded(text, where)
    if folder is not None:
        _resolve(document, folder)
    return convert(document, where)


def _loaded(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not TOML: {error}; see https://toml.io") from error


def convert(document: Any, where: str = "scenario") -> Read:
    """A scenario from plain data; `where` names its source in errors. Raises InputError."""
    try:
        found = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {_explain(str(error))}") from error
    return checked(found, where)


def checked(scenario: Scenario, where: str = "scenario") -> Read:
    """A scenario with everything it names made. Raises InputError with all that is wrong beyond its types."""
    faults = planned(scenario.faults, len(scenario.campaigns), f"{where}: faults")
    read = Read(scenario, where, faults)
    estate = read.estate()
    wrong = [*_problems(scenario, faults, estate)]
    if wrong:
        raise InputError("\n  ".join([f"{where}: {len(wrong)} mistake{'s' * (len(wrong) > 1)}", *wrong]))
    return read


def _resolve(document: dict[str, Any], folder: Path) -> None:
    """An estate's file beside the scenario's is meant before one in the working directory."""
    estate = document.get("estate")
    source = estate.get("source") if isinstance(estate, dict) else None
    if isinstance(estate, dict) and isinstance(source, str) and Path(source).suffix and not Path(source).is_absolute():
        beside = folder / source
        if beside.is_file():
            estate["source"] = str(beside)


_UNKNOWN: Final = re.compile(r"unknown field `(?P<field>[^`]*)`")
_TAG: Final = re.compile(r"Invalid value '(?P<tag>[^']*)'")
_PLACE: Final = re.compile(r"(?P<what>.*) - at `(?:key in )?\$?\.?(?P<key>.*)`\Z", re.DOTALL)


def _explain(message: str) -> str:
    """Key, what is wrong and a cure, from a decoder's message."""
    place = _PLACE.match(message)
    key, what = (place["key"], place["what"]) if place else ("", message)
    cure = "correct its value"
    unknown = _UNKNOWN.search(message)
    tag = _TAG.search(message)
    if unknown:
        key = f"{key}.{unknown['field']}".lstrip(".")
        what = "no such key"
        near = difflib.get_close_matches(unknown["field"], _field_names(), 1)
        cure = f"did you mean {near[0]!r}?" if near else "remove it"
    elif tag:
        cure = f"one of {', '.join(_tags('check' if key.endswith('check') else 'kind'))}"
    elif "missing required" in message:
        cure = "add it"
    return f"{key or 'the file'}: {what}; {cure} (smets1 scenario validate --schema shows every key)"


def _structs() -> list[type[msgspec.Struct]]:
    every = [each for each in vars(words).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return [each for each in every if each not in (words.Strict, msgspec.Struct)]


def _field_names() -> list[str]:
    return sorted({name for struct in _structs() for name in struct.__struct_fields__})


def _tags(field: str) -> list[str]:
    """The values of a tag, as far as a config has one."""
    configs = [each.__struct_config__ for each in _structs()]
    return [str(each.tag) for each in configs if each.tag_field == field and str(each.tag).islower()]


def _problems(scenario: Scenario, faults: tuple[Planned, ...], estate: Estate) -> Iterator[str]:
    last = estate.installations - 1
    for index, step in enumerate(scenario.campaigns):
        key = f"campaigns[{index}]"
        if isinstance(step, Migrate):
            yield from _unfit(CampaignSettings(), step.settings, f"{key}.settings")
        homes: tuple[int, ...] = getattr(step, "homes", None) or ()
        if isinstance(step, Requests):
            homes = tuple(wish.home for wish in step.wishes)
            for number, wish in enumerate(step.wishes):
                problem = check_wish(wish)
                if problem:
                    yield f"{key}.wishes[{number}]: {problem}"
        yield from (f"{key}: no installation {home}; the last is {last}" for home in homes if home > last)
    if scenario.healing is not None:
        yield from _unfit(CampaignSettings(), scenario.healing.campaign.settings, "healing.campaign.settings")
        known = {each.fault.name for each in faults}
        for name in scenario.healing.keep:
            if name not in known:
                yield f"healing.keep: no fault {name!r} in this scenario; one of {', '.join(sorted(known)) or 'none'}"
        for index, exempt in enumerate(scenario.healing.exempt):
            if exempt.cause is not None and exempt.cause not in CAUSE_CODES:
                yield f"healing.exempt[{index}].cause: no cause {exempt.cause!r}; one of {', '.join(CAUSE_CODES)}"
    for at, planned_fault in enumerate(faults):
        home = planned_fault.fault.installation
        if home is not None and home > last:
            yield f"faults[{at}].installation: no installation {home}; the last is {last}"
    yield from core_link.problems(estate_use.link(scenario.link, estate.recipe.link, timed=True), "link")
    for key, event in estate_use.events(scenario.link):
        if event.campaign is not None and event.campaign >= len(scenario.campaigns):
            yield f"link.{key}.campaign: no campaign {event.campaign}; the last is {len(scenario.campaigns) - 1}"
    for index, check in enumerate(scenario.checks):
        yield from _check_problems(check, f"checks[{index}]", faults)


def _check_problems(check: words.Check, key: str, faults: tuple[Planned, ...]) -> Iterator[str]:
    for name in check.__struct_fields__:
        value = getattr(check, name)
        if isinstance(value, tuple) and name not in ("homes",) and len(value) == 2 and value[0] > value[1]:
            yield f"{key}.{name}: [{value[0]}, {value[1]}]; the least comes first"
    if isinstance(check, Verdicts) and check.cause is not None and check.cause not in CAUSE_CODES:
        yield f"{key}.cause: no cause {check.cause!r}; one of {', '.join(CAUSE_CODES)}"
    if isinstance(check, words.Fired) and check.fault not in {each.fault.name for each in faults}:
        yield f"{key}.fault: this scenario has no fault {check.fault!r}; name one of its faults"
    if isinstance(check, Standing) and check.name not in standing_names():
        yield f"{key}.name: no standing check {check.name!r}; one of {', '.join(standing_names())}"


def _unfit(base: Any, changes: dict[str, Any], where: str) -> Iterator[str]:
    try:
        laid_over(base, changes, where)
    except InputError as error:
        yield str(error)


__all__ = ["Read", "checked", "convert", "least", "locate", "most", "names", "opened", "parse", "read", "schema"]
