"""Floor 5: running an estate by hand or by script, in virtual time.

    from emulator.scenario import run_scenario

    report = run_scenario("clean", seed=7)
    assert report.passed, report.failures
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.scenario.report import Report


def run_scenario(source: "str | Path | dict[str, Any]", *, seed: int | None = None, workers: int = 1) -> "Report":
    """Run a scenario, by its name, its file, or as plain data, in virtual time: what it came to (`passed`, `failures`,
    `verdicts`, `digest`). `seed` None: the scenario's own. Raises InputError for a scenario that is wrong."""
    from emulator.scenario import reading, virtual

    read = reading.convert(source) if isinstance(source, dict) else reading.read(source)
    return virtual.run(read, seed, workers=workers)


__all__ = ["run_scenario"]
