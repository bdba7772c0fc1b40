"""The head end's tests share a kit."""

import importlib.util
import sys
from pathlib import Path

if "rotation_kit" not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
    _spec = importlib.util.spec_from_file_location("rotation_kit", Path(__file__).with_name("rotation_kit.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["rotation_kit"] = _module
    _spec.loader.exec_module(_module)
