"""tshark, given our key log, reads every message of a tunnel's life in the clear."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from emulator.codecs import udp
from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.codecs.udp import UDP, UDP_FRAME
from emulator.crypto.esp_sa import Sa
from emulator.kernel.effects import Instant
from emulator.link.ike.effects import Transmit
from emulator.link.ike.keylog import KeyLog
from emulator.link.ike.memory import Memory
from emulator.link.ike.pair import CONNECTION, DATA_CENTRE, gateways
from emulator.link.ike.settings import Timers
from emulator.link.profile import STANDARD

pytestmark = pytest.mark.stranger
RAW_IPV4 = 228


def packet(source: int, destination: int, ports: tuple[int, int], payload: bytes) -> bytes:
    datagram = UDP_FRAME.build(UDP(*ports, udp.checksum(source, destination, *ports, payload), payload))
    return IPV4_FRAME.build(IPv4(source, destination, udp.PROTOCOL, 0, 64, datagram))


def capture(path: Path, packets: list[bytes]) -> None:
    """A pcap file of raw IPv4 packets."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, RAW_IPV4)
    for n, one in enumerate(packets):
        data += struct.pack("<IIII", n, 0, len(one), len(one)) + one
    path.write_bytes(data)


@pytest.mark.parametrize(
    "suite",
    ["aes128gcm16-prfsha256-x25519", "aes256gcm16-prfsha384-ecp256", "aes128-sha256-x25519", "aes256-sha512-x25519"],
)
def test_tshark_reads_a_whole_life(tmp_path: Path, suite: str) -> None:
    """Set-up, both rekeys and the end, in UDP on 4500, then ESP: names, proposals and deletions are visible."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not here; apt-get install tshark")
    packets: list[bytes] = []

    def path(one: Transmit, now: Instant) -> list[tuple[int, bytes]]:
        ports = (one.source.port, one.destination.port)
        packets.append(packet(one.source.ip, one.destination.ip, ports, one.payload))
        return [(1_000, one.payload)]

    keylog = KeyLog()
    timers = Timers(dpd_delay=0, rekey_child=0, rekey_ike=0)
    down, up = gateways(1, 0, STANDARD, timers=timers, proposals=(suite,), encap=True, keylog=keylog)
    memory = Memory((down, up), path=path)
    memory.do(down, down.initiate(CONNECTION, 0))
    memory.run(1_000_000)
    (child,) = memory.children[DATA_CENTRE].values()
    memory.do(up, up.rekey_child(child.spi_out, memory.now))
    memory.run(2_000_000)
    memory.do(up, up.rekey_ike(CONNECTION, memory.now))
    memory.run(3_000_000)
    (child,) = memory.children[DATA_CENTRE].values()
    inner = packet(STANDARD.head_end, STANDARD.hub_base, (4059, 4059), b"inside")
    sealed = Sa(child.spi_out, child.outbound.encryption, child.outbound.salt).seal(inner, 4)
    packets.append(packet(child.local.ip, child.remote.ip, (4500, 4500), sealed))
    memory.do(down, down.terminate(CONNECTION, memory.now))
    memory.run(4_000_000)
    capture(tmp_path / "life.pcap", packets)

    command = ["tshark", "-r", str(tmp_path / "life.pcap"), *keylog.options, "-V"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Malformed" not in said
    assert "incorrect" not in said
    assert said.count("Decrypted Data") >= 12
    for name in ("gateway-0.data-centre.example", "gateway-0.operator.example", "REKEY_SA", "Payload: Delete (42)"):
        assert name in said
    assert "Traffic Selector - Initiator" in said
    assert b"inside".hex() in said.replace(":", "")
