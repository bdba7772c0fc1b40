"""Strangers that are Python packages, fetched by their modules' names when a test wants one."""

import os
from importlib import import_module
from typing import Any

import pytest


def module(name: str) -> Any:
    """A stranger's module; without it a skip, or a failure where strangers are required."""
    try:
        return import_module(name)
    except ImportError:
        if os.environ.get("SMETS1_REQUIRE_STRANGERS") == "1":
            raise
        pytest.skip(f"{name.partition('.')[0].replace('_', '-')} is not installed")
