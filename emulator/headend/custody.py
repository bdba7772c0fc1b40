"""Custody of one device: what the keepers believe of it, moved along a written table, with the keys at hand.

Each of the two hierarchies (data keys, master key) changes through the same states:

    HELD -record-> RECORDED -acknowledge-> ACKNOWLEDGED -send-> SENT -proven-> CONFIRMED -promote-> HELD
                                                                SENT -disproven-> HELD  (it has shown it holds another)
                                                                SENT -doubt-> SENT      (either may be live; ask later)
                                                                SENT -drop-> HELD       (what was sent was not kept)
    HELD, RECORDED, ACKNOWLEDGED, SENT -found-> HELD            (it has shown that it holds an earlier generation)

*Recorded* means: the candidate stands in the builder's memory; *acknowledged*: in the other keeper's too. Nothing is
sent before that. Only a device's own behaviour proves or disproves.

What is done is told as notes of kind `custody.*` (party, hierarchy, generation, keeper; never a key), which the scripts
put into the journal; `custody_ledger` reads them back as who knew what, and when. Where one step never comes without
another (what is acknowledged was recorded, what is promoted is proven) one note stands for both.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef
from emulator.errors import UsageError
from emulator.faults.fault import Point
from emulator.faults.keeper import RivalHeadEnd
from emulator.faults.mischief import Mischief
from emulator.fleet.installation import DeviceKeys
from emulator.headend.dual_control import DualControl
from emulator.headend.keeper import Custody, Hierarchy, Keeper, KeeperName, Stage
from emulator.headend.lock import Device, DeviceLock
from emulator.headend.policy import CustodySettings
from emulator.headend.session import RefusedError, Session, Steps
from emulator.kernel.effects import Instant, Note
from emulator.kernel.machine import Party


class Event(StrEnum):
    """What moves a change of keys. Texts, because the hash of a plain `Enum` is a call in Python."""

    RECORD = "record"
    ACKNOWLEDGE = "acknowledge"
    SEND = "send"
    PROVEN = "proven"
    DISPROVEN = "disproven"
    DOUBT = "doubt"
    PROMOTE = "promote"
    DROP = "drop"
    FOUND = "found"


TRANSITIONS: Final[dict[tuple[Stage, Event], Stage]] = {
    (Stage.HELD, Event.RECORD): Stage.RECORDED,
    (Stage.RECORDED, Event.RECORD): Stage.RECORDED,
    (Stage.ACKNOWLEDGED, Event.RECORD): Stage.RECORDED,
    (Stage.RECORDED, Event.ACKNOWLEDGE): Stage.ACKNOWLEDGED,
    (Stage.ACKNOWLEDGED, Event.SEND): Stage.SENT,
    (Stage.SENT, Event.SEND): Stage.SENT,
    (Stage.SENT, Event.PROVEN): Stage.CONFIRMED,
    (Stage.SENT, Event.DISPROVEN): Stage.HELD,
    (Stage.SENT, Event.DOUBT): Stage.SENT,
    (Stage.SENT, Event.DROP): Stage.HELD,
    (Stage.CONFIRMED, Event.PROMOTE): Stage.HELD,
    (Stage.HELD, Event.FOUND): Stage.HELD,
    (Stage.RECORDED, Event.FOUND): Stage.HELD,
    (Stage.ACKNOWLEDGED, Event.FOUND): Stage.HELD,
    (Stage.SENT, Event.FOUND): Stage.HELD,
}
"""All moves there are; any other is a fault of ours."""

BOTH: Final = "both"
OTHER: Final[dict[KeeperName, KeeperName]] = {"s1sp": "dco", "dco": "s1sp"}

_TOLD: Final[dict[Event, str]] = {
    Event.ACKNOWLEDGE: "custody.acknowledged",
    Event.SEND: "custody.sent",
    Event.PROMOTE: "custody.promoted",
    Event.DISPROVEN: "custody.given-up",
    Event.DROP: "custody.lost",
    Event.FOUND: "custody.promoted",
}

# Looked up here and not on their classes: members of an `Enum` are found slowly, and a change makes ten moves.
_RECORD: Final = Event.RECORD
_ACKNOWLEDGE: Final = Event.ACKNOWLEDGE
_PROMOTE: Final = Event.PROMOTE
_FOUND: Final = Event.FOUND
_KEEPER: Final = Point.KEEPER
_DATA: Final = Hierarchy.DATA
_MASTER: Final = Hierarchy.MASTER
_HUB: Final = Party.HUB
_SENT: Final = Stage.SENT

_ENDS: Final[dict[Event, Callable[[Custody, int], object]]] = {
    Event.FOUND: Custody.adopt,
    Event.DISPROVEN: lambda custody, generation: custody.forget_candidate(),
    Event.DROP: lambda custody, generation: custody.drop_candidate(),
}


class Change:
    """One hierarchy of one device, moved along `TRANSITIONS`. `told` takes the notes of the moves."""

    __slots__ = ("_where", "custody", "told")

    def __init__(
        self,
        custody: Custody,
        told: list[Note] | None = None,
        party: Party = _HUB,
        hierarchy: Hierarchy = _DATA,
    ) -> None:
        self.custody = custody
        self.told = told
        self._where = (int(party), int(hierarchy))

    def move(self, event: Event, *, generation: int = 0, missed: KeeperName | None = None) -> None:
        """Take one transition and write it down. `generation`: which was found; `missed`: a keeper that does not hear
        of the promotion. Raises UsageError for a move that is not in the table."""
        custody = self.custody
        stage = TRANSITIONS.get((custody.stage, event))
        if stage is None:
            raise UsageError(f"a change of keys that is {custody.stage.name} cannot take {event.name}")
        about = generation if event is _FOUND else custody.candidate
        keeper = BOTH
        if event is _ACKNOWLEDGE:
            custody.acknowledge()
            custody.move(stage)
            keeper = OTHER[custody.builder]
        elif event is _PROMOTE:
            custody.promote(missed)
            if missed is not None:
                keeper = OTHER[missed]
        elif event in _ENDS:
            _ENDS[event](custody, generation)
        else:
            if event is _RECORD:
                custody.record()
            custody.move(stage)
        kind = _TOLD.get(event)
        if kind is not None and self.told is not None:
            party, hierarchy = self._where
            self.told.append(Note(kind, (party, hierarchy, about, keeper)))

    @property
    def in_doubt(self) -> bool:
        """Whether a candidate may be live."""
        return self.custody.stage is _SENT


Rival: TypeAlias = Callable[["DeviceCustody", Session, RivalHeadEnd], Steps[None]]


class Office:
    """What the custody of all devices of a cell has in common: settings, the countersigner, locks, the time, and the
    faults in force."""

    __slots__ = ("control", "holder", "locks", "mischief", "now", "rival", "settings")

    def __init__(self, settings: CustodySettings | None = None, control: DualControl | None = None) -> None:
        self.settings = settings or CustodySettings()
        self.control = control or DualControl(self.settings.control)
        self.locks = DeviceLock()
        self.holder = "head end"
        """Under which name it takes locks."""
        self.now: Callable[[], Instant] = _no_time
        self.mischief: Mischief | None = None
        self.rival: Rival | None = None

    @property
    def haunted(self) -> bool:
        """Whether any fault may strike a keeper."""
        return self.mischief is not None and self.mischief.watches(_KEEPER)


def _no_time() -> Instant:
    return 0


class DeviceCustody:
    """What the keepers believe of one device, with the keys themselves at hand: the rotation's working set."""

    __slots__ = (
        "_derived",
        "_losses",
        "_masters",
        "cleared",
        "data",
        "handed_over",
        "in_hand",
        "installation",
        "keeper",
        "master",
        "office",
        "party",
        "public",
        "told",
    )

    def __init__(
        self,
        keeper: Keeper,
        installation: int,
        party: Party,
        handed_over: DeviceKeys,
        office: Office | None = None,
    ) -> None:
        self.keeper = keeper
        self.installation = installation
        self.party = party
        self.handed_over = handed_over
        self.office = office or Office()
        self.public: Session | None = None
        """A way to the device without keys, where there is one."""
        self.cleared: MethodRef | AttributeRef | None = None
        """What was countersigned already and is about to be sent."""
        self.in_hand: set[int] = set()
        """Master generations that were acknowledged in this conversation: their keys are in its hands."""
        self.told: list[Note] = []
        """Notes of moves that were not put into the journal yet."""
        self._derived: dict[int, DeviceKeys] = {}
        self._masters: dict[int, bytes] = {}
        self._losses: list[tuple[KeeperName, Hierarchy, int]] = []
        self.data = Change(keeper.custody(installation, party, _DATA), self.told, party, _DATA)
        self.master = Change(keeper.custody(installation, party, _MASTER), self.told, party, _MASTER)

    @property
    def device(self) -> Device:
        """Which one, for locks."""
        return (self.installation, self.party)

    @property
    def touched(self) -> bool:
        """Whether a change of this device's keys was ever sent, and not disproven."""
        return any(change.in_doubt or change.custody.live for change in (self.data, self.master))

    def change(self, hierarchy: Hierarchy) -> Change:
        """The change of one hierarchy."""
        return self.master if hierarchy is _MASTER else self.data

    # What can be made

    def known(self, hierarchy: Hierarchy) -> tuple[int, ...]:
        """Generations whose key the keepers can make together now: live first, then the candidate, then those kept
        from earlier, and last what was handed over. A master key that never was handed over is not among them."""
        found = self.change(hierarchy).custody.known()
        if hierarchy is _MASTER and self.handed_over.kek is None:
            return tuple(each for each in found if each)
        return found

    def lost(self, hierarchy: Hierarchy) -> tuple[int, ...]:
        """Generations that once were, ours or a rival's, and whose key nobody can make any more, lowest first."""
        known = self.known(hierarchy)
        return tuple(each for each in range(self.change(hierarchy).custody.issued + 1) if each not in known)

    def key_of(self, hierarchy: Hierarchy, generation: int) -> DeviceKeys | bytes:
        """EK and AK (as `DeviceKeys`) or the KEK (16 bytes) of a generation. Raises UsageError for one that the keepers
        cannot make now (see `known`)."""
        if generation not in self.known(hierarchy):
            raise UsageError(f"generation {generation} of the {hierarchy.name.lower()} keys can be made by nobody now")
        return self.master_key(generation) if hierarchy is _MASTER else self.data_keys(generation)

    def data_keys(self, generation: int) -> DeviceKeys:
        """EK and AK of a generation, whether or not anybody could make them now."""
        keys = self._derived.get(generation)
        if keys is None:
            keys = self.keeper.data_keys(self.installation, self.party, generation, self.handed_over)
            self._derived[generation] = keys
        return keys

    def master_key(self, generation: int) -> bytes:
        """KEK of a generation, whether or not anybody could make it now. Raises RefusedError when the old operator had
        none."""
        key = self._masters.get(generation)
        if key is None:
            key = self.keeper.master_key(self.installation, self.party, generation, self.handed_over)
            if key is None:
                raise RefusedError("no-master-key")
            self._masters[generation] = key
        return key

    def built_pair(self, generation: int) -> DeviceKeys:
        """EK and AK that come of it when the keepers are asked for a generation in the ordinary way: where they do not
        agree what is live, or one of them has lost it, a pair that no device holds."""
        ours, theirs = self.data.custody.offered(generation)
        if ours == theirs == generation:
            return self.data_keys(generation)
        return self.keeper.data_keys(self.installation, self.party, ours, self.handed_over, other=theirs)

    def built_master(self, generation: int) -> bytes:
        """The same for the KEK; a candidate whose key is in hand since it was acknowledged is not asked for again.
        Raises RefusedError when the old operator had none."""
        ours, theirs = self.master.custody.offered(generation)
        if generation in self.in_hand or ours == theirs == generation:
            return self.master_key(generation)
        key = self.keeper.master_key(self.installation, self.party, ours, self.handed_over, other=theirs)
        assert key is not None, "of two shares a key can always be made"
        return key

    # Losing

    def loses(self, keeper: KeeperName, hierarchy: Hierarchy, generation: int) -> None:
        """A keeper loses a generation: at the end of the change under way, which has the key in its hands."""
        self._losses.append((keeper, hierarchy, generation))

    def take_losses(self) -> None:
        """Write down what was lost meanwhile."""
        for keeper, hierarchy, generation in self._losses:
            if self.change(hierarchy).custody.lose(keeper, generation):
                self.tell("lost", hierarchy, generation, keeper)
        self._losses.clear()

    def tell(self, what: str, hierarchy: Hierarchy, generation: int, keeper: str) -> None:
        """A note for the custody ledger."""
        self.told.append(Note(f"custody.{what}", (int(self.party), int(hierarchy), generation, keeper)))
