"""tshark opens what our gateways send: every suite it knows, bare and in UDP, tunnel and transport, by our lines."""

import os
import shutil
import subprocess
from pathlib import Path
from struct import pack

import pytest

from emulator.codecs.ipv4 import IPV4_FRAME, IPv4
from emulator.crypto.esp_suites import SUITES, suite
from emulator.link.datagram import build_through_codecs
from emulator.link.esp_end import EspEnd, EspSettings
from emulator.link.esp_spec import SaSpec, wireshark_line

pytestmark = pytest.mark.stranger

LEFT, RIGHT, HEAD, HUB = 0xC6120000, 0xC6130000, 0x0A000001, 0x0A800005


@pytest.fixture(scope="module", autouse=True)
def tshark() -> None:
    """Without tshark a skip, or a failure where strangers are required."""
    if shutil.which("tshark") is None:
        assert os.environ.get("SMETS1_REQUIRE_STRANGERS") != "1", "tshark is required and not installed"
        pytest.skip("tshark is not installed")


def read(path: Path, packets: list[bytes], specs: list[SaSpec], *fields: str) -> list[list[str]]:
    """These fields of each packet, the keys given as tshark's own table."""
    head = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 101)
    path.write_bytes(head + b"".join(pack("<IIII", n, 0, len(p), len(p)) + p for n, p in enumerate(packets)))
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "occurrence=a"]
    for preference in (
        "esp.enable_encryption_decode:TRUE", "esp.enable_authentication_check:TRUE", "udp.check_checksum:TRUE",
        "ip.defragment:TRUE", *(f"uat:esp_sa:{line}" for one in specs if (line := wireshark_line(one)) is not None),
    ):  # fmt: skip
        command += ["-o", preference]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "rror" not in done.stderr, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def spec(spi: int, name: str) -> SaSpec:
    sizes = suite(name)
    key = bytes((spi + n) & 255 for n in range(sizes.key))
    return SaSpec(spi, name, key, b"salt"[: sizes.salt], bytes(range(sizes.integrity)))


def test_every_suite_is_opened(tmp_path: Path) -> None:
    """ICV good, inner addresses and payload to the byte, the inner UDP checksum good; ChaCha20-Poly1305, which tshark
    4.0 does not know, stays closed and harms nothing."""
    packets, specs, wanted = [], [], []
    for number, name in enumerate(SUITES):
        for encap in (False, True):
            one = spec(0x1000 + 2 * number + encap, name)
            end = EspEnd(LEFT, RIGHT)
            end.up(one, spec(0x9000, name), encap=encap)
            specs.append(one)
            for length in (1, 64, 777):
                frame = bytes(n * 7 + number & 255 for n in range(length))
                inner = build_through_codecs(HEAD, HUB, 4059, 40_000, frame, length, 63)
                packets += end.send(inner, 0).packets
                known = name != "chacha20poly1305"
                wanted.append((f"0x{one.spi:08x}", frame.hex() if known else ""))
    rows = read(
        tmp_path / "suites.pcap", packets, specs, "esp.spi", "esp.icv_good", "ip.dst", "udp.payload",
        "udp.checksum.status",
    )  # fmt: skip
    opened = [row for row, (_, frame) in zip(rows, wanted, strict=True) if frame]
    assert len(opened) == len(rows) - 6
    shown = [(row[0], row[3].split(",")[-1] if row in opened else "") for row in rows]
    assert shown == wanted
    assert {row[1] for row in opened} == {"1"}
    assert {row[2] for row in opened} == {"198.19.0.0,10.128.0.5"}
    assert {row[4].split(",")[-1] for row in opened} == {"1"}


def test_transport_mode_and_pieces_are_opened(tmp_path: Path) -> None:
    """The transport header in its place; a packet cut after sealing is put together by tshark, too."""
    one, two = spec(0x2001, "aes128gcm16"), spec(0x2002, "aes256-sha256")
    host, gateway = EspEnd(LEFT, RIGHT), EspEnd(LEFT, RIGHT, EspSettings(fragment="after"))
    host.up(one, spec(0x9000, "aes128gcm16"), tunnel=False)
    gateway.up(two, spec(0x9000, "aes128gcm16"))
    packets = [*host.send(build_through_codecs(LEFT, RIGHT, 4059, 40_000, b"frame", 0, 63), 0).packets]
    whole = IPV4_FRAME.parse(build_through_codecs(HEAD, HUB, 4059, 40_000, bytes(3000), 0, 63))
    may_be_cut = IPv4(HEAD, HUB, 17, 1, 63, whole.payload, flags=0)
    packets += gateway.send(IPV4_FRAME.build(may_be_cut), 0).packets
    rows = read(tmp_path / "modes.pcap", packets, [one, two], "esp.icv_good", "udp.payload")
    assert [row[0] for row in rows] == ["1", "", "", "1"]
    assert [row[1] for row in rows] == [b"frame".hex(), "", "", bytes(3000).hex()]
