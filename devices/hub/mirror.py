"""The gas meter as the hub shows it: every value as it was at the meter's last poll.

A sleepy meter cannot be asked, so the hub keeps its values. Really the meter sends them at each poll; here nobody has
to: what the meter says at a poll is a function of time as long as nobody touches it, so the hub computes it, for the
instant of the last poll and not for now. When the law changes (valve, clock) the meter reports, and the mirror goes on
from there. A meter that has dropped out of the HAN is shown as it was when it was last heard, for ever.

The mirror is a logical device of its own, with the hub's keys and counters: no request through it reaches the meter.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devices.common import clock, consumption, frames
from devices.common.ledger import FOREVER, SLOT, Ledger, Loads, Regime
from devices.common.model import Spec
from devices.common.profile import Profile, needed
from devices.common.tariff import FLAT
from emulator.codecs.axdr import Data
from emulator.crypto.keys import ContextStore
from emulator.dlms.cosem import Association, Key
from emulator.dlms.tree import ObjectTree
from emulator.han.sleepy import Sleepy
from emulator.kernel import chance
from emulator.kernel.effects import Instant
from emulator.kernel.time import DAY

if TYPE_CHECKING:
    from devices.hub.model import CommunicationsHub


class GasMirror:
    """What the hub knows of its gas meter; implements the `Device` protocol for the logical device that shows it.

    `law` is what the meter last reported, None while it has never had to; `lost_since` when it was last heard, for a
    meter that is gone.
    """

    __slots__ = (
        "_crystal",
        "_hub",
        "_ledger",
        "_sleepy",
        "association",
        "contexts",
        "deviations",
        "installation",
        "law",
        "lost_since",
        "objects",
        "pending",
        "profile",
        "spec",
        "store",
    )

    def __init__(self, hub: "CommunicationsHub", spec: Spec, profile: Profile, objects: ObjectTree) -> None:
        gas = needed(profile.gas)
        self._hub = hub
        self.spec = spec
        self.profile = profile
        self.objects = objects
        self.installation = hub.installation
        self.association: Association | None = None
        self.pending: list[Callable[[], None]] = []
        self.deviations: dict[Key, Data] = hub.deviations
        self.store: ContextStore = hub.store
        self.contexts: Mapping[int, int] = hub.contexts
        self.law: frames.Report | None = None
        self.lost_since: Instant | None = None
        self._sleepy = Sleepy.keyed(hub.seed, hub.installation, int(spec.kind), gas.poll_s, gas.awake_s)
        self._ledger: Ledger | None = None
        self._crystal: clock.Crystal | None = None

    @property
    def name(self) -> bytes:
        """The logical device name of the mirror: the meter's with an M for "mirror" in front of the serial."""
        return (self._hub.model.profile.identity.flag + "M" + self.spec.serial).encode("ascii")[:16]

    @property
    def sap(self) -> int:
        return self._hub.model.profile.addressing.mirror

    @property
    def password(self) -> bytes:
        return self._hub.password

    @property
    def poll_us(self) -> int:
        """How long at most until the meter hears."""
        return self._sleepy.poll_us

    # Physics

    @property
    def born(self) -> Instant:
        """When the meter was put up, which is known to the hub from its joining."""
        return self.profile.birth.day(chance.bits(self._hub.seed, "birth", self.installation))

    def heard_at(self, now: Instant) -> Instant:
        """The last instant at which the meter was heard: its last poll, or the report it made since."""
        at = self._sleepy.next_poll(now + 1) - self._sleepy.poll_us
        if self.lost_since is not None:
            at = min(at, self.lost_since)
        if self.law is not None:
            at = max(at, self.law.shown - self.law.error_us)
        return at

    def learn(self, report: frames.Report) -> None:
        """The meter has reported."""
        self.law = report
        self.lost_since = None
        self._ledger = None

    def shown(self, now: Instant) -> Instant:
        """What the meter's clock showed when it was last heard."""
        if self._crystal is None:
            habits = self.profile.clock
            number = self.installation * 8 + self.spec.kind
            self._crystal = clock.keyed(
                self._hub.seed, number, habits.last_set_at, habits.offset_ms_most, habits.drift_ppm_most
            )
        at = self.heard_at(now)
        error = self._crystal.error(at)
        if self.law is not None:
            error += self.law.error_us - self._crystal.error(self.law.shown - self.law.error_us)
        return at + error

    @property
    def ledger(self) -> Ledger:
        """The register by the law that is known."""
        if self._ledger is None:
            law = self.law
            if law is None:
                regime = Regime(self.born, FOREVER, {}, FLAT.calendar)
            else:
                held = law.total * consumption.GRAINS + law.grains
                regime = Regime(law.shown, FOREVER, {1: held}, FLAT.calendar, law.state == 1)
            self._ledger = Ledger(self._loads, (), [regime])
        return self._ledger

    def _loads(self) -> Loads:
        return [consumption.gas(self._hub.seed, self.installation, needed(self.profile.gas).mean_day_dm3)], ()

    def total(self, now: Instant) -> int:
        """dm3 at the last poll."""
        return self.ledger.total(self.shown(now))

    def half_hour(self, now: Instant) -> int:
        """dm3 of the last half-hour that was complete at the last poll."""
        end = self.shown(now) // SLOT * SLOT
        before = self.ledger.total_at(end - SLOT)
        return self.ledger.total_at(end) - before

    def flow(self, now: Instant) -> int:
        """dm3 per hour at the last poll."""
        return consumption.power_w(self.ledger.flow(self.shown(now)))

    def state(self) -> int:
        """The valve: 0 off, 1 on, 2 ready."""
        return 1 if self.law is None else self.law.state

    def report(self, now: Instant) -> frames.Report:
        """For a display."""
        shown = self.shown(now)
        return frames.Report(
            int(self.spec.kind), shown, shown - self.heard_at(now), self.total(now), 0, self.flow(now), self.state(), 1
        )

    def battery_days(self, now: Instant) -> int:
        """Days of battery left, at the last poll."""
        life = needed(self.profile.gas).battery_years * 365
        return max(0, life - (self.heard_at(now) - self.born) // DAY)

    # The Device protocol: everything but the objects is the hub's

    def note(self, kind: str, *detail: Any) -> None:
        self._hub.note(kind, *detail)

    def wake_at(self, at: Instant) -> None:
        self._hub.wake_at(at)

    def emit(self, body: Data, code: int) -> None:
        self._hub.emit(body, code)

    def chance(self, place: str) -> int:
        return self._hub.chance(place)

    def challenge(self) -> bytes:
        return self._hub.challenge()

    def key_installed(self, client_sap: int, key_id: int, now: Instant) -> None:
        self._hub.key_installed(client_sap, key_id, now)

    # For a row

    def pack(self) -> list[Any] | None:
        """None while the meter is as the model has it."""
        law = self.law
        if law is None:
            return None
        return [law.party, law.shown, law.error_us, law.total, law.grains, law.flow, law.state, law.rate]

    def unpack(self, kept: list[Any] | None) -> None:
        self.law = None if kept is None else frames.Report(*kept)
