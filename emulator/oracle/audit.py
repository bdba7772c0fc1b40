"""The oracle at the end of a campaign: does it agree with the ledger, and do the machines agree with it?

`examine` runs in the worker that has the cell. It looks at every home whose migration ended because of its keys, and at
a sample of all homes, keyed by the seed. Of each keyed device it asks two things that are answered independently:

- The ledger's verdict against the oracle's class. A migrated home's devices are healthy, unless a keeper has lost since
  what was proven then: that home is *latent*, read every day and lost for the next change of keys, which the ledger
  cannot know and is told here. A home that was given up for its keys has a device that the oracle gives up, too; one
  that failed for the keys or counters handed over is not healthy.
- The oracle's class against the machine. A copy of the device is driven by real messages: a way back is carried out, a
  healthy device is read and its master key proven, and where there is no way every sequence of up to `depth` commands
  is tried.

What does not agree is told home by home. An examination holds counts and sentences, no key; it can be sent between
processes and added up.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from emulator.dcc.cell_campaign import CellCampaign
from emulator.dcc.verdict import CAUSE_NAMES, Verdict
from emulator.fleet.installation import KEYED
from emulator.headend.keeper import Hierarchy
from emulator.headend.keyring import Target
from emulator.kernel import chance
from emulator.kernel.machine import Party
from emulator.oracle.observe import Diagnosis, Patient
from emulator.oracle.prove import Machine, heals
from emulator.oracle.state import BOTH, State
from emulator.oracle.transitions import Command, Result, Verb
from emulator.oracle.verdict import Class

LOST: Final = frozenset({Class.READS_ONLY, Class.UNRECOVERABLE})
"""Classes that no command mends."""

NOT_HEALTHY: Final = frozenset({"MF1:no-master-key", "MF1:master-key-refused", "MF10:wrong-key", "MF10:counter"})
"""Causes that speak of keys or counters as they were handed over: the oracle finds something, too."""

GIVEN_UP: Final = frozenset({"MF13:keys-lost", "MF13:master-lost"})

ELECTRICITY_ONLY: Final = "MF5:GT01"
EXCEPTIONS_MOST: Final = 100


@dataclass(slots=True)
class Examination:
    """What was found. Counts are of devices, but for `homes`.

    `classes`, `rows`: by the oracle. `ledger`: "verdict/class of the worst device" of each home. `searched`: devices
    whose copies were driven, with `driven` commands. `latent`: migrated homes that cannot be re-keyed any more, as a
    keeper has lost its share. `ledger_exceptions`, `machine_exceptions`: where the oracle and
    the ledger, the oracle and a machine do not agree (the first hundred of each; `disagreements` counts all).
    """

    homes: int = 0
    devices: int = 0
    searched: int = 0
    driven: int = 0
    disagreements: int = 0
    latent: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    ledger: Counter[str] = field(default_factory=Counter)
    ledger_exceptions: list[str] = field(default_factory=list)
    machine_exceptions: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nobody contradicted anybody."""
        return not self.disagreements

    @property
    def exceptions(self) -> list[str]:
        """All that was told of disagreements."""
        return self.ledger_exceptions + self.machine_exceptions

    def add(self, other: "Examination") -> None:
        """Sum up with another cell's."""
        self.homes += other.homes
        self.devices += other.devices
        self.searched += other.searched
        self.driven += other.driven
        self.disagreements += other.disagreements
        self.latent += other.latent
        self.classes += other.classes
        self.rows += other.rows
        self.ledger += other.ledger
        for mine, theirs in (
            (self.ledger_exceptions, other.ledger_exceptions),
            (self.machine_exceptions, other.machine_exceptions),
        ):
            mine += theirs[: EXCEPTIONS_MOST - len(mine)]

    def told(self) -> str:
        """One line."""
        classes = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.classes.items()))
        latent = f", {self.latent:,} migrated homes latent" if self.latent else ""
        agreed = "all agree" if self.agrees else f"{self.disagreements:,} do not agree"
        return (
            f"oracle: {self.devices:,} devices of {self.homes:,} homes: {classes}{latent}; "
            f"{self.searched:,} copies driven with {self.driven:,} commands; ledger, oracle and machines: {agreed}"
        )


def examine(campaign: CellCampaign, seed: int, sample: int, *, depth: int = 3) -> Examination:
    """Look at every home of a cell that ended because of its keys, and at `sample` others, keyed by `seed`.

    `depth`: up to how many commands a machine is tried with where the oracle knows no way back. Changes nothing: the
    cell's digest stays what it is."""
    found = Examination()
    rows = campaign.cell.rows
    members = campaign.cell.members
    lost = [
        home
        for home in members
        if CAUSE_NAMES[rows.value(home, "cause")] in NOT_HEALTHY | GIVEN_UP
        and rows.value(home, "verdict") != Verdict.PENDING
    ]
    others = sorted(set(members) - set(lost), key=lambda home: chance.bits(seed, "oracle.audit", home))
    for home in sorted([*lost, *others[:sample]]):
        _home(campaign, home, depth, found)
    return found


def _home(campaign: CellCampaign, home: int, depth: int, found: Examination) -> None:
    """One home, added to what was found."""
    cell, keyring = campaign.cell, campaign.keyring
    verdict = Verdict(cell.rows.value(home, "verdict"))
    cause = CAUSE_NAMES[cell.rows.value(home, "cause")]
    record = cell.estate.smso(cell.estate.installation(home))
    truth = cell.estate.installation(home)
    diagnoses = []
    forgotten = set()
    for target in keyring.targets(record, KEYED):
        if truth.device(target.party) is None:
            continue  # the record knows of a device that is not there
        diagnoses.append(_device(campaign, target, home, depth, found))
        if any(_forgotten(target, hierarchy) for hierarchy in Hierarchy):
            forgotten.add(target.party)
    if not diagnoses:
        return
    found.homes += 1
    worst = max((each.kind for each in diagnoses), key=list(Class).index)
    found.ledger[f"{verdict.name.lower()}/{worst}"] += 1
    if verdict is Verdict.MIGRATED and forgotten:
        found.latent += any(each.kind in LOST for each in diagnoses if each.party in forgotten)
        diagnoses = [each for each in diagnoses if each.party not in forgotten]
    objection = _objection(verdict, cause, diagnoses)
    if objection:
        found.disagreements += 1
        if len(found.ledger_exceptions) < EXCEPTIONS_MOST:
            found.ledger_exceptions.append(f"installation {home} {verdict.name.lower()} ({cause}): {objection}")


def _forgotten(target: Target, hierarchy: Hierarchy) -> bool:
    """Whether the keepers have lost the newest generation there was."""
    custody = target.custody
    newest = custody.change(hierarchy).custody.issued
    return newest > 0 and newest in custody.lost(hierarchy)


def _device(campaign: CellCampaign, target: Target, home: int, depth: int, found: Examination) -> Diagnosis:
    cell = campaign.cell
    patient = Patient(cell, campaign.keyring, target, home, cell.world.now)
    try:
        diagnosis = patient.diagnosis()
        found.devices += 1
        found.classes[diagnosis.kind] += 1
        found.rows.update(diagnosis.rows)
        objection, driven = contradicted(patient, diagnosis, depth)
    finally:
        patient.close()
    found.searched += 1
    found.driven += driven
    if objection:
        found.disagreements += 1
        if len(found.machine_exceptions) < EXCEPTIONS_MOST:
            party = target.party.name.lower()
            found.machine_exceptions.append(f"installation {home} {party} {diagnosis.kind}: {objection}")
    return diagnosis


def _objection(verdict: Verdict, cause: str, diagnoses: list[Diagnosis]) -> str:
    """Why the ledger's verdict and the oracle's classes cannot both be right; "" when they can."""
    if verdict is Verdict.MIGRATED:
        migrated = [each for each in diagnoses if each.party is not Party.GAS or cause != ELECTRICITY_ONLY]
        ill = next((each for each in migrated if each.kind is not Class.HEALTHY), None)
        return "" if ill is None else f"its {ill.party.name.lower()} is {ill.kind}: {ill.reason}"
    if cause in GIVEN_UP:
        if any(each.kind in LOST for each in diagnoses):
            return ""
        return "no device is beyond help: " + "; ".join(f"{each.party.name.lower()} {each.kind}" for each in diagnoses)
    if cause in NOT_HEALTHY and verdict is Verdict.FAILED and all(each.kind is Class.HEALTHY for each in diagnoses):
        return "every device is healthy"
    return ""


def contradicted(patient: Patient, diagnosis: Diagnosis, depth: int) -> tuple[str, int]:
    """(why the machine says otherwise than the diagnosis, "" when it does not; commands driven).

    A copy of the device is used up by it."""
    state, machine = patient.state(), patient.machine()
    if diagnosis.kind is Class.HEALTHY:
        return _driven(machine, state, _PROOF, (Result.ACCEPTED,) * len(_PROOF), "healthy")
    if diagnosis.way is not None:
        way = tuple(each for each in diagnosis.way if each.verb is not Verb.WAIT)
        promised = tuple(result for each, result in zip(diagnosis.way, diagnosis.promised, strict=True) if each in way)
        return _driven(machine, _up(state), way, promised, "recoverable")
    searched = heals(machine, _up(state), depth)
    if searched.way is not None:
        return f"{len(searched.way)} commands heal it", searched.driven
    if searched.reads != (diagnosis.kind is Class.READS_ONLY):
        return f"it {'answers' if searched.reads else 'never answered'} a read", searched.driven
    return "", searched.driven


_PROOF: Final = (Command(Verb.ASSOCIATE), Command(Verb.READ), Command(Verb.PROBE_MASTER))
"""What a healthy device does: all under the keys believed live."""


def _up(state: State) -> State:
    """With every keeper there: on a bench nobody has to be waited for."""
    return state._replace(up=BOTH)


def _driven(
    machine: Machine, state: State, way: tuple[Command, ...], promised: tuple[Result, ...], what: str
) -> tuple[str, int]:
    """Carry a way out on the machine: what it contradicts."""
    for number, (command, expected) in enumerate(zip(way, promised, strict=True), 1):
        result, state = machine.step(_up(state), command)
        if result is not expected:
            return f"said to be {what}, and {command.verb} is {result}", number
    return ("" if _up(state).agrees() else f"said to be {what}, and device and keepers do not agree"), len(way)
