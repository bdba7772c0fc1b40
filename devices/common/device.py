"""A device as a machine: one slotted object between the wires and the COSEM server.

It implements the `Device` protocol of `emulator.dlms`: it holds what deviates, lends the server its contexts, and
collects what happens while a request is served as effects. It is cheap on purpose. Made from a row it fills its slots
and nothing else: the server comes with the first frame, the clock, the loads and the registers with the first question
for them.

What falls due by itself (a planned calendar, a schedule, a push put off) is done lazily: before a request is served and
when woken, everything due since the last time is carried out in order. A device on which nobody planned anything does
not even look.

An alert is sealed and sent after the answer of the request that caused it: both come out of one invocation counter, and
a receiver that takes them in order must see them in order.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from devices.common import clock, frames, nvm, victim
from devices.common.event_log import Event, EventLog, Log
from devices.common.keyed import Keyed
from devices.common.kit import Kit
from devices.common.model import DeviceModel, Home, Spec
from devices.common.profile import Birth
from emulator.codecs.axdr import Data, long_unsigned, octet_string, structure
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import Command, HangUp, Notice, PowerCut, RaiseAlert
from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.dlms.cosem import Association, Key
from emulator.dlms.server import Server
from emulator.dlms.tree import ObjectTree
from emulator.dlms.witness import Witness
from emulator.errors import CounterExhaustedError, FrameError
from emulator.faults.mischief import Mischief
from emulator.faults.occasions import KeyName
from emulator.kernel import chance
from emulator.kernel.effects import HAN, Effect, Effects, Instant, Note, Port, Send, Wake
from emulator.kernel.time import SECOND

_ARMING: Final = frozenset({(10, 2), (18, -5), (20, 10), (22, 4), (40, -1)})
"""(class, attribute) of deviations that make an object act by itself: schedules, images, activation times, a push put
off."""

NEVER: Final[Instant] = 1 << 62
_UNKNOWN: Final[Instant] = -1


def _born(birth: Birth, seed: int, installation: int) -> Instant:
    return birth.day(chance.bits(seed, "birth", installation))


class CosemDevice(Keyed):
    """One meter, or the hub's own logical device. Subclasses name their objects and add physics."""

    __slots__ = (
        "_announced",
        "_armed",
        "_crystal",
        "_disturbed",
        "_due",
        "_effects",
        "_fresh",
        "_keyed",
        "_log",
        "_memory",
        "_outbox",
        "_power_back",
        "_served",
        "_server",
        "association",
        "contexts",
        "deviations",
        "home",
        "installation",
        "kit",
        "mischief",
        "model",
        "now",
        "objects",
        "pending",
        "seed",
        "spec",
        "store",
        "witness",
        "written",
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
        self.model = model
        self.home = home
        self.spec = spec
        self.store = store
        self.contexts = contexts
        self.seed = seed
        self.installation = home.number
        self.association: Association | None = None
        self.mischief: Mischief | None = None
        """Who is asked what goes wrong; None when nothing can."""
        self.witness: Witness | None = None
        """Who looks over the server's shoulder; set before the first frame."""
        self.written: list[KeyName] = []
        """Keys that the request being served has changed; kept where mischief may ask."""
        self.pending: list[Callable[[], None]] = []
        self.now: Instant = 0
        self.deviations: dict[Key, Data] = {}
        self._keyed = home.number * 8 + spec.kind
        self._effects: list[Effect] = []
        self._outbox: list[tuple[Data, int]] = []
        self._server: Server | None = None
        self._crystal: clock.Crystal | None = None
        self._disturbed = False
        self._log: EventLog | None = None
        self._memory: nvm.Memory | None = None
        self._fresh = 0
        self._armed = False
        self._due = _UNKNOWN
        self._announced = _UNKNOWN
        self._served: Instant = 0
        self._power_back: Instant = 0
        if state:
            memory = self._memory = nvm.unpack(state)
            self.deviations = nvm.deviations(memory)
            self._served = memory.served
            self._power_back = memory.dark_until
            self._armed = self._plans()
            if memory.crystal is not None:
                self.disturb(clock.Crystal(*memory.crystal))
            if memory.physics is not None:
                self.recall_physics(memory.physics)
        self.kit = self.made_of()
        self.objects: ObjectTree = self.kit.objects

    # What a kind of device says of itself

    def made_of(self) -> Kit:
        """Objects and server profile of this model (shared)."""
        raise NotImplementedError

    def physics(self) -> Any:
        """What physics must remember, as ints, bytes, bools, strings and lists; None when nothing deviates."""
        return None

    def recall_physics(self, kept: Any) -> None:
        """Take back what `physics` gave. Called before `objects` is set."""

    # The Device protocol

    def note(self, kind: str, *detail: Any) -> None:
        self._effects.append(Note(kind, detail))

    def wake_at(self, at: Instant) -> None:
        if not self._armed:
            self._armed, self._served = True, self.now
        self._due = _UNKNOWN  # ask the objects anew
        self._announce(at)

    def emit(self, body: Data, code: int) -> None:
        self._outbox.append((body, code))

    def chance(self, place: str) -> int:
        return chance.bits(self.seed, place, self._keyed, self.now)

    def challenge(self) -> bytes:
        """Fresh by the instant and a count within it: nothing to store, and never the same twice in one device's
        life."""
        self._fresh += 1
        secret = b"%d" % self.seed
        return derive.challenge(secret, self._keyed, self.now, self._fresh)

    @property
    def password(self) -> bytes:
        """The secret of a low-level association, where a profile asks for one: 8 bytes, derived."""
        return derive.key(b"%d" % self.seed, "password", self._keyed)[:8]

    # Time and logs

    @property
    def crystal(self) -> clock.Crystal:
        """This device's own clock error."""
        found = self._crystal
        if found is None:
            habits = self.model.profile.clock
            found = self._crystal = clock.keyed(
                self.seed, self._keyed, habits.last_set_at, habits.offset_ms_most, habits.drift_ppm_most
            )
        return found

    def disturb(self, crystal: clock.Crystal) -> None:
        """Let its clock run otherwise than it was found."""
        self._crystal, self._disturbed, self._due = crystal, True, _UNKNOWN

    @property
    def clock_disturbed(self) -> bool:
        """Whether its clock runs otherwise than it was found."""
        return self._disturbed

    @property
    def born(self) -> Instant:
        """When it was put on the wall: a keyed whole day."""
        return _born(self.model.profile.birth, self.seed, self.installation)

    def shown(self, now: Instant) -> Instant:
        """What this device believes UTC to be."""
        return self.kit.clock.time(self, now)

    @property
    def log(self) -> EventLog:
        """What it has written down."""
        found = self._log
        if found is None:
            kept = self._memory.log if self._memory is not None else ()
            # Not a method of ours: a log that holds its device is a circle, which only the collector would undo.
            born = partial(_born, self.model.profile.birth, self.seed, self.installation)
            found = self._log = EventLog(born, self.model.profile.sizes.log_entries, kept)
        return found

    def write_log(self, log: Log, code: int, now: Instant | None = None) -> None:
        at = self.now if now is None else now
        self.log.write(log, int(code), at, self.shown(at) - at)

    # Three ways in

    def receive(self, port: Port, frame: bytes, now: Instant) -> Effects:
        if now != self.now:  # as `_begin`, without its call
            self.now = now
            self._fresh = 0
        effects: list[Effect] = []
        self._effects = effects
        if now < self._power_back:
            return [Note("device.dark", (len(frame),))]
        try:
            wrapper = WRAPPER.parse(frame)
        except FrameError as error:
            effects.append(Note("device.bad-frame", (error.codec, error.reason, error.offset)))
            return effects
        addressing = self.model.profile.addressing
        if wrapper.destination != addressing.sap:
            effects.append(Note("device.not-mine", (wrapper.source, wrapper.destination)))
            return effects
        answer = self.serve(wrapper.source, wrapper.payload, now)
        if answer is not None:
            effects.append(Send(port, WRAPPER.build(Wrapper(addressing.sap, wrapper.source, answer))))
        if self._outbox:
            self._post(now)
        return effects

    def wake(self, now: Instant) -> Effects:
        effects = self._begin(now)
        if now < self._power_back:
            effects.append(Wake(self._power_back))
            return effects
        if self._armed:
            self._catch_up(now)
            if self._due < NEVER:
                self._announce(self._due)
        if self._outbox:
            self._post(now)
        return effects

    def command(self, command: Command, now: Instant) -> Effects:
        effects = self._begin(now)
        if now < self._power_back:
            effects.append(Note("device.dark", (type(command).__name__,)))
            return effects
        if self._armed:
            self._catch_up(now)
        if self.mischief is not None:
            victim.touched(self, now)
        self.obey(command, now)
        if self._outbox:
            self._post(now)
        return effects

    def obey(self, command: Command, now: Instant) -> None:
        """Carry out a person's wish; subclasses know more of them."""
        if isinstance(command, PowerCut):
            self.power_cut(command.seconds, now)
        elif isinstance(command, RaiseAlert):
            self.write_log(Log.EVENT, Event.ALERT_RAISED)
            self.emit(octet_string(command.text.encode("utf-8", "replace")), command.code)
        elif isinstance(command, Notice):
            if command.log:
                self.write_log(Log[command.log.upper()], command.event)
            self.note("device.noticed", command.code)
            self.emit(octet_string(command.text.encode("utf-8", "replace")), command.code)
        elif isinstance(command, HangUp):
            self.hang_up(command.client_sap)
        else:
            self.note("device.command-ignored", type(command).__name__)

    def serve(self, client_sap: int, apdu: bytes, now: Instant) -> bytes | None:
        """Let the server answer one APDU, after everything that fell due before it."""
        if self._armed:
            self._catch_up(now)
        if self.mischief is not None:
            return victim.serve(self, client_sap, apdu, now)
        server = self._server
        if server is None:
            server = self._server = Server(self, self.kit.serving)
        return server.receive(client_sap, apdu, now)

    def hush(self) -> None:
        """Forget what waits to be sent: the mains have gone."""
        self._outbox.clear()

    @property
    def server(self) -> Server:
        """The COSEM server; made when first asked for."""
        if self._server is None:
            self._server = Server(self, self.kit.serving)
        return self._server

    def drop(self) -> None:
        """Lose what is volatile: associations, half-received blocks, keys not yet taken into use."""
        self.pending.clear()
        self.drop_associations()

    def restart(self) -> None:
        """Start anew, as after a new firmware: associations end once the answer is out."""
        if self.association is not None:
            self.pending.append(self.drop_associations)
        else:
            self.drop_associations()

    def drop_associations(self) -> None:
        if self._server is not None:
            self._server.drop()
            self._server = None

    def hang_up(self, client_sap: int) -> None:
        """The transport below a client's association has gone."""
        if self._server is not None:
            self._server.forget(client_sap)

    def contact_moves(self, closed: bool, now: Instant) -> None:
        """The supply relay or the valve is about to close (let flow) or open; physics closes what it counted before."""

    def clock_moves(self, old: Instant, new: Instant, now: Instant) -> None:
        """The clock is about to show `new` instead of `old`; physics closes what it counted by the old one."""

    def dark(self, now: Instant) -> bool:
        """Whether it is without power."""
        return now < self._power_back

    def power_cut(self, seconds: int, now: Instant) -> None:
        """Lose the mains for `seconds` (at least 1)."""
        self.drop()
        if self.deviations:
            self.lose_volatile_keys(now)
        self._power_back = now + max(1, seconds) * SECOND
        self.write_log(Log.POWER, Event.POWER_LOST, now)
        self.write_log(Log.POWER, Event.POWER_BACK, self._power_back)
        self.note("device.power-cut", seconds)
        if self.mischief is not None:
            victim.powered_up(self, self._power_back)

    def snapshot(self) -> bytes:
        """Everything that deviates; b"" when nothing does. Never a key."""
        kept = self._memory
        log = self._log.entries if self._log is not None else (kept.log if kept is not None else [])
        memory = nvm.Memory(
            served=self._served if self._armed and self._plans() else 0,
            log=log,
            dark_until=self._power_back,
            physics=self.physics(),
            crystal=self._kept_crystal(),
        )
        return nvm.pack(self.deviations, memory)

    # Inside

    def _kept_crystal(self) -> tuple[Instant, int, int] | None:
        crystal = self._crystal
        return (crystal.since, crystal.offset_us, crystal.drift_ppb) if self._disturbed and crystal else None

    def _begin(self, now: Instant) -> list[Effect]:
        if now != self.now:
            self.now = now
            self._fresh = 0
        effects = self._effects = []
        return effects

    def _catch_up(self, now: Instant) -> None:
        """Do what fell due since the last time, in order."""
        if self._due <= now:
            due = self.objects.run_due(self, self._served, now)
            self._due = NEVER if due is None else due
        self._served = now

    def _plans(self) -> bool:
        """Whether anything was written that may act by itself."""
        return any((key[0], key[2]) in _ARMING for key in self.deviations)

    def _announce(self, at: Instant) -> None:
        """Ask to be woken, but not twice in a row for the same instant: wakes would breed wakes."""
        if at != self._announced:
            self._announced = at
            self._effects.append(Wake(at))

    def _post(self, now: Instant) -> None:
        """Seal and send what was emitted, oldest first."""
        waiting, self._outbox = self._outbox, []
        target = self.kit.push.destination(self, now).host_and_port()
        addressing = self.model.profile.addressing
        for body, code in waiting:
            if target is None:
                self.note("push.nowhere", code)
                continue
            if code:
                stamp = octet_string(self.kit.clock.shown(self, now))
                body = structure((long_unsigned(code), stamp, body))
            try:
                apdu = self.server.notify(body, now)
            except CounterExhaustedError:
                self.note("push.counter-exhausted", code)
                continue
            frame = frames.destination(*target) + WRAPPER.build(Wrapper(addressing.sap, addressing.push, apdu))
            self.send_alert(frame)

    def send_alert(self, frame: bytes) -> None:
        """Put an alert on its way: over the HAN for a meter."""
        self._effects.append(Send(HAN, frame))
