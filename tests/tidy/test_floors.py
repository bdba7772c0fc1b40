"""The floors of the house: imports go down, never up, and never sideways between the rooms of floor 2."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS = {
    "emulator.errors": 0,
    "emulator.files": 0,
    "emulator.commands": 0,
    "emulator.resources": 0,
    "emulator.kernel": 0,
    "emulator._native": 0,
    "emulator.fixtures": 0,
    "emulator.codecs": 1,
    "emulator.crypto": 1,
    "emulator.dlms": 2,
    "emulator.link": 2,
    "emulator.han": 2,
    "emulator.faults": 2,
    "emulator.measure": 2,
    "devices": 3,
    "emulator.fleet": 4,
    "emulator.headend": 4,
    "emulator.scenario": 5,
    "emulator.dcc": 5,
    "emulator.oracle": 5,
    "emulator.shell": 5,
    "emulator.watch": 5,
    "emulator.cli": 6,
    "emulator.web": 6,
    "emulator.control": 6,
    "emulator.served": 6,
    "emulator.pytest_plugin": 6,
}
STRANGERS_TO_EACH_OTHER = 2
NO_ROOM = {"emulator", "emulator.__init__"}


def room_of(module: str) -> str | None:
    """The longest entry of FLOORS that the module stands in."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in FLOORS:
            return name
    return None


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module in ("emulator", "emulator.crypto", "emulator.codecs"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def sources() -> list[Path]:
    found = [*ROOT.glob("emulator/**/*.py"), *ROOT.glob("devices/**/*.py")]
    assert len(found) > 50
    return sorted(found)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """No module imports from a higher floor, or from another room of floor 2, and `emulator` never names `devices`."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    here = room_of(module)
    if module in NO_ROOM:
        return
    assert here is not None, f"{module} stands in no room; add it to FLOORS or move it"
    for name in imports(ast.parse(path.read_text("utf-8"))):
        there = room_of(name)
        if there is None or there == here:
            continue
        assert FLOORS[there] <= FLOORS[here], f"{module} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[there]})"
        if FLOORS[here] == FLOORS[there] == STRANGERS_TO_EACH_OTHER:
            raise AssertionError(f"{module} imports its neighbour {name}; rooms of floor 2 are strangers")
        if here.startswith("emulator"):
            assert there != "devices", f"{module} imports {name}; device models are found by entry point"
