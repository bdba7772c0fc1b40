"""Networks of routers: from TOML, across two VPNs with the same addresses, and as a kind of link."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator import resources
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS_FRAME
from emulator.codecs.udp import UDP_FRAME
from emulator.errors import InputError, UsageError
from emulator.kernel.time import DAY, SECOND
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.mpls import static
from emulator.link.mpls.drops import Dropped
from emulator.link.mpls.encapsulation import Plain
from emulator.link.mpls.faults import LsrFault
from emulator.link.mpls.habits import STANDARD
from emulator.link.mpls.lsr import Interface, Lsr
from emulator.link.mpls.network import Network
from emulator.link.mpls.provider import Provider
from emulator.link.mpls.tables import Towards
from emulator.link.profile import Direction, LinkProfile
from emulator.link.stage import Leg, Refused

CENTRE, HUB = 0x0A000001, 0x0A800005
NOON = 18_300 * DAY + DAY // 2
QUIET = LinkProfile(outages_per_day=0.0)


def tables() -> dict[str, Any]:
    with resources.fixture("mpls/two-vpns.toml").open("rb") as file:
        return tomllib.load(file)


@pytest.fixture
def network() -> Network:
    return static.build(tables(), "two-vpns.toml")


def packet(source: int, destination: int, payload: bytes, ttl: int = 64) -> bytes:
    return IPV4_FRAME.build(IPv4(source, destination, 17, 1, ttl, payload))


@pytest.mark.parametrize("customer", ["red", "blue"])
def test_two_customers_share_addresses_and_never_meet(network: Network, customer: str) -> None:
    """There and back, each arrives at its own: with two labels in UDP first, then one in IP, or the explicit null."""
    there = network.cross("PE1", customer, packet(CENTRE, HUB, customer.encode()), 0)
    back = network.cross("PE2", customer, packet(HUB, CENTRE, customer.encode()), 0)
    for found, router in ((there, "PE2"), (back, "PE1")):
        ((where, interface, what),) = found
        assert (where, interface) == (router, customer)
        assert isinstance(what, bytes)
        assert IPV4_FRAME.parse(what).payload == customer.encode()


def test_each_wire_carries_what_it_should(network: Network) -> None:
    """The stacks between the routers, hop by hop: PHP towards the east, explicit null towards the west."""
    east = network.routers["PE1"].forward(packet(CENTRE, HUB, b""), "red", 0)
    assert isinstance(east, list)
    outside = IPV4_FRAME.parse(east[0].frame)
    first = MPLS_FRAME.parse(UDP_FRAME.parse(outside.payload).payload)
    assert [(each.label, each.ttl) for each in first.labels] == [(16, 63), (601, 63)]
    after = network.routers["P"].forward(east[0].frame, "west", 0)
    assert isinstance(after, list)
    second = MPLS_FRAME.parse(IPV4_FRAME.parse(after[0].frame).payload)
    assert [(each.label, each.ttl) for each in second.labels] == [(601, 62)]
    west = network.routers["PE2"].forward(packet(HUB, CENTRE, b""), "red", 0)
    assert isinstance(west, list)
    swapped = network.routers["P"].forward(west[0].frame, "east", 0)
    assert isinstance(swapped, list)
    third = MPLS_FRAME.parse(UDP_FRAME.parse(IPV4_FRAME.parse(swapped[0].frame).payload).payload)
    assert [(each.label, each.ttl) for each in third.labels] == [(0, 254), (501, 255)], "pipe, as PE2 has it"


def test_what_is_dropped_says_where(network: Network) -> None:
    network.routers["P"].faults = (LsrFault("label-withdrawn", 16, end=10 * SECOND),)
    ((router, interface, what),) = network.cross("PE1", "red", packet(CENTRE, HUB, b""), 9 * SECOND)
    assert (router, interface) == ("P", "west")
    assert isinstance(what, Dropped)
    assert what.reason == "label"
    assert isinstance(network.cross("PE1", "red", packet(CENTRE, HUB, b""), 10 * SECOND)[0].what, bytes)


def test_a_loop_ends_with_the_ttl() -> None:
    """Two routers that send to each other; the packet dies of age, and the walk with it."""
    both = [Lsr(name, [Interface("to", Plain())]) for name in ("a", "b")]
    for lsr in both:
        lsr.vrfs[""].add(0, 0, Towards("to"))
    loop = Network(both, [(("a", "to"), ("b", "to"))])
    (end,) = loop.cross("a", "to", packet(CENTRE, HUB, b"", 255), 0)
    assert isinstance(end.what, Dropped)
    assert end.what.reason == "ttl"
    assert sum(sum(lsr.dropped.values()) for lsr in both) == 1


def test_networks_that_cannot_be() -> None:
    one = Lsr("a", [Interface("to", Plain())])
    for routers, wires, words in (
        ([one, one], [], "two routers are called a"),
        ([one], [(("a", "to"), ("b", "to"))], "router b has no interface to"),
        ([one], [(("a", "to"), ("a", "to"))], "two wires in interface to"),
    ):
        with pytest.raises(UsageError, match=words):
            Network(routers, wires)
    with pytest.raises(UsageError, match="no router 'x'"):
        Network([one]).cross("x", "to", b"", 0)
    with pytest.raises(UsageError, match="two interfaces to"):
        Lsr("a", [Interface("to", Plain()), Interface("to", Plain())])


# TOML


def test_every_setting_is_read() -> None:
    """Habits, MTU, MACs, faults with their times in seconds."""
    network = static.build(
        tomllib.loads(
            """
            [[router]]
            name = "R"
            ttl = "pipe"
            pipe_ttl = 99
            keep_traffic_class = false
            [[router.interface]]
            name = "e"
            encapsulation = "ethernet"
            local = "02:00:00:00:00:01"
            remote = "02:00:00:00:00:02"
            mtu = 9000
            [[router.label]]
            in = 77
            interface = "e"
            out = [88]
            via = "192.0.2.1"
            [[router.fault]]
            kind = "wrong-label"
            label = 88
            from = 5
            until = 6
            by = 3
            """
        ),
        "x",
    )
    lsr = network.routers["R"]
    assert (lsr.habits.ttl, lsr.habits.pipe_ttl, lsr.habits.keep_traffic_class) == ("pipe", 99, False)
    assert lsr.habits.inner_ttl is STANDARD.inner_ttl
    assert lsr.interfaces["e"].mtu == 9000
    assert lsr.labels == {77: Towards("e", (88,), 0xC0000201)}
    assert lsr.faults == (LsrFault("wrong-label", 88, 5 * SECOND, 6 * SECOND, 3),)


def at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change one place of the tables; None takes it away."""

    def change(said: dict[str, Any]) -> None:
        place: Any = said
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


BAD = [
    (at("router", value=[]), r"x: no \[\[router\]\]"),
    (at("router", value="P"), "`router` is 'P'; it must be a list"),
    (at("router", 0, value=5), "router 1: a table belongs here"),
    (at("colour", value=1), "x: there is no `colour`"),
    (at("router", 0, "colour", value=1), r"router 1 \(PE1\): there is no `colour`"),
    (at("router", 0, "name", value=None), "router 1: `name` is missing"),
    (at("router", 0, "ttl", value="tube"), "`ttl` is 'tube'; choose uniform or pipe"),
    (at("router", 0, "pipe_ttl", value=0), "`pipe_ttl` is 0; use 1 to 255"),
    (at("router", 0, "inner_ttl", value=1), "`inner_ttl` is 1; it must be a bool"),
    (at("router", 1, "name", value="PE1"), "two routers are called PE1"),
    (at("router", 0, "interface", 1, "name", value="core"), "two interfaces core"),
    (at("router", 0, "interface", 0, "encapsulation", value="gre"), "'gre'; choose from plain, ethernet, udp, ip"),
    (at("router", 0, "interface", 0, "local", value="198.18.0"), "'198.18.0'; it must be an IPv4 address"),
    (at("router", 0, "interface", 0, "encapsulation", value="ethernet"), "must be a MAC address"),
    (at("router", 0, "interface", 0, "mtu", value=67), "interface 1: `mtu` is 67; use 68 to 65535"),
    (at("router", 0, "label", 0, "in", value=15), "label 1: `in` is 15; use 16 to 1048575"),
    (at("router", 0, "label", 1, "in", value=501), "label 2: label 501 is there already"),
    (at("router", 0, "label", 0, "vrf", value="green"), "no interface is in VRF 'green'"),
    (at("router", 0, "label", 0, "vrf", value=None), "`vrf` is missing"),
    (at("router", 1, "label", 0, "interface", value="north"), "no interface 'north'; choose from west, east"),
    (at("router", 1, "label", 0, "out", value=[3]), "label 3 cannot be put on a packet"),
    (at("router", 1, "label", 0, "out", value=["16"]), "must be a list of at most 8 labels"),
    (at("router", 0, "route", 0, "interface", value="red"), "interface red is plain and carries no labels"),
    (at("router", 0, "route", 0, "prefix", value="10.1.0.0/9"), "must be an IPv4 prefix without host bits"),
    (at("router", 0, "fault", value=[{"kind": "gremlin"}]), "no MPLS fault 'gremlin'; choose from label-withdrawn"),
    (at("router", 0, "fault", value=[{"kind": "ttl-1", "from": -1}]), "`from` is -1"),
    (at("wire", 0, "ends", value=["PE1.core"]), "wire 1: `ends` has two of them"),
    (at("wire", 0, "ends", value=["PE1", "P.west"]), "`ends` has 'PE1'; write router.interface"),
    (at("wire", 0, "ends", value=["PE1.core", "P.north"]), "router P has no interface north"),
    (at("wire", 0, "ends", value=["PE1.core", "P.east"]), "two wires in interface east"),
]


@pytest.mark.parametrize(("change", "words"), BAD, ids=[words[:40] for _, words in BAD])
def test_what_is_wrong_is_said_with_its_place(change: Callable[[dict[str, Any]], None], words: str) -> None:
    said = copy.deepcopy(tables())
    change(said)
    with pytest.raises(InputError, match=words):
        static.build(said, "x")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the label tables .*none\.toml"):
        static.load(tmp_path / "none.toml")
    for data, words in ((b"router = ", "is no TOML"), (b"\xff\xfe", "not UTF-8")):
        (tmp_path / "bad.toml").write_bytes(data)
        with pytest.raises(InputError, match=words):
            static.load(tmp_path / "bad.toml")
    (tmp_path / "good.toml").write_text(resources.fixture("mpls/two-vpns.toml").read_text())
    assert sorted(static.load(tmp_path / "good.toml").routers) == ["P", "PE1", "PE2"]


# As a link


def leg(direction: Direction = Direction.DOWN, profile: LinkProfile = QUIET) -> Leg:
    return Leg(1, 3, direction, profile)


def test_the_first_wire_is_the_quick_stages_to_the_byte_but_for_what_routers_do() -> None:
    """The same two labels in UDP: the neighbour's address, and one less in the TTLs, are the first router's."""
    frame = b"frame"
    ((_, quick),) = Chain("mpls", 3, 1, QUIET).offer_down(5, 4059, 4059, frame, NOON, 0)
    ((_, routed),) = Chain("mpls-l3vpn", 3, 1, QUIET).offer_down(5, 4059, 4059, frame, NOON, 0)
    one, other = (MPLS_FRAME.parse(UDP_FRAME.parse(IPV4_FRAME.parse(each).payload).payload) for each in (quick, routed))
    assert [(each.label, each.ttl) for each in one.labels] == [(each.label, each.ttl + 1) for each in other.labels]
    inner, routed_inner = IPV4_FRAME.parse(one.payload), IPV4_FRAME.parse(other.payload)
    assert (routed_inner.ttl, inner.ttl) == (62, 63)
    assert routed_inner.payload == inner.payload


@pytest.mark.parametrize("explicit_null", [False, True])
def test_three_routers_take_three_from_the_ttl(explicit_null: bool) -> None:
    stage = Provider(leg(), explicit_null=explicit_null)
    for ttl in (5, 64, 255):
        out = stage.unwrap(stage.wrap(packet(CENTRE, HUB, b"x", ttl)))
        assert IPV4_FRAME.parse(out) == IPv4(CENTRE, HUB, 17, 1, ttl - 3, b"x")


def test_a_router_says_why_not() -> None:
    """A bent transport label, a TTL that ends in the middle, a VPN label of somebody else: each where it is found."""
    stage = Provider(leg())
    whole = bytearray(stage.wrap(packet(CENTRE, HUB, b"x")))
    for at_byte, value, reason, router in (
        (28, 0xFF, "label", "middle"),
        (31, 1, "ttl", "middle"),
        (33, 7, "label", "far"),
    ):
        bent = bytearray(whole)
        bent[at_byte] = value
        with pytest.raises(Refused, match=f"router {router}: ") as refused:
            stage.unwrap(bytes(bent))
        assert refused.value.reason == reason


def test_a_ttl_too_short_for_the_provider_is_named() -> None:
    with pytest.raises(InputError, match="a TTL of 3 ends inside the provider; use 4 or more"):
        Provider(leg(profile=LinkProfile(ttl=3)))


def test_cells_do_not_take_each_others_packets() -> None:
    one, other = (Chain("mpls-l3vpn", cell, 1, QUIET) for cell in (3, 4))
    ((_, sent),) = one.offer_up(5, CENTRE, 4059, 4059, b"frame", NOON, 0)
    assert isinstance(other.deliver_up(sent, NOON), Refusal)
    assert isinstance(one.deliver_up(sent, NOON), Delivered)
