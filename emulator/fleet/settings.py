"""Settings of the machinery by their names: a table of a recipe or a scenario laid over a dataclass's defaults.

Link, air, campaign and takeover have many settings, each documented where it is used; a scenario names the few it
changes. A nested table changes a nested dataclass. What is wrong is told with its key and a cure.
"""

import difflib
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

import msgspec

from emulator.errors import InputError

T = TypeVar("T")


def laid_over(base: T, changes: dict[str, Any], where: str) -> T:
    """`base`, a dataclass, with the changes a table names. Raises InputError with key and cure."""
    assert is_dataclass(base)
    assert not isinstance(base, type)
    if not changes:
        return base
    hints = get_type_hints(type(base), include_extras=True)
    names = [each.name for each in fields(base)]
    new: dict[str, Any] = {}
    for key, value in changes.items():
        place = f"{where}.{key}"
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            cure = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(names)}"
            raise InputError(f"{place}: no such setting; {cure}")
        old = getattr(base, key)
        if isinstance(value, dict) and is_dataclass(old):
            new[key] = laid_over(old, value, place)
            continue
        try:
            new[key] = msgspec.convert(value, hints[key])
        except (msgspec.ValidationError, TypeError) as error:
            raise InputError(f"{place}: {error}; correct its value") from error
    try:
        return replace(base, **new)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """One table of settings laid over another, tables inside key by key."""
    found = dict(base)
    for key, value in changes.items():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found
