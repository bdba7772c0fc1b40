"""A served estate driven from nothing by curl, mosquitto's clients and a socket, as the README shows it."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("drive.sh")
README = SCRIPT.parents[2] / "README.md"
PATIENCE_S = 100

SAID = [
    r"homes: 16",
    r"noon: 2020-03-02T12:00:00\.000Z",
    r"meter's clock: 2020-03-02T1[12]:\d\d:\d\d\.\d{3}Z",
    r"boosted: true",
    r"half an hour later: false",
    r"link down: the hub did not call back; .*",
    r"link up: [1-9]\d* Wh",
    r"verified: true",
    r'data: \{"number":\d+,.*"installation":1,"device":"electricity","kind":"auxiliary\.held","detail":\[2,true,30\]\}',
    r'\{"request":"heat","command":"installations/1/electricity/set-auxiliary","answer":\{"switch":1,"on":true\}\}',
    r"smets1/demo-street/alarm/1/electricity/battery-low",
    r"smets1/demo-street/answer/low",
    r"associated: 61[0-9a-f]*a203020100[0-9a-f]*",
    r"counter: [1-9]\d*",
]
"""Every line, in order."""


@pytest.mark.stranger
def test_the_script_drives_an_estate(tmp_path: Path) -> None:
    """HTTP, MQTT and a socket are enough: list, wake, read, press, step, break and heal the link, verify, follow, order
    by topic, associate; nothing unforeseen is said, and the server ends cleanly with the script."""
    for tool in ("bash", "curl", "mosquitto_pub", "mosquitto_sub", "python3"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here")
    if importlib.util.find_spec("amqtt") is None:
        pytest.skip("amqtt is not here")
    command = tmp_path / "bin" / "smets1"
    command.parent.mkdir()
    main = shlex.join([sys.executable, "-c", "from emulator.cli import main; main()"])
    command.write_text(f'#!/bin/sh\nexec {main} "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    script = subprocess.Popen(
        ["bash", str(SCRIPT)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, errors = script.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(script.pid, signal.SIGKILL)
        said, errors = script.communicate()
    log = (tmp_path / "serve.log").read_text()
    assert (script.returncode, errors) == (0, ""), (said, errors, log[-2_000:])
    lines = said.splitlines()
    for line, wanted in zip(lines, SAID, strict=True):
        assert re.fullmatch(wanted, line), (line, wanted)
    assert '"event": "shell.stopped"' in log.splitlines()[-1]
    assert "fault" not in log


def test_the_readme_shows_the_script_as_it_runs() -> None:
    """Where the README shows a script of mosquitto's clients, it is this one, to the letter."""
    shown = re.findall(r"^```bash\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert [each for each in shown if "mosquitto_pub" in each] == [SCRIPT.read_text("utf-8")]
