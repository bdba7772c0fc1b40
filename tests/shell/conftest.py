"""Kits that tests of the shell share; each is described in its own module."""

import importlib.util
import sys
from pathlib import Path

for _name in ("served_kit", "stream_kit"):
    if _name not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
        assert _spec is not None
        assert _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_name] = _module
        _spec.loader.exec_module(_module)
