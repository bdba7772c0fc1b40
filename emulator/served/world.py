"""A served estate in a test's hands: the handles of `scenario.playground`, over HTTP.

    world.home(3).electricity.read("clock")
    world.home(3).auxiliary(1).activate(minutes=30)
    world.run_for(minutes=31)                     # a step of the served clock

The same body runs here and in virtual time: names, arguments, values and errors are the same. What cannot be had from
outside says so: the machine itself (`physical`; here `state` tells how a device stands) and errands that are Python.
Octets in the journal come as hex, because they travelled as JSON.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlencode

import msgspec

from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef
from emulator.commands import Command, OverTheAir
from emulator.control import names, values
from emulator.dcc.service_requests import Response
from emulator.dlms.cosem import obis_text
from emulator.errors import EmulatorError, InputError, UsageError
from emulator.faults import catalogue
from emulator.faults.fault import Fault
from emulator.fleet.estate import Estate
from emulator.fleet.installation import KEYED, Installation
from emulator.headend import services
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND, utc
from emulator.scenario.playground import plain
from emulator.served.client import ServerError
from emulator.served.faults import ServedFault
from emulator.watch.checks import Finding
from emulator.watch.violation import Violation

if TYPE_CHECKING:
    from emulator.served.process import ServedEstate

_PAGE: Final = 10_000
_WAIT_S: Final = 45.0
_LONGEST_S: Final = 600.0
_LOOK_S: Final = 0.1
_MICROSECOND: Final = timedelta(microseconds=1)
_NOT_NOW, _DEVICE_REFUSED, _NO_ANSWER = 409, 502, 504


class ServedWorld:
    """See the module; made by `ServedEstate.world`."""

    def __init__(self, served: "ServedEstate") -> None:
        self.served = served
        self.faults: list[ServedFault] = []
        """Every fault put in force here since the estate was put back, ended ones included, in order."""

    @property
    def estate(self) -> Estate:
        return self.served.estate

    @property
    def seed(self) -> int:
        return int(self.served.ready["seed"])

    @property
    def link(self) -> str:
        return str(self.served.ready["link"])

    @property
    def instant(self) -> Instant:
        """Virtual time, µs since 1970."""
        return int(self.served.ask("GET", "/v1/clock")["now"])

    @property
    def now(self) -> datetime:
        """Virtual time, UTC."""
        return utc(self.instant)

    def home(self, number: int | str = 0) -> "ServedHome":
        """An installation by number, or by its owner's label. Raises InputError."""
        return ServedHome(self, self.estate.installation(self.served.number(number)))

    def homes(self) -> "list[ServedHome]":
        """All installations."""
        return [self.home(number) for number in range(self.estate.installations)]

    def run_for(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let virtual time pass, as fast as the server can."""
        self._step(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) // _MICROSECOND)

    def run_until(self, until: Instant | datetime) -> None:
        """Let virtual time pass up to an instant (µs) or an aware datetime; the past is no time at all."""
        end = (until - utc(0)) // _MICROSECOND if isinstance(until, datetime) else until
        self._step(end - self.instant)

    def _step(self, passing: Instant) -> None:
        if passing > 0:
            self.wish("/v1/step-clock", {"seconds": passing / SECOND})

    @property
    def violations(self) -> list[Violation]:
        """What clients did wrong since the estate was put back; see `Playground.violations`."""
        found = self.served.ask("GET", f"/v1/violations?limit={_PAGE}")
        return [Violation(**each) for each in found["violations"]]

    def check(self, *names: str) -> list[Finding]:
        """What the standing checks named (none: all) object to now. Raises InputError."""
        found = self.served.ask("POST", "/v1/checks", {"only": list(names)})
        return [Finding(**each) for each in found["findings"]]

    @property
    def entries(self) -> list[Entry]:
        """Every note since the estate was last put back."""
        return [_entry(each) for each in self._journal({})]

    def notes(self, kind: str, installation: int | None = None) -> list[Entry]:
        """The notes of a kind ("relay." takes all that begin so), of one installation or of all."""
        asked = {"kind": kind} if installation is None else {"kind": kind, "installation": installation}
        return [_entry(each) for each in self._journal(asked)]

    def digest(self) -> str:
        """Hash over everything noted since the estate was put back; equal for a fresh estate of equal seed and equal
        wishes. Another hash than that of the same body in virtual time, where other things take time."""
        found = blake2b(digest_size=32)
        for each in self._journal({}):
            facts = [each[name] for name in ("at", "installation", "device", "kind", "detail")]
            found.update(json.dumps(facts).encode())
        return found.hexdigest()

    def _journal(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        since = self.served.since
        while True:
            found = self.served.ask("GET", f"/v1/journal?{urlencode({**asked, 'since': since, 'limit': _PAGE})}")
            if found["missed"]:
                raise UsageError(f"{found['missed']} notes have fallen out of the server's journal; ask more often")
            yield from found["entries"]
            since = found["until"]
            if since >= found["last"]:
                return

    def inject(self, fault: str | Fault, *, may_stay_quiet: bool = False, **settings: Any) -> ServedFault:
        """Put a fault in force from now on; see `Playground.inject`. Raises InputError."""
        name = fault if isinstance(fault, str) else fault.name
        if isinstance(fault, Fault):
            if settings:
                raise UsageError("settings belong to a fault's name; a fault that is made has its own")
            settings = catalogue.settings(fault)
        view = self.wish("/v1/inject-fault", {"fault": name, "settings": settings})
        injected = ServedFault(self, view, may_stay_quiet)
        self.faults.append(injected)
        return injected

    @property
    def quiet_faults(self) -> list[ServedFault]:
        """Those that were to strike and never did."""
        return [each for each in self.faults if not each.may_stay_quiet and not each.fired]

    def wish(self, path: str, body: dict[str, Any]) -> Any:
        """What a command answers, when it has come to its end; the errors are those of virtual time."""
        end = time.monotonic() + _LONGEST_S
        try:
            answer = self.served.ask("POST", f"{path}?wait={_WAIT_S:g}", body)
            while isinstance(answer, dict) and answer.get("state") == "running" and "task" in answer:
                task = answer["task"]
                if time.monotonic() > end:
                    self.served.ask("POST", "/v1/cancel-task", {"task": task})
                    raise UsageError(f"{path} did not come to an end within {_LONGEST_S:.0f} s")
                time.sleep(_LOOK_S)
                found = self.served.ask("GET", f"/v1/task?task={task}")
                if found["state"] == "done":
                    return found["answer"]
                if found["problem"] is not None:
                    raise UsageError("{where}: {error}; {cure}".format_map(found["problem"]))
        except ServerError as error:
            raise _as_over_the_air(error) from error
        return answer


def _as_over_the_air(error: ServerError) -> EmulatorError:
    """What the same visit raises in virtual time."""
    if error.status == _NO_ANSWER:
        return NoAnswerError(str(error))
    if error.status == _DEVICE_REFUSED:
        return RefusedError(str(error))
    return UsageError(str(error)) if error.status == _NOT_NOW else error


def _entry(found: dict[str, Any]) -> Entry:
    party = Party[found["device"].upper()].value
    return Entry(found["at"], found["installation"], party, found["kind"], _tuples(found["detail"]))


def _tuples(found: Any) -> Any:
    return tuple(_tuples(each) for each in found) if isinstance(found, list) else found


class ServedHome:
    """One installation: its devices, and what is said of it."""

    def __init__(self, world: ServedWorld, installation: Installation) -> None:
        self._world = world
        self.installation = installation

    def __repr__(self) -> str:
        return f"<home {self.number} of {self._world.estate.name}, served at {self.address}>"

    @property
    def number(self) -> int:
        return self.installation.number

    @property
    def address(self) -> str:
        """Its IP address."""
        return self._world.served.address(self.number)

    def device(self, party: Party) -> "ServedDevice":
        """A device of this home. Raises UsageError when it has none of that kind."""
        if self.installation.device(party) is None:
            raise UsageError(f"installation {self.number} has no {party.name.lower()}")
        return ServedDevice(self._world, self.installation, party)

    @property
    def hub(self) -> "ServedDevice":
        return self.device(Party.HUB)

    @property
    def electricity(self) -> "ServedDevice":
        return self.device(Party.ELECTRICITY)

    @property
    def gas(self) -> "ServedDevice":
        return self.device(Party.GAS)

    @property
    def ihd(self) -> "ServedDevice":
        return self.device(Party.IHD)

    def auxiliary(self, switch: int) -> "ServedAuxiliary":
        """Auxiliary load switch 1 to 5 of the electricity meter."""
        return ServedAuxiliary(self.electricity, switch)

    def request(
        self,
        service: str,
        *,
        device: str | None = None,
        role: str = "IS",
        certificate: str | None = None,
        **parameters: Any,
    ) -> Response:
        """A service request by its number ("7.5"), carried out as equivalent steps; it always comes to a verdict.
        Raises InputError for a request that nobody could carry out anywhere."""
        asked = {"service": service, "parameters": parameters, "role": role}
        asked |= {name: each for name, each in (("device", device), ("certificate", certificate)) if each is not None}
        answer = self._world.wish(f"/v1/installations/{self.number}/service-request", asked)
        return msgspec.convert(answer, Response)

    @property
    def alerts(self) -> NoReturn:
        """Not here: raises UsageError."""
        raise UsageError('alerts do not come decoded over HTTP; look at notes("headend.alert"), or listen on MQTT')

    def notes(self, kind: str) -> list[Entry]:
        """The home's notes of a kind."""
        return self._world.notes(kind, self.number)


class ServedDevice:
    """One device. Reads and writes go over the air; `state` is asked of the machine itself, `press` touches it."""

    def __init__(self, world: ServedWorld, installation: Installation, party: Party) -> None:
        self._world = world
        self._installation = installation
        self.party = party
        self._path = f"/v1/installations/{installation.number}/{party.name.lower()}/"

    @property
    def physical(self) -> NoReturn:
        """Not here: raises UsageError."""
        raise UsageError("a served device is in another process; its `state` tells how it stands")

    @property
    def state(self) -> dict[str, Any]:
        """How the device stands, as `GET .../state` tells it."""
        found = self._world.served.ask("GET", f"/v1/installations/{self._installation.number}/state")
        name = self.party.name.lower()
        return next(dict(each) for each in found["devices"] if each["kind"] == name)

    def press(self, command: Command) -> None:
        """Give the device a person's wish: a button, a power cut."""
        self._wish(names.verb(type(command)), msgspec.to_builtins(command))

    def read(self, what: str | AttributeRef, attribute: int = 2) -> Any:
        """An attribute's value, as plain Python, read under keys over the air. Raises NoAnswerError, RefusedError."""
        found = self._wish("read-object", _named(what, attribute))
        return _python(found["value"], found["plain"], clock=found["time"] is not None)

    def write(self, what: str | AttributeRef, data: Data, attribute: int = 2) -> None:
        """Write an attribute over the air. Raises NoAnswerError, RefusedError."""
        self._wish("write-object", {**_named(what, attribute), "value": values.tagged(data)})

    def act(self, what: str, method: int, data: Data | None = None) -> Any:
        """Invoke a method over the air; its answer as plain Python."""
        found = self._wish("act-on-object", {"what": what, "method": method, "value": values.tagged(data)})
        return _python(found["value"], found["plain"])

    def rotate_keys(self) -> None:
        """Change KEK, EK and AK, proven under the new ones. Raises NoAnswerError (in doubt) or RefusedError."""
        self._wish("rotate-keys", {})

    def generations(self) -> tuple[int, int]:
        """(data, master) key generations the head end believes live; 0 is as handed over."""
        keys = self.state["keys"]
        return keys["data_generation"], keys["master_generation"]

    def visit(self, errand: object) -> NoReturn:
        """Not here: raises UsageError."""
        raise UsageError("an errand in Python cannot go to a server; read, write and act instead")

    def _wish(self, verb: str, body: dict[str, Any]) -> Any:
        over_the_air = issubclass(names.command_class(verb), OverTheAir)
        if over_the_air and self.party not in KEYED:
            raise UsageError("a display holds no keys and answers nobody but the HAN; look at .state")
        try:
            return self._world.wish(self._path + verb, body)
        except InputError as error:
            raise UsageError(str(error)) from error

    def physically_closed(self, switch: int) -> bool:
        """Whether current can flow through an auxiliary switch, asked of the relay itself."""
        for each in self.state["auxiliary"]:
            if each["switch"] == switch:
                return bool(each["on"])
        raise UsageError(f"installation {self._installation.number} has no auxiliary switch {switch}")


class ServedAuxiliary:
    """One auxiliary load switch, through service requests 7.5 to 7.8."""

    def __init__(self, meter: ServedDevice, switch: int) -> None:
        if not 1 <= switch <= 5:
            raise UsageError(f"auxiliary switch {switch}; there are 1 to 5")
        self._meter = meter
        self.switch = switch

    def activate(self, *, minutes: int) -> None:
        """Close the switch for so long (7.5)."""
        self._do("on", minutes)

    def deactivate(self, *, minutes: int) -> None:
        """Open the switch for so long (7.6)."""
        self._do("off", minutes)

    def reset(self) -> None:
        """Back to the calendar (7.8)."""
        self._do("calendar", 0)

    def boost(self, *, minutes: int = 60) -> None:
        """Press the boost button."""
        self._meter._wish("press-boost", {"switch": self.switch, "minutes": minutes})

    @property
    def closed(self) -> bool:
        """The output's state, read over the air (7.7)."""
        return bool(self._meter.read(services.auxiliary(self.switch)))

    @property
    def physically_closed(self) -> bool:
        """Whether current can flow, asked of the relay itself."""
        return self._meter.physically_closed(self.switch)

    def _do(self, state: str, minutes: int) -> None:
        self._meter._wish("set-auxiliary", {"switch": self.switch, "state": state, "minutes": minutes})


def _named(what: str | AttributeRef, attribute: int) -> dict[str, Any]:
    if isinstance(what, AttributeRef):
        return {"what": f"{what.class_id}/{obis_text(what.logical_name)}", "attribute": what.attribute}
    return {"what": what, "attribute": attribute}


def _python(tagged: Any, shown: Any, *, clock: bool = False) -> Any:
    """The value with Python's own types: octets as bytes, a clock's time as an aware datetime."""
    if isinstance(tagged, dict) and "compact-array" in tagged:
        return shown
    return plain(values.datum(tagged), clock=clock)
