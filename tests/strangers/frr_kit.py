"""FRR's zebra and ldpd in a guest kernel: a label switching router that talks LDP (RFC 5036).

    frr = Frr(guest, "192.0.2.2")               # address of vec0, router id and transport address
    frr.neighbours(); frr.bindings(); frr.kernel_labels()

A speaker that wants TCP meets it from a namespace: its wire bridged to the guest's, its sockets from
`Namespace.open_socket`, with IP_TTL at 255 (FRR asks for it in its hello and drops what has less: RFC 6720).
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from uml_kit import Guest
from unpack_kit import libraries, unpacked


class Frr:
    """zebra and ldpd, running; LDP on the named devices. `more` are further lines of `mpls ldp`'s IPv4 family."""

    def __init__(self, guest: Guest, router: str, devices: tuple[str, ...] = ("vec0",), more: str = "") -> None:
        self._guest = guest
        self._root = root = unpacked("frr")
        self._environment = {"LD_LIBRARY_PATH": libraries(root)}
        guest.load("mpls_router", "mpls_iptunnel")
        settings = ["net/mpls/platform_labels=100000", *(f"net/mpls/conf/{each}/input=1" for each in devices)]
        for setting in (*settings, "net/ipv4/ip_forward=1"):
            name, _, value = setting.partition("=")
            guest.run(["sh", "-c", f"echo {value} > /proc/sys/{name}"])
        folder = guest.folder / "frr"
        folder.mkdir(exist_ok=True)
        (folder / "vtysh.conf").write_text("username root nopassword\n")
        (folder / "zebra.conf").write_text("hostname judge\nlog stdout\n")
        interfaces = "\n".join(f"  interface {each}\n  exit" for each in devices)
        (folder / "ldpd.conf").write_text(
            f"hostname judge\nlog stdout\ndebug mpls ldp messages sent\ndebug mpls ldp messages recv\n"
            f"mpls ldp\n router-id {router}\n address-family ipv4\n  discovery transport-address {router}\n"
            f"{more}\n{interfaces}\n exit-address-family\n!\n"
        )
        # It looks its groups up, though it is told to run as root: the guest has them, the host need not.
        groups = Path("/etc/group").read_text()
        (folder / "group").write_text(
            groups + "".join(f"{name}:x:{65_000 + len(name)}:root\n" for name in ("frr", "frrvty"))
        )
        # Having dropped its privileges it can read the guest's own files, and no folder of whoever runs the guest.
        self._folder = f"{guest.state}/frr"
        guest.run(["cp", "-r", "--no-preserve=all", str(folder), self._folder])
        guest.run(["mount", "--bind", f"{self._folder}/group", "/etc/group"])
        guest.run("mkdir -p /run/frr")
        self.programs = [self._start("zebra", f"{self._folder}/zebra.conf")]
        end = time.monotonic() + 30
        while guest.run("test -S /run/frr/zserv.api", check=False).returncode:  # ldpd asks once and again in 10 s
            assert time.monotonic() < end, self.log("zebra")
            time.sleep(0.05)
        self.programs.append(self._start("ldpd", f"{self._folder}/ldpd.conf"))

    def _start(self, name: str, settings: str) -> Any:
        words = ["-u", "root", "-g", "root", "-f", settings, "-i", f"/run/frr/{name}.pid", "-P", "0"]
        words += ["-z", "/run/frr/zserv.api", "--vty_socket", "/run/frr"]
        return self._guest.start([str(self._root / "usr/lib/frr" / name), *words], f"{name}.log", self._environment)

    def vtysh(self, command: str, daemon: str = "ldpd") -> str:
        """One command of FRR's shell, asked of one daemon."""
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        words = [str(self._root / "usr/bin/vtysh"), "--vty_socket", "/run/frr", "--config_dir"]
        words += [self._folder, "-d", daemon, "-c", command]
        return self._guest.run(["env", *environment, *words]).stdout

    def neighbours(self) -> list[dict[str, Any]]:
        """LDP neighbours: `neighborId`, `state` (OPERATIONAL when the session stands), ..."""
        return list(self._told("show mpls ldp neighbor json").get("neighbors", []))

    def bindings(self) -> list[dict[str, Any]]:
        """Labels by prefix: `prefix`, `neighborId`, `localLabel`, `remoteLabel`, `inUse`."""
        return list(self._told("show mpls ldp binding json").get("bindings", []))

    def _told(self, command: str) -> dict[str, Any]:
        return dict(json.loads(self.vtysh(command) or "{}"))

    def kernel_labels(self) -> dict[int, str]:
        """The kernel's label table, as `ip` prints each route."""
        lines = self._guest.run("ip -f mpls route").stdout.splitlines()
        return {int(line.split()[0]): line.partition(" ")[2].strip() for line in lines if line[:1].isdigit()}

    def log(self, name: str = "ldpd") -> str:
        return self._guest.read(f"{name}.log")

    def wait(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """A match of a regular expression in ldpd's log, waited for."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.log())):
            assert time.monotonic() < end, f"no {pattern!r} in ldpd's log:\n{self.log()[-3000:]}"
            time.sleep(0.2)
        return found
