"""tshark opens the capture with nothing but the file and its key directory."""

import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.kernel.time import DAY, SECOND
from emulator.link.chain import Chain
from emulator.link.esp_spec import SaSpec, wireshark_line
from emulator.link.profile import LinkProfile
from emulator.link.sad import Association, pair
from emulator.link.tap import Tap, dotted, finish, opening

pytestmark = pytest.mark.stranger

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
QUIET = LinkProfile(outages_per_day=0.0)


@pytest.fixture(scope="module", autouse=True)
def tshark() -> None:
    """Without tshark a skip, or a failure where strangers are required."""
    if shutil.which("tshark") is None:
        assert os.environ.get("SMETS1_REQUIRE_STRANGERS") != "1", "tshark is required and not installed"
        pytest.skip("tshark is not installed")


def run(path: Path, kind: str) -> list[tuple[int, bytes]]:
    """A capture of two cells, four exchanges each; (instant, frame) of what was sent, in the order of the capture."""
    sent = []
    for cell in (3, 4):
        tap = Tap(path, cell)
        chain = Chain(kind, cell, 5, QUIET, tap)
        for number in range(4):
            now = NOON + number * SECOND + cell
            down, up = bytes([cell, number]) * 20, bytes([cell, number]) * (5 + number) + b"\0"
            chain.offer_down(cell, 4059, 4059, down, now, number)
            chain.offer_up(cell, HEAD_END, 4059, 4059, up, now + SECOND // 2, number)
            sent += [(now, down), (now + SECOND // 2, up)]
        tap.close()
    finish(path, kind, 5, (3, 4), QUIET)
    return sorted(sent)


def line(one: Association) -> str:
    """What opens an association of the suite of these runs."""
    spec = SaSpec(one.spi, "aes128gcm16", one.key, one.salt)
    return f"{wireshark_line(spec, dotted(one.source), dotted(one.destination))}\n"


def fields(path: Path, *names: str) -> list[list[str]]:
    """These fields of every packet, by the very command that `opening` tells a person."""
    setting, *command = shlex.split(opening(path))
    name, _, value = setting.partition("=")
    options = [word for field in names for word in ("-e", field)]
    answer = subprocess.run(
        [*command, "-T", "fields", "-E", "occurrence=a", *options],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "rror" not in answer.stderr, answer.stderr
    return [line.split("\t") for line in answer.stdout.splitlines()]


def test_esp_decrypts_with_good_icv_and_checksums(tmp_path: Path) -> None:
    """Every packet of every cell: ICV good, inner addresses, checksums good, payload to the byte, sequence in order."""
    path = tmp_path / "run.pcapng"
    sent = run(path, "ipsec")
    rows = fields(
        path, "esp.icv_good", "esp.sequence", "ip.checksum.status", "udp.checksum.status", "udp.payload", "ip.dst",
        "esp.spi",
    )  # fmt: skip
    assert [bytes.fromhex(row[4]) for row in rows] == [frame for _, frame in sent]
    assert {tuple(row[index] for index in (0, 2, 3)) for row in rows} == {("1", "1,1", "1")}
    assert {row[5] for row in rows} == {
        "198.19.0.3,10.128.0.3", "198.18.0.3,10.0.0.1", "198.19.0.4,10.128.0.4", "198.18.0.4,10.0.0.1",
    }  # fmt: skip
    for spi in {row[6] for row in rows}:
        assert [row[1] for row in rows if row[6] == spi] == ["1", "2", "3", "4"]


def test_without_the_keys_it_stays_closed(tmp_path: Path) -> None:
    """The capture itself gives nothing away."""
    path = tmp_path / "run.pcapng"
    sent = run(path, "ipsec")
    (tmp_path / "run.pcapng.keys" / "esp_sa").write_text("")
    assert {row[0] for row in fields(path, "udp.payload")} == {""}
    assert not any(frame in path.read_bytes() for _, frame in sent)


def test_a_wrong_key_shows_as_a_bad_icv(tmp_path: Path) -> None:
    """tshark's judgement of the ICV depends on the key: with another run's keys no ICV is good (where the garbage it
    decrypts to trips a dissector, tshark gives no judgement at all)."""
    path = tmp_path / "run.pcapng"
    run(path, "ipsec")
    table = tmp_path / "run.pcapng.keys" / "esp_sa"
    ours = "".join(line(one) for cell in (3, 4) for one in pair(5, cell, QUIET))
    others = [
        replace(one, key=other.key, salt=other.salt)
        for cell in (3, 4)
        for one, other in zip(pair(5, cell, QUIET), pair(6, cell, QUIET), strict=True)
    ]
    theirs = "".join(map(line, others))
    assert table.read_text() == ours
    table.write_text(theirs)
    judged = {row[0] for row in fields(path, "esp.icv_good")}
    assert "0" in judged
    assert judged <= {"0", ""}


def test_mpls_labels_are_read(tmp_path: Path) -> None:
    """Labels of cell and direction, S at the bottom, TTL, inner checksums good, payload to the byte."""
    path = tmp_path / "run.pcapng"
    sent = run(path, "mpls")
    rows = fields(
        path, "mpls.label", "mpls.bottom", "mpls.ttl", "udp.payload", "ip.checksum.status", "udp.checksum.status"
    )
    assert [bytes.fromhex(row[3].split(",")[-1]) for row in rows] == [frame for _, frame in sent]
    expected = {f"{0x40000 + offset},{0x80000 + offset}" for offset in (6, 7, 8, 9)}
    assert {row[0] for row in rows} == expected
    assert {(row[1], row[2], row[4]) for row in rows} == {("0,1", "63,63", "1,1")}
    # Status 3: the outer one is not present (RFC 7510 section 3), the inner one is good.
    assert {row[5] for row in rows} == {"3,1"}


def test_plain_is_read(tmp_path: Path) -> None:
    """A link without gateways: the datagrams as they are."""
    path = tmp_path / "run.pcapng"
    sent = run(path, "plain")
    rows = fields(path, "udp.payload", "ip.checksum.status", "udp.checksum.status", "frame.time_epoch")
    assert [bytes.fromhex(row[0]) for row in rows] == [frame for _, frame in sent]
    assert {(row[1], row[2]) for row in rows} == {("1", "1")}
    assert [round(float(row[3]) * 1_000_000) for row in rows] == [at for at, _ in sent]
