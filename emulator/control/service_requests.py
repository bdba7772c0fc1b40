"""The handler of service requests: a home's front over the desk's own head end. The answer is a verdict, always.

What is wrong with the request itself (no such service, a field of another type) is the asker's mistake and told as one;
whatever becomes of a request that was taken in, a refusal and a silence included, is its answer.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Final
from weakref import WeakKeyDictionary

from emulator.commands import ServiceRequest, Services
from emulator.control import names
from emulator.control.desk import Desk
from emulator.control.errors import WishError, WrongFieldError
from emulator.control.headend import Planned
from emulator.control.registry import handles
from emulator.control.ring import device_name
from emulator.control.tasks import Task
from emulator.dcc.service_requests import Front, FrontSettings, Response
from emulator.errors import InputError
from emulator.headend.session import RefusedError
from emulator.headend.steps import SERVICES
from emulator.headend.visit import Visit
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party


@dataclass(frozen=True, slots=True)
class ServiceField:
    """A field of a body: what it takes, in words."""

    name: str
    takes: str
    required: bool


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service. The first of `devices` is the one it goes to when nobody says; `on_paper`: no device sees it."""

    service: str
    name: str
    body: str
    devices: list[str]
    critical: bool
    roles: list[str]
    on_paper: bool
    fields: list[ServiceField]


@dataclass(frozen=True, slots=True)
class ServicesView:
    services: list[ServiceView]


class _Place:
    """The cells of a served estate."""

    def __init__(self, desk: Desk) -> None:
        self._live = desk.live

    def now(self, installation: int) -> Instant:
        return self._live.cell(installation).world.now

    def tell(self, installation: int, note: Note) -> None:
        cell = self._live.cell(installation)
        cell.journal.note(cell.world.now, installation, Party.HEADEND, note)


_FRONTS: Final[WeakKeyDictionary[Desk, Front]] = WeakKeyDictionary()


def front(desk: Desk) -> Front:
    """The front of a desk's estate; made when first asked for. What it wrote of a home goes when the home is put
    back."""
    found = _FRONTS.get(desk)
    if found is None:
        found = _FRONTS[desk] = Front(desk.live.estate, _Place(desk), FrontSettings(auxiliary=desk.live.auxiliary))
        desk.on_forget.append(found.book.forget)
    return found


@handles(ServiceRequest)
def request(desk: Desk, wish: ServiceRequest, installation: int) -> Task[Response]:
    """Check it, carry it out as equivalent steps, and say how it ended."""
    home = desk.home(installation)
    head_end, at_front = desk.head_end(installation), front(desk)
    try:
        job = at_front.begin(
            wish.service,
            installation,
            wish.parameters,
            device=wish.device,
            role=wish.role,
            certificate=wish.certificate,
        )
    except WishError:
        raise
    except InputError as error:
        raise WrongFieldError(str(error), "parameters", "ask for `services`: each with its fields") from error
    task = desk.task(wish, installation, job.party)
    if job.errand is None:
        assert job.response is not None
        task.finish(job.response)
        return task
    if head_end.target(desk.live.estate.smso(home), job.party) is None:
        task.finish(at_front.end(job, None, RefusedError("no-keys", "the old operator's record has no keys for it")))
        return task

    def ended(visit: Visit) -> None:
        task.finish(at_front.end(job, visit.value, visit.error))

    planned = Planned(job.party, job.errand, ended)

    def given_up() -> None:
        head_end.drop(installation, planned)
        at_front.give_up(job, "nobody waits for it any more")

    task.give_up = given_up
    task.drive = desk.until_ended(task)
    try:
        head_end.plan(installation, planned)
    except WishError as error:
        at_front.give_up(job, error.problem)
        task.fail(error)
        raise
    desk.live.stir(installation)
    desk.pace.poke()
    return task


@handles(Services)
def services(desk: Desk, wish: Services) -> ServicesView:
    """By number."""
    return ServicesView(
        [
            ServiceView(
                row.number,
                row.name,
                row.body,
                [device_name(party) for party in row.devices],
                row.critical,
                sorted(row.roles),
                row.steps is None,
                _fields(row.parameters),
            )
            for row in SERVICES.values()
        ]
    )


def _fields(body: type) -> list[ServiceField]:
    return [
        ServiceField(
            each.name, names.wanted(body, each.name), each.default is MISSING and each.default_factory is MISSING
        )
        for each in fields(body)
    ]
