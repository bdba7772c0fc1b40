"""What the emulator's own head end believes survives with the state: after a restart it still gets in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.commands import Ledger, Migrate, ReadObject, ResetEstate, RestoreSnapshot, RotateKeys, State, TakeSnapshot
from emulator.headend.keeper import RECORD_BYTES
from emulator.kernel.machine import Party

Make = Callable[..., Any]
CLOCK = ReadObject("clock")


@pytest.mark.parametrize("orderly", [True, False])
def test_keys_changed_before_a_restart_are_known_after_it(bench: Make, tmp_path: Path, orderly: bool) -> None:
    """Closed or simply gone: the next server's head end reads, changes keys again, and knows who was migrated. A
    home that was touched in between by nobody but its devices keeps what was believed of it."""
    first = bench(store=str(tmp_path))
    first.ask(RotateKeys(), 0, Party.ELECTRICITY)
    first.ask(Migrate([4]))
    sent = first.desk.head_end(0).keyring.store.counters(1)[0]
    if orderly:
        first.live.close()
    else:
        first.live.store.close()

    second = bench(store=str(tmp_path))
    second.live.cell(0).machine(0, Party.ELECTRICITY)
    second.live.commit()  # before anybody asked for a head end
    assert second.ask(State(), 0).devices[1].keys.data_generation == 1
    assert second.desk.head_end(0).keyring.store.counters(1)[0] >= sent
    assert second.ask(CLOCK, 0, Party.ELECTRICITY).time
    assert second.ask(RotateKeys(), 0, Party.ELECTRICITY).data == 2
    assert second.ask(Ledger(4, 1)).lines[0].verdict == "migrated"
    assert second.ask(Migrate([4])).already == 1
    second.live.close()

    third = bench(store=str(tmp_path))
    third.ask(TakeSnapshot("a"))
    third.ask(ResetEstate())
    assert third.ask(State(), 0).devices[1].keys.data_generation == 0
    assert third.ask(CLOCK, 0, Party.ELECTRICITY).time
    third.ask(RestoreSnapshot("a"))
    assert third.ask(State(), 0).devices[1].keys.data_generation == 2
    assert third.ask(CLOCK, 0, Party.ELECTRICITY).time
    third.live.close()


def test_looking_costs_the_store_nothing(bench: Make, tmp_path: Path) -> None:
    """A state, a list or a ledger of homes as found leaves nothing to be kept beside them."""
    here = bench(store=str(tmp_path))
    here.ask(State(), 0)
    here.ask(Ledger())
    assert here.live.beside(0) == b""
    here.ask(CLOCK, 0, Party.ELECTRICITY)
    assert len(here.live.beside(0)) == 12 + RECORD_BYTES + 32
    here.live.close()
