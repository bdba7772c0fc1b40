"""What a run says, and how often."""

import os
import subprocess
import sys
from pathlib import Path

from emulator.resources import fixture

SCRIPT = """
import sys
sys.modules["emulator._native"] = None  # in the workers too: they import this file
from emulator.cli import main
if __name__ == "__main__":
    main(["migrate", "--estate", sys.argv[1], "--installations", "24", "--workers", "3", "--json"])
"""


def test_a_missing_core_is_told_once_however_many_workers(tmp_path: Path) -> None:
    """Without the compiled core a run says so in one line, with the cure, and works."""
    estate, script = tmp_path / "small.toml", tmp_path / "run.py"
    estate.write_text(fixture("estates/thousand.toml").read_text("utf-8").replace("cell = 250", "cell = 8"), "utf-8")
    script.write_text(SCRIPT, "utf-8")
    environment = {**os.environ, "SMETS1_REQUIRE_NATIVE": "", "SMETS1_BACKEND": ""}
    command = [sys.executable, str(script), str(estate)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the compiled crypto core is missing") == 1
    assert '"agrees": true' in done.stdout
