"""Network namespaces for strangers that want ports, routes and devices of their own: as root, or as anybody.

A Lab is a process that holds the namespaces (`unshare`; in a user namespace too when not root) with a process
namespace of its own: when it ends, by `close` or with the test run, everything in it ends and nothing is left behind.
Labs know nothing of each other, so addresses and ports are free in each.

    with Lab(folder) as lab:
        a = lab.add("a")
        wire = a.wire("192.0.2.2")            # whoever holds it is every host beyond
        lab.cable(a, "10.0.0.1", lab.add("b"), "10.0.0.2")
"""

import array
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from unpack_kit import missing, program
from wire_kit import Tun

_HOLD = "mount -t tmpfs t /run && mkdir /run/netns && echo ready && read end"
_SEND = "\nours = socket.socket(fileno=int(sys.argv[1]))\n"
_SEND += "ours.sendmsg([b'd'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [made]))])\n"
_TUN = """
import array, fcntl, os, socket, struct, sys
made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(made, 0x400454CA, struct.pack("16sH22x", sys.argv[2].encode(), 0x1001))  # TUNSETIFF: TUN, no packet info
"""
_SOCKET = """
import array, socket, sys
held = socket.socket(*map(int, sys.argv[2:]))
made = held.fileno()
"""


class Lab:
    """Namespaces that live together. `folder` is where their programs keep their files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self._user = [] if os.geteuid() == 0 else ["-U", "-r"]
        command = [program("unshare", "util-linux"), *self._user, "-n", "-m", "-p", "--propagation", "private"]
        program("ip", "iproute2")
        program("nsenter", "util-linux")
        self._wires: list[Tun] = []
        self._holder = subprocess.Popen(
            [*command, "--fork", "--kill-child", "--", "sh", "-c", _HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            self._holder.wait(10)
            missing("a namespace of its own", f"unshare says: {self._holder.stderr.read().strip()}")
        # The shell that holds them is the only child of `unshare`; its namespaces are entered by its id.
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        self._inside = int(children[0])

    def add(self, name: str) -> "Namespace":
        """A network namespace with its loopback up."""
        found = Namespace(self, name)
        self._call([*self.entering(), "ip", "netns", "add", name])
        found.ip("link set lo up")
        # A socket's user is asked for privilege where it binds, and that is the test's process: so let none be needed.
        found.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"])
        return found

    def cable(self, one: "Namespace", address: str, other: "Namespace", peer: str) -> None:
        """A cable between two namespaces; the address of each end, /24."""
        ends = f"to-{other.name}", f"to-{one.name}"
        one.ip(f"link add {ends[0]} type veth peer name {ends[1]} netns {other.name}")
        for place, device, mine in ((one, ends[0], address), (other, ends[1], peer)):
            place.ip(f"addr add {mine}/24 dev {device}", f"link set {device} up")

    def entering(self) -> list[str]:
        """Words before a command that is to run in the lab."""
        user = ["-U", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self._inside), *user, "-m", "-n", "-p", "--"]

    def hold(self, wire: Tun) -> None:
        self._wires.append(wire)

    def _call(self, command: Sequence[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert not done.returncode, f"{' '.join(command)}: {done.stdout}{done.stderr}"

    def close(self) -> None:
        """End everything in the lab."""
        with contextlib.suppress(ProcessLookupError):
            self._holder.send_signal(signal.SIGKILL)  # its child dies with it, and with that every process inside
        self._holder.communicate(timeout=30)
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Namespace:
    """One network namespace of a lab. Its programs see the host's files; `folder` and `state` are one folder here."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.folder = lab.folder / name
        self.folder.mkdir(exist_ok=True)
        self.state = str(self.folder)

    def run(
        self, command: str | Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A program's answer. A string is split as a shell would split it, but no shell sees it.

        With `check` an answer other than 0 is an AssertionError that quotes what it said.
        """
        done = subprocess.run(self._words(command), input=stdin, capture_output=True, text=True, timeout=timeout)
        assert not check or not done.returncode, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self, command: str | Sequence[str], log: str, environment: dict[str, str] | None = None) -> "Program":
        """A program in the background; what it says goes to the file `log` under `state`."""
        with (self.folder / log).open("ab") as said:
            return Program(
                subprocess.Popen(
                    self._words(command), stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    env={**os.environ, **(environment or {})},
                )
            )  # fmt: skip

    def read(self, name: str) -> str:
        """A file under `state`, or anywhere."""
        return (self.folder / name).read_text(errors="replace")

    def ip(self, *lines: str) -> None:
        """`ip` with these lines, all in one process; the first that fails is an AssertionError."""
        self.run(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")

    def wire(self, address: str, name: str = "wire", mtu: int = 1_500) -> Tun:
        """A device with this address, /24 and default route, whose other end is in the caller's hands."""
        found = Tun(self._made(_TUN, name, "a TUN device"))
        self.lab.hold(found)
        self.ip(f"link set {name} mtu {mtu} up", f"addr add {address}/24 dev {name}", f"route add default dev {name}")
        return found

    def open_socket(self, kind: socket.SocketKind = socket.SOCK_DGRAM, protocol: int = 0) -> socket.socket:
        """An IPv4 socket of this namespace, in the caller's process: it keeps the network that it was made in.

        The caller binds and closes it. Every port is free to it, 500 and 646 too.
        """
        words = f"{int(socket.AF_INET)} {int(kind)} {protocol}"
        return socket.socket(fileno=self._made(_SOCKET, words, "a socket"))

    def _made(self, program: str, words: str, what: str) -> int:
        """A descriptor that this program makes inside the namespace and hands out."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            command = [sys.executable, "-IS", "-c", program + _SEND, str(theirs.fileno()), *words.split()]
            done = subprocess.run(
                self._words(command), pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60
            )
            if done.returncode:
                missing(what, f"it says: {done.stderr.strip().splitlines()[-1]}")
            descriptors = array.array("i")
            _, extra, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(descriptors.itemsize))
            descriptors.frombytes(extra[0][2])
        return int(descriptors[0])

    def _words(self, command: str | Sequence[str]) -> list[str]:
        words = shlex.split(command) if isinstance(command, str) else list(map(str, command))
        return [*self.lab.entering(), "ip", "netns", "exec", self.name, *words]


class Program:
    """A program in the background of a namespace."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def stop(self, signal_name: str = "TERM") -> None:
        """Send the signal and wait for the end; after 10 seconds it is not asked any more."""
        if self.alive():
            # What was started is the child of the program that entered the namespaces, which waits for it.
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(children[0]) if children else self.pid, getattr(signal, f"SIG{signal_name}"))
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def alive(self) -> bool:
        return self._process.poll() is None
