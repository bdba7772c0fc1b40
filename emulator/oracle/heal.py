"""Carrying a way back out, over the real path, and making sure.

The oracle knows which commands heal; here the head end says them, one after another, through its own session, and
writes down what each acceptance proves in the keepers' custody, by the steps of `headend/recovery`: a new generation is
recorded and acknowledged before it is sent, a transfer is countersigned, a lock is held, and only what a device has
shown is believed. What is not as the oracle promised ends the healing there; everything is then as sound as before.

At the end it is proven: an association and a read under the keys believed live, and a transfer of the same keys once
more under the master key believed live, which the device takes only if it holds that key.

Between a transfer and the next it waits for as long as the device takes to write a key: there are meters that lose the
one that is being written when another arrives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emulator.errors import EmulatorError
from emulator.fleet import registry
from emulator.fleet.installation import DeviceKeys
from emulator.headend import asking as keepers
from emulator.headend import recovery
from emulator.headend.conversation import Remark, Rest
from emulator.headend.custody import DeviceCustody, Event
from emulator.headend.keeper import Hierarchy
from emulator.headend.keyring import Target
from emulator.headend.services import FIRST_READ
from emulator.headend.session import NoAnswerError, RefusedError, Steps
from emulator.kernel.effects import Note
from emulator.kernel.time import MINUTE, SECOND
from emulator.oracle.bench import write_window_us
from emulator.oracle.observe import Diagnosis
from emulator.oracle.state import NEW, PLENTY, Position
from emulator.oracle.steps import Ring, perform
from emulator.oracle.transitions import OPENINGS, TRANSFERS, Command, Result, Verb

_SLACK_US: Final = 10 * SECOND
TRIES: Final = 3
REST_US: Final = 2 * MINUTE
"""Between tries: most outages and power cuts are over by then, and the hub is still awake. ASSUMED."""


@dataclass(frozen=True, slots=True)
class Healed:
    """What came of a healing. `healed`: proven at the end; `done`: the steps that came out as promised, in words;
    `stopped`: why it ended early, "" when it did not."""

    healed: bool
    done: tuple[str, ...]
    stopped: str = ""


class Healing:
    """One healing of one device: an errand for a visit that does not open an association by itself."""

    def __init__(self, diagnose: Callable[[], Diagnosis]) -> None:
        """`diagnose` says how things stand, whenever it is asked."""
        self._diagnose = diagnose
        self._pause_us = 0
        self._done: list[str] = []
        self._take(diagnose())

    def _take(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis
        self._data = dict(enumerate(diagnosis.data))
        self._master = dict(enumerate(diagnosis.master))

    def steps(self, target: Target) -> Steps[Healed]:
        """Heal, then prove it; what a device in the dark or a lost message has stopped is begun again, from a new
        diagnosis, `TRIES` times in all. Raises RefusedError where a keeper or another head end is in the way before
        anything was sent."""
        diagnosis, device = self._diagnosis, target.custody
        party = int(device.party)
        if diagnosis.way is None:
            return Healed(False, (), _no_way(diagnosis))
        window_us = write_window_us(registry.model(target.device.spec.model).profile)
        self._pause_us = window_us + _SLACK_US if window_us else 0
        office = device.office
        lasts = round(office.settings.rotation.lock_s * SECOND)
        if not office.locks.take(device.device, office.holder, office.now(), lasts):
            raise RefusedError("locked", office.locks.holder(device.device, office.now()))
        try:
            yield from keepers.consult(device)
            yield Remark(Note("oracle.healing", (party, str(diagnosis.kind), len(diagnosis.way))))
            stopped = yield from self._go(target)
            for _ in range(TRIES - 1):
                if not stopped:
                    break
                yield Rest(office.now() + REST_US)
                self._take(self._diagnose())
                stopped = yield from self._go(target)
            if not stopped:
                office.locks.settled(device.device)
        finally:
            device.take_losses()
            office.locks.release(device.device, office.holder)
        yield from keepers.heard(device)
        yield Remark(Note("oracle.healed" if not stopped else "oracle.not-healed", (party, len(self._done), stopped)))
        return Healed(not stopped, tuple(self._done), stopped)

    def _go(self, target: Target) -> Steps[str]:
        diagnosis = self._diagnosis
        if diagnosis.way is None:
            return _no_way(diagnosis)
        for command, promised, words in zip(diagnosis.way, diagnosis.promised, diagnosis.steps, strict=True):
            if command.verb is Verb.WAIT:
                return f"not now: {words}"
            try:
                result = yield from self._do(target, command)
            except (NoAnswerError, RefusedError) as error:
                return f"{words}: {error}"
            if result is not promised:
                return f"{words}: {result}"
            self._done.append(words)
        return (yield from self._prove(target))

    def _do(self, target: Target, command: Command) -> Steps[Result]:
        device, session = target.custody, target.session
        if command.verb in TRANSFERS:
            yield from self._quiet(target)
        yield from self._record(device, command)
        result = yield from perform(command, session, target.public, self._ring(device))
        if command.verb in TRANSFERS:
            device.office.locks.sent(device.device, device.office.now())
        if result is not Result.ACCEPTED:
            return result
        if command.verb in OPENINGS and command.ek == command.ak:
            yield from self._believe(device, Hierarchy.DATA, self._data[command.ek])
        if command.verb in TRANSFERS and command.verb is not Verb.TRANSFER_MASTER:
            yield from self._believe(device, Hierarchy.MASTER, self._master[command.under])
        return result

    def _record(self, device: DeviceCustody, command: Command) -> Steps[None]:
        """A new generation stands in both keepers' records before a byte of it leaves."""
        if command.verb not in TRANSFERS or command.verb is Verb.PROBE_MASTER:
            return
        if NEW in (command.ek, command.ak) and NEW not in self._data:
            self._data[NEW] = yield from self._issued(device, Hierarchy.DATA)
        if command.kek == NEW and NEW not in self._master:
            self._master[NEW] = yield from self._issued(device, Hierarchy.MASTER)

    def _issued(self, device: DeviceCustody, hierarchy: Hierarchy) -> Steps[int]:
        change = device.change(hierarchy)
        if change.in_doubt:
            change.move(Event.DISPROVEN)  # given up, and kept: a state with both is what was searched from
        return (yield from recovery.issue(device, hierarchy))

    def _ring(self, device: DeviceCustody) -> Ring:
        data: dict[Position, DeviceKeys] = {at: device.data_keys(each) for at, each in self._data.items()}
        known = device.known(Hierarchy.MASTER)
        master = {at: device.master_key(each) for at, each in self._master.items() if each in known}
        return Ring(data, master)

    def _believe(self, device: DeviceCustody, hierarchy: Hierarchy, generation: int) -> Steps[None]:
        change = device.change(hierarchy)
        if generation == change.custody.live and not change.in_doubt:
            return
        if generation == change.custody.live:
            change.move(Event.DISPROVEN)
            yield from keepers.heard(device)
            return
        yield from recovery.promote(device, hierarchy, generation)

    def _quiet(self, target: Target) -> Steps[None]:
        """Let the device come to rest, and have it awake again."""
        if not self._pause_us:
            return
        yield Rest(target.custody.office.now() + self._pause_us)
        if self._diagnosis.state.room_in >= PLENTY <= self._diagnosis.state.room_out:
            yield from target.session.get(FIRST_READ)

    def _prove(self, target: Target) -> Steps[str]:
        """ "" when device and keepers agree, shown by the device itself; else what it did not show."""
        device, session = target.custody, target.session
        data, master = device.data.custody.live, device.master.custody.live
        step = "associating under the live keys"
        try:
            if not (yield from recovery.try_pair(session, device, data, data)):
                return f"{step}: refused"
            step = "reading under the live keys"
            yield from session.get(FIRST_READ)
            step = "proving the live master key"
            yield from self._quiet(target)
            if not (yield from recovery.probe_master(session, device, master)):
                return f"{step}: refused"
        except EmulatorError as error:
            return f"{step}: {error}"
        yield from session.close()
        return ""


def _no_way(diagnosis: Diagnosis) -> str:
    return f"there is no way back: {diagnosis.reason}"
