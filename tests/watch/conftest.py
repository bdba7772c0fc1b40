"""Somebody who does things wrong, for the tests of the watch."""

import importlib.util
import sys
from pathlib import Path

if "watch_outsider" not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
    _spec = importlib.util.spec_from_file_location("watch_outsider", Path(__file__).with_name("watch_outsider.py"))
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["watch_outsider"] = _module
    _spec.loader.exec_module(_module)
