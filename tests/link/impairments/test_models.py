"""What each model does to packets, case by case."""

from typing import Any

import pytest

from emulator.codecs import icmp, udp
from emulator.codecs.icmp import ICMP_FRAME
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.codecs.wrapper import WRAPPER, Wrapper
from emulator.errors import UsageError
from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.chain import Chain, Delivered, Refusal
from emulator.link.fragments import Reassembly
from emulator.link.impairments.base import Impairment, Luck, numbered
from emulator.link.impairments.match import Filter
from emulator.link.impairments.models import make
from emulator.link.impairments.modes import Mode, Modes
from emulator.link.impairments.pipeline import MOST_COPIES, Pipeline
from emulator.link.impairments.translated import Translated
from emulator.link.nat import Nat
from emulator.link.profile import LinkProfile
from emulator.link.sad import pair

NOW = 1_600_000_000 * SECOND
QUIET = LinkProfile(outages_per_day=0.0)
LUCK = Luck(1, "models")
RATE: dict[str, Any] = {
    "bits_per_second": 8_000.0, "burst_bytes": 0, "overhead_bytes": 0, "cell_bytes": 0, "cell_overhead_bytes": 0,
    "limit_packets": 0, "limit_bytes": 0, "mark_from_bytes": 0, "mark_full_bytes": 0, "mark_most": 1.0, "ecn": True,
}  # fmt: skip
SPI = pair(1, 3, LinkProfile())[0].spi
"""Of the tunnel's packets down."""
CONDITIONS: dict[str, Any] = dict.fromkeys(
    ("protocol", "source", "destination", "port", "spi", "label", "sap", "ike_exchange", "ike_response", "longer_than",
     "shorter_than")
) | {"contains": b""}  # fmt: skip


def model(name: str, **settings: Any) -> Impairment:
    return make(name, LUCK, settings)


def carried(one: Impairment, packets: list[bytes], gap: int = 0) -> list[list[tuple[int, bytes]]]:
    """One pipeline, a packet each `gap` µs; delays in µs."""
    line = Pipeline([one])
    return [line.carry(packet, NOW + number * gap) for number, packet in enumerate(packets)]


def offered(kind: str, frame: bytes = b"frame", number: int = 0) -> bytes:
    """A packet as it leaves the data centre's gateway."""
    ((_, packet),) = Chain(kind, 3, 1, QUIET).offer_down(77, 4059, 4059, frame, NOW, number)
    return packet


def datagram(port: int, payload: bytes, service: int = 0, checksum: int = 0) -> bytes:
    inside = UDP_FRAME.build(UDP(40_000, port, checksum, payload))
    return IPV4_FRAME.build(IPv4(0x0A000001, 0x0A800005, udp.PROTOCOL, 7, 64, inside, service))


# Delay and order


def test_a_fixed_delay_and_a_queue_that_keeps_order() -> None:
    settings: dict[str, Any] = {"jitter_ms": 0.0, "distribution": "uniform", "correlation": 0, "table": ()}
    assert carried(model("delay", delay_ms=1.5, keep_order=True, **settings), [b"a"]) == [[(1_500, b"a")]]
    settings |= {"jitter_ms": 90.0, "delay_ms": 100.0}
    for keep_order in (True, False):
        fates = carried(model("delay", keep_order=keep_order, **settings), [b"a"] * 200, gap=10 * MILLISECOND)
        arrivals = [number * 10 * MILLISECOND + late for number, ((late, _),) in enumerate(fates)]
        assert (arrivals == sorted(set(arrivals))) is keep_order


def test_a_delay_is_never_negative() -> None:
    late = carried(
        model("delay", delay_ms=1, jitter_ms=50, distribution="normal", correlation=0, keep_order=False, table=()),
        [b"a"] * 300,
    )
    assert min(delay for ((delay, _),) in late) == 0


def test_reordering_back_and_ahead() -> None:
    always = {"probability": 1.0, "gap": 3, "hold_ms": 40.0}
    back = carried(model("reorder", move="back", distance=0, **always), [b"."] * 6, gap=MILLISECOND)
    assert [fate[0][0] for fate in back] == [0, 0, 40_000, 0, 0, 40_000]
    ahead = carried(model("reorder", move="ahead", distance=0, **always), [b"."] * 6, gap=MILLISECOND)
    assert [fate[0][0] for fate in ahead] == [40_000, 40_000, 0, 40_000, 40_000, 0]
    # Overtaking one only: out just before the last that is held.
    one = carried(model("reorder", move="ahead", distance=1, **always), [b"."] * 3, gap=MILLISECOND)
    assert [number * 1_000 + fate[0][0] for number, fate in enumerate(one)] == [40_000, 41_000, 40_999]
    few = carried(model("reorder", move="ahead", distance=5, **always), [b"."] * 3, gap=MILLISECOND)
    assert few[2] == [(0, b".")]


# Loss


def test_every_nth_and_exact_lists() -> None:
    packets = [bytes([number]) for number in range(1, 11)]
    assert [bool(fate) for fate in carried(model("nth", every=4), packets)].count(False) == 2
    assert not any(carried(model("nth", every=1), packets))
    listed = carried(model("list", ordinals=frozenset({1, 9}), contents=(b"\x05",)), packets)
    assert [number for number, fate in enumerate(listed, 1) if not fate] == [1, 5, 9]


@pytest.mark.parametrize(
    ("packet", "conditions", "matches"),
    [
        (offered("plain"), {"protocol": 17, "port": 4059}, True),
        (offered("plain"), {"protocol": 17, "port": 4060}, False),
        (offered("plain"), {"source": "10.0.0.0/8", "destination": "10.128.0.77"}, True),
        (offered("plain"), {"destination": "10.128.0.78"}, False),
        (offered("ipsec"), {"protocol": 50, "spi": SPI}, True),
        (offered("ipsec"), {"spi": SPI ^ 1}, False),
        (offered("ipsec"), {"port": 4059}, False),  # inside, nobody sees it
        (offered("mpls"), {"label": 0x40006, "port": 6635}, True),
        (offered("mpls"), {"label": 0x80006, "destination": "10.128.0.77"}, True),
        (offered("mpls"), {"label": 3}, False),
        (datagram(4500, bytes.fromhex("51000006 00000001") + bytes(32)), {"spi": 0x51000006}, True),
        (datagram(4500, b"\xff"), {"spi": 0}, False),
        (WRAPPER.build(Wrapper(1, 2, b"get")), {"sap": 2}, True),
        (WRAPPER.build(Wrapper(1, 2, b"get")), {"sap": 3}, False),
        (offered("plain", WRAPPER.build(Wrapper(1, 16, b"get"))), {"sap": 16}, True),
        (b"0123456789", {"longer_than": 9}, True),
        (b"0123456789", {"longer_than": 10}, False),
        (b"0123456789", {"shorter_than": 10}, False),
        (b"0123456789", {"contains": b"456"}, True),
        (b"0123456789", {"protocol": 17}, False),
        (b"", {"port": 0}, False),
        (b"anything", {}, True),
    ],
)
def test_a_filter_sees_what_the_packet_shows(packet: bytes, conditions: dict[str, Any], matches: bool) -> None:
    one = Filter(LUCK, **{**CONDITIONS, **conditions})
    assert one.matches(packet) is matches
    assert one.carry(packet, NOW, 1) == ([] if matches else [(0, packet)])


@pytest.mark.parametrize(("port", "marker"), [(500, b""), (4500, bytes(4))])
def test_a_filter_loses_the_answer_to_a_rekeying(port: int, marker: bytes) -> None:
    """CREATE_CHILD_SA is exchange 36; the request passes, and so does any other answer."""
    one = Filter(LUCK, **{**CONDITIONS, "ike_exchange": 36, "ike_response": True})
    for exchange, flags, lost in ((36, 0x20, True), (36, 0x08, False), (37, 0x20, False), (36, 0x28, True)):
        header = bytes(16) + bytes((46, 0x20, exchange, flags)) + bytes(4) + (28).to_bytes(4, "big")
        assert one.matches(datagram(port, marker + header)) is lost
    assert not one.matches(datagram(port, marker + bytes(20)))


@pytest.mark.parametrize("cut", range(0, 66, 5))
def test_no_packet_is_too_bent_for_the_models_that_look_into_it(cut: int) -> None:
    """What cannot be read passes, and no error comes out."""
    models = [
        Filter(LUCK, **{**CONDITIONS, "label": 9}),
        model("esp", action="wrong-spi", probability=1.0, by=1, back=0, lag_ms=0),
        model("labels", action="missing-bottom", probability=1.0, label=None, by=1),
        model("rate", **{**RATE, "bits_per_second": 1e12, "mark_full_bytes": 1 << 20}),
        model("mtu", mtu=1_000, policy="too-big", router="10.9.9.9"),
    ]
    for kind in ("plain", "ipsec", "mpls"):
        packet = offered(kind)[:cut]
        assert Pipeline(models).carry(packet, NOW)[0][1] == packet


# Bandwidth and queues


def test_a_rate_serialises_and_counts_overhead_and_cells() -> None:
    """At 8,000 bit/s a byte takes a millisecond."""
    plain = carried(model("rate", **RATE), [bytes(10), bytes(5), bytes(5)], gap=12 * MILLISECOND)
    assert [fate[0][0] for fate in plain] == [10_000, 5_000, 5_000]
    at_once = carried(model("rate", **RATE), [bytes(10)] * 3)
    assert [fate[0][0] for fate in at_once] == [10_000, 20_000, 30_000]
    overhead = carried(model("rate", **RATE | {"overhead_bytes": 7}), [bytes(10)])
    assert overhead[0][0][0] == 17_000
    atm = carried(model("rate", **RATE | {"cell_bytes": 48, "cell_overhead_bytes": 5}), [bytes(48), bytes(49)])
    assert [fate[0][0] for fate in atm] == [53_000, 53_000 + 106_000]


def test_a_full_bucket_lets_a_burst_through_and_then_no_more_than_the_rate() -> None:
    fates = carried(model("rate", **RATE | {"burst_bytes": 30}), [bytes(10)] * 5)
    assert [fate[0][0] for fate in fates] == [0, 0, 0, 10_000, 20_000]


@pytest.mark.parametrize(("limit", "value"), [("limit_packets", 3), ("limit_bytes", 30)])
def test_a_queue_drops_its_tail_and_takes_again_when_it_has_drained(limit: str, value: int) -> None:
    line = Pipeline([model("rate", **RATE | {limit: value})])
    assert [bool(line.carry(bytes(10), NOW)) for _ in range(5)] == [True, True, True, False, False]
    assert line.carry(bytes(10), NOW + 10 * MILLISECOND) == [(30_000, bytes(10))]
    assert not line.carry(bytes(10), NOW + 10 * MILLISECOND)


def test_congestion_is_marked_for_those_who_take_part_and_lost_for_others() -> None:
    """ECT(0) becomes CE, with a header that holds; not-ECT is dropped; without `ecn` all are."""
    marking = RATE | {"mark_from_bytes": 40, "mark_full_bytes": 40}
    line = Pipeline([model("rate", **marking)])
    capable, not_capable = datagram(9, bytes(40), service=2), datagram(9, bytes(40))
    assert line.carry(capable, NOW)[0][1] == capable  # nothing waits yet
    ((_, marked),) = line.carry(capable, NOW)
    assert IPV4_FRAME.parse(marked).service == 3
    assert IPV4_FRAME.parse(marked).payload == IPV4_FRAME.parse(capable).payload
    assert line.carry(not_capable, NOW) == []
    assert line.carry(b"no IPv4", NOW) == []
    silent = Pipeline([model("rate", **marking | {"ecn": False})])
    assert silent.carry(capable, NOW)
    assert silent.carry(capable, NOW) == []


def test_between_the_thresholds_ever_more_are_marked() -> None:
    """A queue of constant length: the share follows where it stands between the two."""
    for queued, share in ((2_000, 0.0), (4_000, 0.25), (6_000, 0.5)):
        lost = 0
        for number in range(400):
            one = make(
                "rate",
                Luck(number, "red"),
                RATE | {"mark_from_bytes": 2_000, "mark_full_bytes": 6_000, "mark_most": 0.5},
            )
            one.queued = queued - (queued == 6_000)  # type: ignore[attr-defined]
            one.waiting.append((NOW + SECOND, one.queued))  # type: ignore[attr-defined]
            lost += not one.carry(bytes(10), NOW, numbered(1))
        assert abs(lost / 400 - share) < 0.08


def test_a_sender_is_held_back_and_loses_nothing() -> None:
    fates = carried(model("sender-rate", bits_per_second=8_000.0, overhead_bytes=2), [bytes(8)] * 100)
    assert [fate[0][0] for fate in fates] == [10_000 * turn for turn in range(1, 101)]


def test_slots_take_packets_or_bytes() -> None:
    def opens(**settings: Any) -> list[int]:
        one = model("slots", slot_min_ms=10, slot_max_ms=10, **settings)
        return [fate[0][0] // 10_000 for fate in carried(one, [bytes(10)] * 6)]

    assert opens(slot_packets=2, slot_bytes=0) == [1, 1, 2, 2, 3, 3]
    assert opens(slot_packets=0, slot_bytes=30) == [1, 1, 1, 2, 2, 2]
    assert opens(slot_packets=2, slot_bytes=15) == [1, 1, 2, 2, 3, 3]
    assert opens(slot_packets=0, slot_bytes=0) == [1] * 6
    idle = carried(model("slots", slot_min_ms=10, slot_max_ms=10, slot_packets=1, slot_bytes=0), [b"a"] * 3, gap=SECOND)
    assert [fate[0][0] for fate in idle] == [10_000] * 3


# Sizes and cuts


def test_what_is_over_the_mtu_vanishes_is_answered_or_is_cut() -> None:
    large, small = offered("ipsec", bytes(900)), offered("ipsec", bytes(100))
    hole = Pipeline([model("mtu", mtu=576, policy="black-hole", router="10.9.9.9")])
    assert hole.carry(large, NOW) == []
    assert hole.carry(small, NOW) == [(0, small)]
    telling = model("mtu", mtu=576, policy="too-big", router="10.9.9.9")
    assert carried(telling, [small, large]) == [[(0, small)], []]
    (answer,) = telling.returned()
    assert telling.returned() == []
    outside = IPV4_FRAME.parse(answer)
    assert (outside.protocol, outside.source) == (icmp.PROTOCOL, 0x0A090909)
    assert outside.destination == IPV4_FRAME.parse(large).source
    message = ICMP_FRAME.parse(outside.payload)
    assert (message.kind, message.code, message.rest, message.payload) == (3, 4, 576, large[:28])
    cutting = Pipeline([model("mtu", mtu=576, policy="fragment", router="10.9.9.9")])
    pieces = [each for _, each in cutting.carry(large, NOW)]
    assert max(map(len, pieces)) <= 576
    assert len(pieces) == 2
    together = Reassembly()
    whole = [together.take(piece, NOW) for piece in pieces][-1]
    assert whole is not None
    assert IPV4_FRAME.parse(whole).payload == IPV4_FRAME.parse(large).payload


def test_down_by_a_schedule() -> None:
    cycle = model("down", down_s=6, up_s=4, phase_s=1, since=NOW)
    up = [bool(fate) for fate in carried(cycle, [b"a"] * 21, gap=SECOND)]
    assert up == [True, *[False] * 6, *[True] * 4, *[False] * 6, *[True] * 4]
    assert not any(carried(model("down", down_s=6, up_s=0, phase_s=0, since=None), [b"a"] * 9, gap=SECOND))


def test_a_limit_of_data_or_time_cuts_or_hangs() -> None:
    cut = model("data-limit", limit_bytes=25, limit_s=0, pause_s=0, action="cut")
    assert [bool(fate) for fate in carried(cut, [bytes(10)] * 5, gap=SECOND)] == [True, True, False, False, False]
    pausing = model("data-limit", limit_bytes=25, limit_s=0, pause_s=3, action="cut")
    fates = [bool(fate) for fate in carried(pausing, [bytes(10)] * 10, gap=SECOND)]
    assert fates == [True, True, False, False, False] * 2
    hanging = model("data-limit", limit_bytes=0, limit_s=2, pause_s=3, action="hang")
    fates_late = [fate[0][0] // SECOND for fate in carried(hanging, [b"a"] * 7, gap=SECOND)]
    assert fates_late == [0, 0, 3, 2, 1, 0, 0]


# Damage


def test_corruption_spares_what_it_is_told_to_spare() -> None:
    short = carried(model("corrupt", probability=1.0, bits=4, first=20), [bytes(20)])
    assert short == [[(0, bytes(20))]]
    ((fate,),) = carried(model("corrupt", probability=1.0, bits=9_999, first=8), [bytes(10)])
    assert fate[1] == bytes(8) + b"\xff\xff"


def test_errors_everywhere_and_nowhere() -> None:
    assert carried(model("bit-errors", per_megabyte=0, unit="bit"), [bytes(50)]) == [[(0, bytes(50))]]
    ((every,),) = carried(model("bit-errors", per_megabyte=1 << 20, unit="byte"), [bytes(50)])
    assert all(every[1])


# Tunnels and labels, as the gateway at the other end meets them


@pytest.mark.parametrize(
    ("action", "reason"),
    [("wrong-spi", "association"), ("wrong-sequence", "integrity"), ("bad-tag", "integrity")],
)
def test_a_gateway_refuses_esp_that_was_bent(action: str, reason: str) -> None:
    chain = Chain("ipsec", 0, 1, QUIET)
    ((_, packet),) = chain.offer_down(5, 4059, 4059, b"frame", NOW, 0)
    bent = model("esp", action=action, probability=1.0, by=0x100, back=0, lag_ms=0)
    ((_, harmed),) = carried(bent, [packet])[0]
    refusal = chain.deliver_down(harmed, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert isinstance(chain.deliver_down(packet, NOW), Delivered)  # and nothing has moved


def test_replayed_esp_comes_again_from_further_back() -> None:
    chain = Chain("ipsec", 0, 1, QUIET)
    replaying = Pipeline([model("esp", action="replay", probability=1.0, by=1, back=2, lag_ms=3)])
    heard = []
    sent = []
    for number in range(4):
        ((_, packet),) = chain.offer_down(5, 4059, 4059, bytes([number]), NOW + number * SECOND, number)
        sent.append(packet)
        heard.append(replaying.carry(packet, NOW))
    assert heard == [
        [(0, sent[0])],
        [(0, sent[1])],
        [(0, sent[2]), (3_000, sent[0])],
        [(0, sent[3]), (3_000, sent[1])],
    ]
    for packet in sent:
        assert isinstance(chain.deliver_down(packet, NOW), Delivered)
    again = chain.deliver_down(heard[2][1][1], NOW)
    assert isinstance(again, Refusal)
    assert again.reason == "replay"


def test_esp_in_udp_is_bent_and_ike_and_keepalives_are_not() -> None:
    bent = model("esp", action="wrong-spi", probability=1.0, by=1, back=0, lag_ms=0)
    esp = bytes.fromhex("0000ffff00000001") + bytes(24)
    checksum = udp.checksum(0x0A000001, 0x0A800005, 40_000, 4500, esp)
    ((_, harmed),) = carried(bent, [datagram(4500, esp, checksum=checksum)])[0]
    inside = UDP_FRAME.parse(IPV4_FRAME.parse(harmed).payload)
    assert inside.payload == bytes.fromhex("00010000") + esp[4:]
    assert inside.checksum == udp.checksum(0x0A000001, 0x0A800005, 40_000, 4500, inside.payload)
    for untouched in (datagram(4500, bytes(4) + bytes(28)), datagram(4500, b"\xff"), offered("mpls"), offered("plain")):
        assert carried(bent, [untouched]) == [[(0, untouched)]]


STACK = (Label(100, 5, 64), Label(200, 5, 63))


def labelled(labels: tuple[Label, ...] = STACK) -> bytes:
    return datagram(6635, MPLS_FRAME.build(MPLS(labels, b"inner packet")))


def stack_of(packet: bytes) -> bytes:
    return UDP_FRAME.parse(IPV4_FRAME.parse(packet).payload).payload


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"action": "wrong-label", "by": 7}, (Label(107, 5, 64), STACK[1])),
        ({"action": "wrong-label", "by": 0xFFFFF}, (Label(99, 5, 64), STACK[1])),
        ({"action": "wrong-label", "label": 200}, STACK),
        ({"action": "ttl-1"}, (Label(100, 5, 1), STACK[1])),
        ({"action": "php-off", "label": 300}, (Label(300, 5, 64), *STACK)),
        ({"action": "label-withdrawn", "label": 200}, STACK),
        ({"action": "label-withdrawn", "label": 100}, None),
        ({"action": "label-withdrawn"}, None),
        ({"action": "lsp-down", "label": 200}, None),
    ],
)
def test_what_befalls_labels(settings: dict[str, Any], labels: tuple[Label, ...] | None) -> None:
    one = model("labels", **{"probability": 1.0, "label": None, "by": 1} | settings)
    for build in (labelled, bare):
        fate = carried(one, [build()])[0]
        if labels is None:
            assert fate == []
        else:
            assert fate == [(0, build(labels))]
    assert carried(one, [offered("ipsec")]) == [[(0, offered("ipsec"))]]


def bare(labels: tuple[Label, ...] = STACK) -> bytes:
    """The stack as an IP protocol of its own."""
    return IPV4_FRAME.build(IPv4(1, 2, 137, 7, 64, MPLS_FRAME.build(MPLS(labels, b"inner packet"))))


def test_a_stack_without_a_bottom_goes_on_into_the_packet() -> None:
    one = model("labels", action="missing-bottom", probability=1.0, label=None, by=1)
    ((_, harmed),) = carried(one, [labelled()])[0]
    assert len(harmed) == len(labelled())
    seen = MPLS_FRAME.parse(stack_of(harmed))
    assert seen.labels[:2] == STACK
    assert len(seen.labels) > 2


def test_a_nat_lets_answers_back_in_while_it_remembers() -> None:
    nat = Nat(1, 0, 0xC613FF01)
    out, back = (Translated(nat, outward=way, rebind_s=300) for way in (True, False))
    inside, outside = 0x0A000001, 0x0A800005
    ((_, left),) = out.carry(datagram(4500, b"request"), NOW, 1)
    seen = IPV4_FRAME.parse(left)
    assert (seen.source, seen.destination) == (0xC613FF01, outside)
    port = UDP_FRAME.parse(seen.payload).source_port
    answer = IPV4_FRAME.build(IPv4(outside, seen.source, 17, 0, 64, UDP_FRAME.build(UDP(4500, port, 0, b"answer"))))
    ((_, came),) = back.carry(answer, NOW + SECOND, 1)
    assert IPV4_FRAME.parse(came).destination == inside
    kept = back.snapshot()
    assert back.carry(answer, NOW + 200 * SECOND, 2) == []  # the mapping rested for too long
    assert out.carry(offered("ipsec"), NOW, 2) == []  # bare ESP
    back.restore(kept)
    assert back.carry(answer, NOW + 2 * SECOND, 3)
    assert out.carry(datagram(4500, b"request"), NOW + 400 * SECOND, 3)  # another binding by now
    assert back.carry(answer, NOW + 401 * SECOND, 4) == []


# Modes


def test_modes_take_turns_and_end() -> None:
    modes = [
        Mode("up", 10, 0.0, {"down": 1.0}, ()),
        Mode("down", 5, 0.0, {"gone": 1.0}, [model("nth", every=1)]),
        Mode("gone", 1, 0.0, {}, [model("nth", every=2)]),
    ]
    line = Pipeline([Modes(LUCK, modes=modes, since=NOW)])
    fates = [bool(line.carry(b"a", NOW + second * SECOND)) for second in range(21)]
    assert fates == [*[True] * 10, *[False] * 5, *[True, False] * 3]


def test_a_mode_is_a_function_of_time_and_not_of_traffic() -> None:
    def turns() -> Modes:
        modes = [Mode("a", 30, 1.0, {"b": 1.0, "a": 1.0}, ()), Mode("b", 20, 1.0, {"a": 1.0}, ())]
        return Modes(LUCK, modes=modes, since=NOW)

    busy, idle = turns(), turns()
    seen = [busy.at(NOW + second * SECOND) for second in range(5_000)]
    assert {"a", "b"} == set(seen)
    for second in (0, 999, 4_999):
        assert idle.at(NOW + second * SECOND) == seen[second]


def test_a_mode_that_nobody_knows_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="there is no mode"):
        Modes(LUCK, modes=[Mode("a", 1, 0.0, {"b": 1.0}, ())])


def test_models_are_made_by_name_with_their_settings() -> None:
    for name, settings in (("earthquake", {}), ("loss", {"probability": 1}), ("nth", {"every": 1, "other": 2})):
        with pytest.raises(UsageError, match=name):
            make(name, LUCK, settings)


def test_duplicators_in_a_row_do_not_run_away() -> None:
    line = Pipeline([model("duplicate", probability=1.0, copies=16, lag_ms=0) for _ in range(5)])
    assert len(line.carry(b"a", NOW)) == MOST_COPIES + 1


@pytest.mark.parametrize(
    "count", [pytest.param(3_000, id="3k"), pytest.param(300_000, id="300k", marks=pytest.mark.slow)]
)
def test_no_mutated_packet_is_too_much_for_the_models_that_look_into_it(count: int) -> None:
    """Bits turned and ends cut off, of every kind of packet: bytes come out, or nothing, and never an error."""
    chance = Luck(9, "mutations")
    ike = bytes(16) + bytes((46, 0x20, 36, 0x20)) + bytes(4) + (28).to_bytes(4, "big")
    packets = [
        offered("plain", WRAPPER.build(Wrapper(1, 16, b"get"))), offered("ipsec", bytes(120)), offered("mpls"), bare(),
        labelled(), datagram(4500, bytes(4) + ike), datagram(500, ike), datagram(4500, bytes.fromhex("51000006") + ike),
        WRAPPER.build(Wrapper(1, 2, b"get")),
    ]  # fmt: skip
    nat = Nat(1, 0, 0xC613FF01)
    models = [
        Filter(LUCK, **{**CONDITIONS, "label": 9, "spi": 3, "ike_exchange": 35, "sap": 7}),
        model("list", ordinals=frozenset({0}), contents=(b"\xde\xad\xbe\xef",)),
        model("rate", **{**RATE, "bits_per_second": 1e12, "mark_from_bytes": 0, "mark_full_bytes": 1 << 30}),
        model("mtu", mtu=100, policy="fragment", router="10.9.9.9"),
        model("mtu", mtu=99, policy="too-big", router="10.9.9.9"),
        *(
            model("esp", action=action, probability=1.0, by=1, back=1, lag_ms=0)
            for action in ("replay", "wrong-spi", "wrong-sequence", "bad-tag")
        ),
        *(
            model("labels", action=action, probability=1.0, label=3, by=1)
            for action in ("wrong-label", "ttl-1", "missing-bottom", "php-off", "label-withdrawn")
        ),
        Translated(nat, outward=True, rebind_s=60),
        Translated(nat, outward=False, rebind_s=0),
    ]
    for number in range(count):
        bent = bytearray(packets[number % len(packets)])
        for turn in range(1 + chance.bits(number) % 4):
            luck = chance.bits(number, 1 + turn)
            bent[luck % len(bent)] ^= 1 << (luck >> 32) % 8
        if chance.bits(number, 9) % 3 == 0:
            del bent[chance.bits(number, 10) % len(bent) :]
        for one in models:
            for delay, out in one.carry(bytes(bent), NOW + number, numbered(number + 1)):
                assert delay >= 0
                assert isinstance(out, bytes)
