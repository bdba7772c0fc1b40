"""`smets1 serve` in a process of its own, on free ports, for as long as somebody wants it.

    with ServedEstate(folder, "demo-street", seed=7) as estate:
        estate.address(3), estate.port, estate.http, estate.token
        estate.keys(3)["electricity"]["ek"]
        estate.reset()

It is what users run, so what is proved against it holds for them too. Its state lies in `folder`, because keys are told
by what is durable, also after a re-key. Its log lies beside it. Every wait has an end; the process is ended by its own
id, and by itself when this process dies (`leash`).
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from emulator.errors import EmulatorError, InputError
from emulator.served.client import Server

if TYPE_CHECKING:
    from emulator.fleet.estate import Estate
    from emulator.served.world import ServedHome, ServedWorld

START_S: Final = 60.0
STOP_S: Final = 15.0
_ANSWER_S: Final = 60.0
_LINE_MOST: Final = 65_536
_LOG_LINES: Final = 5


class ServedEstate:
    """A served estate. By default its clock stands (`speed` 0): time passes when somebody steps it, and as far as what
    is asked over the air needs. `arguments` are further ones of `smets1 serve`.

    Raises InputError with what the server said when it does not start."""

    def __init__(
        self,
        folder: Path,
        estate: str = "demo-street",
        *,
        seed: int | None = None,
        installations: int | None = None,
        link: str | None = None,
        timing: str = "instant",
        speed: float = 0.0,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.source = estate
        self.state = str(folder / "state")
        self.log = folder / "serve.log"
        self.since = 0
        """Number of the journal's newest entry when the estate was last put back."""
        self._speed = speed
        words = ["--estate", estate, "--port", "0", "--state", self.state, "--timing", timing, "--speed", f"{speed:g}"]
        for option, value in (("--seed", seed), ("--installations", installations), ("--link", link)):
            if value is not None:
                words += [option, str(value)]
        command = [sys.executable, "-m", "emulator.served.leash", "serve", *words, *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            self.ready: dict[str, Any] = self._hear(time.monotonic() + START_S)
        except BaseException:
            self.stop()
            raise
        self.http: str = self.ready["http"]
        self.token: str = self.ready["token"]
        self.port: int = self.ready["port"]
        self.hdlc_port: int = self.ready["hdlc_port"]
        self.server = Server(self.http, self.token, _ANSWER_S)

    def __enter__(self) -> "ServedEstate":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @cached_property
    def estate(self) -> "Estate":
        """The estate as everyone can know it: who lives where, with which devices."""
        from emulator.fleet.estate import open_estate

        return open_estate(self.source, self.ready["seed"], self.ready["installations"])

    @cached_property
    def world(self) -> "ServedWorld":
        """Handles, as those of an estate in virtual time."""
        from emulator.served.world import ServedWorld

        return ServedWorld(self)

    @property
    def seed(self) -> int:
        """The seed of everything that happens in it."""
        return int(self.ready["seed"])

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def address(self, home: "int | str | ServedHome" = 0) -> str:
        """The IP address of a home, by its number, its owner's label or its handle. Raises InputError."""
        from emulator.shell.addresses import Addresses, network

        return Addresses(network(self.ready["network"]), self.ready["installations"]).of(self.number(home))

    def number(self, home: "int | str | ServedHome") -> int:
        """A home's number. Raises InputError for one that does not exist."""
        if isinstance(home, str):
            return self.estate.find(home)
        number = home if isinstance(home, int) else home.number
        if not 0 <= number < self.ready["installations"]:
            raise InputError(
                f"estate {self.ready['estate']} has no installation {number}; "
                f"it has {self.ready['installations']}, numbered from 0"
            )
        return number

    def keys(self, home: "int | str | ServedHome" = 0) -> dict[str, dict[str, Any]]:
        """What `smets1 keys` tells of a home at this moment, device by device: keys(3)["electricity"]["ek"]."""
        from emulator.cli.keys import told

        _, devices = told(str(self.number(home)), self.source, state=self.state, port=self.port)
        return {each["kind"]: each for each in devices}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A question over HTTP: ask("GET", "/v1/status"). Raises InputError, ServerError."""
        return self.server.ask(method, path, body)

    def reset(self) -> None:
        """Everything as it was found: devices, keys, tasks, faults, snapshots and the clock's speed. Virtual time and
        the journal's numbers go on."""
        self.ask("POST", "/v1/reset-estate", {})
        self.ask("POST", "/v1/clear-faults", {})
        self.world.faults.clear()
        for name in self.ask("GET", "/v1/snapshots")["snapshots"]:
            self.ask("POST", "/v1/drop-snapshot", {"name": name})
        if self.ask("GET", "/v1/clock")["speed"] != self._speed:
            self.ask("POST", "/v1/set-speed", {"speed": self._speed})
        self.since = self.ask("GET", "/v1/status")["journal"]

    def stop(self) -> int:
        """Ask it to end, make it end when it does not; its exit code."""
        process = self.process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return process.returncode

    def told(self) -> str:
        """Where it is served and how it stands, for a report; never raises. No key and no token."""
        facts = self.ready
        head = (
            f"estate {facts['estate']}, seed {facts['seed']}, link {facts['link']}, "
            f"served at {self.address()}:{self.port} and {self.http}, timing {facts['timing']}"
        )
        try:
            world = self.world
            return f"{head}, virtual time {world.now:%Y-%m-%d %H:%M:%S}, digest {world.digest()}"
        except (EmulatorError, OSError) as error:
            end = f"ended with {self.process.returncode}" if not self.alive else "does not answer"
            return "\n".join([f"{head}; it {end} ({error}). The last it said:", *self.last_words()])

    def last_words(self) -> list[str]:
        """The last lines of its log."""
        try:
            return self.log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []

    def _hear(self, end: float) -> dict[str, Any]:
        """The ready line. Raises InputError."""
        stdout = self.process.stdout
        assert stdout is not None
        found = b""
        while not found.endswith(b"\n") and len(found) < _LINE_MOST:
            left = end - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise InputError(f"the estate was not served within {START_S:.0f} s; it said: {self._said()}")
            piece = os.read(stdout.fileno(), _LINE_MOST)
            if not piece:
                self.process.wait(STOP_S)
                raise InputError(f"the estate is not served: {self._said()}")
            found += piece
        ready = json.loads(found)
        assert isinstance(ready, dict)
        return ready

    def _said(self) -> str:
        return " ".join(self.last_words()) or "nothing"
