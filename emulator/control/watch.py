"""The handlers for what clients do wrong: violations, approvals of the second party, standing checks."""

from dataclasses import dataclass

from emulator.commands import ApproveCommand, Checks, Violations
from emulator.control.desk import Desk
from emulator.control.errors import NoSuchThingError, NotNowError
from emulator.control.registry import handles
from emulator.control.ring import device_name, text
from emulator.dcc.verdict import Verdict
from emulator.errors import InputError
from emulator.headend.dual_control import Approvals
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.watch import checks as standing
from emulator.watch.estate import EstateWatch
from emulator.watch.violation import KINDS, Violation


@dataclass(frozen=True, slots=True)
class ViolationsView:
    """`violations` as asked for; `last` is the newest one's number, `counts` says how many there were of each kind."""

    violations: list[Violation]
    last: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class ChecksView:
    """Whether all of `checked` hold, and what does not."""

    holds: bool
    checked: list[str]
    findings: list[standing.Finding]


@dataclass(frozen=True, slots=True)
class Approved:
    """What is approved, and until when."""

    installation: int
    device: str
    service: str
    until: int
    time: str


def _watch(desk: Desk) -> EstateWatch:
    found = desk.live.watch
    if found is None:
        raise NotNowError("nobody watches this estate", "violations", "serve it with --watch")
    return found


@handles(Violations)
def violations(desk: Desk, wish: Violations) -> ViolationsView:
    """Those there are now."""
    watch = _watch(desk)
    if wish.kind is not None and wish.kind not in KINDS:
        raise NoSuchThingError(f"there is no kind of violation {wish.kind!r}", "kind", f"one of {', '.join(KINDS)}")
    found = watch.violations(desk.live.now, after=wish.since, kind=wish.kind, installation=wish.installation)
    return ViolationsView(found[: wish.limit], watch.register.total, dict(watch.register.counts))


@handles(Checks)
def checks(desk: Desk, wish: Checks) -> ChecksView:
    """As it stands now. Homes in conversation have not ended."""
    watch = _watch(desk)
    try:
        asked = standing.names(wish.only)
    except InputError as error:
        raise NoSuchThingError(str(error), "only", "name standing checks, or none for all") from error
    migrating = desk.migration is not None and not desk.migration.ended
    found: list[standing.Finding] = []
    for context in watch.contexts():
        rows, talking = context.cell.rows, context.cell.desk.running
        context.open = frozenset(
            number
            for number in context.cell.members
            if number in talking or (migrating and rows.value(number, "verdict") == Verdict.PENDING)
        )
        found += standing.check(context, asked)
    return ChecksView(not found, list(asked), found)


@handles(ApproveCommand)
def approve(desk: Desk, wish: ApproveCommand, installation: int, party: Party) -> Approved:
    """From now on."""
    approvals = _watch(desk).approvals
    if not isinstance(approvals, Approvals):
        raise NotNowError("whether commands are approved is not watched here", "service", "serve it with --watch")
    now = desk.live.now
    approvals.grant(installation, party, wish.service, now, wish.seconds)
    until = now + round(wish.seconds * SECOND)
    return Approved(installation, device_name(party), wish.service, until, text(until))
