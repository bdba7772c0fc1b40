"""A live estate without sockets: what is let in is answered, kept first, and forgotten when it should be."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import array, enum, integer, octet_string, structure
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.commands import PowerCut, RaiseAlert
from emulator.crypto import keywrap
from emulator.crypto.keys import ContextStore
from emulator.dlms.client import MANAGEMENT, Answer, Client, More
from emulator.errors import InputError, UsageError
from emulator.fleet.estate import open_estate
from emulator.fleet.store import NotSavedError, open_state
from emulator.headend import services
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, MINUTE, SECOND
from emulator.shell.live import UNDER_WAY_MOST, LiveEstate
from emulator.shell.switchboard import Line, Switchboard

if "served_kit" not in sys.modules:
    _path = Path(__file__).parent / "served_kit.py"
    _spec = importlib.util.spec_from_file_location("served_kit", _path)
    assert _spec is not None
    assert _spec.loader is not None
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["served_kit"] = _module
    _spec.loader.exec_module(_module)

ELECTRICITY, GAS = 2, 3
CHALLENGE = b"fedcba9876543210"


class Talker:
    """A client on a line of its own, in virtual time."""

    def __init__(self, live: LiveEstate, installation: int, **settings: Any) -> None:
        self.live = live
        self.installation = installation
        self.heard: list[bytes] = []
        self.line: Line = live.line(installation, self.heard.append, **settings)

    def send(self, client_sap: int, server_sap: int, apdu: bytes) -> bool:
        return self.line.send(WRAPPER.build(Wrapper(client_sap, server_sap, apdu)))

    def ask(self, client: Client, client_sap: int, server_sap: int, apdu: bytes) -> Any:
        while True:
            self.heard.clear()
            assert self.send(client_sap, server_sap, apdu)
            self.live.advance(self.live.now)
            self.live.commit()
            assert len(self.heard) == 1
            outcome = client.receive(WRAPPER.parse(self.heard[0]).payload)
            if type(outcome) is not More:
                return outcome.value if type(outcome) is Answer else outcome
            apdu = outcome.apdu

    def device(self, server_sap: int) -> dict[str, Any]:
        return next(each for each in self.live.keys(self.installation) if each["server_sap"] == server_sap)

    def managed(self, server_sap: int) -> Client:
        device = self.device(server_sap)
        store = ContextStore(1)
        store.load(
            0,
            ek=bytes.fromhex(device["ek"]),
            ak=bytes.fromhex(device["ak"]),
            title=b"TST\0\0\0\0\1",
            peer=bytes.fromhex(device["server_system_title"]),
            tx=device["invocation_counter"]["value"],
        )
        client = Client(store, 0, MANAGEMENT)
        self.ask(client, 1, server_sap, client.associate(CHALLENGE))
        assert client.associated
        return client


def clock(talker: Talker, client: Client, server_sap: int = ELECTRICITY) -> Any:
    return talker.ask(client, 1, server_sap, client.get(services.CLOCK))


@pytest.fixture
def live() -> LiveEstate:
    return LiveEstate(open_estate("demo-street"))


def test_every_keyed_device_answers_at_once(live: LiveEstate) -> None:
    """Instant timing: hub, electricity and gas meter, asleep as found, associate and read within a virtual second."""
    talker = Talker(live, 0)
    for server_sap in (1, ELECTRICITY, GAS):
        client = talker.managed(server_sap)
        assert bytes(clock(talker, client, server_sap).value)[:2] == b"\x07\xe4"
    assert live.now - live.estate.start < SECOND


def test_nothing_is_handed_out_before_commit(live: LiveEstate) -> None:
    """The answer lies ready, and `reply` is not called before `commit`."""
    talker = Talker(live, 0)
    client = Client()
    talker.send(16, ELECTRICITY, client.associate(b""))
    live.advance(live.now)
    assert live.uncommitted
    assert talker.heard == []
    live.commit()
    assert len(talker.heard) == 1
    assert not live.uncommitted


def test_two_lines_on_the_same_addresses_each_get_their_own_answer(live: LiveEstate) -> None:
    """Two public clients ask in one round: one answer each."""
    talkers = [Talker(live, 0), Talker(live, 0)]
    for talker in talkers:
        talker.send(16, ELECTRICITY, Client().associate(b""))
    live.advance(live.now)
    live.commit()
    assert [len(talker.heard) for talker in talkers] == [1, 1]


def test_an_unanswered_request_takes_no_answer_from_others(live: LiveEstate) -> None:
    """A home without coverage and a client SAP that no meter knows: silence. Whoever asks after a silent request gets
    the answer to its own, at once where all is instant and after a minute elsewhere."""
    lost, found = Talker(live, 3), Talker(live, 0)
    lost.send(16, ELECTRICITY, Client().associate(b""))
    found.send(77, ELECTRICITY, Client().associate(b""))
    live.advance(live.now)
    live.commit()
    assert (lost.heard, found.heard) == ([], [])
    board, early, late = Switchboard(), Talker(live, 0).line, Talker(live, 0).line
    route = (0, "wan", 16, ELECTRICITY)
    board.asked(early, 16, ELECTRICITY, 0)
    board.settled(answered=True)
    board.asked(late, 16, ELECTRICITY, 0)
    assert board.whose(route, 0) is late
    board.asked(early, 16, ELECTRICITY, 0)
    board.asked(late, 16, ELECTRICITY, 2 * MINUTE)
    assert board.whose(route, 2 * MINUTE) is late
    assert not board.left(early, 16)
    assert board.left(late, 16)
    assert board.whose(route, 0) is None


def test_associations_end_with_the_last_line_of_their_client(live: LiveEstate) -> None:
    """While another line speaks for the same client the association stands; when the last one closes it is gone."""
    first, second = Talker(live, 0), Talker(live, 0)
    client = first.managed(ELECTRICITY)
    assert clock(second, client).value
    first.line.close()
    assert clock(second, client).value
    second.line.close()
    third = Talker(live, 0)
    refused = clock(third, client)
    assert type(refused).__name__ == "Refused"


def test_an_association_outlives_the_hubs_sleep_while_the_line_is_open(live: LiveEstate) -> None:
    """Hours of silence send the hub to sleep; the meter still knows the client, and forgets it once the line closes."""
    talker = Talker(live, 0)
    client = talker.managed(ELECTRICITY)
    live.advance(live.now + 5 * HOUR)
    live.commit()
    assert clock(talker, client).value
    talker.line.close()
    live.advance(live.now + 5 * HOUR)
    assert live.cell(0).awake == 0


def test_an_optical_head_leads_past_the_hub(live: LiveEstate) -> None:
    """A home whose gas meter the network has lost answers at the meter's own head, and a hub has none."""
    over_the_air = Talker(live, 5)
    client = Client()
    outcome = over_the_air.ask(client, 16, GAS, client.associate(b""))
    assert type(outcome).__name__ == "Refused"
    assert over_the_air.heard[0][8:9] == b"\xd8"  # the hub, in its place
    head = Talker(live, 5, port="optical.gas")
    client = head.managed(GAS)
    assert clock(head, client, GAS).value
    with pytest.raises(UsageError):
        live.line(5, lambda _: None, "optical.hub")


def test_keys_are_true_after_a_change(live: LiveEstate) -> None:
    """`keys` says the new pair as soon as the meter has it, and the counter that the meter accepts next."""
    talker = Talker(live, 0)
    client = talker.managed(GAS)
    kek = bytes.fromhex(talker.device(GAS)["kek"])
    items = array(
        structure((enum(number), octet_string(keywrap.wrap(kek, bytes([0xE0 + number]) * 16)))) for number in (0, 2)
    )
    talker.ask(client, 1, GAS, client.action(services.KEY_TRANSFER, items))
    device = talker.device(GAS)
    assert (device["ek"], device["ak"]) == ("e0" * 16, "e2" * 16)
    counter = Client()
    talker.ask(counter, 16, GAS, counter.associate(b""))
    value = talker.ask(counter, 16, GAS, counter.get(services.INVOCATION_COUNTER)).value
    assert value == device["invocation_counter"]["value"]


def test_a_display_has_no_keys(live: LiveEstate) -> None:
    """It is listed, and says so."""
    display = live.keys(0)[-1]
    assert (display["kind"], display["keys"], display["ek"]) == ("ihd", "none", None)


def test_too_much_under_way_is_dropped(live: LiveEstate) -> None:
    """A flood for one home is cut off at a bound, and the home answers what was let in."""
    talker = Talker(live, 0)
    taken = [talker.send(16, ELECTRICITY, Client().associate(b"")) for _ in range(2 * UNDER_WAY_MOST)]
    assert 0 < sum(taken) <= UNDER_WAY_MOST
    live.advance(live.now)
    live.commit()
    assert len(talker.heard) == sum(taken)
    assert live.dropped == len(taken) - sum(taken)


def test_modelled_a_hub_sleeps_until_a_message(live: LiveEstate) -> None:
    """No answer from a sleeping hub; after a short message it calls back and the meter answers, seconds later."""
    live = LiveEstate(open_estate("demo-street"), timing="modelled")
    alerts: list[int] = []
    live.on_alert = lambda installation, frame, now: alerts.append(installation)
    talker = Talker(live, 0)
    talker.send(16, ELECTRICITY, Client().associate(b""))
    live.advance(live.now + MINUTE)
    live.commit()
    assert talker.heard == []
    for _ in range(3):
        live.text(0, b"SMETS1 WAKE 10.0.0.1:4061 x")
        live.advance(live.now + MINUTE)
    assert alerts == [0] * len(alerts) != []
    before = live.now
    while not talker.heard and live.now < before + 10 * MINUTE:
        talker.send(16, ELECTRICITY, Client().associate(b""))
        live.advance(live.now + SECOND // 2)
        live.commit()
    assert 400_000 <= live.now - before < 10 * MINUTE


def test_a_home_without_coverage_is_silent(live: LiveEstate) -> None:
    """Home 3 never had WAN: nothing comes back, whatever the timing."""
    talker = Talker(live, 3)
    talker.send(16, ELECTRICITY, Client().associate(b""))
    live.advance(live.now + MINUTE)
    live.commit()
    assert talker.heard == []


def test_commands_tell_their_notes_and_alerts_arrive(live: LiveEstate) -> None:
    """A command's own notes come back from it; the journal numbers all of them; there is no gas meter in home 1."""
    seen: list[Any] = []
    live.subscribe(seen.append)
    notes = live.command(0, Party.ELECTRICITY, PowerCut(5))
    assert "device.power-cut" in [note.kind for note in notes]
    assert [entry for _, entry in live.entries()] == seen
    assert [number for number, _ in live.entries(after=1)] == list(range(2, live.sequence + 1))
    with pytest.raises(InputError, match="no gas"):
        live.command(1, Party.GAS, RaiseAlert(1))
    with pytest.raises(InputError, match="no installation 16"):
        live.command(16, Party.GAS, RaiseAlert(1))


def supply(talker: Talker, client: Client) -> int:
    return int(talker.ask(client, 1, ELECTRICITY, client.get(services.SUPPLY)).value)


def disconnect(talker: Talker, client: Client) -> None:
    method = MethodRef(70, services.SUPPLY.logical_name, 1)
    talker.ask(client, 1, ELECTRICITY, client.action(method, integer(0)))


def test_snapshot_restore_and_reset(live: LiveEstate) -> None:
    """Back to a snapshot, and back to as found; send counters rise through both, and nothing remembers a client."""
    talker = Talker(live, 0)
    client = talker.managed(ELECTRICITY)
    kept = live.snapshot()
    disconnect(talker, client)
    assert supply(talker, client) == 0
    index = live.cell(0).context(0, Party.ELECTRICITY)
    used = live.cell(0).store.counters(index)[0]
    live.restore(kept)
    again = talker.managed(ELECTRICITY)
    assert supply(talker, again) == 1
    disconnect(talker, again)
    live.reset(0)
    live.advance(live.now)
    assert live.cell(0).store.counters(index)[0] > used
    as_found = LiveEstate(open_estate("demo-street"))
    assert live.keys(0)[1]["invocation_counter"] == as_found.keys(0)[1]["invocation_counter"]
    assert supply(talker, talker.managed(ELECTRICITY)) == 1
    assert "ek" not in repr(kept)


def test_a_state_goes_on_where_it_stood(tmp_path: Path) -> None:
    """After an orderly end: relay, counters and time are there again; the send counter lies ahead of what was used."""
    estate = open_estate("demo-street")
    live = LiveEstate(estate, store=open_state(str(tmp_path / "s"), estate))
    talker = Talker(live, 0)
    client = talker.managed(ELECTRICITY)
    disconnect(talker, client)
    index = live.cell(0).context(0, Party.ELECTRICITY)
    used, accepted = live.cell(0).store.counters(index)
    live.advance(live.now + HOUR)
    before = live.now
    live.close()
    again = LiveEstate(estate, store=open_state(str(tmp_path / "s"), estate))
    assert again.now > before
    ahead, accepts = again.cell(0).store.counters(index)
    assert ahead >= used
    assert accepts == accepted
    talker = Talker(again, 0)
    assert supply(talker, talker.managed(ELECTRICITY)) == 0
    again.close()


class Failing:
    """A store whose disk is full until it is told otherwise."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.full = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def save(self, batch: Any, now: int = 0) -> None:
        if self.full:
            raise NotSavedError("the disk is full")
        self._store.save(batch, now)


def test_answers_wait_until_they_can_be_kept(tmp_path: Path) -> None:
    """A full disk: `commit` raises and hands out nothing; once there is room the same answer leaves, and only once."""
    estate = open_estate("demo-street")
    store = Failing(open_state(str(tmp_path / "s"), estate))
    live = LiveEstate(estate, store=store)
    talker = Talker(live, 0)
    talker.send(16, ELECTRICITY, Client().associate(b""))
    live.advance(live.now)
    for _ in range(2):
        with pytest.raises(InputError, match="full"):
            live.commit()
    assert talker.heard == []
    store.full = False
    live.commit()
    live.commit()
    assert len(talker.heard) == 1
    live.close()
