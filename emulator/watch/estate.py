"""The watch over a whole estate: one register, and a watch for each cell as cells are made."""

from typing import Final

from emulator.fleet.cell import Cell
from emulator.headend.dual_control import Approvals
from emulator.headend.keyring import Keyring
from emulator.kernel.effects import Instant
from emulator.watch.checks import Context, Movements
from emulator.watch.settings import WatchSettings
from emulator.watch.violation import Register, Violation
from emulator.watch.watch import Watch

_NO_SETTINGS: Final = WatchSettings()


class EstateWatch:
    """See the module. `approvals` as in `Watch`."""

    def __init__(self, settings: WatchSettings = _NO_SETTINGS, approvals: Approvals | None = None) -> None:
        self.settings = settings
        self.approvals = approvals
        self.register = Register()
        self.watches: dict[int, Watch] = {}
        """By cell."""
        self._movements: dict[int, Movements] = {}

    def over(self, cell: Cell, head_end: Keyring | None = None) -> Watch:
        """The watch of a cell, made when it is first asked for. `head_end`: the means of our own head end there; what
        its second party countersigns is approved."""
        found = self.watches.get(cell.number)
        if found is None:
            found = self.watches[cell.number] = Watch(cell, self.register, self.settings, self.approvals)
            movements = self._movements[cell.number] = Movements()
            cell.journal.subscribe(movements.take)
        if head_end is not None:
            found.know(head_end)
            if isinstance(self.approvals, Approvals):
                head_end.office.control.approvals = self.approvals
        return found

    def contexts(self) -> list[Context]:
        """What the standing checks look at, cell by cell."""
        return [
            Context(each.cell, each.keyring, each, self._movements.get(number))
            for number, each in sorted(self.watches.items())
        ]

    def settle(self, now: Instant) -> None:
        """Write down what time alone made a violation of."""
        for each in self.watches.values():
            each.settle(now)

    def violations(
        self, now: Instant, *, after: int = 0, kind: str | None = None, installation: int | None = None
    ) -> list[Violation]:
        """Those there are at `now`, oldest first; see `Register.all`."""
        self.settle(now)
        return self.register.all(after=after, kind=kind, installation=installation)

    def forget(self, installation: int | None) -> None:
        """A home, or the estate, was put back to how it was found. Of the whole estate the violations are forgotten."""
        for each in self.watches.values():
            if installation is None:
                for number in each.cell.members:
                    each.forget(number)
            elif installation in each.cell.members:
                each.forget(installation)
        if installation is None:
            self.register.clear()
