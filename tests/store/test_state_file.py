"""A state as one file, and the verb that moves it."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator import cli
from emulator.errors import InputError
from emulator.fleet import state_file
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Saved
from emulator.fleet.store import StateStore, look, open_state

Make = Callable[..., Saved]


@pytest.fixture
def exported(tmp_path: Path, estate: Estate, saved: Make) -> Path:
    """A state of three homes in two cells, and the file it was written to."""
    store = open_state(str(tmp_path / "original"), estate)
    store.save({0: [(1, saved(b"one", 5, 7)), (2, saved(b"two"))], 4: [(9, saved(b"nine"))]}, 77)
    store.set("colour", b"\x00blue")
    assert state_file.write(store, tmp_path / "moved.state") == 3
    store.close()
    return tmp_path / "moved.state"


def everything(store: StateStore) -> tuple[object, ...]:
    cells = {cell: list(store.load_cell(cell)) for cell in store.facts().homes}
    return cells, store.now, {key: store.get(key) for key in store.keys()}, store.identity  # noqa: SIM118


def test_a_state_moves_as_one_file(exported: Path, estate: Estate, place: str, tmp_path: Path) -> None:
    """Into a folder and into a database, everything arrives; exported from there again, the file is the same byte for
    byte, but for how often the state was run."""
    count, identity = state_file.load(exported, place, ahead=0)
    assert (count, identity.estate) == (3, "demo-street")
    there = look(place)
    assert everything(there) == everything(look(str(tmp_path / "original")))
    again = tmp_path / "again.state"
    state_file.write(there, again)
    there.close()
    assert state_file.load(again, str(tmp_path / "third"), 0) == (3, identity)
    assert everything(look(str(tmp_path / "third"))) == everything(look(str(tmp_path / "original")))
    store = open_state(place, estate)
    assert store.openings > 1
    store.close()


def test_send_counters_jump(exported: Path, tmp_path: Path, saved: Make) -> None:
    """Unless told otherwise, what the original may have sent since the export is skipped; nothing else moves."""
    state_file.load(exported, str(tmp_path / "copy"))
    store = look(str(tmp_path / "copy"))
    home = store.load_home(0, 1)
    assert home == saved(b"one", 5, 7).ahead(state_file.AHEAD)
    assert [state and (state["tx"], state["rx"]) for state in home.states()] == [(261 + 65_536, 7), None]
    assert store.openings > state_file.AHEAD
    store.close()


def test_the_file_is_for_its_owner(exported: Path) -> None:
    """Mode 0600, under any umask."""
    before = os.umask(0)
    try:
        store = look(str(exported.parent / "original"))
        state_file.write(store, exported)
        store.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


def test_every_bent_byte_is_found(exported: Path, tmp_path: Path) -> None:
    """A byte changed, cut or added: refused, and no state is made."""
    raw, bent, target = exported.read_bytes(), tmp_path / "bent", tmp_path / "target"
    cases = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(0, len(raw), 3)]
    cases += [raw[:at] for at in range(0, len(raw), 7)] + [raw + b"\0"]
    for case in cases:
        bent.write_bytes(case)
        with pytest.raises(InputError):
            state_file.load(bent, str(target))
    assert not target.exists()


def test_an_import_overwrites_nothing(exported: Path, tmp_path: Path, place: str, estate: Estate, saved: Make) -> None:
    """Where a state lies already, or other things do, nothing is imported."""
    store = open_state(place, estate)
    store.save({0: [(3, saved(b"mine"))]})
    store.close()
    with pytest.raises(InputError, match="holds a state already"):
        state_file.load(exported, place)
    assert look(place).load_home(0, 3) == saved(b"mine")
    with pytest.raises(InputError, match="neither empty nor a state"):
        state_file.load(exported, str(tmp_path))


@pytest.mark.parametrize("blow", ["error", "death"])
def test_half_an_import_is_no_state(
    exported: Path, place: str, estate: Estate, monkeypatch: pytest.MonkeyPatch, blow: str
) -> None:
    """After an error in the middle nothing is left; after a death in the middle what is left cannot be opened."""

    def struck(*_: object) -> int:
        raise (OSError("struck") if blow == "error" else KeyboardInterrupt)

    with monkeypatch.context() as patch:
        patch.setattr(state_file, "_fill", struck)
        if blow == "death":
            patch.setattr("emulator.fleet.store_sqlite.SqliteStore.discard", lambda self: self.close())
            if "://" in place:
                patch.setattr("emulator.fleet.store_postgres.PostgresStore.discard", lambda self: self.close())
        with pytest.raises((OSError, KeyboardInterrupt)):
            state_file.load(exported, place)
    if blow == "death":
        for opening in (lambda: open_state(place, estate), lambda: look(place)):
            with pytest.raises(InputError, match="broken off"):
                opening()
    else:
        assert state_file.load(exported, place)[0] == 3


def test_an_export_that_fails_leaves_the_old_file(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was there stays as it was, and nothing lies beside it."""
    before, names = exported.read_bytes(), sorted(os.listdir(exported.parent))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = look(str(exported.parent / "original"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            state_file.write(store, exported)
    store.close()
    assert (exported.read_bytes(), sorted(os.listdir(exported.parent))) == (before, names)
    with pytest.raises(InputError, match="nowhere"):
        state_file.write(look(str(exported.parent / "original")), exported.parent / "nowhere" / "file")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        cli.main(["state", *arguments])
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_verb(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Export, import and show from the command line, for people and for programs, without a key; errors on one line."""
    state, file, copy = str(tmp_path / "original"), str(tmp_path / "a.state"), str(tmp_path / "copy")
    assert run(capsys, "export", state, file)[0] == 0
    code, out, _ = run(capsys, "import", file, copy, "--ahead", "1000")
    assert (code, out) == (0, f"{copy}: 3 homes of estate demo-street, seed 1\n")
    code, out, _ = run(capsys, "show", copy, "--json")
    body = json.loads(out)
    assert (code, body["estate"], body["kept"]) == (0, "demo-street", 3)
    assert body["cells"] == [{"cell": 0, "homes": 2}, {"cell": 4, "homes": 1}]
    code, out, _ = run(capsys, "show", copy, "--installation", "5", "--json")
    assert json.loads(out) == {"installation": 5, "kept": False, "device": []}
    code, out, err = run(capsys, "import", file, copy)
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = run(capsys, "show", copy, "--installation", "16")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = run(capsys, "show", str(tmp_path / "nothing"))
    assert (code, err.count("\n")) == (2, 1)


def test_a_home_is_shown_without_keys(
    tmp_path: Path, estate: Estate, saved: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Titles, counters and sizes of a home; no key in any form."""
    import msgspec

    state = str(tmp_path / "state")
    store = open_state(state, estate)
    store.save({0: [(1, saved(msgspec.msgpack.encode({1: b"hub's", 4: b"display's"}), 5, 7))]})
    store.close()
    code, out, _ = run(capsys, "show", state, "--installation", "1", "--json")
    assert (code, json.loads(out)["device"]) == (
        0,
        [
            {"device": "hub", "bytes": 5, "system_title": "454c530000000007", "peer": "4443430000000001",
             "sends_from": 261, "accepts_from": 7, "key_changes": 0, "master_key": True},
            {"device": "ihd", "bytes": 9},
        ],
    )  # fmt: skip
    text = run(capsys, "show", state, "--installation", "1")[1] + out
    for key in (b"E" * 4, b"A" * 4, b"K" * 4):
        assert key.hex() not in text
        assert key.decode() not in text
