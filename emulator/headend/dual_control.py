"""Dual control: nothing that touches a supply goes out unless the DCO has countersigned it.

Which commands those are stands here and nowhere else (`service`). The DCO approves or refuses for one of four reasons:
*policy* (it never allows this), *rate* (it has allowed too many for this device), *wrong-device* (it keeps no record of
the device) and *silent* (it does not answer in time). Whatever it is, the command stops before a byte is sent.

How the two parties' signatures look is not public; what is modelled is who must agree, when, and what a refusal does
(ASSUMED; domain.md 6). A head end from outside is held to the same rule by `Approvals`: it says what was approved, and
a watch asks whether what reached a meter was covered.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef
from emulator.dlms.cosem import obis
from emulator.errors import UsageError
from emulator.headend.policy import DualControlSettings
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

Reason: TypeAlias = Literal["policy", "rate", "wrong-device", "silent"]

SERVICES: Final = ("supply", "load-limit", "auxiliary", "keys")
"""Supply switch, valve and arming with their schedule; load limits; auxiliary switches; transfers of keys and what
raises a security policy."""

_SUPPLY_CONTACT: Final = obis("0-0:96.3.10")
_SUPPLY_SCRIPTS: Final = obis("0-0:10.0.106")
_AUXILIARY_SCRIPTS: Final = obis("0-0:10.0.103")
_SUPPLY_SCHEDULE: Final = obis("0-0:15.0.1")


def service(reference: MethodRef | AttributeRef) -> str | None:
    """The supply-affecting service that invoking a method, or writing an attribute, is part of; None for any other."""
    class_id, name, acts = reference.class_id, reference.logical_name, type(reference) is MethodRef
    if class_id == 64:
        return "keys" if acts else None
    if class_id == 71:
        return "load-limit"
    if class_id == 9:
        if not acts:
            return None
        return {_SUPPLY_SCRIPTS: "supply", _AUXILIARY_SCRIPTS: "auxiliary"}.get(name)
    if class_id == 70:
        return "supply" if name == _SUPPLY_CONTACT else "auxiliary" if acts else None
    return "supply" if class_id == 22 and name == _SUPPLY_SCHEDULE else None


@dataclass(frozen=True, slots=True)
class Approval:
    """The DCO's answer. `reason` says why not; none: it is granted."""

    reason: Reason | None = None

    @property
    def granted(self) -> bool:
        """Whether the command may go out."""
        return self.reason is None


GRANTED: Final = Approval()


class Approvals:
    """What was approved, for whom, and until when. Serves a watch over somebody else's head end too."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[tuple[int, Party, str], tuple[Instant, Instant]] = {}

    def grant(self, installation: int, party: Party, service: str, now: Instant, seconds: float) -> None:
        """Approve a service to a device from `now` on, for so many seconds. Raises UsageError for a service nobody
        has to approve."""
        if service not in SERVICES:
            raise UsageError(f"no service {service!r} needs approval; there are {', '.join(SERVICES)}")
        self._until[installation, party, service] = (now, now + round(seconds * SECOND))

    def revoke(self, installation: int, party: Party, service: str) -> None:
        """Approve it no longer; harmless when it was not."""
        self._until.pop((installation, party, service), None)

    def covers(self, installation: int, party: Party, service: str, now: Instant) -> bool:
        """Whether a service to a device is approved at an instant."""
        since, until = self._until.get((installation, party, service), (0, 0))
        return since <= now < until


class DualControl:
    """The DCO as countersigner, for a cell's installations. `approvals`, when set, is told of all it grants."""

    __slots__ = ("_given", "_members", "approvals", "settings")

    def __init__(self, settings: DualControlSettings | None = None, members: Collection[int] | None = None) -> None:
        """`members`: the installations it keeps records of (none: it is not looked at)."""
        self.settings = settings or DualControlSettings()
        unknown = (self.settings.services | self.settings.refused) - set(SERVICES)
        if unknown:
            raise UsageError(f"no service {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
        self._members = members
        self._given: dict[tuple[int, Party], deque[Instant]] = {}
        self.approvals: Approvals | None = None

    def needs(self, service: str) -> bool:
        """Whether a service has to be countersigned."""
        return service in self.settings.services

    def ask(self, installation: int, party: Party, service: str, now: Instant) -> Approval:
        """Ask for a countersignature."""
        settings = self.settings
        if service not in settings.services:
            return GRANTED
        if self._members is not None and installation not in self._members:
            return Approval("wrong-device")
        if service in settings.refused:
            return Approval("policy")
        if settings.most:
            given = self._given.setdefault((installation, party), deque())
            while given and given[0] <= now - round(settings.window_s * SECOND):
                given.popleft()
            if len(given) >= settings.most:
                return Approval("rate")
            given.append(now)
        if self.approvals is not None:
            self.approvals.grant(installation, party, service, now, settings.answer_s + COMMAND_S)
        return GRANTED


COMMAND_S: Final = 3_600
"""How long after it was countersigned a command may reach its device, for a watch. ASSUMED."""
