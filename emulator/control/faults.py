"""Faults that an operator puts in force in a live estate, by name, and how each is ended.

Every fault of the catalogue, with its settings as its fields. It is in force in every cell, those made later included,
and outlasts homes that fall asleep. One that lasts for `seconds` ends by itself in virtual time, without a timer: it is
a window, and the table strikes it from the list when somebody looks; how often it struck is still told.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from emulator.control import names
from emulator.control.errors import NoSuchThingError, NotNowError, WrongFieldError
from emulator.faults import catalogue
from emulator.faults.fault import PARTIES, Fault
from emulator.faults.held_keys import ForcedWrongKey
from emulator.faults.home_network import HanLost
from emulator.faults.mischief import Armed
from emulator.kernel.effects import Instant
from emulator.shell.live import LiveEstate

MOST: Final = 1_000
"""So many faults may be in force, and so many that ended are remembered."""

_ONCE: Final = (HanLost, ForcedWrongKey)
"""Those of which a device can have one at a time."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault that can be put in force. `row`: of the table of faults; `settings` is the JSON Schema of its fields,
    `example` some settings that show what it is for."""

    fault: str
    row: str
    about: str
    points: list[str]
    settings: dict[str, Any]
    example: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaultView:
    """A fault in force, or one that ended, with its own settings and those common ones that are not the default;
    `until` None: until cleared; `fired`: how often it struck. Instants in µs since 1970."""

    number: int
    fault: str
    settings: dict[str, Any]
    since: int
    until: int | None
    fired: int


@dataclass(frozen=True, slots=True)
class _InForce:
    fault: Fault
    since: Instant
    until: Instant | None


class FaultTable:
    """The faults in force."""

    def __init__(self, live: LiveEstate) -> None:
        self._live = live
        self._faults: dict[int, _InForce] = {}
        self._ended: deque[FaultView] = deque(maxlen=MOST)
        self.injected = 0
        """How many there ever were; the number of the newest."""

    def inject(self, name: str, settings: dict[str, Any]) -> FaultView:
        """Put a fault in force. Raises NoSuchThingError, WrongFieldError, NotNowError."""
        kind = catalogue.KINDS.get(name)
        if kind is None:
            raise NoSuchThingError(f"there is no fault {name!r}", "fault", f"one of {', '.join(catalogue.KINDS)}")
        for field in kind.files & settings.keys():
            if isinstance(settings[field], str) and not settings[field].replace("-", "").isalnum():
                raise WrongFieldError("files are not read for a client", f"settings.{field}", "give a name that ships")
        fault = names.make(kind, settings)
        self._check_home(fault)
        self._strike_out()
        if len(self._faults) >= MOST:
            raise NotNowError(f"{MOST} faults are in force", "fault", "clear some")
        if isinstance(fault, _ONCE) and fault.installation is not None:
            place = fault.installation, fault.device
            for each in self._faults.values():
                if type(each.fault) is kind and (each.fault.installation, each.fault.device) == place:
                    raise NotNowError(f"{name} is in force for this device already", "settings", "clear that one first")
        self.injected += 1
        armed = Armed(self.injected, fault, self._live.now)
        self._faults[self.injected] = _InForce(fault, self._live.now, armed.until if fault.seconds else None)
        self._live.arm(fault, self.injected)
        return self._view(self.injected)

    def clear(self, number: int) -> FaultView:
        """End a fault; how it was. Raises NoSuchThingError."""
        self._strike_out()
        if number not in self._faults:
            raise NoSuchThingError(f"no fault {number} is in force", "number", "ask for the faults in force")
        return self._end(number)

    def clear_all(self, installation: int | None = None, kind: type[Fault] | None = None) -> int:
        """End every fault; those of one installation, or of one kind. How many."""
        ended = 0
        for number, each in tuple(self._faults.items()):
            here = installation is None or each.fault.installation == installation
            if here and (kind is None or type(each.fault) is kind):
                self._end(number)
                ended += 1
        return ended

    def find(self, kind: type[Fault], installation: int, device: str) -> int | None:
        """The number of a fault of a device, or None."""
        self._strike_out()
        for number, each in self._faults.items():
            place = each.fault.installation, each.fault.device
            if type(each.fault) is kind and place == (installation, device):
                return number
        return None

    def all(self) -> list[FaultView]:
        """Those in force, oldest first."""
        self._strike_out()
        return [self._view(number) for number in self._faults]

    def ended(self) -> list[FaultView]:
        """Those that ended, or were cleared, in the order in which they did."""
        self._strike_out()
        return list(self._ended)

    def forget_ended(self) -> None:
        """Remember no more what ended."""
        self._ended.clear()

    def _check_home(self, fault: Fault) -> None:
        """Raises NoSuchThingError for a home or a device that there is none of."""
        home, estate = fault.installation, self._live.estate
        if home is None:
            return
        if home >= estate.installations:
            most = estate.installations - 1
            raise NoSuchThingError(f"there is no installation {home}", "settings.installation", f"give 0 to {most}")
        device = fault.device
        if device is not None and estate.installation(home).device(PARTIES[device]) is None:
            raise NoSuchThingError(f"installation {home} has no {device}", "device", "choose another")

    def _strike_out(self) -> None:
        """End those whose time is over."""
        now = self._live.now
        for number, each in tuple(self._faults.items()):
            if each.until is not None and each.until <= now:
                self._end(number)

    def _end(self, number: int) -> FaultView:
        self._live.disarm(number)
        view = self._view(number)
        del self._faults[number]
        self._ended.append(view)
        return view

    def _view(self, number: int) -> FaultView:
        each = self._faults[number]
        fired = self._live.fired(number)
        return FaultView(number, each.fault.name, catalogue.shown(each.fault), each.since, each.until, fired)


def kinds() -> list[FaultKind]:
    """Every fault with its fields."""
    return [
        FaultKind(
            name,
            kind.row,
            catalogue.about(kind),
            sorted(point.value for point in kind.points),
            names.schema(kind),
            dict(kind.example),
        )
        for name, kind in catalogue.KINDS.items()
    ]
