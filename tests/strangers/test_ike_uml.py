"""Our gateway, IKEv2 and ESP together, against kernels' ESP under two daemons: charon's and libreswan's pluto.

What a network namespace of the host cannot show: ESP without UDP, extended sequence numbers, a second daemon.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

import pytest
from charon_kit import SECRET, Charon
from charon_kit import connection as for_charon
from gateway_kit import Gateway
from pluto_kit import Pluto
from pluto_kit import connection as for_pluto
from uml_kit import Guest

from emulator.kernel.time import SECOND
from emulator.link.ike.effects import Address, ChildDown, ChildUp, IkeDown, IkeUp
from emulator.link.ike.peer import IkePeer
from emulator.link.ike.settings import Child, Connection, Identity, Secret, Timers, network

pytestmark = pytest.mark.stranger

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
BEYOND, INNER = "10.1.0.77", "10.2.0.1"
CALM = Timers(dpd_delay=30 * SECOND, rekey_child=0, rekey_ike=0, tries=8)
ESP = 50


@pytest.fixture
def guest(tmp_path: Any) -> Iterator[Guest]:
    with Guest(tmp_path) as found:
        found.ip(
            f"addr add {THEIRS}/24 dev vec0", f"addr add {INNER}/32 dev lo", f"route add default via {OURS} src {INNER}"
        )
        yield found


@contextmanager
def gateway(guest: Guest, them: str, esp: str, *, force_encap: bool = False) -> Iterator[Gateway]:
    """Ours, which knows its peer by name."""
    child = Child("net", (network("10.1.0.0/24"),), (network("10.2.0.0/24"),), (esp,))
    connection = Connection(
        "link", Identity.of("emulator"), (child,), Identity.of(them), Address(int(IPv4Address(THEIRS)), 500),
        secret=Secret(SECRET.encode()), proposals=("aes256gcm16-prfsha256-x25519",), timers=CALM,
        force_encap=force_encap,
    )  # fmt: skip
    peer = IkePeer("emulator", [connection], b"against a kernel", Address(int(IPv4Address(OURS)), 500))
    found = Gateway(peer, guest.wires[0], OURS, THEIRS)
    try:
        yield found
    finally:
        found.close()


def ping(guest: Guest, count: int) -> None:
    """All answered, or an AssertionError with what ping says."""
    guest.run(f"ping -q -c {count} -i 0.01 -W 10 -I {INNER} {BEYOND}")


def renew(guest: Guest, ours: Gateway, their_child: Callable[[], Any], their_ike: Callable[[], Any]) -> None:
    """Both SAs are made anew by either end, the old ones go, and users cross after every step."""
    steps: list[tuple[type[ChildUp] | type[IkeUp], type[ChildDown] | type[IkeDown], Callable[[], Any]]] = [
        (ChildUp, ChildDown, their_child),
        (ChildUp, ChildDown, lambda: ours.do("rekey_child", ours.esp.spis[-1])),
        (IkeUp, IkeDown, their_ike),
        (IkeUp, IkeDown, lambda: ours.do("rekey_ike", "link")),
        (ChildUp, ChildDown, their_child),
    ]
    for up, down, step in steps:
        stood, gone = len(ours.of(up)), len(ours.of(down))
        step()
        ours.wait(up, stood + 1)
        ours.wait(down, gone + 1)
        ping(guest, 5)


@pytest.mark.parametrize(
    ("begins", "esp", "force_encap"),
    [
        pytest.param("charon", "aes256gcm16-esn", False, id="charon-gcm-esn"),
        pytest.param("we", "chacha20poly1305-esn", True, id="we-chacha-esn-udp"),
        pytest.param("we", "aes256gcm16-esn", False, id="we-gcm-esn", marks=pytest.mark.slow),
        pytest.param("charon", "aes128-sha256-noesn", False, id="charon-cbc", marks=pytest.mark.slow),
    ],
)
def test_charon_over_a_kernels_esp(guest: Guest, begins: str, esp: str, force_encap: bool) -> None:
    """100 pings, none lost, before and behind five rekeys; bare ESP unless we ask for UDP."""
    with gateway(guest, "charon", esp, force_encap=force_encap) as ours:
        charon = Charon(guest, for_charon(THEIRS, OURS, esp=esp), kernel_esp=True)
        if begins == "charon":
            charon.initiate()
        else:
            ours.do("initiate", "link")
        child = ours.wait(ChildUp).child
        charon.wait(r"CHILD_SA net\{\d+\} established")
        assert (child.esn, child.encap) == ("-esn" in esp, force_encap)
        ping(guest, 100)
        assert (ESP in ours.protocols) is not force_encap
        renew(guest, ours, lambda: charon.rekey(child="net"), lambda: charon.rekey(ike="link"))
        ping(guest, 100)
        assert {one.reason for one in ours.of(ChildDown) + ours.of(IkeDown)} == {"rekeyed"}
        assert not any(value for name, value in guest.counters().items() if "Proto" in name or "Seq" in name)
        if begins == "charon":
            charon.terminate("link")
        else:
            ours.do("terminate", "link")
        ours.wait(IkeDown, len(ours.of(IkeUp)))
        assert not ours.peer.sas
        assert not ours.esp.spis


@pytest.mark.parametrize("esn", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["esn", "short"])
def test_pluto(guest: Guest, esn: bool) -> None:
    """The second daemon: it answers, then it asks; 100 pings each time, none lost; five rekeys."""
    with gateway(guest, "pluto", "aes256gcm16-esn" if esn else "aes256gcm16-noesn") as ours:
        pluto = Pluto(guest, for_pluto(THEIRS, OURS, esn="yes" if esn else "no"))
        ours.do("initiate", "link")
        assert ours.wait(ChildUp).child.esn is esn
        pluto.wait("responder established Child SA")
        ping(guest, 100)
        renew(guest, ours, pluto.rekey_child, pluto.rekey_ike)
        ping(guest, 100)
        ours.do("terminate", "link")
        ours.wait(IkeDown, len(ours.of(IkeUp)))
        pluto.wait("deleting state .*IKE_SA.* aged")
        assert "initiator established Child SA" in pluto.initiate().stdout
        ping(guest, 100)
        pluto.terminate()
        ours.wait(IkeDown, len(ours.of(IkeUp)))
        assert not ours.peer.sas
