"""What every test run shares: the rung the codecs run on, and what a missing stranger means.

`pytest --rung=construct` runs the whole suite on the definitions alone. The choice is also put into the environment,
because workers of a run are fresh processes and must stand on the same rung. With SMETS1_REQUIRE_STRANGERS=1 a test
marked `stranger` that is skipped is a failure: that is for machines that are meant to have them all.
"""

import os

import pytest

from emulator.codecs import codec


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rung",
        choices=codec.RUNGS,
        default=None,
        help="run every codec on its definition alone (construct) or on its faster rung where it has one (fast)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before collection, so that nothing is bound to another rung first."""
    rung = config.getoption("--rung")
    if rung is not None:
        os.environ[codec.ENVIRONMENT] = rung
        codec.use(rung)


def pytest_report_header(config: pytest.Config) -> str:
    return f"smets1 codecs: {codec.current()} rung"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """A test marked `stranger` must not be skipped when SMETS1_REQUIRE_STRANGERS is set."""
    report = yield
    required = os.environ.get("SMETS1_REQUIRE_STRANGERS", "") not in ("", "0")
    if required and report.skipped and item.get_closest_marker("stranger") is not None:
        report.outcome = "failed"
        report.longrepr = f"a stranger is required here and missing: {report.longrepr}"
    return report
