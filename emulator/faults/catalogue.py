"""Every fault by name, and how one is made from what a person wrote.

One table for all doors: a scenario's `[[faults]]`, a command line, HTTP, MQTT and a pytest marker name a fault and its
settings the same way, and lists, forms and help are made from the classes here. A new fault is a class in its module's
`FAULTS`; a new module is a line in `_MODULES`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from types import ModuleType
from typing import Any, Final

import msgspec

from emulator.errors import InputError
from emulator.faults import (
    auxiliary,
    device,
    held_keys,
    home_network,
    hub,
    keeper,
    link,
    link_impairment,
    link_presets,
    link_shaping,
    link_streams,
    wire,
)
from emulator.faults.fault import Fault

_MODULES: Final[tuple[ModuleType, ...]] = (
    held_keys,
    hub,
    wire,
    link,
    link_impairment,
    link_shaping,
    link_presets,
    link_streams,
    home_network,
    auxiliary,
    device,
    keeper,
)


def _collect() -> dict[str, type[Fault]]:
    found: dict[str, type[Fault]] = {}
    for module in _MODULES:
        for kind in module.FAULTS:
            assert kind.name, f"fault {kind.__name__} has no name"
            assert kind.name not in found, f"two faults are called {kind.name}"
            found[kind.name] = kind
    return found


KINDS: Final[Mapping[str, type[Fault]]] = _collect()
"""Every fault there is, by its name."""

_AT: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)


def kind(name: str, where: str = "fault") -> type[Fault]:
    """The fault of that name. Raises InputError."""
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, KINDS, n=3)
        meant = f"did you mean {' or '.join(near)}?" if near else f"give one of {', '.join(KINDS)}"
        raise InputError(f"{where}: there is no fault {name[:64]!r}; {meant}")
    return found


def make(name: str, settings: Mapping[str, Any] | None = None, where: str = "", *, text: bool = False) -> Fault:
    """A fault from its name and settings. `where` begins the error's text; `text`: the values are strings.

    Raises InputError that says which field, what is wrong with it and what it takes."""
    place = where or f"fault {name}"
    chosen = kind(name, where or "fault")
    known = {each.name for each in fields(chosen)}
    for field_name in settings or {}:
        if field_name not in known:
            raise InputError(f"{place}: there is no field {field_name!r}; give {', '.join(sorted(known))}")
    try:
        return msgspec.convert(dict(settings or {}), chosen, strict=not text)
    except msgspec.ValidationError as error:
        match = _AT.match(str(error))
        assert match is not None
        problem = (match[1][:1].lower() + match[1][1:]).replace("`", "")
        field_name = (match[2] or "").split(".")[0].split("[")[0]
        cure = "see `smets1 faults " + name + "`"
        for each in described(chosen):
            if each.name == field_name:
                cure = f"give {each.takes}"
        raise InputError(f"{place}{', field ' + field_name if field_name else ''}: {problem}; {cure}") from None


def read_table(table: Iterable[Mapping[str, Any]], where: str = "[[faults]]") -> list[Fault]:
    """The faults of a TOML array of tables, each with `fault = "<name>"` beside its settings, in order.

    Raises InputError naming the entry (from 1)."""
    found = []
    for number, entry in enumerate(table, 1):
        place = f"{where} {number}"
        if not isinstance(entry, Mapping):
            raise InputError(f"{place}: this is no table; write one with fault = a name")
        name = entry.get("fault")
        if not isinstance(name, str):
            raise InputError(f'{place}: it does not say which; add fault = "<name>", see `smets1 faults`')
        settings = {key: value for key, value in entry.items() if key != "fault"}
        found.append(make(name, settings, f"{place} ({name})"))
    return found


def settings(fault: Fault) -> dict[str, Any]:
    """A fault's settings that are not the defaults: what makes it again."""
    defaults = {each.name: each.default for each in fields(fault)}
    return {
        name: value for name, value in asdict(fault).items() if defaults[name] is MISSING or value != defaults[name]
    }


def shown(fault: Fault) -> dict[str, Any]:
    """A fault's settings as a list shows them: all of its own, and of those that every fault has what is not the
    default."""
    changed = settings(fault)
    return {
        each.name: getattr(fault, each.name) for each in described(type(fault)) if each.own or each.name in changed
    }


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a fault. `takes`: what it takes, in words; `about`: its unit or meaning; `default` None: none, or
    nothing chosen (`required` tells); `own`: not one that all faults have."""

    name: str
    takes: str
    about: str
    default: Any
    required: bool
    own: bool


def about(chosen: type[Fault]) -> str:
    """What a fault does, in one paragraph."""
    return " ".join((chosen.__doc__ or "").split())


def described(chosen: type[Fault]) -> list[Setting]:
    """A fault's fields, its own first."""
    schema = _schema(chosen)
    common = {each.name for each in fields(Fault)}
    found = []
    for each in fields(chosen):
        part = schema[each.name]
        default, required = each.default, False
        if default is MISSING:
            default, required = (each.default_factory(), False) if each.default_factory is not MISSING else (None, True)
        own = each.name not in common or vars(chosen).get("__annotations__", {}).get(each.name) is not None
        found.append(Setting(each.name, _in_words(part), _unit(part), default, required, own))
    return sorted(found, key=lambda one: not one.own)


def _schema(chosen: type[Fault]) -> dict[str, dict[str, Any]]:
    _, components = msgspec.json.schema_components([chosen], ref_template="{name}")
    properties: dict[str, dict[str, Any]] = components[chosen.__name__]["properties"]
    return {name: {**components[part["$ref"]], **part} if "$ref" in part else part for name, part in properties.items()}


def _unit(part: Mapping[str, Any]) -> str:
    if "description" in part:
        return str(part["description"])
    return next((str(each["description"]) for each in part.get("anyOf", ()) if "description" in each), "")


def _in_words(part: Mapping[str, Any]) -> str:
    """A property's schema as a phrase."""
    if "anyOf" in part:
        return " or ".join(_in_words(each) for each in part["anyOf"])
    if "enum" in part:
        return "one of " + ", ".join("nothing" if each is None else str(each) for each in part["enum"])
    words = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "object": "a table",
        "null": "nothing",
    }.get(str(part.get("type", "")), "a value")
    low, high = part.get("minimum"), part.get("maximum")
    if low is not None and high is not None:
        return f"{words} from {low:,} to {high:,}".replace(",", " ")
    return f"{words} from {low} on" if low is not None else words
