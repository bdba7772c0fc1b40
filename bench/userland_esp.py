"""What strongSwan's userland ESP (plugin kernel-libipsec) costs here: two charons with a tunnel between them.

`python bench/userland_esp.py [--seconds S] [--payload BYTES]`, or a `Userland` for who measures something beside it.

Both charons, a cable and the traffic stand in network, mount and process namespaces of one helper (this file, run by
`unshare`; in a user namespace too when not root) and end with it. UDP datagrams are pushed in at one end and taken out
at the other, as many in flight as no queue on the way drops. What counts is the CPU both charons used for what arrived:
one packet sealed and opened, whatever cores they ran on. Their system calls (TUN and UDP) are the work of a userland
gateway and belong to it; `user` leaves the kernel's share out, for who compares with a pipeline in memory.
"""

import argparse
import contextlib
import ctypes
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

_PLACES: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_PLUGIN: Final = Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")
_PLUGINS: Final = "random nonce aesni openssl hmac kdf curve25519 socket-default vici kernel-libipsec kernel-netlink"
_INNER: Final = "10.1.0.1", "10.2.0.1"
_OUTER: Final = "192.0.2.1", "192.0.2.2"
_IN_FLIGHT: Final = 128
_NEWNET: Final = 0x40000000
_PORT: Final = 4059
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class AbsentError(Exception):
    """There is no such gateway here, or it may not be brought up; says why in a word."""


class Round(NamedTuple):
    """So many packets crossed; `cpu` seconds of both charons, `user` of them outside the kernel."""

    packets: int
    lost: int
    seconds: float
    cpu: float
    user: float

    @property
    def a_second(self) -> float:
        """Packets a second of one core."""
        return self.packets / self.cpu

    @property
    def user_a_second(self) -> float:
        """The same, of the time outside the kernel: a sample by its clock's ticks, good over some seconds."""
        return self.packets / max(self.user, _TICK)


class Userland:
    """The tunnel stands while the context lasts. Entering raises AbsentError."""

    def __init__(self, payload: int = 128) -> None:
        self._payload = payload

    def __enter__(self) -> Self:
        tools = ("charon-systemd", "swanctl", "ip", "unshare", "mount")
        missing = [name for name in tools if not shutil.which(name, path=_PLACES)]
        if missing or not _PLUGIN.exists():
            raise AbsentError(f"strongSwan's userland ESP is not here ({', '.join(missing) or _PLUGIN.name})")
        own = [] if os.geteuid() == 0 else ["-U", "-r"]
        self._folder = tempfile.TemporaryDirectory(prefix="userland-esp-")
        words = [sys.executable, str(Path(__file__).resolve()), "--inside", self._folder.name]
        self._helper = subprocess.Popen(
            ["unshare", *own, "-n", "-m", "-p", "--propagation", "private", "--fork", "--kill-child", "--", *words,
             "--payload", str(self._payload)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_PLACES}"},
        )  # fmt: skip
        assert self._helper.stdout is not None
        if self._helper.stdout.readline() != "ready\n":
            self._helper.kill()
            _, said = self._helper.communicate()
            self._folder.cleanup()
            raise AbsentError(f"two charons do not come up here: {(said.strip().splitlines() or ['no word'])[-1]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.kill()  # its child dies with it, and with that everything in the namespaces
        self._helper.communicate(timeout=30)
        self._folder.cleanup()

    def round(self, seconds: float) -> Round:
        """Push for so long."""
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        self._helper.stdin.write(f"{seconds}\n")
        self._helper.stdin.flush()
        return Round(*json.loads(self._helper.stdout.readline()))


# Inside the namespaces


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AbsentError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")


def _configuration(side: int) -> str:
    """swanctl.conf and strongswan.conf in one, as seen from `side`."""
    here, there = "ab"[side], "ba"[side]
    return f"""
connections {{
  link {{
    version = 2
    local_addrs = {_OUTER[side]}
    remote_addrs = {_OUTER[1 - side]}
    proposals = aes128gcm16-prfsha256-x25519
    local {{
      auth = psk
      id = {here}
    }}
    remote {{
      auth = psk
      id = {there}
    }}
    children {{
      net {{
        local_ts = {_INNER[side]}/32
        remote_ts = {_INNER[1 - side]}/32
        esp_proposals = aes128gcm16
      }}
    }}
  }}
}}
secrets {{
  ike-link {{
    secret = of a benchmark
  }}
}}
charon-systemd {{
  load = {_PLUGINS}
  plugins {{
    vici {{
      socket = unix:///run/{here}.vici
    }}
  }}
  journal {{
    default = -1
  }}
}}
swanctl {{
  load = random openssl
}}
"""


def _charon(side: int, folder: Path) -> int:
    """Start one end; its process number once it knows its connection."""
    here = "ab"[side]
    place = folder / here
    place.mkdir()
    (place / "swanctl.conf").write_text(_configuration(side))
    environment = {**os.environ, "STRONGSWAN_CONF": str(place / "swanctl.conf"), "SWANCTL_DIR": str(place)}
    inside = ["ip", "netns", "exec", here]
    charon = subprocess.Popen([*inside, "charon-systemd"], env=environment, stderr=subprocess.DEVNULL)
    load = [*inside, "swanctl", "--load-all", "--uri", f"unix:///run/{here}.vici"]
    end = time.monotonic() + 30
    while subprocess.run(load, env=environment, capture_output=True, timeout=60).returncode:
        if charon.poll() is not None or time.monotonic() > end:
            raise AbsentError("charon does not start")
        time.sleep(0.05)
    return charon.pid


def _socket(namespace: str) -> socket.socket:
    """A UDP socket of another network namespace: it stays in the one that it was made in."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as away:
        for place in (away, home):
            if libc.setns(place.fileno(), _NEWNET):
                raise AbsentError(f"setns: {os.strerror(ctypes.get_errno())}")
            if place is away:
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return made


def _cpu(pids: list[int], which: int) -> float:
    """CPU seconds of other processes; `which` 2: all, 1: outside the kernel (the kernel's numbers of such clocks, as
    clock_getcpuclockid(3) gives them)."""
    return sum(time.clock_gettime(~pid << 3 | which) for pid in pids)


def _push(sending: socket.socket, receiving: socket.socket, payload: bytes, seconds: float) -> tuple[int, int]:
    """(arrived, lost)."""
    arrived = lost = flying = 0
    _drain(receiving)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            while flying < _IN_FLIGHT:
                sending.send(payload)
                flying += 1
        if not select.select([receiving], [], [], 0.1)[0]:
            lost, flying = lost + flying, 0
            continue
        came = _drain(receiving)
        arrived, flying = arrived + came, flying - came
    time.sleep(0.1)  # what is still on its way is neither lost nor paid for by the next round
    late = _drain(receiving)
    return arrived + late, lost + flying - late


def _drain(receiving: socket.socket) -> int:
    """How many datagrams were waiting."""
    came = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            receiving.recv(2048)
            came += 1
    return came


def inside(folder: Path, payload: int) -> None:
    """The helper: bring everything up, then a round for each line that comes in."""
    _run("mount", "-t", "tmpfs", "t", "/run")
    Path("/run/netns").mkdir()
    for name in "ab":
        _run("ip", "netns", "add", name)
    _run("ip", "-n", "a", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", "b")
    for side, name in enumerate("ab"):
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "addr", "add", f"{_INNER[side]}/32", "dev", "lo")
        _run("ip", "-n", name, "addr", "add", f"{_OUTER[side]}/24", "dev", "cable")
        _run("ip", "-n", name, "link", "set", "cable", "up")
    pids = [_charon(side, folder) for side in (1, 0)]
    _run("ip", "netns", "exec", "a", "swanctl", "--initiate", "--child", "net", "--uri", "unix:///run/a.vici")
    sending, receiving = _socket("a"), _socket("b")
    sending.bind((_INNER[0], 0))
    sending.connect((_INNER[1], _PORT))
    receiving.bind((_INNER[1], _PORT))
    if not _push(sending, receiving, bytes(payload), 0.3)[0]:
        raise AbsentError("nothing crosses the tunnel")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        before, began = (_cpu(pids, 2), _cpu(pids, 1)), time.monotonic()
        arrived, lost = _push(sending, receiving, bytes(payload), float(line))
        took = time.monotonic() - began
        found = Round(arrived, lost, took, _cpu(pids, 2) - before[0], _cpu(pids, 1) - before[1])
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to push")
    parser.add_argument("--payload", type=int, default=128, help="bytes of a UDP payload")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.inside:
            inside(options.inside, options.payload)
            return
        with Userland(options.payload) as tunnel:
            found = tunnel.round(options.seconds)
    except AbsentError as reason:
        sys.exit(str(reason))
    sys.stdout.write(f"{found.packets} of {found.packets + found.lost} packets in {found.seconds:.1f} s\n")
    sys.stdout.write(f"{found.a_second:,.0f} packets a second of one core; {found.user_a_second:,.0f} without the "
                     "kernel's share\n")  # fmt: skip


if __name__ == "__main__":
    main()
