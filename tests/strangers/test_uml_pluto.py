"""Two IKE daemons that share no code, strongSwan's and libreswan's, across our bridge: the kit of the second judged."""

from pathlib import Path

import pytest
from charon_kit import Charon
from charon_kit import connection as charon_connection
from namespace_kit import Lab
from pluto_kit import Pluto, connection
from uml_kit import Guest
from wire_kit import Bridge

pytestmark = [pytest.mark.stranger, pytest.mark.slow]

ENDS = "192.0.2.1", "192.0.2.2"
INNER = "10.1.0.1", "10.2.0.1"


def test_pluto_answers_asks_and_rekeys(tmp_path: Path) -> None:
    """Each brings the tunnel up, each rekeys both SAs, users cross after every step."""
    with Lab(tmp_path / "lab") as lab, Guest(tmp_path / "uml") as guest:
        place = lab.add("a")
        wire = place.wire(ENDS[0])
        place.ip(f"addr add {INNER[0]}/32 dev lo")
        guest.ip(
            f"addr add {ENDS[1]}/24 dev vec0",
            f"addr add {INNER[1]}/32 dev lo",
            f"route add default via {ENDS[0]} src {INNER[1]}",
        )

        def ping() -> None:
            place.run(f"ping -q -c 5 -i 0.05 -W 5 -I {INNER[0]} {INNER[1]}")

        with Bridge(wire, guest.wires[0]):
            pluto = Pluto(guest, connection(*ENDS[::-1], local_id="b", remote_id="a"))
            inner = {"local_ts": "10.1.0.0/24", "remote_ts": "10.2.0.0/24"}
            charon = Charon(place, charon_connection(*ENDS, local_id="a", remote_id="b", **inner))
            charon.initiate()
            ping()
            pluto.rekey_child()
            pluto.rekey_ike()
            charon.wait(r"IKE_SA link\[2\] rekeyed")
            ping()
            charon.rekey(child="net")
            pluto.wait("responder rekeyed Child SA")
            charon.rekey(ike="link")
            pluto.wait("responder rekeyed IKE SA")
            ping()
            assert "STATE_V2_ESTABLISHED_CHILD_SA" in pluto.status()
            pluto.terminate()
            charon.wait("received DELETE for IKE_SA link")
            assert charon.sas() == {}
            assert "initiator established Child SA" in pluto.initiate().stdout
            ping()
