"""The kit of these tests, loaded by path: tests carry no `__init__.py`."""

import importlib.util
import sys
from pathlib import Path

if "ike_kit" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("ike_kit", Path(__file__).with_name("ike_kit.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["ike_kit"] = _module
    _spec.loader.exec_module(_module)
