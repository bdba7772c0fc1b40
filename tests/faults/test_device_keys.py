"""Faults of keys in a real device: what it holds afterwards, what it answers, and that all of it survives its row."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest

from devices.catalogue import KINDS
from devices.common.key_slots import KEY_IDS, PHASES, KeyMemory, Slot
from devices.common.model import DeviceModel
from devices.common.profile import shipped
from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, array, enum, octet_string, structure
from emulator.codecs.get import AttributeRef
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import PowerCut
from emulator.crypto import derive, gcm, keywrap
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Answer, Client, More, Refused
from emulator.dlms.cosem import obis
from emulator.errors import CryptoError
from emulator.faults.fault import Fault
from emulator.faults.keys import (
    HalfAppliedKeys,
    KeyChangeAnswerLost,
    PolicyRaised,
    PowerCutBeforeAnswer,
    PowerCutInKeyWrite,
    WrongMasterKey,
)
from emulator.faults.mischief import Mischief
from emulator.fleet.installation import DeviceSpec, Installation
from emulator.kernel.effects import Note, Send
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

E = Party.ELECTRICITY
START = 1_583_150_400 * SECOND
TITLE = b"ELSTEST1"
OURS = b"HEADEND0"
OLD = {name: bytes([n]) * 16 for n, name in enumerate(("ek", "broadcast", "ak", "kek"), 1)}
NEW = {name: bytes([n]) * 16 for n, name in enumerate(("ek", "broadcast", "ak", "kek"), 0x81)}
OK = KeyMemory(Slot.OK, Slot.OK, Slot.OK, Slot.OK)
ONE_SLOT = {"slots": 1, "commit": "item", "on_corrupt": "missing"}


@cache
def model_of(keys: tuple[tuple[str, Any], ...], security: tuple[tuple[str, Any], ...]) -> DeviceModel:
    profile = shipped("elster_as300p")
    profile = msgspec.structs.replace(
        profile,
        keys=msgspec.structs.replace(profile.keys, **dict(keys)),
        security=msgspec.structs.replace(profile.security, **dict(security)),
    )
    return DeviceModel(profile, KINDS[E])


@dataclass
class Bench:
    """One meter, and a client on its wire. `keys` and `security` alter its profile."""

    faults: tuple[Fault, ...] = ()
    keys: dict[str, Any] = field(default_factory=dict)
    security: dict[str, Any] = field(default_factory=dict)
    now: int = START

    def __post_init__(self) -> None:
        self.model = model_of(tuple(self.keys.items()), tuple(self.security.items()))
        spec = DeviceSpec(E, self.model.name, "E00000001", TITLE, "03.24", bytes(8))
        self.home = Installation(7, True, "dmc", "supplier", (spec,), "1" * 13, None, None, None, "london")
        self.store = ContextStore(2)
        for index, title, peer in ((0, TITLE, OURS), (1, OURS, TITLE)):
            self.store.load(
                index, ek=OLD["ek"], ak=OLD["ak"], kek=OLD["kek"], title=title, peer=peer, tx=index * 500, rx=0
            )
        self.mischief = Mischief(1)
        for fault in self.faults:
            self.mischief.arm(fault, self.now)
        self.device = self.build(b"")
        self.client = Client(self.store, 1, MANAGEMENT)
        self.notes: list[tuple[Any, ...]] = []

    def build(self, state: bytes) -> Any:
        device = self.model.create(
            self.home, self.home.devices[0], store=self.store, contexts={1: 0}, seed=1, state=state
        )
        if self.mischief.armed:
            device.mischief = self.mischief  # type: ignore[attr-defined]
        return device

    def restart(self) -> None:
        """Into its row and out again."""
        self.device = self.build(self.device.snapshot())

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def carry(self, apdu: bytes) -> bytes | None:
        """What the device answers to an APDU."""
        self.now += SECOND // 10
        effects = self.device.receive("han", WRAPPER.build(Wrapper(1, 2, apdu)), self.now)
        self.notes += [(each.kind, *each.detail) for each in effects if isinstance(each, Note)]
        sent = [WRAPPER.parse(each.frame) for each in effects if isinstance(each, Send)]
        own = [each.payload for each in sent if each.destination == 1]
        return own[0] if own else None

    def ask(self, apdu: bytes) -> Any:
        while True:
            answer = self.carry(apdu)
            if answer is None:
                return None
            outcome = self.client.receive(answer)
            if not isinstance(outcome, More):
                return outcome
            apdu = outcome.apdu

    def open(self) -> Any:
        return self.ask(self.client.associate(derive.challenge(b"test", self.now)))

    def read(self, class_id: int = 1, name: str = "0-0:42.0.0", attribute: int = 2) -> Any:
        return self.ask(self.client.get(AttributeRef(class_id, obis(name), attribute)))

    def set(self, class_id: int, name: str, attribute: int, data: Data) -> Any:
        return self.ask(self.client.set(AttributeRef(class_id, obis(name), attribute), data))

    def transfer(self, *names: str, keys: dict[str, bytes] = NEW, under: bytes = OLD["kek"]) -> Any:
        items = [structure((enum(KEY_IDS[name]), octet_string(keywrap.wrap(under, keys[name])))) for name in names]
        return self.ask(self.client.action(MethodRef(64, obis("0-0:43.0.0"), 2), array(items)))

    def use(self, ek: bytes, ak: bytes) -> None:
        """Talk under another pair."""
        self.store.install(1, ek=ek, ak=ak)
        self.store.set_counters(1, rx=0)

    # The truth, by trying

    def opens_under(self, ek: bytes, ak: bytes) -> bool:
        state, blob = self.store.state(0), self.store.export(0)
        text = gcm.seal(ek, state.peer + bytes(4), b"\x30" + ak, b"?", 12)
        try:
            self.store.set_counters(0, rx=0)
            return bool(self.store.open(0, 0x30, 0, text) == b"?")
        except CryptoError:
            return False
        finally:
            self.store.restore(0, blob)

    def unwraps_under(self, kek: bytes) -> bool:
        try:
            return bytes(self.store.unwrap(0, keywrap.wrap(kek, bytes(16)))) == bytes(16)
        except CryptoError:
            return False

    def holds(self) -> tuple[str, str, str]:
        """ "old", "new" or "" for EK, AK and KEK."""
        pair = next(
            (
                (one, other)
                for one, ek in (("old", OLD["ek"]), ("new", NEW["ek"]))
                for other, ak in (("old", OLD["ak"]), ("new", NEW["ak"]))
                if self.opens_under(ek, ak)
            ),
            ("", ""),
        )
        master = [name for name, keys in (("old", OLD), ("new", NEW)) if self.unwraps_under(keys["kek"])]
        return (*pair, master[0] if master else "")

    @property
    def fired(self) -> list[int]:
        return list(self.mischief.fired.values())


def test_without_a_fault_a_change_of_keys_is_what_it_was() -> None:
    """A bench with a fault that never meets its occasion does byte for byte what one without faults does."""
    plain, watched = Bench(), Bench((PowerCutInKeyWrite(keys="broadcast"), KeyChangeAnswerLost(keys="broadcast")))
    for bench in (plain, watched):
        assert isinstance(bench.open(), Answer)
        assert bench.transfer("kek") == Answer(None)
        assert bench.transfer("ek", "ak", under=NEW["kek"]) == Answer(None)
        bench.use(NEW["ek"], NEW["ak"])
        assert isinstance(bench.read(), Answer)
        assert bench.holds() == ("new", "new", "new")
    assert plain.notes == watched.notes
    assert plain.device.snapshot() == watched.device.snapshot()
    assert watched.fired == [0, 0]


def test_f1_another_master_key_refuses_every_transfer_and_nothing_changes() -> None:
    """Reads go on; the integrity check fails, other-reason; once an installation, and noted."""
    bench = Bench((WrongMasterKey(),))
    assert isinstance(bench.open(), Answer)
    for _ in range(2):
        assert bench.transfer("ek", "ak") == Refused("action", 250)
    assert isinstance(bench.read(), Answer)
    assert bench.holds() == ("old", "old", "")
    assert bench.fired == [1]
    assert [note for note in bench.notes if note[0] == "fault.fired"] == [("fault.fired", 1, "wrong-master-key")]
    bench.restart()
    assert bench.transfer("kek") is not None
    assert bench.holds() == ("old", "old", "")


@pytest.mark.parametrize("seconds_dark", [0, 30])
@pytest.mark.parametrize("sent", [("ek", "ak"), ("kek",), ("ek", "ak", "kek", "broadcast")])
def test_f2_the_answer_to_a_change_of_keys_is_lost(sent: tuple[str, ...], seconds_dark: float) -> None:
    """The keys are live, nothing was heard; with a power cut the association is gone too."""
    bench = Bench((KeyChangeAnswerLost(times=1, seconds_dark=seconds_dark),))
    bench.open()
    assert bench.transfer(*sent) is None
    data, master = ("new", "new") if "ek" in sent else ("old", "old"), "new" if "kek" in sent else "old"
    assert bench.holds() == (*data, master)
    if "ek" in sent:
        bench.use(NEW["ek"], NEW["ak"])
    assert (bench.read() is None) == bool(seconds_dark)
    bench.wait(seconds_dark)
    assert bench.read() == Refused("exception", 1) if seconds_dark else isinstance(bench.read(), Answer)
    assert isinstance(bench.open(), Answer)
    assert bench.fired == [1]


def test_f2_strikes_only_the_transfers_it_names() -> None:
    """`keys` chooses: a change of the pair is answered, one of the master key is not."""
    bench = Bench((KeyChangeAnswerLost(keys="kek"),))
    bench.open()
    assert bench.transfer("ek", "ak") == Answer(None)
    bench.use(NEW["ek"], NEW["ak"])
    assert bench.transfer("kek") is None
    assert bench.transfer("kek") == Refused("action", 250)  # under the old one, which is gone
    assert bench.fired == [1]


@pytest.mark.parametrize("applied", [0, 1, 2])
def test_f3_the_first_items_take_and_the_answer_says_no(applied: int) -> None:
    """In the order sent, AK before EK here."""
    bench = Bench((HalfAppliedKeys(applied=applied, times=1),))
    bench.open()
    assert bench.transfer("ak", "ek", "kek") == Refused("action", 250)
    assert bench.holds() == ("new" if applied > 1 else "old", "new" if applied else "old", "old")
    assert bench.fired == [1]


def test_a_model_that_takes_items_one_by_one_needs_no_fault_to_be_torn() -> None:
    """The profile's `transfer = "item"`: all before the bad item is live, and the refusal is about the bad one."""
    bench = Bench(keys={"transfer": "item"})
    bench.open()
    bad = {"ek": NEW["ek"], "ak": NEW["ak"]}
    items = [
        structure((enum(0), octet_string(keywrap.wrap(OLD["kek"], bad["ek"])))),
        structure((enum(2), octet_string(keywrap.wrap(NEW["kek"], bad["ak"])))),
    ]
    assert bench.ask(bench.client.action(MethodRef(64, obis("0-0:43.0.0"), 2), array(items))) == Refused("action", 250)
    assert bench.holds() == ("new", "old", "old")


LAYOUTS = {
    "two slots, one flip": {},
    "two slots, item": {"commit": "item"},
    "two slots, locked": {"commit": "item", "on_corrupt": "locked"},
    "one slot": ONE_SLOT,
    "one slot, master first": {**ONE_SLOT, "order": ("kek", "ek", "ak", "broadcast")},
    "one slot, locked": {**ONE_SLOT, "on_corrupt": "locked"},
    "one slot, unchecked": {**ONE_SLOT, "checksum": False},
}


@pytest.mark.parametrize("sent", [("kek",), ("ek", "ak"), ("ek", "ak", "kek", "broadcast")], ids="+".join)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_f4_a_cut_at_every_write_leaves_what_the_layout_says(layout: dict[str, Any], sent: tuple[str, ...]) -> None:
    """No answer; dark for as long as was said; keys old, new or lost by the real context; the same after its row."""
    writes = Bench(keys=layout).device.key_plan(sent)
    seen = set()
    for name in writes:
        for phase in PHASES:
            bench = Bench((PowerCutInKeyWrite(at=name, phase=phase, seconds_dark=30, times=1),), keys=layout)
            bench.open()
            assert bench.transfer(*sent) is None, (name, phase)
            assert bench.fired == [1]
            assert bench.read() is None
            bench.wait(30)
            bench.restart()
            held, memory = bench.holds(), bench.device.key_memory(bench.now)
            seen.add((held, memory))
            lost = [slot for slot in memory[:4] if slot is Slot.CORRUPT]
            assert len(lost) <= 1
            if not layout:
                assert memory == OK
                assert set(held) <= ({"old"} if name != "flip" or phase == "before" else {"old", "new"})
            if memory.locked:
                assert held == ("", "", "")
            elif memory.ek is memory.ak is Slot.OK:
                assert "" not in held[:2]
                assert isinstance(bench_under(bench, held).open(), Answer)
            else:
                assert held[:2] == ("", "")
                assert isinstance(bench.open(), Refused)
            assert (held[2] == "") == (memory.kek is Slot.CORRUPT or memory.locked)
    if layout.get("slots") == 1 and "kek" in sent:
        assert any(memory.kek is Slot.CORRUPT for _, memory in seen)


@pytest.mark.parametrize("phase", PHASES)
def test_f4_a_write_by_its_number_is_the_write_by_its_name(phase: Any) -> None:
    """Both ways to say where."""
    for number, name in enumerate(Bench(keys=ONE_SLOT).device.key_plan(("ek", "kek"))):
        ends = []
        for at in (str(number), name):
            bench = Bench((PowerCutInKeyWrite(at=at, phase=phase),), keys=ONE_SLOT)
            bench.open()
            bench.transfer("ek", "kek")
            ends.append((bench.holds(), [note for note in bench.notes if note[0] == "keys.cut"]))
        assert ends[0] == ends[1]
        assert ends[0][1] == [("keys.cut", 1, name, phase)]


def bench_under(bench: Bench, held: tuple[str, str, str]) -> Bench:
    keys = {"old": OLD, "new": NEW}
    bench.use(keys[held[0]]["ek"], keys[held[1]]["ak"])
    return bench


def test_f4_without_a_master_key_reads_work_and_nothing_is_ever_changed_again() -> None:
    """The state nobody sees (R5): healthy to read, and no transfer under any key."""
    bench = Bench((PowerCutInKeyWrite(at="kek.write", seconds_dark=5, times=1),), keys=ONE_SLOT)
    bench.open()
    bench.transfer("kek")
    bench.wait(10)
    assert isinstance(bench.open(), Answer)
    assert isinstance(bench.read(), Answer)
    for under in (OLD["kek"], NEW["kek"]):
        assert bench.transfer("ek", "ak", under=under) == Refused("action", 11)
    assert bench.device.key_memory(bench.now) == OK._replace(kek=Slot.CORRUPT, broadcast=Slot.OK)


def test_f4_a_lost_broadcast_key_can_be_sent_again() -> None:
    """Its slot is whole again with the next transfer; nothing else depended on it."""
    bench = Bench((PowerCutInKeyWrite(at="broadcast.write", seconds_dark=5, times=1),), keys=ONE_SLOT)
    bench.open()
    assert bench.transfer("broadcast") is None
    bench.wait(10)
    assert bench.device.key_memory(bench.now).broadcast is Slot.CORRUPT
    bench.open()
    assert bench.transfer("broadcast") == Answer(None)
    assert bench.device.key_memory(bench.now) == OK


def test_f4_by_luck_is_the_same_luck_every_time_and_not_always_the_same_write() -> None:
    """`at` and `phase` "any": decided by seed and installation alone."""

    def story(seed: int) -> tuple[Any, ...]:
        bench = Bench(keys=ONE_SLOT)
        bench.mischief = Mischief(seed)
        bench.mischief.arm(PowerCutInKeyWrite(phase="any", keys="kek"), bench.now)
        bench.device = bench.build(b"")
        bench.open()
        bench.transfer("ek", "ak", "kek")
        return next(note for note in bench.notes if note[0] == "keys.cut")

    stories = [story(seed) for seed in range(12)]
    assert stories == [story(seed) for seed in range(12)]
    assert len(set(stories)) > 4
    assert all(each[2].startswith("kek.") for each in stories)


@pytest.mark.parametrize("after", ["key-change", "any"])
def test_f5_the_mains_go_between_the_change_and_its_answer(after: str) -> None:
    """The change is whole; the device has forgotten its association; any request may be meant."""
    bench = Bench((PowerCutBeforeAnswer(after=after, seconds_dark=20, skip=0 if after == "key-change" else 3),))
    bench.open()
    if after == "any":
        while bench.read() is not None:
            pass
    else:
        assert isinstance(bench.read(), Answer)
        assert bench.transfer("ek", "ak") is None
        assert bench.holds() == ("new", "new", "old")
        bench.use(NEW["ek"], NEW["ak"])
    assert bench.read() is None
    bench.wait(20)
    assert bench.fired == [1]
    assert bench.read() == Refused("exception", 1) or after == "any"


def test_f10_a_policy_nobody_can_meet_shuts_everybody_out() -> None:
    """Right keys, and every ciphered request is refused; the public client still reads the counter."""
    bench = Bench((PolicyRaised(policy=7),))
    assert isinstance(bench.open(), Refused)
    bench.restart()
    assert isinstance(bench.open(), Refused)
    assert bench.holds() == ("old", "old", "old")
    assert bench.device.security.policy(bench.device) == 7
    assert bench.fired == [1]


def test_f10_with_other_keys_a_policy_that_could_be_met_cannot() -> None:
    """`with_keys`: the policy asks for both, and nobody has the pair."""
    bench = Bench((PolicyRaised(policy=3, with_keys=True),), security={"policy": 0})
    assert isinstance(bench.open(), Refused)
    assert bench.holds() == ("", "", "old")
    assert bench.device.security.policy(bench.device) == 3


def test_a_raised_policy_does_not_strike_a_device_that_asks_for_as_much() -> None:
    """Nothing to strengthen: it does not count as fired."""
    bench = Bench((PolicyRaised(policy=3),))
    assert isinstance(bench.open(), Answer)
    assert bench.fired == [0]


def test_no_key_shows_in_what_is_kept_noted_or_printed() -> None:
    """Neither the row nor a note nor a repr holds a key, old, new or foreign."""
    bench = Bench((WrongMasterKey(times=0, skip=6), PowerCutInKeyWrite(at="ek.checksum", seconds_dark=5)), ONE_SLOT)
    bench.open()
    bench.transfer("broadcast")
    bench.transfer("ek", "ak")
    blob = bench.store.export(0)
    secrets = [*OLD.values(), *NEW.values(), bytes(blob[:16]), bytes(blob[16:32])]
    text = (bench.device.snapshot().hex() + repr(bench.notes) + repr(bench.mischief.armed[0].fault)).lower()
    for secret in secrets:
        assert secret.hex() not in text
        assert repr(secret)[2:-1].lower() not in text


def test_a_power_cut_by_itself_changes_no_key() -> None:
    """A person's power cut between requests, on every layout."""
    for layout in LAYOUTS.values():
        bench = Bench(keys=layout)
        bench.open()
        bench.transfer("kek", "ek", "ak")
        bench.device.command(PowerCut(10), bench.now)
        bench.wait(10)
        assert bench.holds() == ("new", "new", "new")
        assert bench.device.key_memory(bench.now) == OK
