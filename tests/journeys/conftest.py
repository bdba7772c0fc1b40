"""Journeys: whole ways through the emulator, from a person's wish to the meter and back."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

if "journey_kit" not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
    _spec = importlib.util.spec_from_file_location("journey_kit", Path(__file__).with_name("journey_kit.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["journey_kit"] = _module
    _spec.loader.exec_module(_module)


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A tap on every wire of every world made after it; it can lose any frame."""
    return sys.modules["journey_kit"].put_on(monkeypatch)
