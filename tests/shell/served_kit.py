"""A served estate in a process of its own, and a small client for it: what tests of the shell share.

Every wait has an end, and the process is ended by its own id."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from click.testing import CliRunner

from emulator.cli import keys
from emulator.codecs.wrapper import WRAPPER, Wrapper, split
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Answer, Client, More
from emulator.headend import services

PATIENCE = 20.0
START = 60.0
"""Seconds: for an answer, and for a process to be there on a busy machine."""

TITLE = b"TST\0\0\0\0\1"


def smets1(*arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    command = [sys.executable, "-c", "from emulator.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


class Served:
    """`smets1 serve` with its ready line."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", "from emulator.cli import main; main()", "serve", *arguments]
        if "--port" not in arguments:
            command += ["--port", "0"]
        self.arguments = arguments
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self._line(START)
        self.ready: dict[str, Any] = json.loads(line) if line else {}
        self.log: list[dict[str, Any]] = []

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    def keys(self, installation: int, kind: str = "") -> Any:
        """What `smets1 keys --json` prints of a home; of one device when a kind is named."""
        state = [each for at, each in enumerate(self.arguments) if "--state" in (each, self.arguments[at - 1])]
        estate = ["--estate", self.ready["estate"], "--installations", str(self.ready["installations"])]
        port = ["--port", str(self.port)]
        arguments = ["--installation", str(installation), *estate, *state, *port, "--json"]
        done = CliRunner().invoke(keys.command, arguments)  # the verb itself, without the start of a process
        assert done.exit_code == 0, done.exception
        devices = json.loads(done.stdout)["devices"]
        return next(each for each in devices if each["kind"] == kind) if kind else devices

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and read what it said; its exit code."""
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        try:
            _, errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, errors = self.process.communicate()
        self.errors = errors.decode()
        self.log = [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]
        return self.process.returncode

    def _line(self, patience: float) -> bytes:
        assert self.process.stdout is not None
        end = time.monotonic() + patience
        found = b""
        while not found.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                break
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                break
            found += piece
        return found


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """A served estate on free ports, for the length of a block."""
    found = Served(*arguments)
    try:
        assert found.ready, found.stop() or found.errors
        yield found
    finally:
        found.stop()


class Caller:
    """One client over TCP or UDP: wrapper frames out and in."""

    def __init__(self, host: str, port: int, *, udp: bool = False, patience: float = PATIENCE) -> None:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(patience)
        self.socket.connect((host, port))
        self._rest = b""

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, client_sap: int, server_sap: int, apdu: bytes) -> None:
        self.socket.sendall(WRAPPER.build(Wrapper(client_sap, server_sap, apdu)))

    def hear(self) -> Wrapper:
        """The next frame. Raises TimeoutError, ConnectionError."""
        while True:
            frames, _ = split(self._rest)
            if frames:
                self._rest = self._rest[len(frames[0]) :]
                return WRAPPER.parse(frames[0])
            piece = self.socket.recv(65_536)
            if not piece:
                raise ConnectionError("closed")
            self._rest += piece

    def talk(self, client: Client, client_sap: int, server_sap: int, apdu: bytes) -> Any:
        """A request of our own client to its end; the value, or the refusal."""
        while True:
            self.send(client_sap, server_sap, apdu)
            outcome = client.receive(self.hear().payload)
            if type(outcome) is not More:
                return outcome.value if type(outcome) is Answer else outcome
            apdu = outcome.apdu

    def public(self, server_sap: int) -> Client:
        """A public association."""
        client = Client()
        self.talk(client, 16, server_sap, client.associate(b""))
        return client

    def counter(self, server_sap: int) -> int:
        """The lowest counter a device accepts, read without security."""
        client = self.public(server_sap)
        return int(self.talk(client, 16, server_sap, client.get(services.INVOCATION_COUNTER)).value)

    def managed(self, device: Any, challenge: bytes = b"0123456789abcdef") -> Client:
        """An association under the keys of `smets1 keys`."""
        store = ContextStore(1)
        ek, ak, peer = (bytes.fromhex(device[name]) for name in ("ek", "ak", "server_system_title"))
        kek = bytes.fromhex(device["kek"]) if device["kek"] else None
        counter = self.counter(device["server_sap"])
        store.load(0, ek=ek, ak=ak, title=TITLE, peer=peer, tx=counter, kek=kek)
        client = Client(store, 0, MANAGEMENT)
        outcome = self.talk(client, 1, device["server_sap"], client.associate(challenge))
        assert client.associated, outcome
        return client
