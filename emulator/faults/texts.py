"""Faults as people write them: on a command line, and back into TOML or a command line.

power-cut-in-key-write at=any share=0.1
"""

import shlex
from collections.abc import Mapping
from typing import Any

from emulator.errors import InputError
from emulator.faults import catalogue
from emulator.faults.fault import Fault


def parse(text: str, where: str = "--fault") -> Fault:
    """The fault that "name field=value ..." says. Raises InputError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where} {text!r}: {error}; close the quotes") from None
    if not words:
        raise InputError(f"{where}: it names no fault; write name field=value ..., see `smets1 faults`")
    name, *pairs = words
    settings: dict[str, Any] = {}
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if not equals or not field:
            raise InputError(f"{where} {name}: {pair!r} is no setting; write field=value")
        if field in settings:
            raise InputError(f"{where} {name}: {field} is given twice; leave one out")
        settings[field] = _value(value)
    return catalogue.make(name, settings, f"{where} {name}", text=True)


def _value(text: str) -> Any:
    """A list where commas say so; "none" is nothing."""
    if text.startswith("[") and text.endswith("]"):
        return [part.strip() for part in text[1:-1].split(",") if part.strip()]
    return None if text == "none" else text


def line(name: str, settings: Mapping[str, Any]) -> str:
    """The words that `parse` reads: what a command line takes behind --fault."""
    return " ".join([name, *(f"{field}={shlex.quote(_plain(value))}" for field, value in settings.items())])


def toml(name: str, settings: Mapping[str, Any]) -> str:
    """The table that `catalogue.read_table` reads."""
    written = [f"{field} = {_toml(value)}" for field, value in settings.items() if value is not None]
    return "\n".join(["[[faults]]", f'fault = "{name}"', *written])


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(_plain(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return str(value)
