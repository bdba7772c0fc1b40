"""The golden table: service request x fault -> verdict, virtual latency. What every request comes to when one thing is
wrong, written down, so that a change which alters any of it shows as a line that differs.

A cell is one home of an estate in virtual time: keys changed once (as after a migration), whatever the request needs
done before it, time for the hub and the gas meter to fall asleep, then the fault put in force, then the request. The
fault is the catalogue's own example, made certain: it strikes this home and the device that the request is about, at
once, twice where it would strike by chance without an end, and for two minutes at least where it passes. Nothing is
drawn that the seed does not key, so a table is the same on every machine.

A fault that cannot have to do with a service is not tried, by rule (`why_not`). One that was tried and never struck
(`struck` 0) stands as the request without it would.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields
from typing import Any, Final

from emulator.errors import InputError
from emulator.faults import catalogue
from emulator.faults.fault import Fault, Point
from emulator.headend.steps import SERVICES, Service
from emulator.kernel.machine import Party
from emulator.scenario.playground import Home, Playground

ESTATE: Final = "demo-street"
HOME: Final = 6
"""Five terminals, one switch wired, a gas meter, a display."""
SEED: Final = 1

ASLEEP_AFTER_MINUTES: Final = 45
"""Longer than a hub of the estate stays up without a frame, and than its gas meter sleeps between two polls."""

LASTS_S: Final = 120
"""A fault that lasts lasts so long at least (seconds): a request is under way for some time before it meets most."""

NONE: Final = "none"
NOT_TRIED: Final = "-"

_NO_KEYS_MOVE: Final = frozenset({Point.KEY_TRANSFER, Point.KEY_WRITE})
"""No service request changes the keys of a SMETS1 device: the S1SP does that by itself."""
_ADAPTED: Final[dict[str, dict[str, Any]]] = {
    "power-cut-before-answer": {"after": "any", "skip": 5},
    "relay-inverted": {"from_migration": False},
}
"""Examples that speak of changes of keys or of migrations, and what they are here: the mains go when the first step has
been carried out (five answers have gone out by then, to open the way), the relay is inverted at once."""

_CERTAIN: Final[dict[str, Any]] = {"share": 1.0, "chance": 1.0, "after_s": 0, "installation": HOME}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: service, body, device ("": the service's own)."""

    service: str
    parameters: dict[str, Any] = field(default_factory=dict)
    device: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. `before`: what has to be done first; `status`: how the inventory shows the device."""

    ask: Ask
    before: tuple[Ask, ...] = ()
    status: Any = None

    @property
    def row(self) -> Service:
        return SERVICES[self.ask.service]

    @property
    def device(self) -> str:
        """The device it is about, by name."""
        return self.ask.device or self.row.devices[0].name.lower()

    @property
    def title(self) -> str:
        return f"{self.ask.service}/{self.device}"

    @property
    def switches(self) -> bool:
        """Whether auxiliary switches may move by it, or are asked for: on SMETS1 they follow the tariff, too."""
        return self.row.moves == "auxiliary" or self.ask.service in ("7.7", "1.1.1")


_OFF: Final = Ask("7.2")
_NIGHT: Final[list[list[list[Any]]]] = [[["00:00", 2], ["07:00", 1]]]
_MOVES: Final = [{"switch": 1, "on": True, "at": "00:00"}, {"switch": 1, "on": False, "at": "07:00"}]
_IDS: Final = {"critical": "71/Z2", "non_critical": "72/Z2"}
_COMING: Final = {
    "eui64": "0a535100000000ff",
    "kind": "PPMID",
    "manufacturer": "Elster",
    "model": "P1",
    "firmware": "1",
}
_METER_POINT: Final = "mpxn of the home"

CASES: Final = (
    Case(Ask("1.1.1", {"day_types": _NIGHT})),
    Case(Ask("4.8.1")),
    Case(Ask("4.8.1", device="gas")),
    Case(Ask("6.11")),
    Case(Ask("6.11", device="gas")),
    Case(Ask("6.13", {"log": "security"})),
    Case(Ask("6.14.1", {"switch": 1, "description": "Storage heaters"})),
    Case(Ask("6.14.2", {"moves": _MOVES})),
    Case(Ask("6.15.1", {"owner": "supplier", **_IDS, "floor": 7})),
    Case(Ask("6.23", {"mpxn": _METER_POINT, **_IDS, "floor": 7})),
    Case(Ask("7.1"), (_OFF,)),
    Case(Ask("7.2")),
    Case(Ask("7.2", device="gas")),
    Case(Ask("7.3"), (_OFF,)),
    Case(Ask("7.4")),
    Case(Ask("7.4", device="gas")),
    Case(Ask("7.5", {"switch": 1, "minutes": 120}), (Ask("7.6", {"switch": 1, "minutes": 240}),)),
    Case(Ask("7.6", {"switch": 1, "minutes": 120})),
    Case(Ask("7.7")),
    Case(Ask("7.8", {"switch": 1}), (Ask("7.6", {"switch": 1, "minutes": 240}),)),
    Case(Ask("8.1.1"), status="InstalledNotCommissioned"),
    Case(Ask("8.7.1", {"member": "gas"})),
    Case(
        Ask("8.7.2", {"member": "ihd"}),
        (Ask("8.11", {"change": "remove", "member": "ihd"}), Ask("8.11", {"change": "add", "member": "ihd"})),
    ),
    Case(Ask("8.11", {"change": "remove", "member": "ihd"})),
    Case(Ask("11.1", {"version": "03.25"})),
    Case(Ask("11.2")),
    Case(Ask("11.2", device="gas")),
    Case(Ask("11.3", {"version": "03.25"}), (Ask("11.1", {"version": "03.25"}),)),
    Case(Ask("12.2", _COMING)),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table. `struck`: how often the fault did; `relay`: how the contact of auxiliary switch 1 truly
    stands afterwards ("" where a service has nothing to do with it); `seconds`: virtual latency."""

    service: str
    device: str
    fault: str
    verdict: str
    code: str
    reason: str
    seconds: str
    struck: str
    relay: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Which cell it is."""
        return self.service, self.device, self.fault


def why_not(case: Case, fault: Fault) -> str:
    """Why a fault cannot have to do with a service; "" when it can."""
    row = case.row
    if row.steps is None:
        return "no device sees it"
    if fault.points <= _NO_KEYS_MOVE:
        return "it changes no keys"
    if fault.points <= {Point.SWITCH} and not case.switches:
        return "it has nothing to do with auxiliary switches"
    if fault.points <= {Point.CLOCK} and row.number not in ("6.11", "8.1.1"):
        return "it sets no clock"
    if fault.points <= {Point.STREAM}:
        return "nobody speaks TCP here"
    if fault.points <= {Point.POWER_UP}:
        return "nobody cuts the mains"
    return ""


def certain(name: str, case: Case) -> Fault | None:
    """A fault's example, made to strike this home and the device that a request is about; None when it strikes no
    device of that kind."""
    kind = catalogue.kind(name)
    settings = {**kind.example, **_CERTAIN, **_ADAPTED.get(name, {})}
    if kind.example.get("chance", 1.0) < 1.0 and not kind.example.get("times"):
        settings["times"] = 2
    if "seconds" in settings:
        settings["seconds"] = max(settings["seconds"], LASTS_S)
    usual = next(each.default for each in fields(kind) if each.name == "device")
    if usual is not None or "device" in kind.example:
        on_radio = kind.points <= {Point.HAN}
        settings["device"] = case.ask.parameters.get("member", case.device) if on_radio else case.device
        try:
            return catalogue.make(name, settings)
        except InputError:
            return None
    return catalogue.make(name, settings, f"the example of fault {name}")


def run(case: Case, fault: str = NONE, look: Callable[[Playground], None] | None = None) -> Cell:
    """Play one cell. `look` is shown the world it was played in, afterwards."""
    made = None if fault == NONE else certain(fault, case)
    if fault != NONE and (made is None or why_not(case, made)):
        return Cell(case.ask.service, case.device, fault, NOT_TRIED, "", "", "", "", "")
    world = Playground(ESTATE, seed=SEED)
    home = world.home(HOME)
    handle = home.device(Party[case.device.upper()])
    if case.row.steps is not None:
        handle.rotate_keys()
    for each in case.before:
        done = _ask(home, each)
        assert done.success, f"{case.title} needs {done}"
    if case.status is not None:
        world.front.book.entry(home.installation, handle.party).status = case.status
    world.run_for(minutes=ASLEEP_AFTER_MINUTES)
    injected = world.inject(made, may_stay_quiet=True) if made is not None else None
    response = _ask(home, case.ask)
    if look is not None:
        look(world)
    return Cell(
        case.ask.service,
        case.device,
        fault,
        response.verdict,
        response.code,
        response.reason,
        f"{response.latency_s:.1f}",
        str(injected.fired) if injected is not None else "",
        _relay(home) if case.switches else "",
    )


def _ask(home: Home, ask: Ask) -> Any:
    parameters = {
        name: home.installation.mpan if value == _METER_POINT else value for name, value in ask.parameters.items()
    }
    return home.request(ask.service, device=ask.device or None, **parameters)


def _relay(home: Home) -> str:
    return "closed" if home.auxiliary(1).physically_closed else "open"


def faults() -> tuple[str, ...]:
    """The columns: no fault, then every one of the catalogue."""
    return (NONE, *catalogue.KINDS)


def table(
    cases: Iterable[Case] = CASES,
    columns: Iterable[str] | None = None,
    progress: Callable[[Cell], None] | None = None,
) -> Iterator[Cell]:
    """The cells, row by row. `progress` is told of each."""
    columns = tuple(columns) if columns is not None else faults()
    for case in cases:
        for column in columns:
            found = run(case, column)
            if progress is not None:
                progress(found)
            yield found


# As a file


def written(cells: Iterable[Cell], version: str) -> str:
    """The table as text: three lines that say what it is, the names of the columns, a line a cell."""
    text = io.StringIO()
    text.write("# Service request x fault -> verdict and virtual latency (seconds). struck: how often the fault did.\n")
    text.write(f"# Home {HOME} of estate {ESTATE}, seed {SEED}, emulator {version}; {NOT_TRIED}: cannot apply.\n")
    text.write("# Made by `smets1 golden --write`, compared by `smets1 golden --check`.\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([each.name for each in fields(Cell)])
    writer.writerows(astuple(cell) for cell in cells)
    return text.getvalue()


def read(text: str, where: str) -> dict[tuple[str, str, str], Cell]:
    """The cells of a file by place. Raises InputError naming file, line and cure."""
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    names = [each.name for each in fields(Cell)]
    cure = "write it anew with `smets1 golden --write`"
    if not rows or rows[0] != names:
        raise InputError(f"{where}: its columns are not {', '.join(names)}; {cure}")
    found = {}
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise InputError(f"{where}: row {number} has {len(row)} columns and not {len(names)}; {cure}")
        cell = Cell(*row)
        found[cell.place] = cell
    return found


def differences(wanted: dict[tuple[str, str, str], Cell], cells: Iterable[Cell]) -> list[str]:
    """What differs, a line each, cell by cell of those given; what the file lacks is told too."""
    found = []
    for cell in cells:
        before = wanted.get(cell.place)
        place = " ".join(cell.place)
        if before is None:
            found.append(f"{place}: not in the table")
        elif before != cell:
            found.append(f"{place}: was {_told(before)}, is {_told(cell)}")
    return found


def _told(cell: Cell) -> str:
    return " ".join(part for part in astuple(cell)[3:] if part)
