"""From what a person writes to what a packet meets: settings, presets, whole conversations, workers."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.errors import InputError
from emulator.faults import catalogue, link_presets, texts
from emulator.faults.link_impairment import LinkImpairment
from emulator.faults.link_presets import LinkPreset, preset
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.faulty_wires import FaultySms, FaultyWan
from emulator.headend.session import HubSilentError, NoAnswerError
from emulator.kernel.effects import ALERTS, SMS, WAN
from emulator.kernel.machine import Party
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.air import AirProfile
from emulator.link.impairments.models import MODELS
from emulator.resources import fixture
from emulator.scenario.playground import Playground

SOUND = AirProfile(
    loss=0.0, sms_loss=0.0, latency_us_min=100 * MILLISECOND, latency_us_max=100 * MILLISECOND,
    sms_delay_us_min=SECOND, sms_delay_us_max=SECOND,
)  # fmt: skip
IMPAIRMENTS = [kind for kind in catalogue.KINDS.values() if issubclass(kind, LinkImpairment)]


@pytest.fixture
def world() -> Playground:
    """Demo street on the IPsec link, with nothing lost and no chance in its delays."""
    return Playground("demo-street", seed=3, air=SOUND)


def took(world: Playground) -> int:
    """How long a read of the clock takes, in ms."""
    before = world.instant
    world.home(0).electricity.read("clock")
    return (world.instant - before) // MILLISECOND


# Settings


def test_every_impairment_has_the_settings_of_its_model() -> None:
    """By name; what the cell adds (`since`) is not a person's, and the two directions share a NAT."""
    assert {kind.model for kind in IMPAIRMENTS} == {*MODELS, "nat"}
    for kind in IMPAIRMENTS:
        if kind.model == "nat":
            continue
        wanted = set(inspect.signature(MODELS[kind.model]).parameters) - {"luck", "since"}
        assert set(kind().arguments()) == wanted, kind.name
        assert wanted <= {each.name for each in fields(kind)}, kind.name


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("link-loss", {"probability": 1.5}, "field probability: expected float <= 1.0; give a number from 0 to 1"),
        ("link-loss", {"probabilty": 0.5}, "there is no field 'probabilty'"),
        ("link-loss", {"where": "sea"}, "give one of air, core, sms"),
        ("link-loss", {"device": "gas"}, "device: a link carries for the whole home; leave it out"),
        ("link-delay", {"distribution": "table"}, "table: name its file"),
        ("link-delay", {"distribution": "table", "table": "/no/such/file"}, "table: cannot read /no/such/file"),
        ("link-markov-loss", {"p13": 0.7, "p14": 0.4}, "p13: together with p14 more than 1"),
        ("link-list", {"ordinals": "3-1"}, "they begin at 1"),
        ("link-list", {"ordinals": "0"}, "they begin at 1"),
        ("link-list", {"ordinals": "1-9999999"}, "100,000 at most"),
        ("link-list", {"ordinals": "two"}, "'two' is no number and no range"),
        ("link-list", {"contents": "0b, xy"}, "'xy' is not hexadecimal"),
        ("link-filter", {"source": "10.0.0.1/8"}, "source: 10.0.0.1/8 has host bits set"),
        ("link-filter", {"contains": "0"}, "'0' is not hexadecimal"),
        ("link-rate", {"bits_per_second": 0}, "field bits_per_second"),
        ("link-rate", {"mark_from_bytes": 9}, "mark_from_bytes: above mark_full_bytes"),
        ("link-slots", {"slot_min_ms": 80}, "slot_min_ms: above slot_max_ms"),
        ("link-mtu", {"router": "here"}, "router: 'here' is no IPv4 address"),
        ("link-data-limit", {"action": "hang"}, "pause_s: what hangs has to go on once"),
        ("link-labels", {"action": "php-off"}, "label: which one is left on"),
        ("link-esp", {"where": "air"}, "give one of core"),
        ("link-preset", {"preset": "gsm"}, "there is no preset 'gsm'; give one of 3g, edge, gprs, ipsec, mpls"),
        ("link-preset", {"preset": "/no/such.toml"}, "cannot read the preset /no/such.toml"),
    ],
)
def test_what_cannot_be_is_refused_with_its_cure(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        catalogue.make(name, settings)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_a_distribution_is_a_file(tmp_path: Path) -> None:
    """As netem's: numbers, 8192 a jitter, comments behind #."""
    file = tmp_path / "mine.dist"
    file.write_text("# my own\n -8192 -100\n 0 4096 # half\n", "utf-8")
    made = catalogue.make("link-delay", {"distribution": "table", "table": str(file)})
    assert isinstance(made, LinkImpairment)
    assert made.arguments()["table"] == (-8192.0, -100.0, 0.0, 4096.0)
    for text, told in (("1 0", "in order of size"), ("", "in order of size"), ("1 x", "something else than numbers")):
        file.write_text(text, "utf-8")
        with pytest.raises(InputError, match=told):
            catalogue.make("link-delay", {"distribution": "table", "table": str(file)})


# Presets


@pytest.mark.parametrize("name", link_presets.names())
def test_a_preset_tells_of_itself_and_lets_a_home_be_reached(name: str, world: Playground) -> None:
    """Conversations pass, slower or not, and the preset has done something."""
    found = preset(name)
    assert found.title
    assert "ASSUMED" in found.about
    assert found.impairments
    fault = world.inject("link-preset", preset=name)
    done = 0
    for _ in range(4):
        try:
            done += bool(world.home(0).electricity.read("clock"))
        except (NoAnswerError, HubSilentError):
            pass
    assert done >= 3
    assert fault.fired


def test_the_presets_that_were_to_be_are_there() -> None:
    assert set(link_presets.names()) == {"gprs", "edge", "3g", "ipsec", "mpls"}
    for name in ("gprs", "edge", "3g"):
        assert any(each.where == "sms" for each in preset(name).impairments), "short messages have a delay of their own"


def test_a_preset_of_ones_own_with_modes(tmp_path: Path, world: Playground) -> None:
    """Half of the time there is no bearer at all."""
    file = tmp_path / "mine.toml"
    file.write_text(
        'title = "mine"\n'
        '[[modes]]\nname = "on"\nseconds = 600\nfollowing = { off = 1 }\n'
        '[[modes]]\nname = "off"\nseconds = 3600\n'
        '[[modes.impairments]]\nfault = "link-nth"\nevery = 1\nwhere = "air"\n',
        "utf-8",
    )
    fault = world.inject("link-preset", preset=str(file))
    assert isinstance(fault.fault, LinkPreset)
    assert world.home(0).electricity.read("clock")
    world.run_for(seconds=600)
    with pytest.raises((NoAnswerError, HubSilentError)):
        world.home(0).electricity.read("clock")
    fault.clear()
    assert world.home(0).electricity.read("clock")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title =", "Invalid value"),
        ("[[impairments]]\nfault='link-loss'", "missing required field `title`"),
        ("title='x'\nspeed=1", "unknown field `speed`"),
        ("title='x'\n[[impairments]]\nfault='link-los'", "[[impairments]] 1 (link-los): there is no fault"),
        ("title='x'\n[[impairments]]\nfault='gprs-loss'", "gprs-loss cannot be a part of a preset"),
        ("title='x'\n[[impairments]]\nfault='link-preset'", "link-preset cannot be a part of a preset"),
        ("title='x'\n[[impairments]]\nfault='link-nat'", "link-nat cannot be a part of a preset"),
        ("title='x'\n[[impairments]]\nfault='link-loss'\nafter_s=3", "after_s is said of the preset as a whole"),
        ("title='x'\n[[impairments]]\nfault='link-loss'\nprobability=3", "field probability"),
        ("title='x'\n[[modes]]\nname='a'\nfollowing={b=1}", "there is no mode 'b' to follow"),
        ("title='x'\n[[modes]]\nname='a'\nfollowing={a=0}", "has the weight 0"),
        ("title='x'\n[[modes]]\nname='a'\n[[modes]]\nname='a'", "two modes have one name"),
        ("title='x'\n[[modes]]\nname='a'\n[[modes.impairments]]\nfault='x'", "mode a, [[modes.impairments]] 1 (x)"),
    ],
)
def test_a_preset_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        preset(str(file))
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


# Whole conversations


def test_nothing_configured_is_nothing_on_the_way(world: Playground) -> None:
    """Bare wires, and the link looks at a None; also afterwards."""
    cell = world.cell(0).cell
    before = took(world)
    assert cell.chain.impaired is None
    fault = world.inject("link-delay", delay_ms=1_000)
    assert cell.chain.impaired is not None
    assert sum(isinstance(wire, FaultyWan | FaultySms) for wire in cell.wires.values()) == 4
    assert took(world) > before
    fault.clear()
    assert cell.chain.impaired is None
    assert not any(isinstance(wire, FaultyWan | FaultySms) for wire in cell.wires.values())


def hops(world: Playground) -> dict[tuple[str, str], list[int]]:
    """How long a frame takes on each part of the way now, in ms: (where, direction) -> of each copy."""
    cell, now = world.cell(0).cell, world.instant
    down, up, sms = (cell.wires[key] for key in ((Party.HEADEND, WAN), (Party.HUB, WAN), (Party.HEADEND, SMS)))
    frame = WRAPPER.build(Wrapper(1, 16, b"frame"))
    packets = list(down.carry(0, 0, frame, now, 1))
    found = {
        ("core", "down"): packets,
        ("air", "down"): [each for _, packet in packets[:1] for each in down.carry(1, 0, packet, now, 2)],
        ("air", "up"): up.carry(0, 0, frame, now, 3),
        ("core", "up"): up.carry(1, 0, frame, now, 4),
        ("sms", "down"): sms.carry(0, 0, b"", now, 5),
    }
    return {place: [delay // MILLISECOND for delay, _ in items] for place, items in found.items()}


@pytest.mark.parametrize("way", ["down", "up", "both"])
@pytest.mark.parametrize("where", ["core", "air", "sms"])
def test_a_delay_is_where_and_which_way_it_was_asked_for(world: Playground, where: str, way: str) -> None:
    """To the millisecond, on top of the link's own or instead of it; counted, and not noted."""
    usual = hops(world)
    assert usual == {
        ("core", "down"): [20], ("air", "down"): [100], ("air", "up"): [100], ("core", "up"): [20],
        ("sms", "down"): [1_000],
    }  # fmt: skip
    for instead in (False, True):
        world.run_for(seconds=60)
        fault = world.inject("link-delay", where=where, way=way, delay_ms=400, instead=instead)
        seen = hops(world)
        touched = {place for place in usual if place[0] == where and way in ("both", place[1])}
        for place, (delay,) in usual.items():
            own = 0 if instead else delay
            assert seen[place] == [own + 400 if place in touched else delay], place
        assert fault.fired == len(touched)
        fault.clear()
    assert world.notes("fault.fired") == []


def test_settings_of_two_directions_are_two_faults(world: Playground) -> None:
    for way, late in (("down", 50), ("up", 700)):
        world.inject("link-delay", way=way, delay_ms=late, instead=True)
    world.inject("link-duplicate", way="up", where="air", probability=1.0, lag_ms=30)
    seen = hops(world)
    assert (seen["core", "down"], seen["core", "up"], seen["air", "up"]) == ([50], [700], [100, 130])


def test_an_alert_keeps_its_address_when_its_frame_is_bent(world: Playground) -> None:
    """The six bytes in front say where to, and are no part of the frame."""
    wire = world.cell(0).cell.wires[Party.HUB, ALERTS]
    assert wire.carry(0, 0, b"prefixFRAME", world.instant, 1)
    world.inject("link-corrupt", where="air", probability=1.0, bits=5)
    wire = world.cell(0).cell.wires[Party.HUB, ALERTS]
    for number in range(50):
        ((_, bent),) = wire.carry(0, 0, b"prefixFRAME", world.instant, number)
        assert bent[:6] == b"prefix"
        assert bent[6:] != b"FRAME"


def test_short_messages_have_a_loss_of_their_own(world: Playground) -> None:
    """A hub that is not woken stays silent, although nothing ails its bearer; afterwards it is reached."""
    lost = world.inject("link-loss", where="sms", probability=1.0)
    with pytest.raises(HubSilentError):
        world.home(0).electricity.read("clock")
    assert lost.fired == len(world.notes("fault.fired", 0)) > 1
    lost.clear()
    assert took(world)


def test_the_core_link_tells_what_it_lost_and_what_was_bent(world: Playground) -> None:
    """Its own record agrees: lost by an impairment, refused for its integrity check value, replayed."""
    took(world)
    log = world.cell(0).cell.chain.log
    fault = world.inject("link-list", way="down", ordinals="1")
    took(world)
    assert log.ways[0].lost_by == {"impairment": 1}
    assert (log.ways[1].lost, fault.fired, len(world.notes("fault.fired"))) == (0, 1, 1)
    fault.clear()
    fault = world.inject("link-corrupt", way="up", probability=1.0, first=40, times=1)
    took(world)
    assert log.ways[1].refused_by == {"integrity": 1}
    assert fault.fired == 1
    fault.clear()
    fault = world.inject("link-esp", action="replay", probability=1.0, way="down")
    took(world)
    assert log.ways[0].refused_by == {"replay": fault.fired}
    fault.clear()


def test_a_home_that_is_not_meant_passes_by(world: Playground) -> None:
    """`installation`, `after_s` and `seconds` choose packets; `skip`, `times` and `chance` among those."""
    for home in (0, 1):
        world.home(home).electricity.read("clock")
    fault = world.inject("link-nth", every=1, installation=1, seconds=600, after_s=5)
    assert took(world)
    world.run_for(seconds=5)
    with pytest.raises((NoAnswerError, HubSilentError)):
        world.home(1).electricity.read("clock")
    assert took(world)
    assert {entry.installation for entry in world.notes("fault.fired")} == {1}
    world.run_for(seconds=600)
    assert world.home(1).electricity.read("clock")
    fault.clear()
    fault = world.inject("link-nth", every=1, times=1, skip=1, way="up", where="air")
    assert took(world)
    assert fault.fired == 1
    fault.clear()


def test_an_impairment_of_the_air_moves_nothing_of_a_neighbour() -> None:
    """Byte for byte and instant for instant; the preset is the neighbour's."""
    lives = []
    for faults in ([], ["link-preset", "link-duplicate", "link-rate"]):
        here = Playground("demo-street", seed=3)
        for fault in faults:
            settings: dict[str, Any] = {} if fault == "link-preset" else {"where": "air"}
            here.inject(fault, installation=1, **settings)
        here.home(0).electricity.rotate_keys()
        here.home(1).electricity.read("clock")
        here.home(0).gas.read("clock")
        assert bool(here.cell(0).cell.mischief.armed) is bool(faults)
        lives.append([entry for entry in here.entries if entry.installation == 0 and entry.kind != "clock"])
    alone, beside = ([(entry.kind, entry.detail) for entry in life] for life in lives)
    assert alone == beside


def test_a_capture_shows_what_was_lost_and_what_a_router_said(tmp_path: Path) -> None:
    from emulator.link.tap import Tap, finish

    world = Playground("demo-street", seed=3, air=SOUND)
    chain = world.cell(0).cell.chain
    chain.tap = tap = Tap(tmp_path / "run.pcapng", 0)
    world.inject("link-mtu", mtu=100, policy="too-big", way="down", times=2)
    took(world)
    tap.close()
    finish(tmp_path / "run.pcapng", "ipsec", 3, [0])
    written = (tmp_path / "run.pcapng").read_bytes()
    assert written.count(b"lost: impairment") == 2
    assert written.count(b"from a router on the way") == 2


# Workers

FAULTS = tuple(
    texts.parse(line)
    for line in (
        "link-preset preset=gprs share=0.5",
        "link-preset preset=3g share=0.2",
        "link-preset preset=ipsec",
        "link-burst-loss p=0.01 r=0.4",
        "link-reorder probability=0.1 hold_ms=60",
        "link-corrupt probability=0.01",
        "link-down where=air way=up down_s=20 up_s=40",
        "link-loss where=sms probability=0.2 correlation=0.5",
    )
)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Twelve of the thousand in three cells of four."""
    text = Path(str(fixture("estates/thousand.toml"))).read_text("utf-8")
    file = tmp_path_factory.mktemp("estate") / "twelve.toml"
    file.write_text(text.replace("cell = 250", "cell = 4"), "utf-8")
    return open_estate(str(file), 11, 12)


def test_the_number_of_workers_changes_nothing(estate: Estate) -> None:
    """Same digest, same deliveries, same strikes on one and on two; and every impairment struck."""
    alone = campaign.run(estate, HostOptions(faults=FAULTS), workers=1)
    shared = campaign.run(estate, HostOptions(faults=FAULTS), workers=2)
    assert (shared.digest, shared.link_digest, shared.fired) == (alone.digest, alone.link_digest, alone.fired)
    assert all(alone.fired.values()), alone.fired
    assert len(alone.fired) == len(FAULTS)


def test_impairments_that_never_strike_leave_the_digest_alone(estate: Estate) -> None:
    """Some to come, some that take a share of nothing: none of it shows."""
    quiet = (
        *(texts.parse(f"{fault.name} after_s=30000000") for fault in FAULTS),
        texts.parse("link-loss probability=0"),
    )
    clean = campaign.run(estate, HostOptions(), workers=1)
    watched = campaign.run(estate, HostOptions(faults=quiet), workers=1)
    assert (watched.digest, watched.link_digest) == (clean.digest, clean.link_digest)
    assert not any(watched.fired.values())
