"""tshark opens the capture with nothing but the file and its key directory."""

import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.chain import Chain
from emulator.link.esp_spec import SaSpec, wireshark_line
from emulator.link.ike.settings import Timers
from emulator.link.profile import LinkProfile, Outage, PeerDeath
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


def run(path: Path, kind: str, profile: LinkProfile = QUIET) -> list[tuple[int, bytes]]:
    """A capture of two cells, four exchanges each; (instant, frame) of what was sent, in the order of the capture."""
    sent = []
    for cell in (3, 4):
        tap = Tap(path, cell)
        chain = Chain(kind, cell, 5, profile, tap)
        for number in range(4):
            now = NOON + number * SECOND + cell
            down, up = bytes([cell, number]) * 20, bytes([cell, number]) * (5 + number) + b"\0"
            chain.offer_down(cell, 4059, 4059, down, now, number)
            chain.offer_up(cell, HEAD_END, 4059, 4059, up, now + SECOND // 2, number)
            sent += [(now, down), (now + SECOND // 2, up)]
        tap.close()
    finish(path, kind, 5, (3, 4), profile)
    return sorted(sent)


def line(one: Association) -> str:
    """What opens an association of the suite of these runs."""
    spec = SaSpec(one.spi, "aes128gcm16", one.key, one.salt)
    return f"{wireshark_line(spec, dotted(one.source), dotted(one.destination))}\n"


def fields(path: Path, *names: str, of: str = "not isakmp") -> list[list[str]]:
    """These fields of every packet `of` which that is true, by the very command that `opening` tells a person."""
    setting, *command = shlex.split(opening(path))
    name, _, value = setting.partition("=")
    options = [word for field in names for word in ("-e", field)]
    answer = subprocess.run(
        [*command, "-Y", of, "-T", "fields", "-E", "occurrence=a", *options],
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


@pytest.mark.parametrize("esp", ["aes256gcm8", "aes128-sha256", "aes256-sha512", "aes128gcm16-esn", "chacha20poly1305"])
@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
def test_every_suite_is_opened_that_can_be(tmp_path: Path, esp: str, encap: bool) -> None:
    """Bare and in UDP, payload to the byte and ICV good; with extended sequence numbers the ICV is called bad, and
    ChaCha20-Poly1305 stays closed, as the capture's comment says."""
    path = tmp_path / "run.pcapng"
    sent = run(path, "ipsec", replace(QUIET, esp=esp, encap=encap))
    rows = fields(path, "udp.payload", "esp.icv_good", "esp.sequence")
    assert len(rows) == len(sent)
    frames = [row[0].split(",")[-1] for row in rows]
    if esp == "chacha20poly1305":
        assert {row[1] for row in rows} <= {"", "0"}
        assert not set(frames) & {frame.hex() for _, frame in sent}
        return
    assert [bytes.fromhex(frame) for frame in frames] == [frame for _, frame in sent]
    assert {row[1] for row in rows} == {"0" if esp.endswith("-esn") else "1"}


@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
def test_what_the_gateways_say_is_read_in_the_clear(tmp_path: Path, encap: bool) -> None:
    """A day in which keys are renewed and the operator's gateway dies: every message of every IKE SA decrypts, its
    integrity correct; identities and traffic selectors, what replaces what, and every association's packets."""
    path = tmp_path / "run.pcapng"
    ike = Timers(rekey_ike=3 * HOUR)
    profile = replace(QUIET, ike=ike, encap=encap, peer_deaths=(PeerDeath(NOON + 4 * HOUR + MINUTE),))
    tap = Tap(path, 3)
    chain = Chain("ipsec", 3, 5, profile, tap)
    for number in range(24):
        chain.offer_down(3, 4059, 4059, bytes([number]) * 20, NOON + number * 20 * MINUTE, number)
        chain.offer_up(3, HEAD_END, 4059, 4059, bytes([number]) * 20, NOON + number * 20 * MINUTE + SECOND, number)
    tap.close()
    finish(path, "ipsec", 5, (3,), profile)
    data = fields(path, "udp.payload", "esp.icv_good", "esp.spi")
    assert [row[0].split(",")[-1] for row in data] == [(bytes([n // 2]) * 20).hex() for n in range(48)]
    assert {row[1] for row in data} == {"1"}
    assert len({row[2] for row in data}) >= 2 * 8
    rows = fields(path, "isakmp.exchangetype", "isakmp.ispi", "isakmp.enc.decrypted", "frame.comment", of="isakmp")
    assert [row[0] for row in rows[:4]] == ["34", "34", "35", "35"]
    assert {row[3] for row in rows} == {"set up before the run", "lost on the way", ""}
    assert len({row[1] for row in rows}) >= 4
    assert all(row[2] for row in rows if row[0] != "34")
    setting, *command = shlex.split(opening(path))
    name, _, value = setting.partition("=")
    command += ["-Y", "isakmp", "-V"]
    environment = {**os.environ, name: value}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Malformed" not in said
    assert "incorrect" not in said
    for word in ("gateway-3.data-centre.example", "REKEY_SA", "Traffic Selector - Initiator", "Payload: Delete (42)"):
        assert word in said


@pytest.mark.parametrize("kind", ["ipsec-standby", "mpls-standby", "mpls-l3vpn"])
def test_standbys_and_every_router_are_read(tmp_path: Path, kind: str) -> None:
    """Six exchanges over an outage of the first path: those before and after it by one, those within by the other."""
    path = tmp_path / "run.pcapng"
    profile = replace(QUIET, outages=(Outage(NOON + 10 * SECOND),))
    tap = Tap(path, 3)
    chain = Chain(kind, 3, 5, profile, tap)
    for number in range(6):
        now = NOON + number * 4 * SECOND
        assert chain.offer_down(3, 4059, 4059, bytes([number]) * 20, now, number) or kind == "mpls-l3vpn"
    tap.close()
    finish(path, kind, 5, (3,), profile)
    rows = fields(path, "udp.payload", "esp.icv_good", "mpls.label", "frame.comment")
    assert [row[0].split(",")[-1] for row in rows] == [(bytes([n]) * 20).hex() for n in range(6)]
    by = "".join("i" if row[1] == "1" else "m" if row[2] else "?" for row in rows)
    assert by == {"ipsec-standby": "iiimii", "mpls-standby": "mmmimm", "mpls-l3vpn": "mmmmmm"}[kind]
    assert [row[3] for row in rows] == ["" if kind != "mpls-l3vpn" or n != 3 else "lost: outage" for n in range(6)]
