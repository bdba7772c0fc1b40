"""Floor 5: running an estate by hand or by script, in virtual time.

from emulator.scenario import run_scenario

report = run_scenario("clean", seed=7)
assert report.passed, report.failures
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.scenario.report import Report


def run_scenario(
    source: "str | Path | dict[str, Any]", *, seed: int | None = None, workers: int = 1, **overrides: Any
) -> "Report":
    """Run a scenario in virtual time: what it came to (`passed`, `failures`, `verdicts`, `digest`).

    `source` is the name of one that ships, a file, TOML (anything with more than one line), or plain data; `overrides`
    are laid over it, tables key by key: `estate={"installations": 12}`. `seed` None: the scenario's own. Raises
    InputError for a scenario that is wrong."""
    from emulator.scenario import reading, virtual

    return virtual.run(reading.opened(source, overrides), seed, workers=workers)


__all__ = ["run_scenario"]
