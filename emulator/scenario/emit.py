"""A scenario written down: as a TOML file, and as a pytest test that runs it.

What stands at its default is left out, so a file says what matters. Both read back to the same scenario.
"""

import json
import re
from datetime import date, datetime, time
from typing import Any, Final

import msgspec

from emulator.scenario.scenario import Scenario

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_INLINE_MOST: Final = 100


def toml(scenario: Scenario, remarks: tuple[str, ...] = ()) -> str:
    """The TOML of a scenario; `remarks` stand above it as comments."""
    lines = [f"# {line}" for remark in remarks for line in remark.splitlines()]
    above = "\n".join([*lines, "", ""]) if lines else ""
    return above + table_text(plain(scenario))


def table_text(table: dict[str, Any]) -> str:
    """The TOML of plain data, as `plain` gives it."""
    lines: list[str] = []
    _table(table, "", lines)
    return "\n".join(lines).rstrip() + "\n"


def pytest_module(scenario: Scenario, seed: int, expected: str, remarks: tuple[str, ...] = ()) -> str:
    """A pytest module with one test, which fails as long as the scenario does. `expected`: what fails today."""
    name = scenario.name.replace("-", "_")
    told = "".join(f"\n{line}" for remark in remarks for line in remark.splitlines())
    body = toml(scenario)
    assert "'''" not in body, "TOML strings are written with double quotes"
    return (
        f'"""Scenario {scenario.name} under seed {seed}.{told}\n\nFails today: {_docstring(expected)}\n"""\n\n'
        f"SCENARIO = r'''\n{body}'''\n\n\n"
        f"def test_{name}(smets1_scenario):\n"
        f"    report = smets1_scenario(SCENARIO, seed={seed})\n"
        f'    assert report.passed, "\\n".join(map(str, report.failures))\n'
    )


def _docstring(text: str) -> str:
    return text.replace("\\", "/").replace('"', "'")


def plain(value: Any) -> Any:
    """Plain data without what stands at its default; tagged structs keep their tags."""
    if isinstance(value, msgspec.Struct):
        found: dict[str, Any] = {}
        config = value.__struct_config__
        if config.tag_field is not None and config.tag is not None:
            found[config.tag_field] = config.tag
        for each in msgspec.structs.fields(value):
            said = getattr(value, each.name)
            default = each.default_factory() if each.default_factory is not msgspec.NODEFAULT else each.default
            if said is not None and said != default:
                found[each.name] = plain(said)
        return found
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return value


def _table(table: dict[str, Any], path: str, lines: list[str]) -> None:
    """Keys first, then tables, then lists of tables."""
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        if (
            _is_tables(value)
            or (isinstance(value, dict) and len(_value(value)) > _INLINE_MOST)
            or (isinstance(value, dict) and not path)
        ):
            later.append((key, value))
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in later:
        name = f"{path}.{_key(key)}" if path else _key(key)
        for each in value if isinstance(value, list) else [value]:
            if lines and lines[-1]:
                lines.append("")
            lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            _table(each, name, lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _key(key: str) -> str:
    return key if _BARE.match(key) else _text(key)


def _text(text: str) -> str:
    if "\n" in text and text.isprintable() is False and "\r" not in text:
        inside = text.replace("\\", "\\\\").replace('"', '\\"')
        if all(each.isprintable() or each == "\n" for each in inside):
            return f'"""\n{inside}"""'
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    assert isinstance(value, dict), f"{type(value).__name__} has no TOML"
    inside = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
    return f"{{ {inside} }}" if inside else "{}"
