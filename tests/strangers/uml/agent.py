"""Runs inside the guest: one JSON request a line on a serial line, one JSON answer a line. Standard library only.

A request is {"id", "argv", "input", "timeout", "environment", "log"}; with `log` the program stays in the background,
its output goes to that file and the answer is its pid. Requests run at the same time.
"""

import json
import os
import subprocess
import sys
import threading
import tty


def answer(line: str) -> dict[str, object]:
    request = json.loads(line)
    environment = {**os.environ, "TMPDIR": "/run/tmp", **request.get("environment", {})}
    try:
        if "log" in request:
            with open(request["log"], "ab") as log:
                started = subprocess.Popen(
                    request["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                    start_new_session=True,
                )  # fmt: skip
            threading.Thread(target=started.wait, daemon=True).start()
            return {"id": request["id"], "pid": started.pid}
        done = subprocess.run(
            request["argv"], input=request.get("input", "").encode("latin-1"), capture_output=True, env=environment,
            timeout=request.get("timeout", 60),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as reason:
        return {"id": request["id"], "returncode": 127, "out": "", "err": f"{type(reason).__name__}: {reason}"}
    out, err = done.stdout.decode("latin-1"), done.stderr.decode("latin-1")
    return {"id": request["id"], "returncode": done.returncode, "out": out, "err": err}


def main(device: str) -> None:
    line = os.open(device, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    order = threading.Lock()

    def say(what: dict[str, object]) -> None:
        rest = json.dumps(what).encode() + b"\n"
        with order:
            while rest:
                rest = rest[os.write(line, rest[:2048]) :]

    say({"id": 0})
    with os.fdopen(os.dup(line), "rb") as requests:
        for each in requests:
            threading.Thread(target=lambda text: say(answer(text)), args=(each.decode(),), daemon=True).start()


main(sys.argv[1])
