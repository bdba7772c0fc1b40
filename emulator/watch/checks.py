"""Standing checks: what must hold in every run, whatever was put in force and whatever went wrong.

    context = Context(cell, keyring, watch=..., ledger=...)
    findings = check(context)                      # empty: all holds

A check looks at one cell, so it runs in a campaign's worker and over a live estate alike; what it finds are small facts
that travel. Some need to have been there all along (a watch, a record of movements): `observe` puts both on before
anything happens.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from emulator.errors import InputError
from emulator.fleet.cell import Cell
from emulator.headend.dual_control import Approvals
from emulator.headend.keeper import RECORD_BYTES, SHARERS, Hierarchy, Stage
from emulator.headend.keyring import Keyring
from emulator.kernel.effects import Instant
from emulator.kernel.journal import Entry
from emulator.kernel.machine import Party
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import Register
from emulator.watch.watch import Watch

FOUND_MOST: Final = 1_000
"""Findings told of a check in a cell; a thousand say no more than that it is broken."""

_METERS: Final = (Party.ELECTRICITY, Party.GAS)
_SUPPLY_CONNECTED: Final = 1
_PENDING: Final = 0
_MIGRATED: Final = 1
_AGREES: Final = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `installation` -1 and `device` "": it is about the cell."""

    check: str
    installation: int
    device: str
    what: str

    def told(self) -> str:
        """One line for people."""
        where = "" if self.installation < 0 else f" installation {self.installation} {self.device}".rstrip()
        return f"{self.check}:{where + ':' if where else ''} {self.what}"


EVIDENCE: Final[dict[str, tuple[str, ...]]] = {
    "command": ("auxiliary.held", "auxiliary.reset"),
    "hold-ended": ("auxiliary.held", "auxiliary.reset"),
    "tariff": ("tariff.changed",),
    "mapping": ("auxiliary.follows",),
    "calendar": ("auxiliary.calendar-changed",),
    "offset": ("auxiliary.offset-limited",),
    "power": ("device.power-cut",),
}
"""What a meter says moved an auxiliary contact -> the notes of which its journal must hold one. A schedule and a clock
that is set leave none; what a fault moved is told by the faults that fired."""

_TOLD: Final = frozenset(kind for kinds in EVIDENCE.values() for kind in kinds)


class Movements:
    """What the journal says of contacts: where supply contacts were last moved to, and the causes of movements; and of
    service requests: how many verdicts each had."""

    __slots__ = ("last", "told", "verdicts")

    def __init__(self) -> None:
        self.last: dict[tuple[int, int], int] = {}
        """(installation, party) -> state of the supply contact."""
        self.told: set[tuple[int, str]] = set()
        """(installation, kind of note)."""
        self.verdicts: dict[tuple[int, int], int] = {}
        """(installation, number of a service request that was begun) -> verdicts."""

    def take(self, entry: Entry) -> None:
        """A journal sink."""
        kind = entry.kind
        if kind == "switch.moved":
            if entry.detail[0] == "supply":
                self.last[entry.installation, entry.party] = int(entry.detail[1])
        elif kind in _TOLD:
            self.told.add((entry.installation, kind))
        elif kind == "request.begun":
            self.verdicts[entry.installation, int(entry.detail[0])] = 0
        elif kind == "request.ended":
            request = (entry.installation, int(entry.detail[0]))
            if request in self.verdicts:
                self.verdicts[request] += 1


@dataclass(slots=True)
class Context:
    """What checks look at: a cell, at its end or in between.

    `open`: homes whose case has not ended, of which no verdict is asked. `campaign`: whether the cell's homes were to
    be migrated and audited, so that ledger, audit and delivery log must balance.
    """

    cell: Cell
    keyring: Keyring | None = None
    watch: Watch | None = None
    movements: Movements | None = None
    open: frozenset[int] = frozenset()
    campaign: bool = False


def observe(
    cell: Cell,
    keyring: Keyring | None = None,
    *,
    register: Register | None = None,
    settings: WatchSettings | None = None,
    approvals: Approvals | None = None,
) -> Context:
    """Be there from now on: a watch over the cell's devices, and a record of its contacts' movements. With a `keyring`
    what its second party countersigns is approved."""
    if keyring is not None:
        approvals = approvals or Approvals()
        keyring.office.control.approvals = approvals
    found = Watch(cell, register, settings, approvals, keyring)
    cell.attend(found)
    movements = Movements()
    cell.journal.subscribe(movements.take)
    return Context(cell, keyring, found, movements)


# The checks


def counters_never_go_back(context: Context) -> Iterable[Finding]:
    """Under one key no counter of a device falls, and the head end's send counter never does."""
    if context.watch is None:
        return
    for fall in context.watch.levels.falls:
        party = Party(Party.HUB + fall.context % len(_KEYED_PARTIES))
        yield Finding(
            "counters-never-go-back",
            fall.installation,
            party.name.lower(),
            f"{fall.side}'s {fall.counter} fell from {fall.before} to {fall.after} under one key",
        )


_KEYED_PARTIES: Final = (Party.HUB, Party.ELECTRICITY, Party.GAS)


def one_verdict_each(context: Context) -> Iterable[Finding]:
    """Every case and every service request that was begun and is not under way has ended in exactly one verdict."""
    if context.movements is not None:
        running = context.cell.desk.running
        for (number, request), verdicts in context.movements.verdicts.items():
            if verdicts != 1 and not (verdicts == 0 and (number in running or number in context.open)):
                yield Finding("one-verdict-each", number, "", f"service request {request} has {verdicts} verdicts")
    columns = context.cell.rows.columns()
    first = context.cell.members.start
    for place in (columns["attempts"] > 0).nonzero()[0].tolist():
        number = first + place
        verdict = int(columns["verdict"][place])
        if number in context.open:
            continue
        if verdict == _PENDING:
            yield Finding("one-verdict-each", number, "", f"begun {int(columns['attempts'][place])} times, no verdict")
        elif not columns["finished"][place]:
            yield Finding("one-verdict-each", number, "", f"verdict {verdict} without an end")


def ledger_balances(context: Context) -> Iterable[Finding]:
    """The audit confirms whatever the ledger calls migrated, and head end and link counted the same exchanges."""
    if not context.campaign:
        return
    cell = context.cell
    columns = cell.rows.columns()
    audited = columns["audited"]
    for place in ((columns["verdict"] == _MIGRATED) & (audited != _AGREES)).nonzero()[0].tolist():
        what = "the audit found it otherwise" if audited[place] else "it was never audited"
        yield Finding("ledger-balances", cell.members.start + place, "", f"the ledger says migrated, {what}")
    if cell.desk.exchanges != cell.chain.log.exchanges:
        what = f"the head end counts {cell.desk.exchanges} exchanges, the delivery log {cell.chain.log.exchanges}"
        yield Finding("ledger-balances", -1, "", what)


def relay_never_moves_unasked(context: Context) -> Iterable[Finding]:
    """A supply contact stands where it was last asked to be, and every movement of an auxiliary contact has a cause: a
    command, a schedule, the mains, or a fault."""
    if context.movements is None:
        return
    cell = context.cell
    for number in cell.members:
        if not cell.rows.row(number) and number not in cell.up:
            continue  # nothing of it deviates, so nothing moved
        home = cell.home(number)
        for party in _METERS:
            if home.device(party) is not None:
                machine: Any = cell.machine(number, party)
                yield from _supply(context.movements, machine, number, party, cell.world.now)
                yield from _auxiliary(context.movements, cell, machine, number)
        if not cell.world.is_up(number):
            cell.sleep(number)


def _supply(movements: Movements, machine: Any, number: int, party: Party, now: Instant) -> Iterable[Finding]:
    asked = movements.last.get((number, int(party)), _SUPPLY_CONNECTED)
    stands = machine.objects.named("supply").state(machine, now)
    if stands != asked:
        what = f"the supply contact stands at {stands}; what was asked last leaves it at {asked}"
        yield Finding("relay-never-moves-unasked", number, party.name.lower(), what)


def _auxiliary(movements: Movements, cell: Cell, machine: Any, number: int) -> Iterable[Finding]:
    """Every movement has a cause, and of a cause that is an event the journal knows."""
    causes = getattr(machine, "auxiliary_causes", None)
    if causes is None:
        return
    now = cell.world.now
    struck = any(cell.mischief.fired.values())
    for at, switch, closed, cause in causes(cell.estate.start, now, now):
        kinds = EVIDENCE.get(cause, ())
        known = any((number, kind) in movements.told for kind in kinds) if kinds else struck or cause != "fault"
        if not known:
            moved = "closed" if closed else "opened"
            what = f"auxiliary switch {switch} {moved} at {at} for a {cause} that nobody noted"
            yield Finding("relay-never-moves-unasked", number, "electricity", what)


def no_violation(context: Context) -> Iterable[Finding]:
    """The head end did nothing that a careful one does not do."""
    watch = context.watch
    if watch is None:
        return
    watch.settle(context.cell.world.now)
    for each in watch.register.all():
        if each.installation in context.cell.members:
            yield Finding("no-violation", each.installation, each.device, f"{each.kind}: {each.what}")


def no_key_lost_by_acknowledging_keeper(context: Context) -> Iterable[Finding]:
    """What both keepers acknowledged, and is live or may be, they can still make: neither has lost its share."""
    keyring = context.keyring
    if keyring is None:
        return
    untouched = bytes(RECORD_BYTES)
    for number in context.cell.members:
        if keyring.keeper.believed(number) == untouched:
            continue
        for party in _KEYED_PARTIES:
            for hierarchy in Hierarchy:
                custody = keyring.keeper.custody(number, party, hierarchy)
                asked = [custody.live] if custody.live else []
                if custody.candidate and custody.stage in (Stage.ACKNOWLEDGED, Stage.SENT):
                    asked.append(custody.candidate)
                for generation in asked:
                    if not custody.shared(generation):
                        without = " and ".join(name for name in SHARERS if not custody.knows(name, generation))
                        what = f"{without} lost generation {generation} of the {hierarchy.name.lower()} keys"
                        yield Finding("no-key-lost-by-acknowledging-keeper", number, party.name.lower(), what)


def nothing_of_ours_broke(context: Context) -> Iterable[Finding]:
    """No device ended a request with a fault of the emulator's own."""
    for kind in ("dlms.fault", "dlms.not-settled"):
        count = context.cell.journal.counts.get(kind, 0)
        if count:
            yield Finding("nothing-of-ours-broke", -1, "", f"{count} notes {kind!r}; look at the journal")


Check = Callable[[Context], Iterable[Finding]]

CHECKS: Final[dict[str, Check]] = {
    "counters-never-go-back": counters_never_go_back,
    "one-verdict-each": one_verdict_each,
    "ledger-balances": ledger_balances,
    "relay-never-moves-unasked": relay_never_moves_unasked,
    "no-key-lost-by-acknowledging-keeper": no_key_lost_by_acknowledging_keeper,
    "no-violation": no_violation,
    "nothing-of-ours-broke": nothing_of_ours_broke,
}
"""Every standing check by name."""

OBSERVING: Final = frozenset({"counters-never-go-back", "relay-never-moves-unasked", "no-violation"})
"""Those that only see what `observe` was there for."""


def names(wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """The checks named, in the table's order; none named: all of them. Raises InputError for one there is not."""
    asked = set(wanted)
    unknown = asked - set(CHECKS)
    if unknown:
        raise InputError(f"checks: {sorted(unknown)[0]!r} is no standing check; there are {', '.join(CHECKS)}")
    return tuple(name for name in CHECKS if not asked or name in asked)


def check(context: Context, wanted: Iterable[str] = ()) -> list[Finding]:
    """What the checks named (none: all) find in a cell; at most a thousand of each. Raises InputError."""
    found: list[Finding] = []
    for name in names(wanted):
        for at, each in enumerate(CHECKS[name](context)):
            if at >= FOUND_MOST:
                found.append(Finding(name, -1, "", f"more than {FOUND_MOST} findings; the others are not told"))
                break
            found.append(each)
    return found
