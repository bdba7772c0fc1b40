"""FRR's ldpd in a guest kernel, met twice: by another one, and by sockets of ours in a namespace."""

import socket
import struct
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from frr_kit import Frr
from mpls_kit import Out, labelled, stack
from namespace_kit import Lab
from uml_kit import Guest
from wire_kit import IPV4, MPLS, Bridge

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4

pytestmark = pytest.mark.stranger

LDP = 646
ALL_ROUTERS = "224.0.0.2"
ENDS = "192.0.2.1", "192.0.2.2"


def test_it_says_hello_and_opens_a_session_to_us(tmp_path: Path) -> None:
    """Its hello (RFC 5036 3.5.2) reaches a socket; told ours, the one with the higher address calls the other (2.5.2),
    and listens only to packets that no router has touched, which leave with a TTL of 255 (RFC 6720)."""
    with Lab(tmp_path / "lab") as lab, Guest(tmp_path / "uml") as guest:
        place = lab.add("a")
        wire = place.wire(ENDS[0])
        guest.ip(f"addr add {ENDS[1]}/24 dev vec0")
        with (
            Bridge(wire, guest.wires[0]),
            place.open_socket() as hellos,
            place.open_socket(socket.SOCK_STREAM) as calls,
        ):
            ours, all_routers = map(socket.inet_aton, (ENDS[0], ALL_ROUTERS))
            calls.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
            calls.bind((ENDS[0], LDP))
            calls.listen()
            hellos.bind(("", LDP))
            hellos.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, all_routers + ours)
            hellos.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ours)
            hellos.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            hellos.settimeout(30)
            calls.settimeout(30)
            Frr(guest, ENDS[1])
            hello, (sender, port) = hellos.recvfrom(1_500)
            assert (sender, port) == (ENDS[1], LDP)
            version, length, router, space, kind = struct.unpack(">HH4sHH", hello[:12])
            assert (version, length, router, space, kind) == (1, len(hello) - 4, socket.inet_aton(ENDS[1]), 0, 0x0100)
            hellos.sendto(hello.replace(router, ours), (ALL_ROUTERS, LDP))
            call, (caller, _) = calls.accept()
            with call:
                assert caller == ENDS[1]
                call.settimeout(30)
                assert call.recv(1_500)[:2] == b"\0\1", "an LDP PDU: its initialisation"


@pytest.mark.slow
def test_two_of_them_agree_on_labels_that_a_kernel_then_switches(tmp_path: Path) -> None:
    """One asks for explicit null, the other pops at the penultimate hop: their label tables say so, and what we label
    with a label of theirs leaves as agreed."""
    inner = "10.1.0.1", "10.2.0.1"
    with Guest(tmp_path / "a") as one, Guest(tmp_path / "b") as other:
        guests = one, other
        for side, guest in enumerate(guests):
            guest.ip(
                f"addr add {ENDS[side]}/24 dev vec0",
                f"addr add {inner[side]}/32 dev lo",
                f"route add {inner[1 - side]}/32 via {ENDS[1 - side]}",
                # Known for good: a guest whose label finds no neighbour drops it.
                f"neigh add {ENDS[1 - side]} lladdr {guest.wires[0].ours.hex(':')} dev vec0 nud permanent",
            )
        with Bridge(one.wires[0], other.wires[0]):
            routers = Frr(one, ENDS[0]), Frr(other, ENDS[1], more="  label local advertise explicit-null")
            labels = [label_for(router, f"{inner[1 - side]}/32") for side, router in enumerate(routers)]
            assert [each[1] for each in labels] == ["exp-null", "imp-null"]
            assert routers[0].neighbours()[0]["state"] == "OPERATIONAL"
        for side, expected in ((0, [(0, 0, 63)]), (1, [])):
            wire = guests[side].wires[0]
            packet = IPV4_FRAME.build(IPv4(1, int(IPv4Address(inner[1 - side])), 253, 7, 50, b"label"))
            wire.send(labelled(labels[side][0], inner=packet, ttl=64), MPLS)
            while not (frame := wire.receive_any() or (0, b"label"))[1].endswith(b"label"):
                pass
            assert frame[0] == (MPLS if expected else IPV4)
            assert stack(Out(0, *frame))[0] == expected


def label_for(router: Frr, prefix: str) -> tuple[int, str]:
    """(label it gave, label it was told) for a prefix, waited for until it is in use and in the kernel."""
    end = time.monotonic() + 60
    while True:
        for each in router.bindings():
            if each["prefix"] == prefix and each["inUse"] and int(each["localLabel"]) in router.kernel_labels():
                return int(each["localLabel"]), each["remoteLabel"]
        assert time.monotonic() < end, router.log()[-3000:]
        time.sleep(0.3)
