"""libreswan's pluto as a peer, in a guest kernel: the second IKE daemon, which shares no code with strongSwan.

Its package and strongSwan's refuse to be installed together, so it is unpacked and never installed. It wants a kernel's
ESP and fixed places under /run: one in each guest.

    pluto = Pluto(guest, connection("192.0.2.2", "192.0.2.1"))
    pluto.initiate(); pluto.rekey_child(); pluto.terminate()
"""

import re
import time
from subprocess import CompletedProcess

from uml_kit import Guest
from unpack_kit import libraries, unpacked

SECRET = "correct horse battery"
_CONTROL = "/run/pluto/pluto.ctl"


def connection(
    ours: str,
    theirs: str,
    *,
    local_id: str = "pluto",
    remote_id: str = "emulator",
    local_ts: str = "10.2.0.0/24",
    remote_ts: str = "10.1.0.0/24",
    ike: str = "aes_gcm256-sha2_256;dh31",
    esp: str = "aes_gcm256",
    esn: str = "no",
    more: str = "",
) -> str:
    """ipsec.conf's connection `link`, seen from pluto; `more` are further lines of it, each indented.

    Its users' packets leave by the guest's own routes. A rekey of the child makes no new key exchange (`pfs=no`), which
    a peer that makes none needs: with pluto's default of yes that is NO_PROPOSAL_CHOSEN.
    """
    return f"""
conn link
  ikev2=insist
  authby=secret
  left={ours}
  leftid=@{local_id}
  leftsubnet={local_ts}
  right={theirs}
  rightid=@{remote_id}
  rightsubnet={remote_ts}
  ike={ike}
  esp={esp}
  esn={esn}
  pfs=no
  auto=add
  leftupdown=/bin/true
{more}
"""


class Pluto:
    """A running pluto that knows connection `link`."""

    def __init__(self, guest: Guest, connections: str, secret: str = SECRET) -> None:
        self._guest = guest
        root = unpacked("libreswan")
        self._programs = root / "usr/libexec/ipsec"
        self._environment = {"LD_LIBRARY_PATH": libraries(root)}
        folder, state = guest.folder / "pluto", f"{guest.state}/nss"
        folder.mkdir(exist_ok=True)
        (folder / "ipsec.conf").write_text(f"config setup\n  nssdir={state}\n  dumpdir=/run/pluto\n{connections}")
        (folder / "ipsec.secrets").write_text(f': PSK "{secret}"\n')
        guest.run(["mkdir", "-p", "/run/pluto", state])
        # It calls a helper of its own by a fixed path; whatever else the host has there is not needed in the guest.
        guest.run(["mount", "--bind", str(root / "usr/libexec"), "/usr/libexec"])
        self._call(root / "usr/bin/certutil", "-N", "-d", f"sql:{state}", "--empty-password")
        words = ["--nofork", "--stderrlog", "--config", folder / "ipsec.conf", "--nssdir", state]
        words += ["--rundir", "/run/pluto", "--secretsfile", folder / "ipsec.secrets"]
        self.process = guest.start(
            [str(self._programs / "pluto"), *map(str, words)], "pluto.log", environment=self._environment
        )
        self.wait("listening for IKE messages")
        self.wait('added .*"link"|"link".*: added')

    def _call(self, *words: object, check: bool = True, timeout: float = 60.0) -> CompletedProcess[str]:
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        return self._guest.run(["env", *environment, *map(str, words)], check=check, timeout=timeout)

    def whack(self, *words: str, check: bool = True, timeout: float = 60.0) -> CompletedProcess[str]:
        """One command to pluto."""
        return self._call(self._programs / "whack", "--ctlsocket", _CONTROL, *words, check=check, timeout=timeout)

    def initiate(self, *, check: bool = True) -> CompletedProcess[str]:
        """Bring up the connection; returns when it stands or has failed."""
        return self.whack("--initiate", "--name", "link", check=check)

    def rekey_ike(self) -> CompletedProcess[str]:
        return self.whack("--rekey-ike", "--name", "link")

    def rekey_child(self) -> CompletedProcess[str]:
        return self.whack("--rekey-ipsec", "--name", "link")

    def terminate(self) -> CompletedProcess[str]:
        return self.whack("--terminate", "--name", "link")

    def status(self) -> str:
        """Its states and how many bytes each child carried."""
        return self.whack("--showstates").stdout + self.whack("--trafficstatus").stdout

    def log(self) -> str:
        return self._guest.read("pluto.log")

    def wait(self, pattern: str, *, times: int = 1, timeout: float = 30.0) -> re.Match[str]:
        """The log's `times`-th match of a regular expression, waited for."""
        end = time.monotonic() + timeout
        while True:
            found = list(re.finditer(pattern, self.log()))
            if len(found) >= times:
                return found[times - 1]
            late = time.monotonic() > end
            assert not late, f"pluto's log has {len(found)} of {times} {pattern!r}:\n{self.log()[-3000:]}"
            time.sleep(0.1)
