"""From a real cell to an abstract state and its verdict: what a test bench may know, being told the truth.

Two sides are read. The device: its keys in the context store, its counters, its key memory, its policy. The keepers:
which generations either could give its share of now, what they believe live, what they doubt, who of them answers. Both
sides are put into positions, searched from, and judged.

A device may change by itself: a master key that is kept in RAM lapses when nobody confirms it. So a diagnosis looks at
a copy of the device that is let lie for as long as that takes, too, and says when its class would be another
(`Diagnosis.later`).
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from emulator.errors import UsageError
from emulator.faults.keeper import DcoRefuses, DcoSilent
from emulator.fleet import registry
from emulator.fleet.cell import Cell
from emulator.fleet.installation import DeviceKeys
from emulator.headend.custody import Change, DeviceCustody
from emulator.headend.keeper import SHARERS, Custody, KeeperName
from emulator.headend.keyring import Keyring, Target
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.oracle import look, verdict
from emulator.oracle.bench import Bench, Setup
from emulator.oracle.look import Known
from emulator.oracle.prove import Machine
from emulator.oracle.search import results, search
from emulator.oracle.state import BOTH, NEW, POSITIONS_MOST, Keeper, State
from emulator.oracle.steps import Ring
from emulator.oracle.transitions import Command, Result
from emulator.oracle.verdict import Class


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found of one device at an instant, and what can be done.

    `kind`, `rows`, `reason` and `advice` as in `verdict.Verdict`; `way` is the shortest sequence back (none: there is
    none), `promised` how each of its commands comes out, and `steps` the same in words. `data` and `master` are the
    generations at each position of `state`. `keepers` says what one of them knows and the other does not. `later`: the
    class after `later_s` seconds in which nobody does anything, where it is another. `states`: how many the search
    looked at. No key is in it.
    """

    installation: int
    party: Party
    at: Instant
    kind: Class
    rows: tuple[str, ...]
    reason: str
    advice: str
    way: tuple[Command, ...] | None
    promised: tuple[Result, ...]
    steps: tuple[str, ...]
    state: State
    data: tuple[int, ...]
    master: tuple[int, ...]
    keepers: tuple[str, ...]
    states: int
    later: Class | None = None
    later_s: int = 0

    def __str__(self) -> str:
        where = f"installation {self.installation} {self.party.name.lower()}"
        told = [f"{where}: {self.kind} ({', '.join(self.rows)}): {self.reason}"]
        told += [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        told += [f"  {remark}" for remark in self.keepers]
        if self.later is not None:
            told.append(f"  in {self.later_s} seconds at the latest, when nobody does anything: {self.later}")
        if self.advice:
            told.append(f"  {self.advice}")
        return "\n".join(told)


def diagnose(cell: Cell, keyring: Keyring, installation: int, party: Party, now: Instant) -> Diagnosis:
    """Read the truth about a device and its keepers, and say what can be done. Changes nothing, asks nobody.

    Raises UsageError for a device without keys, and where the keepers were never told of any."""
    target = target_of(cell, keyring, installation, party)
    patient = Patient(cell, keyring, target, installation, now)
    try:
        return patient.diagnosis()
    finally:
        patient.close()


def target_of(cell: Cell, keyring: Keyring, installation: int, party: Party) -> Target:
    """The head end's way to a keyed device. Raises UsageError."""
    record = cell.estate.smso(cell.estate.installation(installation))
    for target in keyring.targets(record, [party]):
        return target
    raise UsageError(
        f"the old operator's record of installation {installation} has no keys for its {party.name.lower()}"
    )


class Patient:
    """A device copied onto a bench, with what its keepers know: to be looked at, or to be tried on."""

    def __init__(self, cell: Cell, keyring: Keyring, target: Target, installation: int, now: Instant) -> None:
        self.installation = installation
        self.party = target.party
        self.now = now
        custody = target.custody
        self.data = generations(custody.data)
        self.master = generations(custody.master)
        self.known = Known(
            {at: custody.data_keys(each) for at, each in enumerate(self.data)},
            {at: key for at, each in enumerate(self.master) if (key := _master(custody, each)) is not None},
        )
        self._believed = _believed(custody, self.data, self.master, up=_up(cell, installation, target.party, now))
        self.profile: Any = registry.model(target.device.spec.model).profile
        self.bench = _copy(cell, keyring, target, installation, now, self.known)

    def diagnosis(self) -> Diagnosis:
        """The verdict on how it stands now, and on how it will."""
        found = self._judged(self.state())
        lapse_s = self._lapse_s()
        if not lapse_s:
            return found
        bench = self.bench
        mark = bench.mark()
        bench.now += lapse_s * SECOND
        later = self._judged(self.state())
        bench.back_to(mark)
        if later.kind is found.kind:
            return found
        return replace(found, later=later.kind, later_s=lapse_s)

    def state(self) -> State:
        """The truth, as the bench has it at its own time."""
        return Machine(self.bench, self.known).truth(self._believed)._replace(associated=False)

    def machine(self) -> Machine:
        """The bench, to be driven from `state()`: with a new generation of keys that only it knows, and after as much
        quiet as a device needs to have written what it was sent last."""
        self.bench.now += self.bench.pause_us
        return Machine(self.bench, Known({**self.known.data, NEW: _NEW_PAIR}, {**self.known.master, NEW: _NEW_MASTER}))

    def close(self) -> None:
        """Wipe the copies of keys."""
        self.bench.close()

    def _judged(self, state: State) -> Diagnosis:
        habits = look.habits(self.profile)
        found = search(state, habits)
        said = verdict.judge(state, found)
        steps = tuple(verdict.in_words(each, self.data, self.master) for each in found.way or ())
        return Diagnosis(
            installation=self.installation,
            party=self.party,
            at=self.now,
            kind=said.kind,
            rows=said.rows,
            reason=said.reason,
            advice=said.advice,
            way=found.way,
            promised=results(state, found.way or (), habits),
            steps=steps,
            state=state,
            data=self.data,
            master=self.master,
            keepers=tuple(verdict.keepers_at_odds(state)),
            states=found.states,
        )

    def _lapse_s(self) -> int:
        """Within how many seconds the device may change by itself; 0: it does not."""
        keys = self.profile.keys
        return int(keys.confirm_s) + 1 if keys.volatile_until_confirmed else 0


_NEW_PAIR: Final = DeviceKeys(b"a new generation", b"that nobody has.", None)
_NEW_MASTER: Final = b"nor its master. "
"""Stand-ins on a bench for keys that are not made yet; never sent to a device that is not a copy."""


def generations(change: Change) -> tuple[int, ...]:
    """What stands at each position: the generation believed live, a candidate, those kept, what was handed over."""
    custody: Custody = change.custody
    other = {each for keeper in SHARERS for each in _of(custody, keeper)}
    wanted = (custody.live, custody.candidate, *custody.kept, *sorted(other, reverse=True))
    found = dict.fromkeys(each for at, each in enumerate(wanted) if each or at == 0)
    return tuple(dict.fromkeys((*tuple(found)[: POSITIONS_MOST - 1], 0)))


def _of(custody: Custody, keeper: KeeperName) -> tuple[int, ...]:
    live, candidate, kept = custody.record_of(keeper)
    return (live, candidate, *kept)


def _master(custody: DeviceCustody, generation: int) -> bytes | None:
    return custody.handed_over.kek if generation == 0 else custody.master_key(generation)


def _believed(custody: DeviceCustody, data: tuple[int, ...], master: tuple[int, ...], up: int) -> State:
    no_master = custody.handed_over.kek is None
    return State(
        data_doubt=custody.data.in_doubt,
        master_doubt=custody.master.in_doubt,
        s1sp_data=_mask(custody.data, data, "s1sp"),
        dco_data=_mask(custody.data, data, "dco"),
        s1sp_master=_mask(custody.master, master, "s1sp", without_origin=no_master),
        dco_master=_mask(custody.master, master, "dco", without_origin=no_master),
        up=up,
    )


def _mask(change: Change, at: tuple[int, ...], keeper: KeeperName, *, without_origin: bool = False) -> int:
    """Positions of which a keeper could give its part. What was handed over is one key and nobody's share: whoever
    builds the messages has it, or nobody."""
    mask = 0
    for position, generation in enumerate(at):
        if generation == 0:
            has = not without_origin and change.custody.shared(0)
        else:
            has = change.custody.knows(keeper, generation)
        mask |= has << position
    return mask


def _up(cell: Cell, installation: int, party: Party, now: Instant) -> int:
    """Who answers now. A DCO that refuses to countersign transfers of keys is as good as silent."""
    if cell.mischief.in_force(DcoSilent, installation, party, now) is not None:
        return BOTH & ~Keeper.DCO
    refuses = cell.mischief.in_force(DcoRefuses, installation, party, now)
    fault = None if refuses is None else refuses.fault
    return BOTH & ~Keeper.DCO if isinstance(fault, DcoRefuses) and fault.service in ("any", "keys") else BOTH


def _copy(cell: Cell, keyring: Keyring, target: Target, installation: int, now: Instant, known: Known) -> Bench:
    """The device as it is, on a bench of its own."""
    party = target.party
    home = cell.estate.installation(installation)
    truth = home.device(party)
    if truth is None:
        raise UsageError(f"installation {installation} has no {party.name.lower()}")
    awake = cell.world.under_way(installation)
    try:
        machine: Any = cell.machine(installation, party)
        state = machine.snapshot()
        device = cell.store.export(cell.context(installation, party))
        ours = keyring.store.export(keyring.context(installation, party))
    finally:
        if not awake:
            cell.sleep(installation)
    setup = Setup(home, truth, target.custody.handed_over, state=state, seed=cell.estate.seed, now=now)
    ring = Ring({**known.data, NEW: _NEW_PAIR}, {**known.master, NEW: _NEW_MASTER})
    try:
        return Bench(setup, ring, (bytes(device), bytes(ours)))
    finally:
        device[:] = bytes(len(device))
        ours[:] = bytes(len(ours))
