"""Label stacks and LDP as scapy and tshark read them: 10,000 random stacks, every encapsulation, every LDP message."""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from module_kit import module

from emulator.codecs import ldp
from emulator.codecs import ldp_tlvs as tlvs
from emulator.codecs.catalogue import CATALOGUE
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.ldp import LDP, LDP_FRAME, Message
from emulator.codecs.mpls import MPLS, MPLS_FRAME, Label
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.kernel.chance import bits
from emulator.link.mpls.encapsulation import Ethernet, InIp, InUdp

pytestmark = pytest.mark.stranger

STACKS = 10_000
US, THEM = 0x0A000001, 0x0A000002
LINKTYPE_RAW, LINKTYPE_ETHERNET = 101, 1


def random_stack(number: int) -> tuple[Label, ...]:
    """One to sixteen labels, any class and TTL; reserved labels now and then, but not at the bottom, where most of them
    say that something other than a packet follows."""
    drawn = bits(16, "stack", number)
    found = []
    for at in range(1 + drawn % 16):
        entry = bits(16, f"entry {at}", number)
        label = entry & 0xFFFFF if entry >> 40 & 7 else entry & 15
        if at == drawn % 16 and label < 16:
            label += 16
        found.append(Label(label, entry >> 20 & 7, entry >> 24 & 0xFF))
    return tuple(found)


def inner(number: int) -> bytes:
    """An IPv4 packet of a protocol that nobody dissects (RFC 3692): only what MPLS makes of it is at issue."""
    return IPV4_FRAME.build(IPv4(US, THEM, 253, number, 64, bits(16, "payload", number).to_bytes(8, "big")))


def capture(path: Path, linktype: int, frames: list[bytes]) -> None:
    """A classic pcap file."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, linktype))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", number, 0, len(frame), len(frame)) + frame)


def tshark(path: Path, *names: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    """These fields of every packet; all occurrences, joined by commas."""
    if shutil.which("tshark") is None:
        assert os.environ.get("SMETS1_REQUIRE_STRANGERS") != "1", "tshark is required and not installed"
        pytest.skip("tshark is not installed")
    words = [word for name in names for word in ("-e", name)]
    done = subprocess.run(
        ["tshark", "-r", str(path), "-n", *options, "-T", "fields", "-E", "occurrence=a", *words],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return [line.split("\t") for line in done.stdout.splitlines()]


def shown(stack: tuple[Label, ...]) -> list[str]:
    """As tshark prints labels, classes, bottom bits and TTLs."""
    last = len(stack) - 1
    return [
        ",".join(str(each.label) for each in stack),
        ",".join(str(each.traffic_class) for each in stack),
        ",".join(str(int(at == last)) for at in range(len(stack))),
        ",".join(str(each.ttl) for each in stack),
    ]


@pytest.mark.parametrize("carrier", ["udp", "ip", "ethernet"])
def test_tshark_reads_ten_thousand_stacks(tmp_path: Path, carrier: str) -> None:
    """A third of them in each encapsulation: labels, classes, bottom bits, TTLs, the packet below; none malformed."""
    number = {"udp": 0, "ip": 1, "ethernet": 2}[carrier]
    wire: Any = (InUdp(US, THEM), InIp(US, THEM), Ethernet(bytes(6), b"\2" * 6))[number]
    stacks = {n: random_stack(n) for n in range(number, STACKS, 3)}
    frames = [wire.close(True, MPLS_FRAME.build(MPLS(stack, inner(n)))) for n, stack in stacks.items()]
    path = tmp_path / "stacks.pcap"
    capture(path, LINKTYPE_ETHERNET if carrier == "ethernet" else LINKTYPE_RAW, frames)
    rows = tshark(
        path, "mpls.label", "mpls.exp", "mpls.bottom", "mpls.ttl", "ip.id", "frame.protocols", "_ws.malformed",
        options=("-o", "ip.check_checksum:TRUE"),
    )  # fmt: skip
    assert len(rows) == len(stacks)
    for (n, stack), row in zip(stacks.items(), rows, strict=True):
        assert row[:4] == shown(stack), f"stack {n}"
        assert int(row[4].split(",")[-1], 16) == n
        assert row[6:] in ([""], []), f"stack {n} is malformed to tshark: {row}"


@pytest.mark.parametrize("count", [1_000, pytest.param(STACKS, marks=pytest.mark.slow)])
def test_scapy_reads_and_writes_stacks(count: int) -> None:
    """Entry by entry, and back to the same bytes."""
    mpls, packet = module("scapy.contrib.mpls"), module("scapy.packet")
    for number in range(count):
        stack = random_stack(number)
        data = MPLS_FRAME.build(MPLS(stack, inner(number)))
        # Entry by entry: what scapy makes of the payload is not at issue, and costs most of the time.
        for at, label in enumerate(stack):
            theirs = mpls.MPLS(data[4 * at : 4 * at + 4])
            assert (theirs.label, theirs.cos, theirs.s, theirs.ttl) == (
                label.label, label.traffic_class, int(at == len(stack) - 1), label.ttl,
            )  # fmt: skip
        if number % 20 == 0:
            built: Any = packet.Raw(inner(number))
            for at, label in reversed(list(enumerate(stack))):
                bottom = int(at == len(stack) - 1)
                built = mpls.MPLS(label=label.label, cos=label.traffic_class, s=bottom, ttl=label.ttl) / built
            assert bytes(built) == data
            assert MPLS_FRAME.parse(bytes(built)) == MPLS(stack, inner(number))


# LDP


def in_udp(pdu: bytes) -> bytes:
    datagram = UDP_FRAME.build(UDP(646, 646, 0, pdu))
    return IPV4_FRAME.build(IPv4(US, 0xE0000002, 17, 1, 1, datagram, 0xC0, 0))


def test_tshark_reads_every_sample(tmp_path: Path) -> None:
    """Message types, identifiers and lengths; nothing malformed."""
    samples = [each for each in CATALOGUE["ldp"].samples if LDP_FRAME.parse(each.data).messages]
    path = tmp_path / "ldp.pcap"
    capture(path, LINKTYPE_RAW, [in_udp(each.data) for each in samples])
    rows = tshark(path, "ldp.hdr.ldpid.lsr", "ldp.msg.type", "ldp.msg.id", "ldp.msg.ubit", "_ws.malformed")
    for sample, row in zip(samples, rows, strict=True):
        messages = LDP_FRAME.parse(sample.data).messages
        assert row[0] == "10.0.0.1", sample.name
        assert [int(each, 16) for each in row[1].split(",")] == [each.kind for each in messages], sample.name
        assert [int(each, 16) for each in row[2].split(",")] == [each.message_id for each in messages], sample.name
        assert row[4:] in ([""], []), f"{sample.name} is malformed to tshark"


def test_tshark_reads_what_ours_say(tmp_path: Path) -> None:
    """The fields a session turns on: hold time, transport address, keepalive, receiver, FEC, label, status."""
    messages = [
        Message(ldp.HELLO, 1, (tlvs.HelloParameters(15, 0), tlvs.TransportAddress(US))),
        Message(ldp.INITIALIZATION, 2, (tlvs.SessionParameters(1, 180, 0, 0, 4096, THEM, 0),)),
        Message(ldp.ADDRESS, 3, (tlvs.AddressList(1, (US, THEM)),)),
        Message(ldp.LABEL_MAPPING, 4, (tlvs.FEC((tlvs.Prefix(1, 24, 0x0A010200),)), tlvs.GenericLabel(1_000))),
        Message(ldp.NOTIFICATION, 5, (tlvs.Status(ldp.FATAL | 0x14, 2, ldp.INITIALIZATION),)),
    ]
    path = tmp_path / "ldp.pcap"
    capture(path, LINKTYPE_RAW, [in_udp(LDP_FRAME.build(LDP(US, 0, (each,)))) for each in messages])
    fields = (
        "ldp.msg.tlv.hello.hold", "ldp.msg.tlv.ipv4.taddr", "ldp.msg.tlv.sess.ka", "ldp.msg.tlv.sess.rxlsr",
        "ldp.msg.tlv.addrl.addr", "ldp.msg.tlv.fec.pfval", "ldp.msg.tlv.fec.len", "ldp.msg.tlv.generic.label",
        "ldp.msg.tlv.status.data", "ldp.msg.tlv.status.ebit",
    )  # fmt: skip
    rows = tshark(path, *fields)
    told = [{name.rsplit(".", 1)[1]: value for name, value in zip(fields, row, strict=True) if value} for row in rows]
    assert told[0] == {"hold": "15", "taddr": "10.0.0.1"}
    assert told[1] == {"ka": "180", "rxlsr": "10.0.0.2"}
    assert told[2]["addr"] == "10.0.0.1,10.0.0.2"
    assert (told[3]["len"], int(told[3]["label"], 0)) == ("24", 1_000)
    assert int(told[4]["data"], 0) == 0x14
    assert told[4]["ebit"] in ("1", "True")


def test_scapy_reads_our_messages_and_we_read_scapys() -> None:
    """Hello, initialization, addresses and labels with the fields that it knows."""
    theirs = module("scapy.contrib.ldp")

    def ours(kind: int, *parts: Any) -> Any:
        return theirs.LDP(LDP_FRAME.build(LDP(US, 0, (Message(kind, 7, parts),))))

    hello = ours(ldp.HELLO, tlvs.HelloParameters(15, 0x4000))
    assert (hello.id, hello[theirs.LDPHello].params) == ("10.0.0.1", [15, 0, 1])
    init = ours(ldp.INITIALIZATION, tlvs.SessionParameters(1, 180, 0x80, 3, 4096, THEM, 0))
    assert init[theirs.LDPInit].params == [180, 1, 0, 3, 4096, "10.0.0.2", 0]
    assert ours(ldp.ADDRESS, tlvs.AddressList(1, (US, THEM)))[theirs.LDPAddress].address == ["10.0.0.1", "10.0.0.2"]
    mapping = ours(ldp.LABEL_MAPPING, tlvs.FEC((tlvs.Prefix(1, 24, 0x0A010200),)), tlvs.GenericLabel(1_000))
    assert (mapping[theirs.LDPLabelMM].fec, mapping[theirs.LDPLabelMM].label) == ([("10.1.2.0", 24)], 1_000)
    note = ours(ldp.NOTIFICATION, tlvs.Status(ldp.FATAL | 0x14, 2, ldp.INITIALIZATION))
    assert note[theirs.LDPNotification].status == [1, 0, 0x14, 2, ldp.INITIALIZATION]
    for kind, withdrawn in ((ldp.LABEL_WITHDRAW, theirs.LDPLabelWM), (ldp.LABEL_RELEASE, theirs.LDPLabelRelM)):
        built = theirs.LDP(id="10.0.0.1") / withdrawn(id=9, fec=[("10.0.0.2", 32)], label=17)
        (message,) = LDP_FRAME.parse(bytes(built)).messages
        assert message == Message(kind, 9, (tlvs.FEC((tlvs.Prefix(1, 32, THEM),)), tlvs.GenericLabel(17)))
