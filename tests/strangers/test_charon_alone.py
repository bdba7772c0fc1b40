"""The kit judged by itself: two charons bring up a tunnel under our eyes, and our codecs and core read all of it."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from charon_kit import Charon, connection
from namespace_kit import Lab, Namespace
from wire_kit import Bridge, Rule

from emulator.codecs.ike import IKE_FRAME
from emulator.codecs.ipv4 import IPV4_FRAME
from emulator.codecs.udp import UDP_FRAME
from emulator.crypto.esp_sa import Sa

pytestmark = pytest.mark.stranger

ENDS = "192.0.2.1", "192.0.2.2"
INNER = "10.1.0.1", "10.2.0.1"
GCM_KEY = 32
IPV4_IN_IP = 4


class Pair(NamedTuple):
    """Two charons in namespaces of their own, the first one's users at 10.1.0.1, and the bridge that carries them."""

    places: list[Namespace]
    charons: list[Charon]
    bridge: Bridge

    def ping(self, count: int = 3) -> None:
        """All answered, or an AssertionError."""
        self.places[0].run(f"ping -q -c {count} -i 0.05 -W 5 -I {INNER[0]} {INNER[1]}")

    def datagrams(self) -> list[tuple[int, bytes]]:
        """(port, payload) of everything the bridge carried."""
        inside = [UDP_FRAME.parse(IPV4_FRAME.parse(packet).payload) for _, packet in self.bridge.seen]
        return [(each.destination_port, each.payload) for each in inside]

    def ike(self) -> list[bytes]:
        """IKE messages, without the marker of port 4500 (RFC 3948 section 2.2)."""
        return [
            payload.removeprefix(bytes(4))
            for port, payload in self.datagrams()
            if port == 500 or payload[:4] == bytes(4)
        ]

    def esp(self) -> list[bytes]:
        return [payload for port, payload in self.datagrams() if port == 4500 and payload[:4].strip(b"\0")]


@contextmanager
def pair_in(
    folder: Path, settings: str = "", ike: str = "", child: str = "", rule: Rule | None = None
) -> Iterator[Pair]:
    """Two charons that know each other; what is given holds for the first, the rule for the bridge."""
    with Lab(folder) as lab:
        places = [lab.add("a"), lab.add("b")]
        wires = [place.wire(end) for place, end in zip(places, ENDS, strict=True)]
        for place, inner in zip(places, INNER, strict=True):
            place.ip(f"addr add {inner}/32 dev lo")
        there = connection(
            *ENDS, local_id="a", remote_id="b", local_ts="10.1.0.0/24", remote_ts="10.2.0.0/24", ike=ike, child=child
        )
        here = connection(*ENDS[::-1], local_id="b", remote_id="a")
        with Bridge(wires[0], wires[1], rule) as bridge:
            yield Pair(places, [Charon(places[0], there, settings=settings), Charon(places[1], here)], bridge)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_in(tmp_path) as found:
        yield found


def test_two_charons_meet_and_their_users_cross(pair: Pair) -> None:
    """What crossed the wire: IKE that our codec writes again to the byte, ESP that our association opens."""
    one, other = pair.charons
    one.initiate()
    pair.ping()
    assert one.sas()["link"]["state"] == other.sas()["link"]["state"] == "ESTABLISHED"
    messages = [IKE_FRAME.parse(message) for message in pair.ike()]
    # More may follow: a charon whose tunnel device has just come up tells its addresses (MOBIKE, RFC 4555).
    assert [(message.exchange, message.flags & 0x28) for message in messages[:4]] == [
        (34, 0x08), (34, 0x20), (35, 0x08), (35, 0x20)
    ]  # fmt: skip
    assert [IKE_FRAME.build(message) for message in messages] == pair.ike()
    secrets = one.secrets()
    assert secrets["shared Diffie Hellman secret"] == other.secrets()["shared Diffie Hellman secret"]
    keys = secrets["encryption initiator key"][-1], secrets["encryption responder key"][-1]
    child = one.sas()["link"]["child-sas"]["net-1"]
    spis = int(child["spi-out"], 16), int(child["spi-in"], 16)
    sas = {spi: Sa(spi, key[:GCM_KEY], key[GCM_KEY:]) for spi, key in zip(spis, keys, strict=True)}
    inside = [sas[int.from_bytes(sealed[:4], "big")].open(sealed) for sealed in pair.esp()]
    assert [next_header for next_header, _ in inside] == [IPV4_IN_IP] * 6
    assert [IPV4_FRAME.parse(inner).payload[0] for _, inner in inside] == [8, 0] * 3, "echo and answer in turn"


def test_they_rekey_and_part(pair: Pair) -> None:
    """Both SAs are made anew while users cross, then all is deleted at both ends."""
    one, other = pair.charons
    one.initiate()
    before = one.sas()["link"]
    one.rekey(child="net")
    one.wait("outbound CHILD_SA net.* established")
    other.rekey(ike="link")
    one.wait(r"IKE_SA link\[2\] rekeyed")
    pair.ping()
    after = one.sas()["link"]
    assert after["initiator-spi"] != before["initiator-spi"]
    assert [child["spi-in"] for child in after["child-sas"].values()] != [before["child-sas"]["net-1"]["spi-in"]]
    assert len(one.secrets()["encryption initiator key"]) == 2
    one.terminate("link")
    other.wait("received DELETE for IKE_SA link")
    assert one.sas() == {}


def test_an_answer_lost_on_the_way_is_sent_again_to_the_byte(tmp_path: Path) -> None:
    """The bridge loses the first IKE_AUTH answer: the request comes again, and so does the very same answer (RFC 7296
    section 2.1)."""
    lost: list[bytes] = []

    def rule(side: int, packet: bytes) -> list[bytes]:
        payload = UDP_FRAME.parse(IPV4_FRAME.parse(packet).payload).payload.removeprefix(bytes(4))
        if side == 1 and not lost and payload[18:20] == b"\x23\x20":  # exchange IKE_AUTH, a response
            lost.append(payload)
            return []
        return [packet]

    with pair_in(tmp_path, settings="retransmit_timeout = 0.3", rule=rule) as pair:
        pair.charons[0].initiate()
        answers = [message for message in pair.ike() if message[18:20] == b"\x23\x20"]
        assert len(answers) == 2
        assert set(answers) == set(lost)


def test_a_cable_needs_no_one_to_carry(tmp_path: Path) -> None:
    """Two namespaces by themselves, as a served gateway and a VPN gateway would stand: the kernel carries."""
    with Lab(tmp_path) as lab:
        one, other = lab.add("a"), lab.add("b")
        lab.cable(one, ENDS[0], other, ENDS[1])
        for place, user in ((one, INNER[0]), (other, INNER[1])):
            place.ip(f"addr add {user}/32 dev lo")
        inner = {"local_ts": "10.1.0.0/24", "remote_ts": "10.2.0.0/24"}
        Charon(other, connection(*ENDS[::-1], local_id="b", remote_id="a"))
        Charon(one, connection(*ENDS, local_id="a", remote_id="b", **inner)).initiate()
        one.run(f"ping -q -c 3 -i 0.05 -W 5 -I {INNER[0]} {INNER[1]}")


@pytest.mark.slow
def test_a_peer_that_dies_costs_six_seconds(tmp_path: Path) -> None:
    """Dead-peer detection after 1 s, five tries of 1 s: users miss 5 to 6 s, up to one more as charon reckons silence
    in whole seconds (see test_live_charon), and a bit for the new set-up."""
    patience = "retransmit_timeout = 1.0\nretransmit_base = 1\nretransmit_tries = 4"
    with pair_in(tmp_path, settings=patience, ike="dpd_delay = 1s", child="dpd_action = restart") as pair:
        one, other = pair.charons
        one.initiate()
        pair.ping()
        other.stop("KILL")
        died = time.monotonic()
        other.start()
        while pair.places[0].run(f"ping -q -c 1 -W 0.05 -I {INNER[0]} {INNER[1]}", check=False).returncode:
            assert time.monotonic() < died + 20, one.log()[-3000:]
        assert 4.7 < time.monotonic() - died < 7.3


def test_the_yardstick_of_the_benchmarks_pushes_packets_through_two_of_them() -> None:
    """`bench/userland_esp.py` by itself: whatever it offers arrives, and charons' CPU was used for it."""
    script = Path(__file__).parents[2] / "bench" / "userland_esp.py"
    done = subprocess.run([sys.executable, script, "--seconds", "0.5"], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    arrived, offered = re.findall(r"^(\d+) of (\d+) packets", done.stdout)[0]
    assert int(arrived) == int(offered) > 1_000
    assert int(re.findall(r"([\d,]+) packets a second of one core", done.stdout)[0].replace(",", "")) > 1_000
