"""Devices on the bench, set up in any abstract state: real machines, real bytes, keys of a test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from emulator.codecs.axdr import enum
from emulator.crypto import derive
from emulator.fleet import registry
from emulator.fleet.estate import open_estate
from emulator.fleet.installation import COUNTER_MAX, DeviceKeys, DeviceSpec
from emulator.kernel.time import instant
from emulator.oracle import look
from emulator.oracle.bench import Bench, Setup
from emulator.oracle.look import Known
from emulator.oracle.prove import Machine
from emulator.oracle.state import NEW, Habits, State
from emulator.oracle.steps import Ring

NOW = instant(datetime(2020, 3, 2, 12, tzinfo=UTC))
POLICY = (64, bytes((0, 0, 43, 0, 0, 255)), -2)
FAR = 1_000_000


def key(what: str, position: int) -> bytes:
    """A key of the test; any position that is on no ring is foreign."""
    return derive.key(b"oracle test", what, position)


@dataclass
class Case:
    """A device on the bench in a known state."""

    machine: Machine
    state: State
    habits: Habits
    name: str

    @property
    def bench(self) -> Bench:
        return self.machine.bench


def stand(
    model: str = "elster_as300p",
    *,
    ek: int = 0,
    ak: int = 0,
    kek: int | None = 0,
    data: int = 2,
    master: int = 2,
    left_in: int | None = None,
    left_out: int | None = None,
    ahead: bool = False,
    policy: int | None = None,
    doubt: bool = True,
    dco_data: int | None = None,
    dco_master: int | None = None,
) -> Case:
    """A device that holds these keys, towards keepers that know `data` pairs and `master` master keys. `left_in` and
    `left_out`: messages left before a counter is spent; `dco_*`: masks of what the DCO knows where it is less."""
    estate = open_estate("demo-street")
    kind = registry.model(model).party
    home = next(each for each in map(estate.installation, range(estate.installations)) if each.device(kind) is not None)
    made = home.device(kind)
    assert made is not None
    spec = DeviceSpec(kind, model, made.serial, made.system_title, made.firmware, made.eui64)
    held = DeviceKeys(key("ek", ek), key("ak", ak), None if kek is None else key("kek", kek))
    ours = 100 if left_in is None else COUNTER_MAX - left_in
    setup = Setup(
        home,
        spec,
        held,
        tx=100 if left_out is None else COUNTER_MAX - left_out,
        rx=ours + FAR if ahead else ours,
        ours=ours,
        now=NOW,
    )
    places = [*range(max(data, master)), NEW]
    pairs = {at: DeviceKeys(key("ek", at), key("ak", at), None) for at in places if at < data or at == NEW}
    masters = {at: key("kek", at) for at in places if at < master or at == NEW}
    bench = Bench(setup, Ring(pairs, masters))
    if policy is not None:
        bench.machine.deviations[POLICY] = enum(policy)
    machine = Machine(bench, Known(pairs, masters))
    data_mask, master_mask = (1 << data) - 1, (1 << master) - 1
    state = State(
        data_doubt=doubt and data > 1,
        master_doubt=doubt and master > 1,
        s1sp_data=data_mask,
        dco_data=data_mask if dco_data is None else dco_data,
        s1sp_master=master_mask,
        dco_master=master_mask if dco_master is None else dco_master,
    )
    habits = look.habits(registry.model(model).profile)
    return Case(machine, machine.truth(state), habits, model)


@pytest.fixture
def on_bench() -> Iterator[Callable[..., Case]]:
    """`stand`, with the benches wiped at the end."""
    cases: list[Case] = []

    def standing(*given: Any, **settings: Any) -> Case:
        case = stand(*given, **settings)
        cases.append(case)
        return case

    yield standing
    for case in cases:
        case.bench.close()


@pytest.fixture
def variant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Ship a model that differs from another in some settings of [security] and [keys]; its name."""
    shipped: Any = registry.models()

    def made(of: str, *, security: dict[str, Any] | None = None, keys: dict[str, Any] | None = None) -> str:
        model: Any = shipped[of]
        profile = model.profile
        name = f"{of}_{len(shipped)}"
        profile = msgspec.structs.replace(
            profile,
            name=name,
            security=msgspec.structs.replace(profile.security, **(security or {})),
            keys=msgspec.structs.replace(profile.keys, **(keys or {})),
        )
        monkeypatch.setitem(shipped, name, type(model)(profile, model.build))
        return name

    return made
