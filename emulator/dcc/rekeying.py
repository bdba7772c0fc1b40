"""Changing keys and nothing else, in a whole cohort: how many meters lose their master key on the way.

The part of a migration that can lose a meter, cut out so that thousands of homes take seconds: rouse the hub, associate
with the electricity meter, change KEK, EK and AK as the head end's policy says, leave; again some hours later where it
failed. Everything else is as in a campaign: the short message, the core link with its outages, the air with its losses,
hub, radio, the meter's own server and its key memory. No rate is set anywhere. One emerges from outages and losses,
from how long the meter writes a key, and from how patient the head end is.

What became of a meter is asked of the meter's own memory and not of the head end: one that lost its master key goes on
answering reads, and whoever changed its keys may believe that all went well.

Chance is keyed by seed and installation, so runs of one seed under different settings meet the same homes with the same
luck: they differ by the settings alone (common random numbers). A home that nothing happened to, whose every request
was answered in time, goes the same way under any policy and any window, and under fewer losses and outages too. So a
run says which homes were *troubled*, and a run under settings that are no worse need look at those `only`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Final, Literal

import msgspec

from emulator.crypto import derive
from emulator.dcc.rates import LEVEL, Rate, wilson
from emulator.errors import EmulatorError, InputError, UsageError
from emulator.fleet import registry
from emulator.fleet.cell import Cell
from emulator.fleet.estate import Estate
from emulator.fleet.shards import Shards, quiet_collector
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Conversation, Listen, Request, Script
from emulator.headend.keyring import Keyring, Patience, Target
from emulator.headend.policy import CustodySettings
from emulator.headend.rotation import rotate
from emulator.headend.rouse import RouseSettings
from emulator.headend.session import Steps
from emulator.headend.visit import Visit
from emulator.kernel.effects import Effects, Instant
from emulator.kernel.journal import combined_digest
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile

Fate = Literal["changed", "lost", "failed"]

_HANDED_ON: Final = (Party.HUB, Party.ELECTRICITY)


@dataclass(frozen=True, slots=True)
class RekeyingOptions:
    """What all cells of a run have in common. Picklable.

    `model`: the electricity meters that are looked at; None: all. `write_ms`: how long they rewrite a master key's
    slot, in ms (`[keys] write_ms` of the profile); None: as the profile says. Homes are begun evenly over the first
    day, each is tried `attempts` times, `retry_us` apart. `only`: the homes to look at, all others are taken to go
    well; None: all.
    """

    link: str = "ipsec"
    profile: LinkProfile = LinkProfile()
    air: AirProfile = AirProfile()
    custody: CustodySettings = CustodySettings()
    patience: Patience = Patience()
    model: str | None = None
    write_ms: int | None = None
    attempts: int = 5
    retry_us: int = 4 * HOUR
    only: frozenset[int] | None = None


@dataclass(slots=True)
class CellRekeying:
    """What a cell hands in: how many homes ended how, and why those that failed did."""

    fates: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    unnoticed: int = 0
    """Lost, and the head end believes that all went well."""
    troubled: list[int] = field(default_factory=list)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Rekeying:
    """A run. `homes` were taken up; `lost` hold no master key any more, `unnoticed` of them without the head end's
    knowledge; `failed` could not be changed and are not lost. `causes` of whatever was not changed. `troubled`: the
    homes in which something was not answered in time, or failed."""

    homes: int
    changed: int
    lost: int
    failed: int
    unnoticed: int
    causes: dict[str, int]
    troubled: frozenset[int]
    digest: str

    def rate(self, level: float = LEVEL) -> Rate:
        """The unrecoverable rate: lost of all."""
        return wilson(self.lost, self.homes, level)

    def failure(self, level: float = LEVEL) -> Rate:
        """The failure rate: whatever was not changed."""
        return wilson(self.lost + self.failed, self.homes, level)


class _Cell(Cell):
    """A cell whose meters may write their keys more slowly, or faster, than their profile says."""

    write_ms: int | None = None
    altered: dict[str, registry.DeviceModel]

    def model(self, name: str) -> registry.DeviceModel:
        found = self.altered.get(name)
        if found is None:
            found = self.altered[name] = altered(super().model(name), self.write_ms)
        return found


def altered(model: registry.DeviceModel, write_ms: int | None) -> registry.DeviceModel:
    """A model with another `[keys] write_ms`; itself where that is None or it is no meter with a key memory."""
    profile = model.profile
    if (
        write_ms is None
        or model.party is not Party.ELECTRICITY
        or not hasattr(profile, "keys")
        or not is_dataclass(model)
    ):
        return model
    keys = msgspec.structs.replace(profile.keys, write_ms=write_ms)
    changed: Any = replace(model, profile=msgspec.structs.replace(profile, keys=keys))
    found: registry.DeviceModel = changed
    return found


class RekeyingCell:
    """The caseworker of one cell."""

    def __init__(
        self, estate: Estate, number: int, options: RekeyingOptions, homes: Sequence[int] | None = None
    ) -> None:
        """`homes`: those of the cell that are to be changed, where that is known already (`concerned`)."""
        self._options = options
        self._homes = homes
        self.cell = _Cell(estate, number, self, link=options.link, profile=options.profile, air=options.air)
        self.cell.write_ms, self.cell.altered = options.write_ms, {}
        secret = derive.key(b"head end", "rekeying", estate.name, estate.seed)
        self._keyring = Keyring(secret, self.cell.members, options.patience, options.custody)
        self._keyring.attend(self.cell)
        self._due: dict[int, tuple[Instant, int]] = {}
        self._ended: dict[int, str] = {}
        """Home -> why its last attempt failed; "" for one that did not."""
        self._troubled: set[int] = set()

    def run(self) -> CellRekeying:
        """All homes to their end, and the truth about their keys."""
        cell, options, estate = self.cell, self._options, self.cell.estate
        homes = concerned(estate, cell.members, options.model) if self._homes is None else self._homes
        only = options.only
        for turn, number in enumerate(homes):
            if only is not None and number not in only:
                self._ended[number] = ""
                continue
            at = estate.start + turn * DAY // max(1, len(homes))
            self._due[number] = (at, options.attempts)
            cell.world.wake(number, Party.HEADEND, at)
        cell.world.run_until(estate.start + DAY + options.attempts * (options.retry_us + HOUR))
        if self._due or len(self._ended) != len(homes):
            raise UsageError(f"{len(homes) - len(self._ended)} homes of cell {cell.number} did not come to an end")
        end = CellRekeying(digest=cell.digest())
        end.troubled = sorted(self._troubled)
        for number in homes:
            if only is not None and number not in only:
                end.fates["changed"] += 1
                continue
            why = self._ended[number]
            fate = self._fate(number, why)
            end.fates[fate] += 1
            if fate != "changed":
                end.causes[why or "unnoticed"] += 1
            end.unnoticed += fate == "lost" and not why
            cell.sleep(number)
        return end

    def _fate(self, number: int, why: str) -> Fate:
        machine: Any = self.cell.machine(number, Party.ELECTRICITY)
        if machine.key_memory(self.cell.world.now).kek.name != "OK":
            return "lost"
        return "failed" if why else "changed"

    # The caseworker

    def begin(self, installation: int, now: Instant) -> tuple[Conversation, Effects] | None:
        """An attempt that is due."""
        due = self._due.get(installation)
        if due is None or now < due[0]:
            return None
        left = due[1] - 1
        del self._due[installation]
        cell = self.cell
        targets = self._keyring.targets(cell.estate.smso(cell.home(installation)), _HANDED_ON)
        meter = next(target for target in targets if target.party is Party.ELECTRICITY)
        contexts = {each.device.spec.system_title: self._keyring.context(installation, each.party) for each in targets}
        inbox = Inbox(self._keyring.store, contexts)
        visit = Visit(meter, targets[0].session.server_sap, inbox, RouseSettings(), _change)

        def finished() -> None:
            cell.desk.end(installation)
            self._finished(installation, left, visit.error)

        conversation = Conversation(inbox.hear, finished)
        return conversation, conversation.run(self._heeded(installation, visit.script()), now)

    def _heeded(self, installation: int, script: Script) -> Script:
        """A script, whose unanswered requests are written down."""
        heard = None
        while True:
            try:
                ask = script.send(heard)
            except StopIteration:
                return
            heard = yield ask
            if heard is None and isinstance(ask, Request | Listen):
                self._troubled.add(installation)

    def _finished(self, installation: int, left: int, error: EmulatorError | None) -> None:
        if error is None:
            self._ended[installation] = ""
            return
        self._troubled.add(installation)
        if left > 0:
            at = self.cell.world.now + self._options.retry_us
            self._due[installation] = (at, left)
            self.cell.world.wake(installation, Party.HEADEND, at)
        else:
            self._ended[installation] = str(getattr(error, "reason", "no-answer"))


def _change(target: Target) -> Steps[None]:
    yield from rotate(target.session, target.custody)


def concerned(estate: Estate, members: Iterable[int], model: str | None) -> list[int]:
    """The homes with such an electricity meter (None: any), in order and with a master key on record."""
    found = []
    for number in members:
        home = estate.installation(number)
        meter = home.device(Party.ELECTRICITY)
        if meter is None or home.condition is not None or (model is not None and meter.model != model):
            continue
        record = estate.smso(home).device(Party.ELECTRICITY)
        if record is not None and record.keys is not None and record.keys.kek is not None:
            found.append(number)
    return found


@dataclass(slots=True)
class _Host:
    """Cells by number, in a worker. Who is concerned is the same in every run."""

    estate: Estate
    homes: dict[tuple[int, str | None], list[int]] = field(default_factory=dict)

    def __call__(self) -> "_Host":
        return self

    def call(self, cell: int, method: str, arguments: tuple[Any, ...]) -> CellRekeying:
        if method != "run":
            raise UsageError(f"a change of keys has no method {method!r}")
        options: RekeyingOptions = arguments[0]
        homes = self.homes.get((cell, options.model))
        if homes is None:
            homes = self.homes[cell, options.model] = concerned(self.estate, self.estate.members(cell), options.model)
        return RekeyingCell(self.estate, cell, options, homes).run()


class Rekeyings:
    """Runs over one estate, in workers that stay between them. A context manager."""

    def __init__(self, estate: Estate, workers: int = 1) -> None:
        self._estate = estate
        if workers == 1:
            quiet_collector()
        self._shards = Shards(_Host(estate), estate.cells, workers)

    def __enter__(self) -> "Rekeyings":
        self._shards.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._shards.__exit__(kind, *rest)

    def run(self, options: RekeyingOptions) -> Rekeying:
        """One run. Raises InputError when no home has such a meter, WorkerError when a worker fails."""
        cells = dict.fromkeys(range(self._estate.cells), (options,))
        ends: dict[int, CellRekeying] = self._shards.ask("run", cells)
        fates: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        for end in ends.values():
            fates.update(end.fates)
            causes.update(end.causes)
        homes = sum(fates.values())
        if not homes:
            raise InputError(f"no home of estate {self._estate.name} has a meter {options.model!r} that can be changed")
        return Rekeying(
            homes,
            fates["changed"],
            fates["lost"],
            fates["failed"],
            sum(end.unnoticed for end in ends.values()),
            dict(sorted(causes.items())),
            frozenset(number for end in ends.values() for number in end.troubled),
            combined_digest(end.digest for end in ends.values()),
        )
