"""The dashboard in a real browser against a real server: what its tests and its picture share.

The browser is Debian's Chromium, which must be on the machine; nothing is downloaded. It can look up no name, so
whatever tried to leave this machine would fail and be seen. Everything that is started here is ended here, by its id.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = Path("/usr/bin/chromium")
START_S = 60.0
PATIENCE_MS = 10_000

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Street:
    """`smets1 serve` in a process of its own: `http` its address, `token` what opens it."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", "from emulator.cli import main; main()", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            ready = json.loads(self._line())
        except BaseException:
            self.stop()
            raise
        self.http: str = ready["http"]
        self.token: str | None = ready["token"]

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        end, found = time.monotonic() + START_S, b""
        while not found.endswith(b"\n"):
            assert select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], "it did not start"
            piece = os.read(self.process.stdout.fileno(), 65_536)
            assert piece, f"it ended with {self.process.wait(5)}"
            found += piece
        return found

    def page(self, home: int = 0) -> str:
        """Where the dashboard is, with the token that opens it."""
        return f"{self.http}/dashboard#token={self.token}&home={home}"

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer("POST", path, json=body or {})

    def get(self, path: str) -> Any:
        return self._answer("GET", path)

    def _answer(self, method: str, path: str, **given: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, f"{self.http}/v1/{path}", headers=headers, timeout=20, **given)
        assert answer.is_success, answer.text
        return answer.json()

    def stop(self) -> None:
        """It ends, in good order or otherwise."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextmanager
def street(*arguments: str) -> Iterator[Street]:
    """A served estate, for the length of a block."""
    found = Street(*arguments)
    try:
        yield found
    finally:
        found.stop()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser, for the length of a block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS), timeout=START_S * 1000)
        try:
            yield browser
        finally:
            with suppress(Exception):
                browser.close()
