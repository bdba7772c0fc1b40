"""A live estate and its store: answers wait for the disk, and what a device did is there after the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import PressBoost
from emulator.dlms.client import Client
from emulator.fleet.estate import Estate
from emulator.fleet.saved import Saved
from emulator.fleet.store import Batch, NotSavedError, look, open_state
from emulator.fleet.store_sqlite import SqliteStore
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate

METER = 2
PUBLIC = 16


def test_no_answer_leaves_before_it_is_kept(
    tmp_path: Path, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk the answer is held back; when there is room again it leaves, once, and what it says is kept."""
    state, heard = str(tmp_path / "state"), list[bytes]()
    live = LiveEstate(estate, store=open_state(state, estate))
    request = WRAPPER.build(Wrapper(PUBLIC, METER, Client().associate()))
    live.command(1, Party.ELECTRICITY, PressBoost(1, 30))
    live.inject(1, request, heard.append)
    live.advance(live.now + 1_000)

    def full(self: SqliteStore, batch: Batch, now: int = 0) -> None:
        raise NotSavedError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "save", full)
        for _ in range(3):
            with pytest.raises(NotSavedError):
                live.commit()
    assert heard == []
    assert look(state).load_home(0, 1) is None
    live.commit()
    live.commit()
    assert len(heard) == 1
    kept = look(state).load_home(0, 1)
    assert kept is not None
    assert kept.machines
    live.close()


def test_it_goes_on_where_it_stood(place: str, estate: Estate, saved: Callable[..., Saved]) -> None:
    """A switch that was closed is closed after the restart, time has not gone back, and counters lie ahead."""
    live = LiveEstate(estate, store=open_state(place, estate))
    live.advance(live.now + 3_600_000_000)
    live.command(1, Party.ELECTRICITY, PressBoost(1, 600))
    live.advance(live.now + 1_000)
    live.commit()
    before, row = live.now, live.cell(1).row(1)
    sent = live.cell(1).store.counters(live.cell(1).context(1, Party.ELECTRICITY))[0]
    live.close()
    live = LiveEstate(estate, store=open_state(place, estate))
    assert live.now > before
    assert live.cell(1).row(1) == row
    assert live.cell(1).store.counters(live.cell(1).context(1, Party.ELECTRICITY))[0] >= sent
    assert live.cell(1).machine(1, Party.ELECTRICITY).auxiliary(1, live.now)  # type: ignore[attr-defined]
    live.close()
