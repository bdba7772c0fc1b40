"""strongSwan's charon as a peer: in a network namespace with its userland ESP, or in a guest kernel with the kernel's.

    charon = Charon(place, connection("192.0.2.2", "192.0.2.1"))      # a Namespace, or a Guest with kernel_esp=True
    charon.initiate("net"); charon.rekey(child="net"); charon.terminate("link")
    charon.sas()["link"]["state"]; charon.wait("established"); charon.secrets()["shared Diffie Hellman secret"]

charon-systemd has no fixed files, so any number run side by side. Its log at level 4 prints what an IKE peer
never would: the Diffie-Hellman secret, every SK_ key and the ESP keys.
"""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

from unpack_kit import missing, program

PACKAGES = (
    "charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-extra-plugins "
    "libstrongswan-standard-plugins"
)
_PLUGINS = (
    "random nonce openssl aes sha1 sha2 md5 hmac kdf gcm ccm ctr chapoly curve25519 gmp mgf1 pem pkcs1 pkcs8 x509 "
    "pubkey constraints revocation socket-default vici updown"
)
SECRET = "correct horse battery"


class Place(Protocol):
    """Where a stranger runs: a `Namespace` or a `Guest`. Files under `folder` can be read, under `state` written."""

    folder: Path
    state: str

    def run(
        self, command: str | Sequence[str], *, stdin: str = "", timeout: float = 60.0, check: bool = True
    ) -> CompletedProcess[str]: ...
    def start(self, command: str | Sequence[str], log: str, environment: dict[str, str] | None = None) -> Any: ...
    def read(self, name: str) -> str: ...


def connection(
    ours: str,
    theirs: str,
    *,
    local_id: str = "charon",
    remote_id: str = "emulator",
    local_ts: str = "10.2.0.0/24",
    remote_ts: str = "10.1.0.0/24",
    proposals: str = "aes256gcm16-prfsha256-x25519",
    esp: str = "aes256gcm16",
    auth: str = "psk",
    secret: str = SECRET,
    ike: str = "",
    child: str = "",
) -> str:
    """A swanctl.conf with connection `link` and child `net`, seen from charon (`ours` is its address).

    `ike` and `child` are further lines of the two sections; with `auth="pubkey"` certificates come from `Charon`.
    """
    return f"""
connections {{
  link {{
    version = 2
    local_addrs = {ours}
    remote_addrs = {theirs}
    proposals = {proposals}
    {ike}
    local {{
      auth = {auth}
      id = {local_id}
      {"certs = charon.pem" if auth == "pubkey" else ""}
    }}
    remote {{
      auth = {auth}
      id = {remote_id}
    }}
    children {{
      net {{
        local_ts = {local_ts}
        remote_ts = {remote_ts}
        esp_proposals = {esp}
        {child}
      }}
    }}
  }}
}}
secrets {{
  ike-one {{
    id-1 = {local_id}
    id-2 = {remote_id}
    secret = "{secret}"
  }}
}}
"""


class Charon:
    """A running charon with this swanctl.conf. `settings` are further lines of its section of strongswan.conf.

    `files` go into swanctl's folder: {"x509/charon.pem": ..., "x509ca/ca.pem": ..., "private/charon.pem": ...}.
    """

    def __init__(
        self,
        place: Place,
        swanctl: str,
        *,
        settings: str = "",
        kernel_esp: bool = False,
        files: dict[str, bytes] | None = None,
        name: str = "charon",
    ) -> None:
        self.place = place
        self._program, self._swanctl = program("charon-systemd", PACKAGES), program("swanctl", PACKAGES)
        if not kernel_esp and not Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so").exists():
            missing("charon's userland ESP", f"apt-get install {PACKAGES}")
        self._vici = f"unix://{place.state}/{name}.vici"
        self._log = f"{name}.log"
        self._folder = place.folder / name
        self._folder.mkdir(exist_ok=True)
        self._write({"swanctl.conf": swanctl.encode(), **(files or {})})
        kernel = "kernel-netlink" if kernel_esp else "kernel-libipsec kernel-netlink"
        (self._folder / "strongswan.conf").write_text(f"""
charon-systemd {{
  load = {_PLUGINS} {kernel}
  {settings}
  plugins {{
    vici {{
      socket = {self._vici}
    }}
  }}
  journal {{
    default = -1
  }}
  filelog {{
    told {{
      path = {place.state}/{self._log}
      flush_line = yes
      time_format = %s
      time_add_ms = yes
      default = 1
      ike = 4
      chd = 4
      cfg = 2
    }}
  }}
}}
swanctl {{
  load = pem pkcs1 pkcs8 x509 openssl
}}
""")
        self.start()

    # Its life

    def start(self) -> None:
        """Start it (again), its connections loaded."""
        environment = {"STRONGSWAN_CONF": str(self._folder / "strongswan.conf")}
        self.process = self.place.start([self._program], f"{self._log}.said", environment)
        end = time.monotonic() + 30
        while (done := self.swanctl("--load-all", check=False)).returncode:
            late = time.monotonic() > end or not self.process.alive()
            assert not late, f"charon does not start: {done.stderr}\n{self.log()}"
            time.sleep(0.05)

    def stop(self, signal_name: str = "TERM") -> None:
        """End it: told to (peers get a delete), or at once with KILL."""
        self.process.stop(signal_name)

    def put(self, files: dict[str, bytes]) -> None:
        """Replace files of swanctl's folder, and have it forget the keys and certificates that it had of them."""
        self._write(files)
        self.swanctl("--load-creds", "--clear")

    def _write(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            (self._folder / path).parent.mkdir(exist_ok=True)
            (self._folder / path).write_bytes(content)

    # What it is asked to do

    def swanctl(self, *words: str, timeout: float = 30.0, check: bool = True) -> CompletedProcess[str]:
        """One swanctl command; with `check` an AssertionError quotes its refusal."""
        environment = [f"SWANCTL_DIR={self._folder}", f"STRONGSWAN_CONF={self._folder / 'strongswan.conf'}"]
        return self.place.run(
            ["env", *environment, self._swanctl, *words, "--uri", self._vici], timeout=timeout, check=check
        )

    def initiate(self, child: str = "net", *, timeout: float = 30.0, check: bool = True) -> CompletedProcess[str]:
        """Bring up a child and the IKE SA it needs; returns when that stands or has failed."""
        return self.swanctl("--initiate", "--child", child, "--timeout", str(int(timeout)), check=check)

    def rekey(self, *, ike: str = "", child: str = "") -> None:
        """Start a rekey of this connection or child. It returns at once; `wait` for its end."""
        self.swanctl("--rekey", *(["--ike", ike] if ike else ["--child", child]))

    def terminate(self, ike: str = "", *, child: str = "", check: bool = True) -> CompletedProcess[str]:
        """Delete an IKE SA, or one child; returns when the peer has answered. None of the name: an AssertionError."""
        return self.swanctl("--terminate", *(["--child", child] if child else ["--ike", ike]), check=check)

    # What it knows

    def sas(self) -> dict[str, dict[str, Any]]:
        """Its IKE SAs by connection name, as `swanctl --list-sas --raw` tells them; children are under `child-sas` by
        name and number (`net-1`, after a rekey `net-2`). Of several IKE SAs of one connection the last stands.
        """
        found: dict[str, dict[str, Any]] = {}
        for line in self.swanctl("--list-sas", "--raw").stdout.splitlines():
            if line.startswith("list-sa event "):
                found |= _tree(iter(re.findall(r"[{}\[\]]|[^\s{}\[\]]+", line.removeprefix("list-sa event ")[1:])))
        return found

    def log(self) -> str:
        """What it said; each line begins with the time of day, in seconds since 1970."""
        try:
            return self.place.read(self._log)
        except (AssertionError, OSError):
            return ""

    def wait(self, pattern: str, *, times: int = 1, timeout: float = 30.0) -> re.Match[str]:
        """The log's `times`-th match of a regular expression, waited for."""
        end = time.monotonic() + timeout
        while True:
            found = list(re.finditer(pattern, self.log()))
            if len(found) >= times:
                return found[times - 1]
            assert time.monotonic() < end, (
                f"charon's log has {len(found)} of {times} {pattern!r}:\n{self.log()[-3000:]}"
            )
            time.sleep(0.05)

    def secrets(self) -> dict[str, list[bytes]]:
        """Every value that the log prints in hex, by the name it prints, in the order of the log.

        Among them: `shared Diffie Hellman secret`, `SKEYSEED`, `Sk_d secret` (and `ei`, `er`, `pi`, `pr`), `encryption
        initiator key` and `encryption responder key` (of ESP, with the salt behind the key), `AUTH = ...`.
        """
        found: dict[str, list[bytes]] = {}
        name, count, held = "", 0, b""
        for line in self.log().splitlines():
            if head := re.search(r"\] (?:<[^>]*> )?(.*?) => (\d+) bytes @", line):
                name, count, held = head[1], int(head[2]), b""
            elif name and (row := re.search(r"\] (?:<[^>]*> )? *\d+: ((?:[0-9A-F]{2} ){1,16})", line)):
                held += bytes.fromhex(row[1])
            if name and len(held) >= count:
                found.setdefault(name, []).append(held[:count])
                name = ""
        return found


def _tree(words: Iterator[str]) -> dict[str, Any]:
    """vici's raw notation, from after an opening brace: key=value, key {...} and key=[...]."""
    found: dict[str, Any] = {}
    key = ""
    for word in words:
        if word == "}":
            break
        if word == "{":
            found[key] = _tree(words)
        elif word == "[":
            found[key.removesuffix("=")] = list(iter(words.__next__, "]"))
        else:
            key, _, value = word.partition("=")
            if value or not word.endswith("="):
                found[key] = value
            key = word if word.endswith("=") else key
    return found
