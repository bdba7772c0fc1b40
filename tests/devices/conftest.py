"""A home on the bench: its machines, a small world between them, and a head end's clients on the WAN."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, PUBLIC, Answer, Client, More, Refused
from emulator.dlms.cosem import obis
from emulator.fleet import registry
from emulator.fleet.installation import Condition, DeviceSpec, Installation, Wiring
from emulator.han.link_state import HanLink
from emulator.kernel.effects import Note, Send, Wake
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, MILLISECOND, SECOND, instant

START = instant(datetime(2020, 3, 2, 12, tzinfo=UTC))
SAPS = {Party.HUB: 1, Party.ELECTRICITY: 2, Party.GAS: 3, "mirror": 4}
HEAD_END = b"\x0a\x00\x00\x01\x0f\xdd"  # 10.0.0.1:4061
WAKE_UP = b"SMETS1 WAKE 10.0.0.1:4061 t1"
_PORTS = {"han.electricity": Party.ELECTRICITY, "han.gas": Party.GAS, "han.ihd": Party.IHD}


def spec_of(kind: Party, model: str, number: int) -> DeviceSpec:
    title = b"ELS" + bytes((kind,)) + number.to_bytes(4, "big")
    return DeviceSpec(kind, model, f"{'?HEGD'[kind]}{number:08d}", title, "03.24", bytes((0x70, kind)) + bytes(6))


def keys_of(number: int, party: Party, what: str) -> bytes:
    return derive.key(b"test estate", number, int(party), what)


@dataclass
class Bench:
    """One home and its head end. `alerts` holds (destination, wrapper frame), `notes` (party, kind, detail)."""

    installation: Installation
    seed: int = 1
    now: int = START
    lossy: bool = False
    store: ContextStore = field(default_factory=lambda: ContextStore(32))
    machines: dict[Party, Any] = field(default_factory=dict)
    alerts: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: list[tuple[Party, str, tuple[Any, ...]]] = field(default_factory=list)
    wan: list[bytes] = field(default_factory=list)
    links: dict[Party, HanLink] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._queue: list[tuple[int, int, Any, tuple[Any, ...]]] = []
        self._order = count()
        for spec in self.installation.devices:
            party = spec.kind
            if party is not Party.IHD:
                for index, own, other in (
                    (party, spec.system_title, b"HEADEND0"),
                    (party + 10, b"HEADEND0", spec.system_title),
                ):
                    self.store.load(
                        index,
                        ek=keys_of(self.installation.number, party, "ek"),
                        ak=keys_of(self.installation.number, party, "ak"),
                        kek=keys_of(self.installation.number, party, "kek"),
                        title=own,
                        peer=other,
                        tx=100,
                        rx=0,
                    )
            self.machines[party] = self.build(party)
            if party is not Party.HUB:
                sleepy = registry.model(spec.model).sleepy(self.seed, self.installation.number)
                self.links[party] = HanLink(self.seed, self.installation.number, party, sleepy=sleepy)

    def build(self, party: Party, state: bytes | None = None) -> Any:
        spec = self.installation.device(party)
        assert spec is not None
        return registry.model(spec.model).create(
            self.installation, spec, store=self.store, contexts={1: int(party)}, seed=self.seed, state=state
        )

    def restart(self, party: Party) -> None:
        """Put a machine into its row and build it again."""
        self.machines[party] = self.build(party, self.machines[party].snapshot())

    @property
    def hub(self) -> Any:
        return self.machines[Party.HUB]

    @property
    def electricity(self) -> Any:
        return self.machines[Party.ELECTRICITY]

    @property
    def gas(self) -> Any:
        return self.machines[Party.GAS]

    @property
    def ihd(self) -> Any:
        return self.machines[Party.IHD]

    # The world

    def _later(self, delay: int, do: Callable[..., Any], *arguments: Any) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._order), do, arguments))

    def carry_out(self, party: Party, effects: Any) -> None:
        for effect in effects:
            if isinstance(effect, Note):
                self.notes.append((party, effect.kind, effect.detail))
            elif isinstance(effect, Wake):
                self._later(max(0, effect.at - self.now), self._wake, party)
            else:
                assert isinstance(effect, Send)
                self._send(party, effect.port, effect.frame)

    def _send(self, party: Party, port: str, frame: bytes) -> None:
        number = next(self._order)
        if port == "wan":
            self._later(40 * MILLISECOND, self.wan.append, frame)
        elif port == "alerts":
            assert party is Party.HUB
            self._later(40 * MILLISECOND, self.alerts.append, (frame[:6], frame[6:]))
        elif port == "han":
            for delay in self.links[party].up(self.now, number):
                self._later(delay, self._receive, Party.HUB, f"han.{party.name.lower()}", frame)
        else:
            to = _PORTS[port]
            for delay in self.links[to].down(self.now, number):
                self._later(delay, self._receive, to, "han", frame)

    def _receive(self, party: Party, port: str, frame: bytes) -> None:
        self.carry_out(party, self.machines[party].receive(port, frame, self.now))

    def _wake(self, party: Party) -> None:
        self.carry_out(party, self.machines[party].wake(self.now))

    def step(self, until: int) -> bool:
        """Do the next event that is due by `until`."""
        if not self._queue or self._queue[0][0] > until:
            return False
        at, _, do, arguments = heapq.heappop(self._queue)
        self.now = at
        do(*arguments)
        return True

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self.step(end):
            pass
        self.now = end

    def command(self, party: Party, command: Any) -> None:
        self.carry_out(party, self.machines[party].command(command, self.now))

    def sms(self, text: bytes = WAKE_UP) -> None:
        self.carry_out(Party.HUB, self.hub.receive("sms", text, self.now))

    def rouse(self) -> None:
        """Wake the hub and wait until it is there."""
        self.sms()
        self.run(6 * SECOND)

    def kinds(self, party: Party) -> list[str]:
        return [kind for who, kind, _ in self.notes if who is party]

    # The head end

    def ask(self, client_sap: int, server_sap: int, apdu: bytes, patience: int = 2 * HOUR) -> bytes | None:
        """Send an APDU through the hub and wait for what comes back; None when nothing does."""
        self.wan.clear()
        frame = WRAPPER.build(Wrapper(client_sap, server_sap, apdu))
        self.carry_out(Party.HUB, self.hub.receive("wan", frame, self.now))
        end = self.now + patience
        while not self.wan and self.step(end):
            pass
        if not self.wan:
            self.now = end
            return None
        answer = WRAPPER.parse(self.wan[0])
        assert (answer.source, answer.destination) == (server_sap, client_sap)
        return answer.payload

    def talk(self, to: Any, secured: bool = True) -> "Talk":
        """A conversation with a device, or with the mirror."""
        party = Party.HUB if to == "mirror" else to
        client = Client(self.store, int(party) + 10, MANAGEMENT) if secured else Client(profile=PUBLIC)
        return Talk(self, client, 1 if secured else 16, SAPS[to])


@dataclass
class Talk:
    """A client on the WAN. Every question is real bytes through the hub."""

    bench: Bench
    client: Client
    client_sap: int
    server_sap: int

    def question(self, apdu: bytes) -> Any:
        while True:
            answer = self.bench.ask(self.client_sap, self.server_sap, apdu)
            if answer is None:
                return None
            outcome = self.client.receive(answer)
            if not isinstance(outcome, More):
                return outcome
            apdu = outcome.apdu

    def open(self) -> Any:
        return self.question(self.client.associate(derive.challenge(b"head end", self.bench.now)))

    def read(self, class_id: int, name: str, attribute: int = 2) -> Any:
        outcome = self.question(self.client.get(AttributeRef(class_id, obis(name), attribute)))
        return outcome.value.value if isinstance(outcome, Answer) else outcome

    def write(self, class_id: int, name: str, attribute: int, data: Data) -> Any:
        return self.question(self.client.set(AttributeRef(class_id, obis(name), attribute), data))

    def act(self, class_id: int, name: str, method: int, data: Data | None) -> Any:
        return self.question(self.client.action(MethodRef(class_id, obis(name), method), data))

    def close(self) -> Any:
        return self.question(self.client.release())


def make_bench(
    *,
    tariff: str | None = None,
    switches: int = 1,
    gas: bool = True,
    condition: Condition | None = None,
    number: int = 7,
    seed: int = 1,
    now: int = START,
) -> Bench:
    devices = [
        spec_of(Party.HUB, "elster_hub", number),
        spec_of(Party.ELECTRICITY, "elster_as300p_5t" if tariff else "elster_as300p", number),
        spec_of(Party.IHD, "elster_ihd", number),
    ]
    if gas:
        devices.insert(2, spec_of(Party.GAS, "elster_bk_g4", number))
    wiring = Wiring(switches, tariff) if tariff else None
    home = Installation(
        number,
        True,
        "dmc",
        "supplier",
        tuple(devices),
        "1" * 13,
        "2" * 10 if gas else None,
        wiring,
        condition,
        "london",
    )
    return Bench(home, seed, now)


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Makes a home on the bench: bench(tariff="economy7", switches=2, gas=True, condition=None, seed=1)."""
    return make_bench


@pytest.fixture
def refused() -> type[Refused]:
    return Refused
