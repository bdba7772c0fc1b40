"""A device on the bench: the real machine and a real DLMS client on a table, without a link between them.

A bench is a *copy*: of a device somewhere in an estate (`copy_of`), or one set up to order (`Setup`). Whatever is tried
on it happens to nobody else, and it can be put back to any earlier point, so every sequence of commands can be tried.
What passes between the two is what passes over the air: AARQ, glo-ciphered requests, answers; only radio, hub and
patience are left out. Silence is noticed at once.

Keys are in two lines of a context store of its own, the device's and ours; nothing here shows one.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Client
from emulator.fleet import registry
from emulator.fleet.installation import DeviceKeys, DeviceSpec, Installation
from emulator.headend.conversation import Request
from emulator.headend.session import Session, Steps
from emulator.kernel.effects import ALERTS, HAN, Instant, Send
from emulator.kernel.machine import Party
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.oracle.steps import Ring, perform
from emulator.oracle.transitions import Command, Result

T = TypeVar("T")

_DEVICE: Final = 0
_OURS: Final = 1
OUR_TITLE: Final = b"BENCH\x00\x00\x01"
PAUSE_US: Final = 60 * SECOND
"""Virtual time between two commands at least; more on a device that takes longer to write a key."""


def write_window_us(profile: Any) -> int:
    """How long after a transfer a device may still be writing a key, in which another one disturbs it; 0: never."""
    return int(profile.keys.write_ms) * MILLISECOND


@dataclass(slots=True)
class Setup:
    """A device to order. `keys`: what it truly holds (`kek` None: no master key). `tx`, `rx`: its counters; `ours`: the
    one we send next. `state` is what a snapshot gave; b"" as it came from the maker."""

    home: Installation
    spec: DeviceSpec
    keys: DeviceKeys = field(repr=False)
    tx: int = 100
    rx: int = 0
    ours: int = 100
    state: bytes = b""
    seed: int = 1
    now: Instant = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that a bench can be put back to."""

    device: bytes = field(repr=False)
    ours: bytes = field(repr=False)
    state: bytes
    associations: dict[int, Any]
    client: Client
    keys: DeviceKeys | None
    now: Instant


class Bench:
    """See the module. `ring` names the keys that commands speak of."""

    def __init__(self, setup: Setup, ring: Ring, lines: tuple[bytes, bytes] | None = None) -> None:
        """`lines`: exports of the device's context and of ours, where it is a copy; else both are set up to order."""
        self.home, self.spec, self.seed = setup.home, setup.spec, setup.seed
        self.ring = ring
        self.now = setup.now
        self.store = ContextStore(2)
        model = registry.model(setup.spec.model)
        addressing = model.profile.addressing
        self._model = model
        self.sap, self._management = addressing.sap, addressing.management
        if lines is None:
            self._load(setup)
        else:
            self.store.restore(_DEVICE, lines[0])
            self.store.restore(_OURS, lines[1])
        self.machine: Any = self._made(setup.state)
        sap, us = self.sap, SECOND
        self.session = Session(
            Client(self.store, _OURS, MANAGEMENT),
            addressing.management,
            sap,
            patience_us=us,
            first_patience_us=us,
            challenge=self._challenge,
        )
        self.public = Session(Client(), addressing.public, sap, patience_us=us, first_patience_us=us)
        self.exchanges = 0
        self._asked = 0
        self.pause_us = max(PAUSE_US, write_window_us(model.profile) + PAUSE_US // 2)
        """Virtual time between two commands."""

    def _load(self, setup: Setup) -> None:
        keys, title, store = setup.keys, setup.spec.system_title, self.store
        store.load(_DEVICE, ek=keys.ek, ak=keys.ak, kek=keys.kek, title=title, peer=OUR_TITLE, tx=setup.tx, rx=setup.rx)
        # Which keys ours begins with does not matter: every command names its own.
        store.load(_OURS, ek=keys.ek, ak=keys.ak, title=OUR_TITLE, peer=title, tx=setup.ours, rx=0)

    def _made(self, state: bytes) -> Any:
        contexts: Mapping[int, int] = {self._management: _DEVICE}
        return self._model.create(
            self.home, self.spec, store=self.store, contexts=contexts, seed=self.seed, state=state or None
        )

    def _challenge(self) -> bytes:
        self._asked += 1
        return derive.challenge(b"bench", self.home.number, self._asked)

    # Doing

    def do(self, command: Command) -> Result:
        """Carry a command out on the device, and let a pause pass."""
        result = self.run(perform(command, self.session, self.public, self.ring))
        self.now += self.pause_us
        return result

    def run(self, steps: Steps[T]) -> T:
        """Drive steps to their end: what they ask for goes to the machine, what it answers comes back at once."""
        heard: bytes | None = None
        while True:
            try:
                ask = steps.send(heard)
            except StopIteration as end:
                value: T = end.value
                return value
            heard = self._answer(ask) if type(ask) is Request and ask.apdu else None

    def _answer(self, ask: Request) -> bytes | None:
        """The device's answer to one APDU."""
        machine, now = self.machine, self.now
        self.exchanges += 1
        if self.spec.kind is Party.HUB:
            if machine.dark(now):
                return None
            machine.now = now
            answer: bytes | None = machine.serve(ask.client_sap, ask.apdu, now)
            return answer
        frame = WRAPPER.build(Wrapper(ask.client_sap, ask.server_sap, ask.apdu))
        for effect in machine.receive(HAN, frame, now):
            if type(effect) is Send and effect.port != ALERTS:
                heard = WRAPPER.parse(effect.frame)
                if heard.destination == ask.client_sap:
                    return heard.payload
        return None

    # Marks

    def mark(self) -> Mark:
        """How everything stands, to come back to."""
        store, session = self.store, self.session
        return Mark(
            bytes(store.export(_DEVICE)),
            bytes(store.export(_OURS)),
            self.machine.snapshot(),
            self._associations(),
            copy.copy(session.client),
            session.keys,
            self.now,
        )

    def back_to(self, mark: Mark) -> None:
        """Put everything back."""
        store, session = self.store, self.session
        store.restore(_DEVICE, mark.device)
        store.restore(_OURS, mark.ours)
        self.machine = self._made(mark.state)
        self._associate(mark.associations)
        session.client = copy.copy(mark.client)
        session.keys = mark.keys
        self.now = mark.now

    def _associations(self) -> dict[int, Any]:
        # Volatile, so no snapshot has them; and no server lends them out, as nobody else may keep one.
        held = self.machine.server._associations
        return {} if held is None else {sap: copy.copy(each) for sap, each in held.items()}

    def _associate(self, held: dict[int, Any]) -> None:
        self.machine.server._associations = {sap: copy.copy(each) for sap, each in held.items()}

    # The truth

    @property
    def associated(self) -> bool:
        """Whether the device holds an association of ours."""
        held = self.machine.server.association(self._management)
        return held is not None and held.established

    def counters(self) -> tuple[int, int, int]:
        """(device's next, device's lowest acceptable, our next)."""
        tx, rx = self.store.counters(_DEVICE)
        return tx, rx, self.store.counters(_OURS)[0]

    def line(self) -> bytes:
        """The device's line of the store, keys in clear: for who compares, and never to be shown."""
        self.machine.key_memory(self.now)  # what lapses by itself does so when somebody looks
        return bytes(self.store.export(_DEVICE))

    def close(self) -> None:
        """Wipe the keys."""
        self.store.close()
