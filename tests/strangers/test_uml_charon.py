"""Charon with a kernel's ESP, in a guest, against charon with its own: the kit judged, which judges us elsewhere."""

from pathlib import Path

import pytest
from charon_kit import Charon, connection
from namespace_kit import Lab
from uml_kit import Guest
from wire_kit import Bridge

from emulator.codecs.ipv4 import IPV4_FRAME

pytestmark = [pytest.mark.stranger, pytest.mark.slow]

ENDS = "192.0.2.1", "192.0.2.2"
INNER = "10.1.0.1", "10.2.0.1"
THERE = {"local_id": "a", "remote_id": "b", "local_ts": "10.1.0.0/24", "remote_ts": "10.2.0.0/24"}
HERE = {"local_id": "b", "remote_id": "a"}


def settle(guest: Guest, side: int) -> None:
    """Addresses of one end on a guest: outer on its device, inner on its loopback."""
    guest.ip(
        f"addr add {ENDS[side]}/24 dev vec0",
        f"addr add {INNER[side]}/32 dev lo",
        f"route add default via {ENDS[1 - side]} src {INNER[side]}",
    )


def test_userland_esp_and_kernel_esp_understand_each_other(tmp_path: Path) -> None:
    """Charon in a namespace against charon in a guest, ESP in UDP; both SAs rekeyed from either side, none lost."""
    with Lab(tmp_path / "lab") as lab, Guest(tmp_path / "uml") as guest:
        place = lab.add("a")
        wire = place.wire(ENDS[0])
        place.ip(f"addr add {INNER[0]}/32 dev lo")
        settle(guest, 1)
        with Bridge(wire, guest.wires[0]) as bridge:
            one = Charon(place, connection(*ENDS, **THERE))
            other = Charon(guest, connection(*ENDS[::-1], **HERE), kernel_esp=True)
            one.initiate()
            place.run(f"ping -q -c 5 -i 0.05 -W 5 -I {INNER[0]} {INNER[1]}")
            assert "espinudp" in guest.run("ip xfrm state").stdout
            other.rekey(child="net")
            other.wait("outbound CHILD_SA net.* established")
            one.rekey(ike="link")
            one.wait(r"IKE_SA link\[2\] rekeyed")
            place.run(f"ping -q -c 5 -i 0.05 -W 5 -I {INNER[0]} {INNER[1]}")
            assert {IPV4_FRAME.parse(packet).protocol for _, packet in bridge.seen} <= {1, 17}
            assert {name for name, value in guest.counters().items() if value} <= {"XfrmInNoStates"}
