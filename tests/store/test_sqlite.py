"""A state in a folder: closed to others, suspicious of what it finds, calm on a full disk."""

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.errors import InputError
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Saved
from emulator.fleet.store import NotSavedError, look, open_state
from emulator.fleet.store_sqlite import SqliteStore

Make = Callable[..., Saved]


@pytest.fixture
def folder(tmp_path: Path, estate: Estate, saved: Make) -> Path:
    """A state with a home in each of two cells, left behind by a process that was killed: logs and all."""
    there, here = tmp_path / "first", tmp_path / "state"
    store = open_state(str(there), estate)
    store.save({0: [(number, saved(b"row" * 50)) for number in range(50)], 2: [(9, saved(b"nine"))]}, 7)
    shutil.copytree(there, here)
    store.close()
    return here


def contents(folder: Path) -> dict[str, bytes]:
    """The files that hold something; a lock, a log without entries and its index do not."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name != "lock" and not path.name.endswith("-shm") and path.stat().st_size
    }


def in_a_child(work: Callable[[], None]) -> None:
    """Do it in a process of its own; what it raises fails the test."""
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nobody_else_can_read_it(folder: Path, estate: Estate, saved: Make) -> None:
    """The folder is 0700 and every file 0600, whatever the umask, while it runs and after; an opened-up folder is
    closed again."""
    before = os.umask(0)
    try:
        folder.chmod(0o755)
        store = open_state(str(folder), estate)
        store.save({1: [(5, saved())]})
        assert {path.name for path in folder.iterdir()} >= {"cell-00001.sqlite-wal", "cell-00001.sqlite-shm", "lock"}
        for _ in range(2):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
            store.close()
    finally:
        os.umask(before)


def test_a_commit_is_synced_and_old_keys_are_overwritten(folder: Path, estate: Estate, saved: Make) -> None:
    """Write-ahead log, synchronous FULL, secure delete; and after closing, a replaced key stands in no file."""
    store = open_state(str(folder), estate)
    assert isinstance(store, SqliteStore)
    for connection in store._files.values():
        settings = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete")
        ]
        assert settings == ["wal", 2, 1]
    store.save({2: [(9, saved(b"nine", ek=b"a key replaced. "))]})
    store.close()
    assert any(b"a key replaced. " in raw for raw in contents(folder).values())
    store = open_state(str(folder), estate)
    store.save({2: [(9, saved(b"nine", ek=b"a key in use now"))]})
    store.close()
    assert not any(b"a key replaced. " in raw for raw in contents(folder).values())
    assert any(b"a key in use now" in raw for raw in contents(folder).values())


def test_the_lock_names_its_holder_and_ends_with_it(folder: Path, estate: Estate) -> None:
    """A second process is told which one runs the state; a killed one leaves no lock behind."""
    code = (
        "import sys, time\nfrom emulator.fleet.store import open_state\nfrom emulator.fleet.estate import open_estate\n"
        "s = open_state(sys.argv[1], open_estate('demo-street'))\nprint('open', flush=True)\ntime.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(InputError, match=f"in use by process {other.pid};"):
            open_state(str(folder), estate)
    finally:
        other.kill()
        other.wait(20)
        if other.stdout is not None:
            other.stdout.close()
    store = open_state(str(folder), estate)
    assert store.openings == 3
    store.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def scribble(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 4096)


def overwrite(path: Path) -> None:
    path.write_bytes(b"once upon a time" * 900)


DAMAGES = [cut, empty, scribble, overwrite, Path.unlink]


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("name", ["cell-00000.sqlite", "estate.sqlite"])
def test_damage_is_told_and_left_alone(folder: Path, estate: Estate, harm: Callable[[Path], None], name: str) -> None:
    """A cut, emptied, overwritten or missing file: one message that names a file, both on opening and on looking, and
    not a byte is changed."""
    open_state(str(folder), estate).close()  # so that nothing of it lies in a log any more
    harm(folder / name)
    before = contents(folder)
    for opening in (lambda: open_state(str(folder), estate), lambda: look(str(folder))):
        with pytest.raises(InputError) as caught:
            opening()
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert contents(folder) == before


def test_a_damaged_home_is_found_when_it_is_loaded(folder: Path, estate: Estate) -> None:
    """Sound pages with a wrong byte in a home: the home is named, and the others can still be had."""
    with sqlite3.connect(folder / "cell-00000.sqlite") as connection:
        connection.execute("UPDATE home SET saved = zeroblob(100) WHERE installation = 3")
    connection.close()
    store = open_state(str(folder), estate)
    with pytest.raises(InputError, match="installation 3 is damaged"):
        list(store.load_cell(0))
    assert store.load_home(0, 4) is not None
    store.close()


def test_foreign_and_newer_files_are_refused(folder: Path, estate: Estate, tmp_path: Path) -> None:
    """Somebody's database, a newer format, another cell's file, a folder of other things: each by its reason."""
    path = folder / "cell-00002.sqlite"

    def edit(statement: str) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.close()

    for statement, message, back in (
        ("PRAGMA application_id=7", "not a state", "PRAGMA application_id=1397573425"),
        ("PRAGMA user_version=2", "newer version", "PRAGMA user_version=1"),
    ):
        edit(statement)
        with pytest.raises(InputError, match=message):
            open_state(str(folder), estate)
        edit(back)
    open_state(str(folder), estate).close()
    shutil.copy(folder / "cell-00000.sqlite", path)
    with pytest.raises(InputError, match="another cell's file"):
        open_state(str(folder), estate)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mum.txt").write_text("dear")
    with pytest.raises(InputError, match="neither empty nor a state"):
        open_state(str(tmp_path / "letters"), estate)
    assert stat.S_IMODE((tmp_path / "letters").stat().st_mode) != 0o700
    with pytest.raises(InputError, match="letters/to-mum"):
        open_state(str(tmp_path / "letters" / "to-mum.txt"), estate)


def test_a_beginning_that_was_cut_off_is_begun_again(tmp_path: Path, estate: Estate, saved: Make) -> None:
    """Files that a killed process had not finished making are made anew; nothing of them is believed."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "estate.sqlite.new").write_bytes(b"half")
    store = open_state(str(folder), estate)
    (folder / "cell-00000.sqlite.new").write_bytes(b"half")
    store.save({0: [(1, saved())]})
    store.close()
    assert sorted(path.name for path in folder.iterdir()) == ["cell-00000.sqlite", "estate.sqlite", "lock"]


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="smets1-store-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_folder_one_may_not_write_to(folder: Path, public: Path, estate: Estate, saved: Make) -> None:
    """Opening says that it cannot be written; looking works; nothing is changed."""
    open_state(str(folder), estate).close()
    there = Path(shutil.copytree(folder, public / "state"))
    before = contents(there)
    for path in there.iterdir():
        path.chmod(0o444)
    there.chmod(0o555)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(InputError, match=r"write to|cannot be written|not permitted|denied"):
            open_state(str(there), estate)
        assert look(str(there)).load_home(2, 9) == saved(b"nine")

    in_a_child(work)
    assert contents(there) == before
    there.chmod(0o755)


def fill_up_and_go_on(folder: Path, estate: Estate, saved: Make, make_room: Callable[[], object]) -> None:
    """Save until it fails; then nothing acknowledged is lost, and with room again the same batch goes through."""
    store = open_state(str(folder), estate)
    row, held = bytes(range(256)) * 16, -1

    def save(number: int) -> None:
        store.save({0: [(number, saved(row))], 1 + number % 2: [(number, saved(row))]}, number + 1)

    with pytest.raises(NotSavedError, match=r"^[^\n]*full[^\n]*$"):
        for number in range(16):
            save(number)
            held = number
    assert held >= 0
    with pytest.raises(NotSavedError):
        save(held + 1)
    assert store.now == held + 1
    for cell, number in [(0, number) for number in range(held + 1)] + [(1, 0)]:
        assert store.load_home(cell, number) == saved(row)
    make_room()
    store.save({0: [(number, saved(row)) for number in range(16)]}, 100)
    store.close()
    store = open_state(str(folder), estate)
    assert list(store.load_cell(0)) == [(number, saved(row)) for number in range(16)]
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=320k", "tmpfs", place], capture_output=True, check=False, timeout=20
    )
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True, timeout=20)


def test_a_full_disk(small_disk: Path, estate: Estate, saved: Make) -> None:
    """A disk that is really full: told, nothing lost, and the run goes on when there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(64 << 10))

    def more_room() -> None:
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True, timeout=20)

    fill_up_and_go_on(small_disk / "state", estate, saved, more_room)


def test_no_state_is_begun_on_a_full_disk(small_disk: Path, estate: Estate) -> None:
    """Opening a new state there is refused with one message, and works once there is room."""
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="space"), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    with pytest.raises(InputError, match=r"full|space|written"):
        open_state(str(small_disk / "state"), estate)
    ballast.unlink()
    open_state(str(small_disk / "state"), estate).close()


def test_writing_that_fails(tmp_path: Path, estate: Estate, saved: Make) -> None:
    """Another failure than a full disk (here: files may not grow) is told as one and ends in the same way."""

    def work() -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (96 << 10, before[1]))
        fill_up_and_go_on(
            tmp_path / "state", estate, saved, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
        )

    in_a_child(work)
