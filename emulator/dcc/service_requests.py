"""The front: a service request comes in, is checked, becomes equivalent steps, and ends in exactly one verdict.

Checks stand in the order of the response codes (INFERENCE from their numbering): the role may use the service (E2),
the device exists (E19), its status allows it (E5), the certificate that signed is the notified one (E4), the service
fits the device (E11), and the core release of the estate has the capability (E11 where the inventory says no, an S1SP
alert where the S1SP does). Only then is anything sent, in one visit: the hub is roused, an association opened, the
steps taken, the effect read back. What may touch a supply is countersigned on its way out or stops there, before any
device hears of it (`headend/dual_control.py`).

A verdict is `success`, `failed` (somebody said no, and who and why is told) or `timeout` (nobody knows): the first two
rest on an answer, the last on the want of one. Its virtual latency runs from the request to the verdict. An answer that
came from the device carries I0 and says by itself whether it succeeded; E20 and E21 are told where there was none.
Codes of one service's own (E062301) are made in the schema's form; which number means what is ASSUMED.

Nothing here waits or sends: a host (a test's playground, a served estate) is given a `Job`, makes a visit of its errand
and says how it ended. Every request and every verdict is a note: `request.begun` and `request.ended`, with one number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from emulator.codecs.action import ActionResult
from emulator.codecs.get import DataAccessResult
from emulator.dcc.auxiliary_release import AuxiliarySettings, refusal
from emulator.dcc.s1sp import Book, Entry, Owner, Status
from emulator.errors import EmulatorError, InputError
from emulator.fleet import registry
from emulator.fleet.estate import Estate
from emulator.fleet.installation import Installation
from emulator.headend.keyring import Target
from emulator.headend.session import HubSilentError, NoAnswerError, RefusedError, Steps
from emulator.headend.steps import NOT_EFFECTED, NOT_OFFERED, Course, Payload, Service, service
from emulator.headend.steps.papers import ChangeOfSupplier, Credentials, Prenotified
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

Verdict: TypeAlias = Literal["success", "failed", "timeout"]

NAMES: Final = {Party.HUB: "hub", Party.ELECTRICITY: "electricity", Party.GAS: "gas", Party.IHD: "ihd"}
PARTIES: Final = {name: party for party, name in NAMES.items()}

S1SP_ALERT: Final = "N55"
"""The DCC alert that carries an S1SP alert. ASSUMED, from the order in which the schema lists them."""

DUAL_CONTROL: Final = "dual-control"
"""How the reason of a request begins that nobody countersigned (`headend/dual_control.py`)."""

_NETWORK_ROLES: Final = frozenset({"ED", "GT"})
_SUPPLIER_ROLES: Final = frozenset({"IS", "GS"})
_BEFORE_COMMISSIONING: Final[frozenset[Status]] = frozenset({"Pending", "Whitelisted", "InstalledNotCommissioned"})
_UNCOMMISSIONED_TOO: Final = frozenset({"8.1.1", "8.7.1", "8.7.2", "8.11", "12.2", "11.2"})
"""Services that may reach a device which is not commissioned yet. ASSUMED."""


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """All ASSUMED. `status_as_found`: how the inventory shows a device of which nothing else was ever said; choose
    "Pending" for an estate whose devices have to be commissioned (8.1.1) before anything else. `auxiliary`: what the
    core release can do with auxiliary load."""

    status_as_found: Status = "Commissioned"
    auxiliary: AuxiliarySettings = field(default_factory=AuxiliarySettings)


@dataclass(frozen=True, slots=True)
class Debug:
    """An error as a SMETS1 answer tells it: which step (from 1), the device's result code, in words."""

    position: int
    code: int
    error: str


@dataclass(frozen=True, slots=True)
class Response:
    """How a request ended. `reason` is a word, `detail` says more; `payload` what was answered; `asked` and `ended` µs
    since 1970; `latency_s` virtual seconds."""

    request: int
    service: str
    name: str
    installation: int
    device: str
    verdict: Verdict
    code: str
    reason: str
    detail: str
    payload: dict[str, Any]
    debug: list[Debug]
    asked: int
    ended: int
    latency_s: float

    @property
    def success(self) -> bool:
        """Whether what was asked for is so."""
        return self.verdict == "success"

    def __str__(self) -> str:
        why = f"({self.reason})" if self.reason else ""
        return f"{self.service} {self.verdict}{why} after {self.latency_s:.1f} s"


class Place(Protocol):
    """Where requests are carried out."""

    def now(self, installation: int) -> Instant:
        """The instant in the cell of an installation."""

    def tell(self, installation: int, note: Note) -> None:
        """Put a note of the head end's into the journal."""


@dataclass(slots=True)
class Job:
    """A request that was taken in. Either `response` stands already, or the host makes a visit of `errand` to `party`
    and calls `Front.end` once with how it came out."""

    number: int
    service: Service
    home: Installation
    party: Party
    parameters: Any
    asked: Instant
    errand: Callable[[Target], Steps[Payload]] | None = None
    course: Course | None = None
    response: Response | None = None


class Refusal(Exception):
    """A check says no: response code, word, text."""

    def __init__(self, code: str, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Front:
    """The front of one estate."""

    estate: Estate
    place: Place
    settings: FrontSettings = field(default_factory=FrontSettings)
    book: Book = field(init=False)
    open: dict[int, Job] = field(default_factory=dict)
    """Requests without a verdict yet."""
    begun: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self.book = Book(self.settings.status_as_found)

    def begin(
        self,
        number: str,
        installation: int,
        parameters: Mapping[str, Any],
        *,
        device: str | None = None,
        role: str = "IS",
        certificate: str | None = None,
    ) -> Job:
        """Take a request in. `device` is one of the home's by name (the service's own without it); `certificate` is the
        id that signed (the notified one without it).

        Raises InputError for a service, device name or body that nobody could carry out anywhere."""
        row = service(number)
        body = _body(row, parameters)
        if device is not None and device not in PARTIES:
            raise InputError(f"device {device!r} is none of {', '.join(PARTIES)}; name one, or leave it out")
        home = self.estate.installation(installation)
        party = PARTIES[device] if device is not None else row.devices[0]
        self.begun += 1
        job = Job(self.begun, row, home, party, body, self.place.now(installation))
        self.open[job.number] = job
        self.place.tell(installation, Note("request.begun", (job.number, row.number, int(party))))
        try:
            self._check(job, role, certificate)
            if row.steps is None:
                payload = _on_paper(self.book, job)
                self._close(job, "success", "I0", "", "", payload, [])
            else:
                job.errand = self._errand(job, row.steps)
        except Refusal as no:
            self._close(job, "failed", no.code, no.reason, no.detail, {}, [])
        return job

    def end(self, job: Job, value: Payload | None, error: EmulatorError | None) -> Response:
        """The visit is over: the verdict. A job that has one keeps it."""
        if job.response is not None:
            return job.response
        position = job.course.position if job.course is not None else 0
        if error is None:
            self._learn(job, value or {})
            return self._close(job, "success", "I0", "", "", value or {}, [])
        if isinstance(error, NoAnswerError):
            silent_hub = isinstance(error, HubSilentError)
            code, reason = ("E20", "hub-silent") if silent_hub else ("E21", "no-answer")
            return self._close(job, "timeout", code, reason, str(error), {}, _debug(position, 0, str(error)))
        reason, detail, result = _words(error)
        debug = _debug(position, result, detail or reason)
        from_device = job.course is not None and not reason.startswith(DUAL_CONTROL)
        return self._close(job, "failed", "I0" if from_device else S1SP_ALERT, reason, detail, {}, debug)

    def give_up(self, job: Job, why: str) -> Response:
        """Nobody waits any more: a verdict all the same."""
        if job.response is not None:
            return job.response
        return self._close(job, "timeout", "E30", "given-up", why, {}, [])

    # Inside

    def _check(self, job: Job, role: str, certificate: str | None) -> None:
        row, party, home = job.service, job.party, job.home
        if role not in row.roles:
            raise Refusal("E2", "role", f"{role} may not use {row.number}; {', '.join(sorted(row.roles))} may")
        if home.device(party) is None:
            raise Refusal("E19", "no-such-device", f"installation {home.number} has no {NAMES[party]}")
        entry = self.book.entry(home, party)
        commissioning = row.number in _UNCOMMISSIONED_TOO and entry.status in _BEFORE_COMMISSIONING
        if entry.status != "Commissioned" and not commissioning:
            raise Refusal("E5", "status", f"the inventory shows it as {entry.status}")
        self._check_certificate(job, entry, role, certificate)
        if party not in row.devices:
            fitting = " or ".join(NAMES[each] for each in row.devices)
            raise Refusal("E11", "wrong-device", f"{row.number} is for {fitting}, not for {NAMES[party]}")
        said = refusal(row.number, home, self.settings.auxiliary)
        if said is not None:
            raise Refusal("E11" if said.by == "front" else S1SP_ALERT, "not-capable", said.reason)

    def _check_certificate(self, job: Job, entry: Entry, role: str, certificate: str | None) -> None:
        """Whoever signs is the party whose certificate was notified. A new supplier's 6.23 is signed by nobody whom the
        book knows yet; the DCC itself puts its name to it (CoS party)."""
        owner: Owner | None = "network-operator" if role in _NETWORK_ROLES else None
        owner = "supplier" if role in _SUPPLIER_ROLES else owner
        if certificate is None or owner is None or job.service.number == "6.23":
            return
        if certificate != entry.certificates[owner, job.service.critical]:
            kind = "critical" if job.service.critical else "non-critical"
            raise Refusal("E4", "certificate", f"{certificate} is not the notified {kind} certificate of its {owner}")

    def _errand(self, job: Job, steps: Callable[[Course, Any], Steps[Payload]]) -> Callable[[Target], Steps[Payload]]:
        def errand(target: Target) -> Steps[Payload]:
            spec = target.device.spec
            profile = registry.model(spec.model).profile
            members = {each.kind: each.eui64 for each in job.home.devices}
            number = job.home.number
            course = job.course = Course(target, profile, members, lambda: self.place.now(number))
            try:
                return (yield from steps(course, job.parameters))
            except (TypeError, ValueError, IndexError, AttributeError) as error:
                # An answer of another shape than its object should have.
                raise RefusedError("malformed", str(error)) from error

        return errand

    def _learn(self, job: Job, payload: Payload) -> None:
        """What the book takes from a success."""
        entry = self.book.entry(job.home, job.party)
        if job.service.number == "8.1.1":
            entry.status = "Commissioned"
        elif job.service.number == "11.1":
            entry.image = str(payload.get("image", ""))

    def _close(
        self,
        job: Job,
        verdict: Verdict,
        code: str,
        reason: str,
        detail: str,
        payload: Payload,
        debug: list[Debug],
    ) -> Response:
        assert job.response is None, "a request has one verdict"
        now = self.place.now(job.home.number)
        row = job.service
        job.response = Response(
            job.number,
            row.number,
            row.name,
            job.home.number,
            NAMES[job.party],
            verdict,
            code,
            reason,
            detail,
            payload,
            debug,
            job.asked,
            now,
            (now - job.asked) / SECOND,
        )
        del self.open[job.number]
        self.ended += 1
        told = (job.number, row.number, verdict, code, reason)
        self.place.tell(job.home.number, Note("request.ended", told))
        return job.response


def _body(row: Service, parameters: Mapping[str, Any]) -> Any:
    """The typed body. Raises InputError naming service, field and cure."""
    known = [each.name for each in fields(row.parameters)]
    for name in parameters:
        if name not in known:
            takes = f"give {', '.join(known)}" if known else "give none"
            raise InputError(f"service {row.number}: there is no field {name!r}; {takes}")
    try:
        return msgspec.convert(dict(parameters), row.parameters)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        place = f", field {where.rstrip('`')}" if where else ""
        problem = problem[:1].lower() + problem[1:].replace("`", "")
        raise InputError(
            f"service {row.number}{place}: {problem}; its body {row.body} has {', '.join(known)}"
        ) from None


def _on_paper(book: Book, job: Job) -> Payload:
    """Services that no device sees. Raises Refusal."""
    body, entry = job.parameters, book.entry(job.home, job.party)
    if isinstance(body, Prenotified):
        eui64 = body.eui64.lower()
        if eui64 in book.prenotified or any(each.eui64.hex() == eui64 for each in job.home.devices):
            raise Refusal("E120201", "known-already", f"device {eui64} is in the inventory already")
        book.prenotified[eui64] = body
        return {"eui64": eui64, "status": "Pending"}
    assert isinstance(body, Credentials | ChangeOfSupplier)
    owner: Owner = body.owner if isinstance(body, Credentials) else "supplier"
    if isinstance(body, ChangeOfSupplier):
        point = job.home.mprn if job.party is Party.GAS else job.home.mpan
        if body.mpxn != point:
            raise Refusal("E062301", "meter-point", f"{body.mpxn} is not the meter point of this device")
    floor = entry.floors.get(owner, 0)
    if body.floor is not None:
        if body.floor < floor:
            raise Refusal("E4", "floor", f"floor {body.floor} is below the one in force, {floor}")
        floor = entry.floors[owner] = body.floor
    entry.certificates[owner, True] = body.critical
    entry.certificates[owner, False] = body.non_critical
    return {"owner": owner, "critical": body.critical, "non_critical": body.non_critical, "floor": floor}


def _debug(position: int, code: int, error: str) -> list[Debug]:
    return [Debug(position, code, error[:250])] if position else []


def _words(error: EmulatorError) -> tuple[str, str, int]:
    """(a word for the reason, more about it, a result code) of a refusal."""
    if not isinstance(error, RefusedError):
        return "refused", str(error), 0
    reason, detail = error.reason, error.detail
    if reason in ("access", "action") and isinstance(detail, int):
        results: Any = DataAccessResult if reason == "access" else ActionResult
        try:
            name = str(results(detail).name).lower().replace("_", "-")
        except ValueError:
            name = f"result-{detail}"
        return name, f"the device says no: {name}", detail
    if reason == DUAL_CONTROL:
        return f"{DUAL_CONTROL}-{detail}", f"the command was not countersigned: {detail}", 0
    if reason in (NOT_OFFERED, NOT_EFFECTED):
        return reason, str(detail), 0
    return reason, "" if detail is None else str(detail), detail if isinstance(detail, int) else 0
