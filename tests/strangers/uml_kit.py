"""A real Linux kernel as a judge, in an ordinary process: User-Mode Linux.

Its Ethernet devices are socket pairs whose other ends a test holds: no privilege, TUN, network namespace or KVM. Its
root is the host's own file system, read-only, so the host's `ip` and charon run on the guest's kernel, which has what
the host's may lack: ESP, MPLS, VRFs. Commands go over a serial line to a small agent (`uml/agent.py`).

    with Guest(folder) as guest:
        guest.run("ip addr add 192.0.2.2/24 dev vec0")
        guest.wires[0].send(packet)
"""

import contextlib
import itertools
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from unpack_kit import missing, program, unpacked
from wire_kit import Ethernet

BOOT = 90.0
"""Seconds a boot may take; 2 on an idle machine."""
_HERE = Path(__file__).with_name("uml")


def kernel() -> tuple[str, Path]:
    """(kernel program, folder of its modules): the installed package, or unpacked."""
    for root in (Path("/"), None):
        root = root or unpacked("user-mode-linux")
        found, modules = root / "usr/bin/linux.uml", sorted(root.glob("usr/lib/uml/modules/*"))
        if found.exists() and modules:
            return str(found), modules[-1]
    raise AssertionError("the package user-mode-linux holds no kernel with modules")


class Guest:
    """A running guest kernel. `folder` is host storage that the guest can read; `state` is where the guest can write
    (its memory). `devices` Ethernet devices are up and named vec0, vec1, ...; `wires` are their other ends."""

    state = "/run/state"

    def __init__(self, folder: Path, devices: int = 1, memory: int = 256) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.wires: list[Ethernet] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {0: Future()}
        self._order = threading.Lock()
        image, modules = kernel()
        modprobe, _ = program("modprobe", "kmod"), program("ip", "iproute2")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line, passed, words = ours, [theirs], []
        for number in range(devices):
            held, given = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            for each in (held, given):
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    each.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
            address = bytes([2, 0, 0, 0, number + 1, 2])
            passed.append(given)
            words.append(f"vec{number}:transport=fd,fd={given.fileno()},mac={address.hex(':')}")
            self.wires.append(Ethernet(held, address))
        self._log = (self.folder / "kernel.log").open("ab")
        environment = {"MODULES": modules, "MODPROBE": modprobe, "PYTHON": sys.executable, "AGENT": _HERE / "agent.py"}
        self._process = subprocess.Popen(
            [
                image, f"mem={memory}M", "rootfstype=hostfs", "rootflags=/", "ro", "init=/bin/sh", "quiet",
                "con=null", "con0=null,fd:1", f"ssl0=fd:{theirs.fileno()},fd:{theirs.fileno()}", "ssl=null",
                f"uml_dir={self.folder / 'uml'}", *words, *(f"{name}={value}" for name, value in environment.items()),
                "--", str(_HERE / "init.sh"),
            ],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
            pass_fds=[each.fileno() for each in passed],
        )  # fmt: skip
        for each in passed:
            each.close()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._waiting[0].result(BOOT)
            for number in range(devices):
                self.run(f"ip link set vec{number} up")
        except RuntimeError:
            self.close()
            said = (self.folder / "kernel.log").read_text(errors="replace").strip()[-300:]
            missing("a guest kernel that runs", f"User-Mode Linux ended before it was up: {said}")
        except BaseException:
            self.close()
            raise

    # Commands

    def run(
        self, command: str | Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A program's answer. A string is split as a shell would split it, but no shell sees it.

        With `check` an answer other than 0 is an AssertionError that quotes what it said.
        """
        words = shlex.split(command) if isinstance(command, str) else list(map(str, command))
        told = self._ask({"argv": words, "input": stdin, "timeout": timeout}, timeout + 10)
        done = subprocess.CompletedProcess(words, told["returncode"], told["out"], told["err"])
        assert not check or not done.returncode, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self, command: str | Sequence[str], log: str, environment: dict[str, str] | None = None) -> "Started":
        """A program in the background; what it says goes to the file `log` under `state`."""
        words = shlex.split(command) if isinstance(command, str) else list(map(str, command))
        request = {"argv": words, "log": f"{self.state}/{log}", "environment": environment or {}}
        told = self._ask(request, 30)
        assert "pid" in told, told
        return Started(self, told["pid"])

    def read(self, name: str) -> str:
        """A file under `state`, or anywhere."""
        return self.run(["cat", os.path.join(self.state, name)]).stdout

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = Future()
        with self._order:
            self._line.sendall(json.dumps({"id": number, **request}).encode() + b"\n")
        return answer.result(timeout)

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._line.makefile("rb") as answers:
            for each in answers:
                told = json.loads(each)
                self._waiting.pop(told["id"]).set_result(told)
        for left in list(self._waiting.values()):
            left.set_exception(RuntimeError(f"the guest kernel is gone; see {self.folder / 'kernel.log'}"))

    # The kernel's own

    def counters(self) -> dict[str, int]:
        """/proc/net/xfrm_stat: how many packets IPsec refused, and why."""
        rows = (line.split() for line in self.read("/proc/net/xfrm_stat").splitlines())
        return {name: int(value) for name, value in rows}

    def ip(self, *lines: str) -> None:
        """`ip` with these lines, all in one process; the first that fails is an AssertionError."""
        self.run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")

    def load(self, *modules: str) -> None:
        """Kernel modules, by name."""
        self.run(["/run/modprobe", "-a", *modules])

    # The end

    def close(self) -> None:
        """Stop the kernel and every process in it."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                self._ask({"argv": ["sh", "-c", "echo o > /proc/sysrq-trigger"], "timeout": 2}, 0.5)
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(10)
        self._line.close()
        self._log.close()
        for wire in self.wires:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sa(
    source: str,
    destination: str,
    spi: int,
    key: bytes,
    *,
    mode: str = "tunnel",
    algorithm: str = "aead rfc4106(gcm(aes))",
    icv_bits: int = 128,
    auth_key: bytes = b"",
    window: int = 64,
    esn: bool = False,
    encap: tuple[int, int] | None = None,
    sequence: tuple[int, int] = (0, 0),
    reqid: int = 1,
) -> str:
    """`Guest.ip`'s line that makes an ESP SA. `key` as the kernel wants it (AEAD: key and salt together).

    `algorithm` is `aead NAME`, or `enc NAME auth-trunc NAME` with `auth_key` of its own; `sequence` is (last sent, last
    received), 64 bits with `esn`; `encap` the UDP ports (source, destination) of RFC 3948.
    """
    sent, received = sequence
    words = f"xfrm state add src {source} dst {destination} proto esp spi {spi:#x} reqid {reqid} mode {mode} "
    words += f"replay-window {window} " + ("flag esn " if esn else "flag af-unspec " if mode == "tunnel" else "")
    if algorithm.startswith("aead "):
        words += f"aead {algorithm[5:]} 0x{key.hex()} {icv_bits} "
    else:
        cipher, _, proof = algorithm.removeprefix("enc ").partition(" auth-trunc ")
        words += f"enc {cipher} 0x{key.hex()} auth-trunc {proof} 0x{auth_key.hex()} {icv_bits} "
    if encap is not None:
        words += f"encap espinudp {encap[0]} {encap[1]} 0.0.0.0 "
    words += f"replay-seq {received & 0xFFFFFFFF:#x} replay-oseq {sent & 0xFFFFFFFF:#x} "
    if esn:
        words += f"replay-seq-hi {received >> 32:#x} replay-oseq-hi {sent >> 32:#x} "
    return words


def policy(
    direction: str, inner: tuple[str, str], outer: tuple[str, str], *, mode: str = "tunnel", reqid: int = 1
) -> str:
    """`Guest.ip`'s line by which traffic of `inner` (source, destination; words of a selector may follow the second)
    crosses `outer` in ESP; `direction` is in, out or fwd."""
    return (
        f"xfrm policy add src {inner[0]} dst {inner[1]} dir {direction} "
        f"tmpl src {outer[0]} dst {outer[1]} proto esp reqid {reqid} mode {mode}"
    )


class Started:
    """A program in the background of a guest."""

    def __init__(self, guest: Guest, pid: int) -> None:
        self._guest, self.pid = guest, pid

    def stop(self, signal_name: str = "TERM") -> None:
        self._guest.run(["kill", f"-{signal_name}", str(self.pid)], check=False)

    def alive(self) -> bool:
        return self._guest.run(["kill", "-0", str(self.pid)], check=False).returncode == 0
