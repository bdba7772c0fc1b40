"""Debian packages unpacked beside the system: strangers without root and without being installed.

`apt-get download` and `dpkg -x` need no privilege, and two packages that refuse to be installed together (libreswan and
strongSwan) can stand side by side. What is installed is preferred to what would have to be fetched. Fetching is for
machines that said they want all strangers (SMETS1_REQUIRE_STRANGERS=1) or these (SMETS1_UNPACK_STRANGERS=1): nobody's
test run loads 40 MB unasked. What was unpacked once stays in pytest's cache and is used from then on.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

_PLACES = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_cache: Path | None = None


def keep_in(folder: Path) -> None:
    """Where unpacked packages stay, from one run to the next."""
    global _cache
    _cache = folder


def cache() -> Path:
    found = _cache or Path(tempfile.gettempdir()) / f"smets1-strangers-{os.getuid()}"
    found.mkdir(parents=True, exist_ok=True)
    return found


def missing(what: str, cure: str) -> NoReturn:
    """Skip with one clear line (a failure where strangers are required: see the tests' conftest)."""
    pytest.skip(f"{what} is not here; {cure}")


def program(name: str, package: str) -> str:
    """Path of an installed program; a skip that names its package otherwise."""
    found = shutil.which(name) or shutil.which(name, path=_PLACES)
    return found or missing(name, f"apt-get install {package}")


def wanted() -> bool:
    """Whether this machine asked for strangers to be fetched."""
    names = "SMETS1_REQUIRE_STRANGERS", "SMETS1_UNPACK_STRANGERS"
    return any(os.environ.get(name, "") not in ("", "0") for name in names)


def unpacked(package: str) -> Path:
    """A folder with `package` and everything it needs beyond what is installed, laid out as in `/`.

    Safe to call from several processes at once. Skips when it is neither unpacked already nor to be fetched.
    """
    place = cache() / package
    with (cache() / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            if not wanted():
                missing(package, "SMETS1_UNPACK_STRANGERS=1 fetches and unpacks it (Debian, no root, not installed)")
            with tempfile.TemporaryDirectory(dir=cache()) as folder:
                fresh = Path(folder) / "root"
                _fetch(package, Path(folder), fresh)
                fresh.rename(place)
    return place


def _fetch(package: str, folder: Path, root: Path) -> None:
    names = [package, *(name for name in _needed(package) if name != package)]
    try:
        subprocess.run(["apt-get", "download", "-qq", *names], cwd=folder, check=True, capture_output=True, timeout=300)
        for archive in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", archive, root], check=True, capture_output=True, timeout=120)
            archive.unlink()
    except (OSError, subprocess.SubprocessError) as reason:
        detail = getattr(reason, "stderr", b"") or b""
        missing(package, f"it could not be fetched: {reason} {detail.decode(errors='replace').strip()[-200:]}")


def _needed(package: str) -> list[str]:
    """What an installation would bring along (only asked, never done), headers left out."""
    try:
        asked = subprocess.run(
            ["apt-get", "install", "--simulate", "--no-install-recommends", package],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as reason:
        missing(package, f"apt-get does not know it ({reason}); apt-get update may help")
    return [name for name in re.findall(r"^Inst (\S+)", asked.stdout, re.M) if not name.endswith("-dev")]


def libraries(root: Path) -> str:
    """LD_LIBRARY_PATH for programs of an unpacked package."""
    usual = root / "usr/lib/x86_64-linux-gnu"
    folders = [usual, *sorted(each for each in usual.glob("*") if each.is_dir() and list(each.glob("*.so*")))]
    return ":".join(map(str, [*folders, root / "lib/x86_64-linux-gnu"]))
