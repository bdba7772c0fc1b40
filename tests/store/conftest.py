"""Two places for a state, a folder and a real PostgreSQL server, and homes to put there."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.crypto.keys import ContextStore
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.saved import Reservations, Saved

FOUND = shutil.which("initdb")
POSTGRES = Path(FOUND).parent if FOUND else next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
"""Where the server's programs are: on the path, or where Debian keeps them off it."""
TITLE = b"ELS\0\0\0\0\7"
PEER = b"DCC\0\0\0\0\1"


@pytest.fixture(scope="session")
def estate() -> Estate:
    return open_estate("demo-street")


@pytest.fixture
def saved() -> Callable[..., Saved]:
    """A home with one device's keys: `saved(row, tx, rx)`."""

    def make(row: bytes = b"row", tx: int = 0, rx: int = 0, ek: bytes = b"E" * 16) -> Saved:
        with ContextStore(1) as store:  # made anew each time: a child of this process could not use another's
            store.load(0, ek=ek, ak=b"A" * 16, title=TITLE, peer=PEER, tx=tx, rx=rx, kek=b"K" * 16)
            made = Reservations().reserve(0, row, [store.export(0), None])
            assert made is not None
            return made

    return make


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of our own on a Unix socket; the address of an empty database."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    if POSTGRES is None or not (POSTGRES / "initdb").exists():
        pytest.skip("no PostgreSQL server on this machine")
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="smets1-pg-", dir="/tmp"))
    server: subprocess.Popen[bytes] | None = None
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        common = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "env": {"PATH": os.environ["PATH"]}}
        with (folder / "log").open("wb") as log:
            subprocess.run(
                [POSTGRES / "initdb", "-D", data, "-A", "trust", "-U", "smets1", "-N", "-E", "UTF8", "--locale=C"],
                check=True, timeout=120, stderr=log, **common,
            )  # fmt: skip
            server = subprocess.Popen(
                [POSTGRES / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "max_connections=20",
                 "-c", "shared_buffers=8MB", "-c", "max_worker_processes=0", "-c", "autovacuum=off"],
                stderr=log, **common,
            )  # fmt: skip
        url = f"postgresql://smets1@/postgres?host={folder}"
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(url, connect_timeout=5).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline or server.poll() is not None:
                    pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text('utf-8', 'replace')[-2000:]}")
                time.sleep(0.05)
        yield url
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The address of a database without a state."""
    import psycopg

    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS smets1 CASCADE")
    return postgres_server


@pytest.fixture(params=["folder", pytest.param("postgres", marks=pytest.mark.stranger)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A name under which no state lies yet, in each kind of place."""
    if request.param == "folder":
        return str(tmp_path / "state")
    url: str = request.getfixturevalue("postgres")
    return url
