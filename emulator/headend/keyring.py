"""The head end's means for one cell: its context store, its custody, and the way to each keyed device of a home.

A context here is the mirror of one in the device: our title as sender, the device's as peer. It is loaded with whatever
keys custody says are live whenever a conversation begins, and the send counter only ever rises, whichever keys are
loaded, so that no nonce can come twice under any of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Client
from emulator.fleet import registry
from emulator.fleet.cell import CONTEXT_BYTES, Cell
from emulator.fleet.installation import KEYED, DeviceKeys, SmsoDevice, SmsoRecord
from emulator.headend import rival
from emulator.headend.asking import countersigned
from emulator.headend.custody import DeviceCustody, Office
from emulator.headend.dual_control import DualControl
from emulator.headend.keeper import RECORD_BYTES, Keeper, KeeperSettings
from emulator.headend.policy import CustodySettings
from emulator.headend.session import Session
from emulator.kernel.machine import Party

HEAD_END_TITLE: Final = b"DCC\x00\x00\x00\x00\x01"
"""System title of this head end. ASSUMED."""


@dataclass(slots=True)
class Target:
    """One keyed device of a home, with the ways to it: under keys (`session`) and without (`public`)."""

    party: Party
    device: SmsoDevice
    custody: DeviceCustody
    session: Session
    public: Session


@mypyc_attr(native_class=False)
@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take, in µs. ASSUMED: two crossings of a slow cellular bearer and some.

    `slack_us` is added to the poll interval of a device that sleeps, for the first answer. It is less than a hub waits
    for such a device, so that a repeat finds the hub awake.
    """

    answer_us: int = 15_000_000
    slack_us: int = 15_000_000


class Keyring:
    """Contexts and custody for the installations of a cell. `custody` says how keys are kept and changed."""

    def __init__(
        self, secret: bytes, members: range, patience: Patience, custody: CustodySettings | None = None
    ) -> None:
        settings = custody or CustodySettings()
        self._members = members
        self._patience = patience
        self._secret = secret
        self.store = ContextStore(len(members) * len(KEYED))
        self.keeper = Keeper(
            secret, members.start, len(members), KeeperSettings(settings.builder, settings.smso_closes)
        )
        self.office = Office(settings, DualControl(settings.control, members))
        """What the custody of all devices here has in common: policies, the countersigner, the locks."""

    def attend(self, cell: Cell) -> None:
        """Go by the virtual time of a cell, and let the faults in force there strike the keepers."""
        world = cell.world

        def now() -> int:
            return world.now

        self.office.now = self.keeper.now = now
        self.office.mischief = cell.mischief
        self.office.rival = rival.rekey

    def context(self, installation: int, party: Party) -> int:
        """The context towards a device."""
        return (installation - self._members.start) * len(KEYED) + party - Party.HUB

    def targets(self, record: SmsoRecord, parties: Iterable[Party] = KEYED) -> list[Target]:
        """The keyed devices of a home, hub first, each with fresh sessions under the keys custody holds for live."""
        found = []
        for party in parties:
            device = record.device(party)
            if device is not None and device.keys is not None:
                found.append(self._target(record.number, party, device, device.keys))
        return found

    def _target(self, installation: int, party: Party, device: SmsoDevice, handed_over: DeviceKeys) -> Target:
        profile = registry.model(device.spec.model).profile
        addressing = profile.addressing
        context = self.context(installation, party)
        custody = DeviceCustody(self.keeper, installation, party, handed_over, self.office)
        store = self.store
        if not store.loaded(context):
            keys = custody.data_keys(custody.data.custody.live)
            store.load(
                context,
                ek=keys.ek,
                ak=keys.ak,
                title=HEAD_END_TITLE,
                peer=device.spec.system_title,
                tx=device.counter,
            )
        poll_us = profile.gas.poll_s * 1_000_000 if profile.gas is not None else 0
        first = poll_us + self._patience.slack_us if poll_us else self._patience.answer_us
        number, at = installation, int(party)

        def challenge() -> bytes:
            # Fresh because the send counter it is made from has risen since the last one.
            return derive.challenge(self._secret, number, at, store.counters(context)[0])

        sap, answer_us = addressing.sap, self._patience.answer_us
        management, public = Client(store, context, MANAGEMENT), Client()
        session = Session(
            management,
            addressing.management,
            sap,
            patience_us=answer_us,
            first_patience_us=first,
            challenge=challenge,
        )
        session.countersign = partial(countersigned, custody)
        custody.public = Session(public, addressing.public, sap, patience_us=answer_us, first_patience_us=first)
        return Target(party, device, custody, session, custody.public)

    def bytes_per_home(self) -> float:
        """Memory of one home's contexts and custody, by construction."""
        return len(KEYED) * CONTEXT_BYTES + RECORD_BYTES
