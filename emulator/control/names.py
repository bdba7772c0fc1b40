"""Names of commands, and commands from names: the only place where a wish is checked as it comes in.

A verb is the class's name in kebab case. A route is `/v1/`, then what the command is addressed to, then the verb:

    device   POST /v1/installations/{installation}/{device}/press-boost
    home     GET  /v1/installations/{installation}/state
    estate   POST /v1/step-clock

A question whose fields are plain values is a GET with its fields as parameters; everything else a POST with a JSON
object. A topic is the same path without the version, under whatever prefix a broker's user chose.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final, TypeVar

import msgspec

from emulator import commands
from emulator.commands import Command
from emulator.control.errors import NoSuchThingError, WrongFieldError
from emulator.kernel.machine import Party

T = TypeVar("T")

_ROOTS: Final = frozenset({commands.Command, commands.Query, commands.OverTheAir, commands.Wish})
_INNER: Final = getattr(commands, "Inner", ())
_AT: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)

DEVICES: Final = {"hub": Party.HUB, "electricity": Party.ELECTRICITY, "gas": Party.GAS, "ihd": Party.IHD}
"""Devices by the names a person gives them."""


def verb(command: type[Command]) -> str:
    """`PressBoost` is press-boost."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", command.__name__).lower()


def _collect() -> dict[str, type[Command]]:
    found: dict[str, type[Command]] = {}
    for each in vars(commands).values():
        if not isinstance(each, type) or not issubclass(each, Command) or each in _ROOTS:
            continue
        if not issubclass(each, _INNER):
            found[verb(each)] = each
    return found


COMMANDS: Final[Mapping[str, type[Command]]] = _collect()
"""Every command there is, by its verb, in the order they are written down."""


def command_class(name: str) -> type[Command]:
    """The command of that verb. Raises NoSuchThingError."""
    found = COMMANDS.get(name)
    if found is None:
        raise NoSuchThingError(f"there is no command {name!r}", "command", f"one of {', '.join(COMMANDS)}")
    return found


_schemas: Final[dict[type, dict[str, Any]]] = {}


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a dataclass, without its references resolved: see `schemas`."""
    found = _schemas.get(kind)
    if found is None:
        found = _schemas[kind] = schemas([kind])[kind.__name__]
    return found


def schemas(kinds: list[type], template: str = "#/components/schemas/{name}") -> dict[str, dict[str, Any]]:
    """The JSON Schemas of dataclasses and of everything they mention, by class name."""
    _, components = msgspec.json.schema_components(kinds, ref_template=template)
    for part in components.values():
        if "description" in part:
            part["description"] = " ".join(part["description"].split())
    return components


def is_get(command: type[Command]) -> bool:
    """Whether a command is asked with GET: it changes nothing and its fields fit into a query string."""
    plain = all(
        each.get("type") not in ("array", "object") and "$ref" not in each
        for each in schema(command)["properties"].values()
    )
    return command.reads and plain


def path(command: type[Command]) -> str:
    """Where a command is addressed, with `{installation}` and `{device}` as placeholders; begins with /v1."""
    return {
        "device": "/v1/installations/{installation}/{device}/",
        "home": "/v1/installations/{installation}/",
        "estate": "/v1/",
    }[command.scope] + verb(command)


def make(kind: type[T], given: Mapping[str, Any], *, text: bool = False) -> T:
    """A command (or any dataclass) from plain values. `text`: they are strings of a query or a command line.

    Raises WrongFieldError naming the field, what is wrong with it and what it takes."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            cure = f"give {', '.join(sorted(known))}" if known else "give none"
            raise WrongFieldError("there is no such field", str(name)[:64], cure)
    try:
        return msgspec.convert(dict(given), kind, strict=not text)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        assert found is not None
        problem, where = found[1], found[2] or ""
        missing = re.search(r"missing required field `(\w+)`", problem)
        if missing:
            where, problem = f"{where}.{missing[1]}".lstrip("."), "this field is missing"
        raise WrongFieldError(_sentence(problem), where or "body", f"give {wanted(kind, where)}") from None


def _sentence(problem: str) -> str:
    return problem[:1].lower() + problem[1:].replace("`", "")


def wanted(kind: type, where: str) -> str:
    """What a field takes, in words: for cures and for a command line's help."""
    properties = schema(kind)["properties"]
    name = re.split(r"[.\[]", where)[0]
    if name not in properties:
        return f"an object with {', '.join(properties)}" if properties else "an empty object"
    found = in_words(properties[name])
    first = next(each for each in fields(kind) if each.name == name)
    if first.default is not MISSING and first.default is not None:
        found += f"; without it {first.default!r}"
    return found


def in_words(each: Mapping[str, Any]) -> str:
    """A property's schema as a phrase."""
    if "anyOf" in each:
        return " or ".join(in_words(part) for part in each["anyOf"])
    if "enum" in each:
        return "one of " + ", ".join(map(str, each["enum"]))
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "object": "an object",
        "null": "nothing",
    }.get(each.get("type", ""), "a value")
    low = each.get("minimum", each.get("exclusiveMinimum"))
    high = each.get("maximum")
    if low is not None and high is not None:
        kind += f" above {low}, up to {high}" if "exclusiveMinimum" in each else f" from {low} to {high}"
    elif low is not None:
        kind += f" from {low} on"
    if "pattern" in each:
        kind += f" like {each['pattern']}"
    if each.get("type") == "array" and isinstance(each.get("items"), dict) and each["items"].get("type"):
        kind += f" of which each is {in_words(each['items'])}"
    return f"{kind} ({each['description']})" if "description" in each else kind


def party(device: str) -> Party:
    """The party of a device's name. Raises NoSuchThingError."""
    found = DEVICES.get(device)
    if found is None:
        raise NoSuchThingError(f"there is no device {device[:32]!r}", "device", f"one of {', '.join(DEVICES)}")
    return found
