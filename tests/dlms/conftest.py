"""A small meter for the tests of this room: every class once, and both ends of a conversation."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

if "dlms_bench_meter" not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
    _spec = importlib.util.spec_from_file_location("dlms_bench_meter", Path(__file__).with_name("dlms_bench_meter.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["dlms_bench_meter"] = _module
    _spec.loader.exec_module(_module)


@pytest.fixture
def meter() -> Any:
    """A device of the model in `dlms_bench_meter`, with its server."""
    return sys.modules["dlms_bench_meter"].Meter()


@pytest.fixture
def head_end(meter: Any) -> Any:
    """The management client of that device, its association open."""
    return meter.client().open()
