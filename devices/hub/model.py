"""The communications hub as a machine.

It forwards. A wrapper frame from the WAN goes to the HAN device whose logical device it names, unchanged; what comes
back goes out as it came. Frames for the hub's own logical devices (itself, and the mirror of the gas meter) it answers.
Everything else is noted and dropped: a hub has no opinion on APDUs.

Asleep it hears short messages alone. After attaching it tells the address that the message named that it is there, with
a plain DataNotification: no association can exist yet, and nothing is given away by it. An alert of a meter wakes the
cellular side by itself and waits for it.

A HAN device that has dropped out cannot answer, so the hub does: an exception response under the device's own port, and
the error code in an object of the hub's. What the hub knows of a loss comes from the radio (`watch`) or, without one,
from the home's condition.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from devices.common import frames
from devices.common.event_log import Event, Log
from devices.common.kit import Kit, assemble, serving
from devices.common.model import DeviceModel, Home, Spec
from devices.common.objects import device_name
from devices.common.profile import Profile, find, needed
from devices.hub import objects
from devices.hub.mirror import GasMirror
from devices.hub.network import Network, Watch
from devices.hub.radio import NEVER, Radio, State
from devices.hub.struck import StruckHub, Withholding
from emulator.codecs.axdr import octet_string, structure, visible_string
from emulator.codecs.data_notification import DATA_NOTIFICATION, DataNotification
from emulator.codecs.exception import EXCEPTION_RESPONSE, ExceptionResponse, ServiceError, StateError
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import ComeUp, Command
from emulator.crypto.keys import ContextStore
from emulator.dlms.classes import SecuritySetup
from emulator.dlms.server import Server, ServerProfile
from emulator.dlms.tree import ObjectTree
from emulator.errors import FrameError
from emulator.faults import hub as mishaps
from emulator.faults.fault import Point
from emulator.han.link_state import ERRORS
from emulator.kernel import chance
from emulator.kernel.effects import (
    ALERTS,
    HAN_ELECTRICITY,
    HAN_GAS,
    HAN_IHD,
    SMS,
    WAN,
    Effect,
    Effects,
    Instant,
    Note,
    Port,
    Send,
    Wake,
)
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, MILLISECOND, SECOND

# Looked up once: on CPython 3.11 a member found through its `Enum` costs a call in Python.
_AWAKE: Final = State.AWAKE
_GAS: Final = Party.GAS

_PORTS: Final = {Party.ELECTRICITY: HAN_ELECTRICITY, Party.GAS: HAN_GAS}
_PARTIES: Final = {port: party for party, port in _PORTS.items()}
_HEADER: Final = 8
_ALLOWED: Final = (1, objects.ALLOWED, 2)
_ALERT_HEADER: Final = 6
_VERSION: Final = b"\x00\x01"


@lru_cache(maxsize=64)
def _kit(profile: Profile) -> Kit:
    return assemble(profile, objects.build(profile))


@lru_cache(maxsize=64)
def _mirror_kit(profile: Profile, gas: Profile) -> tuple[ObjectTree, ServerProfile]:
    """The mirror's objects; its requests are protected as the hub's own are."""
    tree = ObjectTree(objects.build_mirror(profile, gas))
    setup = _kit(profile).objects.named("security")
    assert isinstance(setup, SecuritySetup)
    return tree, serving(profile, tree, setup)


class CommunicationsHub(StruckHub):
    """One hub. `network` is the home's; its `watch` may be set."""

    __slots__ = (
        "_bell",
        "_held",
        "_kept_mirror",
        "_mirror",
        "_mirror_server",
        "_poll_us",
        "_radio",
        "_waiting",
        "network",
    )

    def __init__(
        self,
        model: DeviceModel,
        home: Home,
        spec: Spec,
        store: ContextStore,
        contexts: Mapping[int, int],
        seed: int,
        state: bytes,
    ) -> None:
        self.habits = needed(model.profile.hub)
        self.network = Network(home, model.profile, seed)
        self._radio = Radio()
        self._bell: Instant = NEVER
        self._held: list[bytes] = []
        self._waiting: dict[Party, int] = {}
        self._poll_us = 0
        self._mirror: GasMirror | None = None
        self._mirror_server: Server | None = None
        self._kept_mirror: Any = None
        super().__init__(model, home, spec, store, contexts, seed, state)
        allowed = self.deviations.get(_ALLOWED) if self.deviations else None
        if allowed is not None:
            self.network.allow([bytes(item.value) for item in allowed.value])

    def made_of(self) -> Kit:
        return _kit(self.model.profile)

    def physics(self) -> Any:
        radio = self._radio.pack()
        mirror = self._kept_mirror if self._mirror is None else self._mirror.pack()
        if radio is None and mirror is None and not self.network.lost and not self._held:
            return None
        return [radio, mirror, self.network.pack(), self._held]

    def recall_physics(self, kept: Any) -> None:
        radio, self._kept_mirror, lost, held = kept
        self._radio = Radio.unpack(radio)
        self.network.unpack(lost)
        self._held = list(held)

    # Three ways in

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        if now != self.now:  # as `_begin`, without its call: twice an exchange
            self.now = now
            self._fresh = 0
        effects: list[Effect] = []
        self._effects = effects
        if now < self._power_back:
            effects.append(Note("hub.dark", (port, len(frame))))
        elif port == WAN:
            self._from_wan(frame, now)
        elif port == SMS:
            self._from_sms(frame, now)
        elif port == HAN_IHD:
            self._from_display(frame, now)
        else:
            self._from_han(port, frame, now)
        if self._outbox:
            self._post(now)
        if self._bell == NEVER:
            self._arm()
        return effects

    def wake(self, now: Instant) -> Effects:
        if now >= self._bell:
            self._bell = NEVER
        effects = list(super().wake(now))
        self._effects = effects
        if now < self._power_back:
            return effects
        radio = self._radio
        if radio.state is State.ATTACHING and now >= radio.since:
            self._attached(now)
        elif radio.state is _AWAKE and now >= radio.idle_at(self.habits):
            self._fall_asleep(now)
        self._arm()
        return effects

    def command(self, command: Any, now: Instant) -> Effects:
        effects = list(super().command(command, now))
        self._effects = effects
        self._arm()
        return effects

    def obey(self, command: Command, now: Instant) -> None:
        if isinstance(command, ComeUp):
            if self._radio.state is not _AWAKE:
                self._attached(now)
        else:
            super().obey(command, now)

    def hang_up(self, client_sap: int) -> None:
        super().hang_up(client_sap)
        if self._mirror_server is not None:
            self._mirror_server.forget(client_sap)

    def power_cut(self, seconds: int, now: Instant) -> None:
        super().power_cut(seconds, now)
        self.lose_attachment()

    def lose_attachment(self) -> None:
        self._radio.sleep()
        self._held.clear()
        self._waiting.clear()

    # The cellular side

    def _from_sms(self, text: bytes, now: Instant) -> None:
        """A short message: count it, and attach when it is enough. An awake hub calls back again."""
        try:
            callback, token = frames.parse_wake(text)
        except FrameError as error:
            self.note("hub.sms-ignored", error.reason)
            return
        radio = self._radio
        if radio.state is State.ASLEEP and not radio.count(self.habits, now, self.texts_needed(now)):
            self.note("hub.sms-counted", len(radio.texts))
            return
        radio.callback, radio.token = callback, token
        if radio.state is _AWAKE:
            radio.heard = now
            self._call_back(now)
        elif radio.state is State.ASLEEP:
            self._attach(now)

    def _attach(self, now: Instant) -> None:
        habits = self.habits
        took = chance.between(
            habits.attach_ms_least, habits.attach_ms_most, self.seed, "hub.attach", self.installation, now // SECOND
        )
        for strike in self.strikes(mishaps.ATTACH, 0, now):
            took += round(strike.fault.extra_s * 1000)
        self._radio.attach(now + took * MILLISECOND)
        self._arm()
        self.note("hub.attaching", took)

    def _attached(self, now: Instant) -> None:
        self._radio.attached(now)
        self.note("hub.awake")
        if self.mischief is not None:
            self.mischief.attached(self.installation, now)
        if self._radio.callback:
            self._call_back(now)
        held, self._held = self._held, []
        for frame in held:
            self._effects.append(Send(ALERTS, frame))

    def _call_back(self, now: Instant) -> None:
        """Tell who asked that the hub is there: name and token, plain."""
        addressing = self.model.profile.addressing
        body = structure((octet_string(device_name(self)), visible_string(self._radio.token)))
        stamp = self.kit.clock.shown(self, now)
        apdu = DATA_NOTIFICATION.build(DataNotification(now // SECOND & 0xFF_FFFF, stamp, body))
        frame = WRAPPER.build(Wrapper(addressing.sap, addressing.push, apdu))
        self._effects.append(Send(ALERTS, self._radio.callback + frame))

    def _fall_asleep(self, now: Instant) -> None:
        self._radio.sleep()
        self._waiting.clear()
        self.drop()
        self.note("hub.asleep")

    def drop(self) -> None:
        super().drop()
        if self._mirror is not None:  # it is made again from what it keeps; it and the hub hold each other
            self._kept_mirror, self._mirror = self._mirror.pack(), None

    def drop_associations(self) -> None:
        super().drop_associations()
        if self._mirror_server is not None:
            self._mirror_server.drop()
            self._mirror_server = None

    def _arm(self) -> None:
        """Ask to be woken at the next deadline, if no earlier wake is outstanding."""
        due = self._radio.deadline(self.habits)
        if due < self._bell:
            self._bell = due
            self._effects.append(Wake(due))

    def send_alert(self, frame: bytes) -> None:
        """Send an alert now, or attach for it."""
        radio = self._radio
        if radio.state is _AWAKE:
            radio.heard = max(radio.heard, self.now)
            self._effects.append(Send(ALERTS, frame))
            return
        self._held.append(frame)
        if radio.state is State.ASLEEP:
            radio.callback = b""
            self._attach(self.now)

    # Forwarding

    def _from_wan(self, frame: bytes, now: Instant) -> None:
        radio, profile = self._radio, self.model.profile
        if radio.state is not _AWAKE:
            self.note("hub.not-attached", len(frame))
            return
        radio.heard = now
        if self.mischief is not None and self.mishap(frame, now):
            return
        if len(frame) > self.habits.receive_buffer:
            self.note("hub.overrun", len(frame))
            return
        try:
            wrapper = WRAPPER.parse(frame)
        except FrameError as error:
            self.note("hub.bad-frame", error.reason, error.offset)
            return
        destination = wrapper.destination
        party = self.network.saps.get(destination)
        if party is not None:
            if self.network.is_lost(party, now):
                self._answer_for(party, wrapper, now)
            elif self.mischief is not None and self.refuses_for(party, wrapper, now):
                pass
            else:
                self._expect(party, now)
                self._effects.append(Send(_PORTS[party], frame))
            return
        if destination == profile.addressing.sap:
            answer = self.serve(wrapper.source, wrapper.payload, now)
        elif destination == profile.addressing.mirror and self.mirror is not None:
            answer = self._serve_mirror(wrapper, now)
        else:
            self.note("hub.no-such-device", wrapper.source, destination)
            return
        if answer is not None:
            self._effects.append(Send(WAN, WRAPPER.build(Wrapper(destination, wrapper.source, answer))))

    def _answer_for(self, party: Party, wrapper: Wrapper, now: Instant) -> None:
        """Answer in the place of a HAN device that has dropped out."""
        if int(party) not in self.network.lost:
            self.network.lost[int(party)] = now
            self.write_log(Log.EVENT, Event.HAN_LOST, now)
        self.note("hub.han-lost", int(party), ERRORS[party])
        self.refuse(wrapper)

    def refuse(self, wrapper: Wrapper) -> None:
        apdu = EXCEPTION_RESPONSE.build(
            ExceptionResponse(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
        )
        self._effects.append(Send(WAN, WRAPPER.build(Wrapper(wrapper.destination, wrapper.source, apdu))))

    def _expect(self, party: Party, now: Instant) -> None:
        """Stay awake for the answer: a sleepy meter hears at its next poll only."""
        due = now + self.habits.han_patience_s * SECOND
        if party is _GAS:
            if not self._poll_us:
                self._poll_us = self._gas_poll_us()
            due += self._poll_us
        self._waiting[party] = self._waiting.get(party, 0) + 1
        self._radio.waiting = max(self._radio.waiting, due)

    def _gas_poll_us(self) -> int:
        """How long at most until the gas meter hears, as far as a hub that mirrors it knows."""
        spec = self.network.spec(Party.GAS) if self.model.profile.addressing.mirror else None
        return SECOND if spec is None else needed(find(spec.model).gas).poll_s * SECOND

    def _from_han(self, port: Port, frame: bytes, now: Instant) -> None:
        party = _PARTIES.get(port)
        if party is None:
            self.note("hub.no-such-port", port)
            return
        if int(party) in self.network.lost:
            del self.network.lost[int(party)]
            self.write_log(Log.EVENT, Event.HAN_JOINED, now)
        if frame[:2] == frames.REPORT_MARK:
            self._from_report(party, frame)
        elif frame[:2] == _VERSION and len(frame) > _HEADER:
            self._answer(party, frame, now)
        elif frame[_ALERT_HEADER : _ALERT_HEADER + 2] == _VERSION and len(frame) > _ALERT_HEADER + _HEADER:
            self.send_alert(frame)
        else:
            self.note("hub.bad-han-frame", port, len(frame))

    def _answer(self, party: Party, frame: bytes, now: Instant) -> None:
        """A meter's answer, unchanged."""
        radio, waiting = self._radio, self._waiting
        left = waiting.get(party, 0) - 1
        if left > 0:
            waiting[party] = left
        elif left == 0:
            del waiting[party]
            if not waiting:
                radio.waiting = 0
        if radio.state is not _AWAKE:
            self.note("hub.too-late", int(party), len(frame))
            return
        radio.heard = now
        self._effects.append(Send(WAN, frame))
        if not waiting and now + self.habits.idle_s * SECOND < self._bell:
            self._arm()  # the bell stands at the end of a long wait that is over

    # The home

    def _from_report(self, party: Party, frame: bytes) -> None:
        try:
            report = frames.parse_report(frame)
        except FrameError as error:
            self.note("hub.bad-han-frame", error.reason, error.offset)
            return
        if party is Party.GAS and self.mirror is not None:
            if self.mirror_stands(self.now, self.now) is None:
                self.mirror.learn(report)
        elif party is Party.ELECTRICITY and Party.IHD not in self.network.barred:
            self._effects.append(Send(HAN_IHD, frame))

    def _from_display(self, frame: bytes, now: Instant) -> None:
        """The display asks: the electricity meter answers for itself, the mirror for the gas meter."""
        if frame != frames.POLL:
            self.note("hub.bad-han-frame", HAN_IHD, len(frame))
            return
        if Party.IHD in self.network.barred:
            self.note("hub.stranger", int(Party.IHD))
            return
        if Party.ELECTRICITY in self.network.saps.values() and not self.network.is_lost(Party.ELECTRICITY, now):
            self._effects.append(Send(HAN_ELECTRICITY, frame))
        if self.mirror is not None:
            self._effects.append(Send(HAN_IHD, self.mirror.report(now).build()))

    @property
    def mirror(self) -> GasMirror | None:
        """What the hub knows of the gas meter; None in a home without one, or with a hub that shows none."""
        found = self._mirror
        if found is None and self.model.profile.addressing.mirror and Party.GAS in self.network.saps.values():
            spec = self.network.spec(Party.GAS)
            assert spec is not None
            gas = find(spec.model)
            tree, _ = _mirror_kit(self.model.profile, gas)
            found = self._mirror = GasMirror(self, spec, gas, tree)
            found.unpack(self._kept_mirror)
        if found is not None:
            found.lost_since = self.network.gone_since(Party.GAS)
            if self.mischief is not None:
                stood = self.mirror_stands(self.now, found.heard_at(self.now))
                if stood is not None and (found.lost_since is None or stood < found.lost_since):
                    found.lost_since = stood
        return found

    def _serve_mirror(self, wrapper: Wrapper, now: Instant) -> bytes | None:
        mirror = self.mirror
        assert mirror is not None
        if self._mirror_server is None:
            self._mirror_server = Server(mirror, _mirror_kit(self.model.profile, mirror.profile)[1])
        if self.mischief is None or not self.mischief.watches(Point.HUB):
            return self._mirror_server.receive(wrapper.source, wrapper.payload, now)
        shown = mirror.objects
        mirror.objects = Withholding(shown, self.withholds)
        try:
            return self._mirror_server.receive(wrapper.source, wrapper.payload, now)
        finally:
            mirror.objects = shown

    # What the objects show

    @property
    def watch(self) -> Watch | None:
        """How a HAN device stands to the network, where the radio is lent to the hub: `watch(party, now)`."""
        return self.network.watch

    @watch.setter
    def watch(self, watch: Watch | None) -> None:
        self.network.watch = watch

    def joined(self, now: Instant) -> list[objects.Joined]:
        """The device log."""
        return self.network.joined(now)

    def listed(self) -> list[bytes]:
        """The EUI-64 of the devices that the home was found with."""
        return self.network.members

    def allow(self, listed: list[bytes], now: Instant) -> None:
        """Let only the devices of these EUI-64 be in the network."""
        self.network.allow(listed)
        self.note("hub.devices-listed", len(listed))

    def let_in(self, eui64: bytes, now: Instant) -> bool:
        """Let a listed device in, if it answers on the radio."""
        party = self.network.join(eui64, now)
        if party is not None:
            self.write_log(Log.EVENT, Event.HAN_JOINED, now)
            self.note("hub.joined", int(party))
        return party is not None

    def han_error(self, now: Instant) -> str:
        """The code of the HAN device that is lost; empty while none is."""
        return self.network.error(now)

    def saps(self) -> list[tuple[int, bytes]]:
        """The logical devices behind this hub."""
        addressing = self.model.profile.addressing
        found = [(addressing.sap, device_name(self))]
        flag = self.model.profile.identity.flag
        for sap, party in self.network.saps.items():
            spec = self.network.spec(party)
            assert spec is not None
            found.append((sap, (flag + spec.serial).encode("ascii")[:16]))
        if self.mirror is not None:
            found.append((addressing.mirror, self.mirror.name))
        return found

    def signal_dbm(self, now: Instant) -> int:
        """Received signal: a level of this home's own, wandering from hour to hour; -113 to -51 dBm."""
        level = chance.between(-103, -61, self.seed, "hub.signal", self.installation)
        return level + chance.between(-4, 4, self.seed, "hub.signal.hour", self.installation, now // HOUR)

    def wan_status(self) -> tuple[int, Instant, bytes]:
        """(0 asleep, 1 attaching, 2 awake; since when, unless asleep; the six bytes of the address that woke it)."""
        return int(self._radio.state), self._radio.since, self._radio.callback
