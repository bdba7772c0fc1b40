"""Taking over one home: the script of one attempt, from the wake-up message to the commissioned inventory entry.

Reads like the procedure: rouse the hub; test every device under the keys handed over; change KEK, EK and AK on each,
proven under the new ones; point the alerts here and hear one; let go; see the auxiliary switches follow their times
across a real switching instant; commission in a new association under the new keys.

What went wrong is an exception with a cause of the table in `verdict.py`; whether it is tried again is decided by
`campaign.py`. The script knows what the old operator recorded and what the devices answer, and nothing else.
"""

from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from emulator.codecs.axdr import Data, Tag, enum, integer, octet_string, structure
from emulator.dcc import auxiliary_release, auxiliary_tables
from emulator.dcc.auxiliary_release import AuxiliarySettings
from emulator.dcc.verdict import Outcome, Verdict
from emulator.dlms import moment
from emulator.errors import EmulatorError
from emulator.fleet import tariffs
from emulator.fleet.installation import SmsoRecord
from emulator.headend import services
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation, Listen, Remark, Rest, Script
from emulator.headend.keyring import Target
from emulator.headend.recovery import COUNTER_REASONS, associate
from emulator.headend.rotation import rotate
from emulator.headend.rouse import RouseSettings, rouse
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import MINUTE, SECOND


@mypyc_attr(native_class=False)
@dataclass(frozen=True, slots=True)
class TakeoverSettings:
    """How a takeover is done. All ASSUMED; durations in µs.

    `switch_margin_us` is how long after a switching time the auxiliary switches are looked at (it must exceed the
    randomised offset). An alert is asked for `alert_tries` times; alerts go to the same address as the callbacks of
    `rouse`.
    """

    rouse: RouseSettings = RouseSettings()
    alert_patience_us: int = 2 * MINUTE
    alert_tries: int = 3
    switch_margin_us: int = 35 * MINUTE
    auxiliary: AuxiliarySettings = AuxiliarySettings()


class CauseError(EmulatorError):
    """This attempt ends here; `cause` stands in the table."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


AUXILIARY_TOLERANCE_US: Final = 31 * MINUTE
"""Closer to a switching time than this the state of a switch with a randomised offset says nothing."""


class Takeover:
    """One attempt at one home. `outcome` says how it came out once the script has ended."""

    __slots__ = (
        "_conversation",
        "_followed",
        "_inbox",
        "_record",
        "_settings",
        "_silent",
        "_targets",
        "outcome",
    )

    def __init__(
        self, record: SmsoRecord, targets: list[Target], inbox: Inbox, settings: TakeoverSettings, *, silent: bool
    ) -> None:
        """`silent`: by the record, nobody has heard from the home for so long that it cannot have been prepared."""
        self._record = record
        self._targets = targets
        self._inbox = inbox
        self._settings = settings
        self._silent = silent
        self._conversation: Conversation | None = None
        self.outcome = Outcome(Verdict.PENDING, "")
        self._followed = 0

    def script(self, conversation: Conversation) -> Script:
        """The whole attempt. Never raises: every end is an outcome."""
        self._conversation = conversation
        try:
            cause = yield from self._attempt()
        except CauseError as error:
            self.outcome = Outcome(Verdict.FAILED, error.cause)
        except NoAnswerError:
            self.outcome = Outcome(Verdict.FAILED, "MF3:wan-lost")
        except RefusedError as refusal:
            self.outcome = Outcome(Verdict.FAILED, _refusal(refusal))
            yield Remark(Note("takeover.refused", (refusal.reason, str(refusal.detail))))
        else:
            self.outcome = Outcome(Verdict.MIGRATED, cause, self._followed)
        yield Remark(Note("takeover.ended", (self.outcome.verdict.name, self.outcome.cause)))

    @property
    def _now(self) -> Instant:
        assert self._conversation is not None
        return self._conversation.now

    def _attempt(self) -> Steps[str]:
        cause = ""
        yield from self._rouse()
        for target in list(self._targets):
            try:
                yield from self._test(target)
            except RefusedError as error:
                if error.reason != "exception" or not (yield from self._gas_link_lost(target)):
                    raise error
                # TMAD lets the electricity leg go on alone when the gas leg fails on the HAN.
                self._targets.remove(target)
                cause = "MF5:GT01"
        # The gas meter first: it has just been heard and is still awake.
        for target in reversed(self._targets):
            yield from self._rotate(target)
        yield from self._redirect_alerts()
        yield from auxiliary_release.enrolled(self._meter, self._record, self._settings.auxiliary, lambda: self._now)
        for target in self._targets:
            yield from target.session.close()
        if self._record.wiring is not None and self._settings.auxiliary.capable:
            yield from self._cross_a_switching_time()
        for target in self._targets:
            if target.party is not Party.HUB:
                yield from self._commission(target)
        return cause

    # Waking

    def _rouse(self) -> Steps[None]:
        hub_sap = self._targets[0].session.server_sap
        if not (yield from rouse(self._inbox, hub_sap, self._settings.rouse)):
            raise CauseError("MF2:no-wan" if self._silent else "MF3:wan-lost")

    # Testing: can the device be reached under the keys handed over, and is it what the record says?

    def _test(self, target: Target) -> Steps[None]:
        yield from self._associate_as_recorded(target)
        session, spec = target.session, target.device.spec
        wanted = [services.DEVICE_NAME, services.FIRMWARE, services.CLOCK]
        if target.party is not Party.HUB:
            wanted.append(services.SUPPLY)
        name, firmware, clock, *supply = yield from session.get_list(tuple(wanted))
        if spec.serial.encode("ascii") not in bytes(name.value):
            raise CauseError("MF10:configuration")
        if bytes(firmware.value) != spec.firmware.encode("ascii"):
            raise CauseError("MF10:firmware")
        found = (int(target.party), self._drift(clock), *(int(state.value) for state in supply))
        yield Remark(Note("takeover.tested", found))
        wiring = self._record.wiring
        looked_at = self._settings.auxiliary.capable or not target.custody.touched
        if target.party is Party.ELECTRICITY and wiring is not None and looked_at:
            # Once its keys are changed an earlier attempt has found everything as recorded, so it has changed since.
            cause = "AUX:behaviour" if target.custody.touched else "MF10:configuration"
            yield from self._check_switches(session, cause)

    def _associate_as_recorded(self, target: Target) -> Steps[None]:
        """Associate from the recorded counter on; if the device wants a higher one, ask it without security and go on
        from there."""
        silent = False
        try:
            yield from associate(target.session, target.custody)
        except RefusedError as error:
            if error.reason in NO_KEYS or (error.reason == "exception" and (yield from self._gas_link_lost(target))):
                raise error
            if error.reason not in COUNTER_REASONS:
                yield from self._keys_refused(target, error)
        except NoAnswerError:
            if not target.custody.touched:
                raise
            silent = True  # some devices say nothing under keys they do not hold; if it answers without, it is that
        else:
            return
        yield from target.public.open()
        counter = yield from target.public.get(services.INVOCATION_COUNTER)
        yield from target.public.close()
        if not target.session.raise_counter(int(counter.value)):
            raise CauseError("MF10:counter")
        try:
            yield from associate(target.session, target.custody, reachable=silent)
        except NoAnswerError as silence:
            if not silent:
                raise
            yield from self._keys_refused(target, RefusedError("silence", str(silence)))

    def _keys_refused(self, target: Target, error: RefusedError) -> Steps[None]:
        """The device takes none of the keys that the keepers can make. Raises CauseError."""
        yield Remark(Note("takeover.keys-refused", (int(target.party), error.reason, str(error.detail))))
        raise CauseError("MF13:keys-lost" if target.custody.touched else "MF10:wrong-key") from error

    def _drift(self, clock: Data) -> int:
        """How far the device's clock is ahead of ours, in whole seconds."""
        shown = moment.decode(bytes(clock.value))
        return 0 if shown is None else round((shown - self._now) / SECOND)

    def _gas_link_lost(self, target: Target) -> Steps[bool]:
        """Does the hub say that the gas meter cannot be reached?"""
        if target.party is not Party.GAS:
            return False
        told = yield from self._targets[0].session.get(services.HAN_ERROR)
        return bytes(told.value) == b"GT01"

    # New keys

    def _rotate(self, target: Target) -> Steps[None]:
        """Change every key of a device, proven."""
        try:
            yield from rotate(target.session, target.custody)
        except RefusedError as error:
            if error.reason != "no-master-key":
                raise
            # It holds a master key that nobody can make. While it works under the keys handed over, and he still has
            # them, it stays with the old operator, who cannot re-key it either; else nobody is left who reads it.
            data, master = target.custody.data.custody, target.custody.master.custody
            his = not data.live and data.knows("smso", 0)
            yield Remark(Note("takeover.master-refused", (int(target.party), master.live)))
            raise CauseError("MF1:master-key-refused" if his else "MF13:master-lost") from error

    # Alerts

    def _redirect_alerts(self) -> Steps[None]:
        destination = structure([enum(1), octet_string(self._settings.rouse.callback.encode("ascii")), enum(0)])
        for target in self._targets:
            yield from target.session.set(services.PUSH_DESTINATION, destination)
        meter = self._meter
        for _ in range(self._settings.alert_tries):
            yield from meter.session.action(services.PUSH, integer(0))
            while self._inbox.take(meter.session.server_sap, vouched=True) is None:
                if not (yield Listen(self._settings.alert_patience_us)):
                    break
            else:
                return
        raise CauseError("ALERT:silent")

    @property
    def _meter(self) -> Target:
        return next(target for target in self._targets if target.party is Party.ELECTRICITY)

    # Auxiliary switches

    def _check_switches(self, session: Session, cause: str) -> Steps[None]:
        """The recorded table is loaded, as on SMETS1 the switches follow the tariff and another table is a home heated
        at other hours; and each switch is in the state the table asks for at this instant, unless a switching time is
        near."""
        wiring = self._record.wiring
        assert wiring is not None
        table = tariffs.tables()[wiring.tariff]
        calendar = yield from session.get(services.CALENDAR)
        if not table.agrees(calendar):
            yield Remark(Note("takeover.tariff-astray", (wiring.tariff,)))
            raise CauseError(cause)
        switching = auxiliary_tables.switching(wiring, self._meter.device.spec.model)
        wanted = switching.live(self._now)
        near = switching.live(self._now - AUXILIARY_TOLERANCE_US) != wanted
        switches = range(1, wiring.switches + 1)
        states = yield from session.get_list(tuple(services.auxiliary(switch) for switch in switches))
        for switch, state in zip(switches, states, strict=True):
            if bool(state.value) != wanted and not near:
                yield Remark(Note("takeover.switch-astray", (switch, int(wanted))))
                raise CauseError(cause)

    def _cross_a_switching_time(self) -> Steps[None]:
        """Rest until the next switching time has passed, then look again under the new keys."""
        wiring = self._record.wiring
        assert wiring is not None
        at = auxiliary_tables.switching(wiring, self._meter.device.spec.model).next_switch(self._now)
        if at is None:
            return
        yield Rest(at + self._settings.switch_margin_us)
        yield from self._rouse()
        meter = self._meter
        yield from associate(meter.session, meter.custody)
        yield from self._check_switches(meter.session, "AUX:behaviour")
        self._followed = wiring.switches
        yield Remark(Note("takeover.switches-followed", (wiring.switches, at)))
        yield from meter.session.close()

    # Commissioning

    def _commission(self, target: Target) -> Steps[None]:
        """Service request 8.1.1 as a meter knows it: its clock is set, in a new association under the new keys."""
        yield from associate(target.session, target.custody)
        yield from target.session.set(services.CLOCK, Data(Tag.DATE_TIME, moment.encode(self._now)))
        yield from target.session.close()
        yield Remark(Note("takeover.commissioned", (int(target.party),)))


NO_KEYS: Final = {
    "custody": "MF1:smso-closed",
    "dual-control": "CUSTODY:refused",
    "locked": "CUSTODY:locked",
}
"""Refusals on our own side, before anything was sent to the device, and the cause each stands for."""


def _refusal(error: RefusedError) -> str:
    """The cause that a refusal in the middle of an attempt stands for. Answers to other requests than the one that
    was made are late ones: the link's doing, and not the device's."""
    if error.reason in COUNTER_REASONS:
        return "MF10:counter"
    if error.reason in NO_KEYS:
        return NO_KEYS[error.reason]
    return "MF3:wan-lost" if error.reason == "unexpected" else "MF10:refused"
