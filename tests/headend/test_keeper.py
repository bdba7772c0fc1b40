"""The keeper's memory: what is believed stays where it was written, and no generation is ever issued twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from emulator.errors import UsageError
from emulator.fleet.installation import KEYED, DeviceKeys
from emulator.headend.keeper import RECORD_BYTES, Custody, Hierarchy, Keeper, Stage
from emulator.kernel.machine import Party

SECRET = b"sixteen bytes ok"
HANDED = DeviceKeys(b"e" * 16, b"a" * 16, b"k" * 16)
FIRST, COUNT = 4_096, 3
PLACES = [
    (home, party, hierarchy) for home in range(FIRST, FIRST + COUNT) for party in KEYED for hierarchy in Hierarchy
]
Place = tuple[int, Party, Hierarchy]


class Custodies(RuleBasedStateMachine):
    """Moves of all kinds on all custodies of one keeper, held against a dictionary."""

    places = Bundle("places")

    def __init__(self) -> None:
        super().__init__()
        self.keeper = Keeper(SECRET, FIRST, COUNT)
        self.believed: dict[Place, tuple[int, int, Stage]] = dict.fromkeys(PLACES, (0, 0, Stage.HELD))
        self.issued: dict[Place, list[int]] = {place: [] for place in PLACES}

    @initialize(target=places)
    def somewhere(self) -> Place:
        return PLACES[0]

    @rule(target=places, place=st.sampled_from(PLACES))
    def choose(self, place: Place) -> Place:
        return place

    def at(self, place: Place) -> Custody:
        return self.keeper.custody(*place)

    @rule(place=places)
    def record(self, place: Place) -> None:
        live, candidate, stage = self.believed[place]
        found = self.at(place).record()
        if candidate:
            assert found == candidate  # the one in doubt is kept
        else:
            self.issued[place].append(found)
            self.believed[place] = (live, found, stage)

    @rule(place=places, stage=st.sampled_from(Stage))
    def move(self, place: Place, stage: Stage) -> None:
        self.at(place).move(stage)
        self.believed[place] = (*self.believed[place][:2], stage)

    @rule(place=places)
    def promote(self, place: Place) -> None:
        if self.believed[place][1]:
            self.at(place).promote()
            self.believed[place] = (self.believed[place][1], 0, Stage.HELD)

    @rule(place=places)
    def forget(self, place: Place) -> None:
        self.at(place).forget_candidate()
        self.believed[place] = (self.believed[place][0], 0, Stage.HELD)

    @invariant()
    def every_home_device_and_hierarchy_keeps_its_own(self) -> None:
        for place in PLACES:
            custody = self.at(place)
            assert (custody.live, custody.candidate, custody.stage) == self.believed[place]

    @invariant()
    def nothing_is_issued_twice(self) -> None:
        for issued in self.issued.values():
            assert issued == list(range(1, len(issued) + 1))


TestCustodies = Custodies.TestCase
TestCustodies.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_a_home_costs_what_it_says() -> None:
    """Custody is a fixed number of bytes a home, whatever was done."""
    keeper = Keeper(SECRET, FIRST, COUNT)
    keeper.custody(FIRST + 1, Party.GAS, Hierarchy.MASTER).record()
    assert len(keeper.memory()) == COUNT * RECORD_BYTES == COUNT * 60
    assert sum(byte != 0 for byte in keeper.memory()) == 2


def test_the_last_generation_is_the_last() -> None:
    """255 generations can be issued, and the next is refused, not wrapped round to keys that were in use once."""
    custody = Keeper(SECRET, 0, 1).custody(0, Party.HUB, Hierarchy.DATA)
    for wanted in range(1, 256):
        assert custody.record() == wanted
        custody.forget_candidate()
    with pytest.raises(UsageError, match="255 generations"):
        custody.record()


@pytest.mark.parametrize("home", [FIRST - 1, FIRST + COUNT, 0])
def test_homes_of_other_cells_have_no_custody_here(home: int) -> None:
    """A number outside the run is a fault of the caller, and never somebody else's record."""
    with pytest.raises(UsageError):
        Keeper(SECRET, FIRST, COUNT).custody(home, Party.HUB, Hierarchy.DATA)


@pytest.mark.parametrize("party", [Party.HEADEND, Party.IHD])
def test_devices_without_keys_have_no_custody(party: Party) -> None:
    """A display and the head end itself hold no keys."""
    with pytest.raises(UsageError):
        Keeper(SECRET, FIRST, COUNT).custody(FIRST, party, Hierarchy.DATA)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 255)), unique=True, min_size=2, max_size=12))
def test_no_two_keys_are_alike(asked: list[tuple[Place, int]]) -> None:
    """Home, device, hierarchy and generation each make another key; generation 0 is what was handed over."""
    keeper = Keeper(SECRET, FIRST, COUNT)
    found = []
    for (home, party, hierarchy), generation in asked:
        if not generation:
            pair = keeper.data_keys(home, party, 0, HANDED)
            assert (pair.ek, pair.ak) == (HANDED.ek, HANDED.ak)
            assert keeper.master_key(home, party, 0, HANDED) == HANDED.kek
        elif hierarchy is Hierarchy.DATA:
            pair = keeper.data_keys(home, party, generation, HANDED)
            found += [pair.ek, pair.ak]
        else:
            found.append(keeper.master_key(home, party, generation, HANDED) or b"")
    assert len(set(found)) == len(found)
    assert all(len(key) == 16 for key in found)


def test_another_secret_makes_other_keys_and_a_missing_master_key_stays_missing() -> None:
    """Keys are the keeper's own; what the old operator lost is None until the first change."""
    one, other = Keeper(SECRET, 0, 1), Keeper(SECRET[::-1], 0, 1)
    assert one.data_keys(0, Party.HUB, 1, HANDED) != other.data_keys(0, Party.HUB, 1, HANDED)
    lost = DeviceKeys(HANDED.ek, HANDED.ak, None)
    assert one.master_key(0, Party.HUB, 0, lost) is None
    assert one.master_key(0, Party.HUB, 1, lost) is not None
