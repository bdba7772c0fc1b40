"""Kits that bring up strangers, shared by the tests here; each is described in its own module."""

import importlib.util
import sys
from pathlib import Path

import pytest

KITS = (
    "unpack_kit", "wire_kit", "namespace_kit", "uml_kit", "esp_kit", "mpls_kit", "charon_kit", "pluto_kit", "frr_kit",
    "gateway_kit", "certificate_kit", "module_kit",
)  # fmt: skip

for _name in KITS:
    if _name not in sys.modules:  # tests carry no `__init__.py`: what they share is loaded by path, once
        _spec = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(f"{_name}.py"))
        assert _spec is not None
        assert _spec.loader is not None
        _module = importlib.util.module_from_spec(_spec)
        sys.modules[_name] = _module
        _spec.loader.exec_module(_module)


@pytest.fixture(scope="session", autouse=True)
def unpacked_strangers(request: pytest.FixtureRequest) -> None:
    """Packages unpacked once stay in pytest's cache."""
    cache = getattr(request.config, "cache", None)
    if cache is not None:
        sys.modules["unpack_kit"].keep_in(cache.mkdir("strangers"))


_GATEWAYS = ("uml", "charon", "frr", "pluto", "live_tun")


@pytest.hookimpl(tryfirst=True)  # before -m is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that bring up another gateway or kernel take minutes together: `pytest -m gateway` runs them."""
    for item in items:
        if item.path.parent == Path(__file__).parent and any(name in item.path.stem for name in _GATEWAYS):
            item.add_marker(pytest.mark.gateway)
            item.add_marker(pytest.mark.slow)
