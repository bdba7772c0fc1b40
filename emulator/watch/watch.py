"""The watch over one cell: a witness to its devices' servers that writes violations into a register.

It hangs on `Cell.witness` and costs nothing where there is none. It holds no key: what it must compare is taken from
the devices' store when a message that is not encrypted comes by, and forgotten. It tells the journal of what it finds
("watch.violation"), so a watched run has the digest of an unwatched one as long as nobody does anything wrong.
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from emulator.codecs.glo import PLAIN
from emulator.dlms import security
from emulator.dlms.association import Association
from emulator.dlms.cosem import Device
from emulator.faults.fault import Point
from emulator.fleet.cell import Cell
from emulator.fleet.installation import KEYED
from emulator.headend.keeper import Hierarchy, Stage
from emulator.headend.keyring import Keyring
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.watch import heating, leaks, requests
from emulator.watch.changes import Changes
from emulator.watch.counters import Counters, Sealed, sealed
from emulator.watch.levels import Levels
from emulator.watch.requests import ACTION, GET, SET, Target
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import Register

_RLRQ: Final = 0x62
_AARE: Final = 0x61
_GLO: Final = frozenset(PLAIN) | {0xDB, 0xDC}
_CHANGING: Final = frozenset({SET, ACTION})


class Approvals(Protocol):
    """Who knows what the second party approved."""

    def covers(self, installation: int, party: Party, service: str, now: Instant) -> bool:
        """Whether a service to a device is approved at an instant."""


class Watch:
    """The witness of one cell. `register` may be shared with other cells' watches; `approvals` None: whether commands
    are countersigned is not looked at; `keyring`: as in `know`. `Cell.attend` puts it to work."""

    def __init__(
        self,
        cell: Cell,
        register: Register | None = None,
        settings: WatchSettings | None = None,
        approvals: Approvals | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        self.cell = cell
        self.settings = settings or WatchSettings()
        self.register = register or Register()
        self.approvals = approvals
        self.levels = Levels(cell.store.capacity)
        self.keyring: Keyring | None = None
        if keyring is not None:
            self.know(keyring)
        self._counters = Counters(self.levels, self.settings.gap_most, self._wire_repeats)
        self._changes = Changes(self.settings)
        self._sealed: Sealed | None = None
        self._reply: bytes | None = None
        self._times: heating.Times | None = None
        self._done: list[Target] = []
        self._read = False

    def forget(self, installation: int) -> None:
        """A home was put back to how it was found, or to a snapshot."""
        self._changes.forget(installation)
        for party in KEYED:
            index = self.cell.context(installation, party)
            self._counters.forget(index)
            self.levels.forget(index)

    def know(self, keyring: Keyring) -> None:
        """Our own head end's means in this cell: its counters are looked at too, and its doubts are known."""
        self.keyring = keyring
        self.levels.head_end = keyring.store

    def settle(self, now: Instant) -> None:
        """Write down what time alone made a violation of."""
        for installation, change in self._changes.overdue(now, self._in_doubt):
            what = f"nothing was done under the new keys for {self.settings.proof_s} s"
            where = f"client title {change.title.hex()}"
            self.register.add(now, installation, change.device, "key-transfer-without-read-back", what, where)

    def _in_doubt(self, installation: int, index: int) -> bool:
        """Whether our own head end knows that it does not know what became of a transfer, and will ask: the link may
        have kept it from asking so far, which is no carelessness."""
        keyring = self.keyring
        if keyring is None:
            return False
        party = KEYED[index % len(KEYED)]
        return any(
            keyring.keeper.custody(installation, party, hierarchy).stage is Stage.SENT for hierarchy in Hierarchy
        )

    # The witness

    def hears(
        self, device: Device, association: Association | None, client_sap: int, apdu: bytes, now: Instant
    ) -> None:
        self._reply, self._times, self._read = None, None, False
        self._done.clear()
        message = self._sealed = sealed(device, association, client_sap, apdu)
        if message is not None:
            self.levels.before(device, message.index, message.lowest, message.epoch)
        if not apdu:
            return
        tag = apdu[0]
        if tag == _RLRQ and association is not None:
            self._changes.released(device, association.index, now, self._reporter(device, client_sap, association, now))
        if tag in _GLO:
            if association is not None and tag not in (0xC8, 0xD0):
                self._weak_unopened(device, association, tag, now)
            return
        report = self._reporter(device, client_sap, association, now)
        self._leak(apdu, device, client_sap, "request", now)
        if leaks.dedicated(apdu):
            report("key-in-clear", "a dedicated key is sent outside of encryption", "association request")
        if tag in _CHANGING and association is not None:
            for target in requests.targets(apdu, association):
                if requests.is_challenge_reply(target):
                    continue
                if requests.service(target) is not None:
                    report("weak-protection", "a supply-affecting command without protection", target.told())

    def serves(self, device: Device, association: Association, request: bytes, now: Instant) -> None:
        tag = request[0]
        if tag == GET:
            self._read = True
            return
        report = self._reporter(device, association.client_sap, association, now)
        for target in requests.targets(request, association):
            self._done.append(target)
            if requests.is_challenge_reply(target):
                if target.value is not None and isinstance(target.value.value, bytes):
                    self._reply = target.value.value
                continue
            self._command(device, association, target, report, now)
            if requests.is_key_transfer(target):
                self._changes.transfer_asked(device, association.index, association.client_title, now, report)
                if (name := leaks.unwrapped(target)) is not None:
                    report("key-in-clear", f"{name} is not wrapped", target.told())
                elif association.kind != security.PLAIN:
                    self._leak(request, device, association.client_sap, target.told(), now)
            if self._times is None and heating.concerns(target):
                self._times = heating.times(device, now)

    def served(
        self, device: Device, association: Association, request: bytes, answer: bytes | None, now: Instant
    ) -> None:
        if request[0] == GET:
            self._read = association.kind != security.PLAIN and answer is not None and answer[:1] == b"\xc4"
            return
        if not requests.succeeded(answer):
            # A list may have been done in part; what moved is compared all the same, but no key was taken over.
            self._done = [target for target in self._done if not requests.is_key_transfer(target)]

    def answers(self, device: Device, client_sap: int, apdu: bytes, answer: bytes | None, now: Instant) -> None:
        association = self._association(device, client_sap)
        report = self._reporter(device, client_sap, association, now)
        message, reply = self._sealed, self._reply
        if reply is not None and (association is None or not association.established):
            reply = None
        index = association.index if association is not None else -1 if message is None else message.index
        state = device.store.state(index) if index >= 0 and device.store.loaded(index) else None
        accepted = False
        if message is not None:
            own = state if message.index == index else None
            accepted = self._counters.judge(device, message, own, reply, report)
        elif reply is not None and association is not None:
            self._counters.reply(device, association, reply, report)
        if association is not None and state is not None and accepted:
            if self._read or reply is not None:
                self._changes.used(device.installation, index, association.client_title, state.epoch)
            for target in self._done:
                if requests.is_key_transfer(target):
                    ids = frozenset(key_id for key_id, _ in requests.keys_given(target))
                    name = self._name(device)
                    title = association.client_title
                    self._changes.transferred(device, name, index, title, client_sap, ids, now)
        if self._times is not None:
            self._compare(device, self._times, report, now)
        if answer is not None and answer and answer[0] not in _GLO and answer[0] != _AARE:
            self._leak(answer, device, client_sap, "answer", now)
        if state is not None:
            self.levels.sample(device, index, state)

    # Inside

    def _association(self, device: Device, client_sap: int) -> Association | None:
        server: Any = getattr(device, "server", None)
        found: Association | None = None if server is None else server.association(client_sap)
        return found

    def _compare(self, device: Device, before: heating.Times, report: Any, now: Instant) -> None:
        after = heating.times(device, now)
        where = ", ".join(target.told() for target in self._done)
        if after is not None:
            for what in heating.moved(before, after, self.settings.heating_moved_s, self.settings.clock_moved_s):
                report("heating-times-moved", what, where)
        for target in self._done:
            if (what := heating.planned(device, target, now) or "") and after is not None:
                report("heating-times-moved", what, where)

    def _command(self, device: Device, association: Association, target: Target, report: Any, now: Instant) -> None:
        service = requests.service(target)
        if service is None:
            return
        wanted = self.settings.protection
        if association.kind != security.PLAIN and association.control & wanted != wanted:
            what = (
                f"a supply-affecting command under security control {association.control:02X}h, {wanted:02X}h is wanted"
            )
            report("weak-protection", what, target.told())
        if self.approvals is not None and association.established:
            party = Party(device.spec.kind)  # type: ignore[attr-defined]
            if not self.approvals.covers(device.installation, party, service, now):
                report("command-without-dual-control", f"nobody approved service {service!r} for it", target.told())

    def _weak_unopened(self, device: Device, association: Association, tag: int, now: Instant) -> None:
        """A message too weak for the device's policy is not opened, so what it wants is not known."""
        message = self._sealed
        required = association.client.required(device)
        if message is None or message.control & required == required:
            return
        report = self._reporter(device, association.client_sap, association, now)
        what = f"a message under security control {message.control:02X}h, the device's policy asks for {required:02X}h"
        report("weak-protection", what, f"APDU {tag:02X}h, counter {message.counter}")

    def _leak(self, text: bytes, device: Device, client_sap: int, where: str, now: Instant) -> None:
        index = device.contexts.get(client_sap, -1)
        if index < 0:
            index = next((at for sap, at in device.contexts.items() if sap >= 0), -1)

        def handed_over() -> Iterator[tuple[str, bytes]]:
            party = Party(device.spec.kind)  # type: ignore[attr-defined]
            if party in KEYED:
                keys = self.cell.estate.keys(self.cell.home(device.installation), party)
                yield "EK", keys.ek
                yield "AK", keys.ak
                if keys.kek is not None:
                    yield "KEK", keys.kek

        name = leaks.seen(text, device, index, handed_over)
        if name is not None:
            self._reporter(device, client_sap, None, now)("key-in-clear", f"{name} stands in the message", where)

    def _reporter(self, device: Device, client_sap: int, association: Association | None, now: Instant) -> Any:
        def report(kind: str, what: str, where: str) -> None:
            title = association.client_title.hex() if association is not None and association.client_title else ""
            client = f"client SAP {client_sap}" + (f" ({title})" if title else "")
            name = self._name(device)
            self.register.add(now, device.installation, name, kind, what, f"{client}, {where}")
            device.note("watch.violation", kind, what)

        return report

    def _name(self, device: Device) -> str:
        return Party(device.spec.kind).name.lower()  # type: ignore[attr-defined]

    def _wire_repeats(self) -> bool:
        """Whether a fault may make the wire say something twice."""
        mischief = self.cell.mischief
        return any(mischief.watches(point) for point in (Point.WAN_DOWN, Point.HAN, Point.CORE))
