"""ESP under IKE: what the peers agree on and renew, the ends apply, and no packet is lost meanwhile."""

import heapq

import pytest

from emulator.kernel.time import MILLISECOND, SECOND
from emulator.link.datagram import build_through_codecs
from emulator.link.esp_end import EspEnd
from emulator.link.ike.memory import Memory
from emulator.link.ike.pair import CONNECTION, gateways
from emulator.link.profile import LinkProfile

QUIET = LinkProfile(outages_per_day=0.0)
HEAD, HUB = 0x0A000001, 0x0A800005
DELAY = 10 * MILLISECOND


class Road:
    """Two IKE peers, an end for each, and ESP packets on the way between them."""

    def __init__(self, esp: tuple[str, ...], encap: bool) -> None:
        self.peers = gateways(1, 3, QUIET, esp=esp, encap=encap)
        self.memory = Memory(self.peers, delay=DELAY)
        places = [peer.address.ip for peer in self.peers]
        self.ends = [EspEnd(places[0], places[1]), EspEnd(places[1], places[0])]
        self.under_way: list[tuple[int, int, int, bytes]] = []
        self.arrived: list[tuple[int, bytes]] = []
        self.sent = 0
        self._told = 0

    def run(self, until: int) -> None:
        """IKE and ESP up to an instant, a millisecond at a time; an ESP packet is a little faster than IKE's."""
        while self.memory.now < until:
            self.memory.run(self.memory.now + MILLISECOND)
            while self.under_way and self.under_way[0][0] <= self.memory.now:
                _, _, at, outer = heapq.heappop(self.under_way)
                answer = self.ends[at].receive(outer, self.memory.now)
                assert answer.what == "packet", answer
                self.peers[at].heard(answer.spi, self.memory.now)
                self.arrived.append((at, answer.data))
            self.apply()

    def apply(self) -> None:
        for _, name, effect in self.memory.said[self._told :]:
            self.ends[[peer.name for peer in self.peers].index(name)].apply(effect)
        self._told = len(self.memory.said)

    def send(self) -> None:
        """A packet each way."""
        for at, (source, destination) in enumerate(((HEAD, HUB), (HUB, HEAD))):
            self.sent += 1
            inner = build_through_codecs(source, destination, 4059, 4059, b"frame", self.sent & 0xFFFF, 63)
            sent = self.ends[at].send(inner, self.memory.now)
            assert sent.reason == ""
            for outer in sent.packets:
                heapq.heappush(self.under_way, (self.memory.now + DELAY - MILLISECOND, self.sent, 1 - at, outer))


@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
@pytest.mark.parametrize(
    "esp", ["aes128gcm16-noesn", "aes256gcm16-esn", "aes128gcm8-esn", "aes256-sha256-esn", "chacha20poly1305-noesn"]
)
def test_nothing_is_lost_while_associations_are_renewed(esp: str, encap: bool) -> None:
    """A packet each way every five milliseconds, while the one, the other and both at once renew the child; and while
    the IKE SA itself is renewed."""
    road = Road((esp,), encap)
    left, right = road.peers
    road.memory.do(left, left.initiate(CONNECTION, 0))
    road.run(SECOND)
    assert [len(end.spis) for end in road.ends] == [1, 1]
    seen = set()
    for turn in range(4):
        start = road.memory.now
        for number in range(60):
            road.send()
            road.run(start + (number + 1) * 5 * MILLISECOND)
            seen.update(road.ends[0].spis)
            if number == 5:
                who = ((left,), (right,), (left, right), ())[turn]
                for peer in who:
                    (spi,) = road.memory.children[peer.name]
                    road.memory.do(peer, peer.rekey_child(spi, road.memory.now))
                if not who:
                    road.memory.do(left, left.rekey_ike(CONNECTION, road.memory.now))
                road.apply()
    road.run(road.memory.now + SECOND)
    assert len(road.arrived) == road.sent == 480
    assert [len(end.spis) for end in road.ends] == [1, 1]
    assert len(seen) >= 4
    assert {end.counts["packet"] for end in road.ends} == {240}
    road.memory.do(left, left.terminate(CONNECTION, road.memory.now))
    road.run(road.memory.now + SECOND)
    assert [end.spis for end in road.ends] == [(), ()]
    assert road.ends[0].send(build_through_codecs(HEAD, HUB, 1, 2, b"", 0, 63), 0).reason == "selector"
