"""The capture: its bytes, its keys, its cells."""

import shlex
import struct
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from emulator.errors import FrameError, InputError
from emulator.kernel.time import DAY, HOUR, MINUTE, SECOND
from emulator.link.chain import Chain
from emulator.link.ike.settings import Timers
from emulator.link.kinds import KINDS
from emulator.link.profile import LinkProfile, Outage, PeerDeath
from emulator.link.sad import pair
from emulator.link.tap import Tap, abandon, finish, keys_directory, opening

NOON = 18_300 * DAY + DAY // 2
HEAD_END = 0x0A000001
PROFILE = LinkProfile(outages=(Outage(NOON + 10 * SECOND),), outages_per_day=0.0)

Packet = tuple[int, int, bytes, int, str]
"""(instant, interface, bytes, direction flag, comment)."""


def read(path: Path) -> tuple[list[int], list[Packet]]:
    """A pcapng file by the book (draft-ietf-opsawg-pcapng): link types, packets."""
    data = path.read_bytes()
    at, types, packets = 0, [], []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        if kind == 0x0A0D0D0A:
            assert at == 0
            assert body[:8] == struct.pack("<IHH", 0x1A2B3C4D, 1, 0)
        elif kind == 1:
            types.append(struct.unpack_from("<H", body)[0])
        else:
            assert kind == 6
            interface, high, low, size, original = struct.unpack_from("<IIIII", body)
            assert size == original
            options, packet = body[20 + size + -size % 4 :], body[20 : 20 + size]
            found = {}
            while options:
                code, count = struct.unpack_from("<HH", options)
                found[code] = options[4 : 4 + count]
                options = options[4 + count + -count % 4 :]
            assert 0 in found
            flags = int.from_bytes(found[2], "little")
            packets.append((high << 32 | low, interface, packet, flags, found.get(1, b"").decode()))
        at += length
    return types, packets


def record(path: Path, kind: str, cells: range) -> list[tuple[int, int, bytes]]:
    """Exchanges in every cell, one packet replayed, one lost in an outage; what was sent, as (when, cell, packet)."""
    sent = []
    for cell in cells:
        tap = Tap(path, cell)
        chain = Chain(kind, cell, 7, PROFILE, tap)
        for number in range(4):
            now = NOON + number * SECOND + cell % 3
            ((delay, packet),) = chain.offer_down(cell, 4059, 4059, bytes([number]) * 9, now, number)
            chain.deliver_down(packet, now + delay)
            ((_, answer),) = chain.offer_up(cell, HEAD_END, 4059, 4059, b"x" * number, now + delay, number)
            sent += [(now, cell, packet), (now + delay, cell, answer)]
        chain.deliver_up(answer, NOON + 5 * SECOND)
        chain.deliver_up(answer, NOON + 6 * SECOND)
        chain.offer_up(cell, HEAD_END, 4061, 4061, b"gone", NOON + 11 * SECOND, 9)
        tap.close()
        assert tap.packets == (10 if kind == "ipsec" else 9)
    return sent


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.standby is None])
def test_cells_merge_in_time_order_with_everything_that_left_a_gateway(tmp_path: Path, kind: str) -> None:
    """Three cells, one file: every packet sent, by time and then by cell, from the interface of its gateway; a lost one
    and (ipsec) a refused one carry their reason."""
    path = tmp_path / "run.pcapng"
    sent = record(path, kind, range(3))
    count = finish(path, kind, 7, range(3), PROFILE)
    types, packets = read(path)
    assert types == [101, 101]
    assert count == len(packets)
    assert [(at, packet) for at, _, packet, _, remark in packets if not remark] == [
        (at, packet) for at, cell, packet in sorted(sent, key=lambda item: item[:2])
    ]
    assert {interface for _, interface, _, flags, _ in packets if flags == 2} == {0, 1}
    lost = [(interface, flags) for _, interface, _, flags, remark in packets if remark == "lost: outage"]
    assert lost == [(1, 2)] * 3
    refused = [(interface, flags) for _, interface, _, flags, remark in packets if remark.startswith("refused: replay")]
    assert refused == ([(0, 1)] * 3 if kind == "ipsec" else [])
    assert [at for at, *_ in packets] == sorted(at for at, *_ in packets)


def test_nothing_is_left_over_and_the_capture_appears_whole(tmp_path: Path) -> None:
    """Before `finish` there is no capture; after it there are the capture and its keys and nothing else."""
    path = tmp_path / "run.pcapng"
    record(path, "ipsec", range(2))
    assert not path.exists()
    finish(path, "ipsec", 7, range(2), PROFILE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.pcapng", "run.pcapng.keys"]
    assert sorted(file.name for file in keys_directory(path).iterdir()) == [
        "esp_sa", "ikev2_decryption_table", "preferences",
    ]  # fmt: skip
    first = path.read_bytes()
    record(path, "ipsec", range(2))
    finish(path, "ipsec", 7, range(2), PROFILE)
    assert path.read_bytes() == first


def test_an_abandoned_capture_leaves_nothing(tmp_path: Path) -> None:
    """A run that failed takes its parts away."""
    path = tmp_path / "run.pcapng"
    record(path, "ipsec", range(2))
    abandon(path, range(5))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_is_refused_and_no_capture_appears(tmp_path: Path) -> None:
    """A part that was cut or overwritten is found by its blocks; nothing but the keys is left."""
    path = tmp_path / "run.pcapng"
    for damage in (lambda b: b[:-1], lambda b: b[:5], lambda b: b"\xff" * 64, lambda b: b + bytes(3)):
        record(path, "ipsec", range(1))
        (part,) = tmp_path.glob(".run.pcapng.cell-000000.part")
        part.write_bytes(damage(part.read_bytes()))
        with pytest.raises(FrameError):
            finish(path, "ipsec", 7, range(1), PROFILE)
        assert list(tmp_path.iterdir()) == [keys_directory(path)]


def test_a_place_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    """No such directory, a cell without a part, a file where the keys should go: one clear message each."""
    with pytest.raises(InputError, match="cannot write the capture"):
        Tap(tmp_path / "missing" / "run.pcapng", 0)
    path = tmp_path / "run.pcapng"
    with pytest.raises(InputError, match="No such file"):
        finish(path, "ipsec", 7, range(1), PROFILE)
    keys_directory(tmp_path / "other.pcapng").write_text("in the way")
    record(tmp_path / "other.pcapng", "ipsec", range(1))
    with pytest.raises(InputError, match="File exists"):
        finish(tmp_path / "other.pcapng", "ipsec", 7, range(1), PROFILE)
    assert not (tmp_path / "other.pcapng").exists()


def test_keys_are_those_of_the_cells(tmp_path: Path) -> None:
    """A line per association, key and salt together; links without ESP have none."""
    path = tmp_path / "run.pcapng"
    record(path, "ipsec", range(2))
    finish(path, "ipsec", 7, range(2), PROFILE)
    lines = (keys_directory(path) / "esp_sa").read_text().splitlines()
    agreed = [one for cell in range(2) for one in pair(7, cell, PROFILE)]
    assert len(lines) == 4
    for line, one in zip(lines, agreed, strict=True):
        assert f'"0x{one.key.hex()}{one.salt.hex()}"' in line
        assert f'"0x{one.spi:08x}"' in line
    record(path, "mpls", range(2))
    finish(path, "mpls", 7, range(2), PROFILE)
    assert (keys_directory(path) / "esp_sa").read_text() == ""


def test_the_command_that_opens_it_survives_a_shell() -> None:
    """Names with spaces are quoted."""
    words = shlex.split(opening(Path("/tmp/my run.pcapng")))
    assert words == ["WIRESHARK_CONFIG_DIR=/tmp/my run.pcapng.keys", "tshark", "-r", "/tmp/my run.pcapng"]


def hours(path: Path, profile: LinkProfile, tapped: bool) -> str:
    """Nine hours of a packet each quarter of an hour, every way, to a capture or to none; the delivery log's digest."""
    tap = Tap(path, 0) if tapped else None
    chain = Chain("ipsec", 0, 7, profile, tap)
    for number in range(36):
        now = NOON + number * 15 * MINUTE
        for delay, packet in chain.offer_down(3, 4059, 4059, b"ask", now, number):
            chain.deliver_down(packet, now + delay)
        for delay, packet in chain.offer_up(3, HEAD_END, 4059, 4059, b"answer", now + SECOND, number):
            chain.deliver_up(packet, now + SECOND + delay)
    if tap is not None:
        tap.close()
        finish(path, "ipsec", 7, (0,), profile)
    return chain.log.digest()


@pytest.mark.parametrize("rekey_ike", [0, 2 * HOUR])
@pytest.mark.parametrize("keying", ["ike", "static"])
def test_what_the_gateways_say_is_there_and_watching_changes_nothing(
    tmp_path: Path, rekey_ike: int, keying: Literal["ike", "static"]
) -> None:
    """Set-up, renewals, and the search for a peer that died until there is another tunnel: in the capture, in order of
    time, with a line for each IKE SA; and the run is the one that nobody watched. Static keys: nobody says a word."""
    deaths = (PeerDeath(NOON + 5 * HOUR + MINUTE),)
    ike = Timers(rekey_ike=rekey_ike)
    profile = LinkProfile(outages_per_day=0.0, peer_deaths=deaths, ike=ike, keying=keying)
    path = tmp_path / "run.pcapng"
    assert hours(path, profile, tapped=True) == hours(path, profile, tapped=False)
    _, packets = read(path)
    said = [(at, packet[28:], remark) for at, _, packet, _, remark in packets if packet[9] == 17]
    lines = (keys_directory(path) / "ikev2_decryption_table").read_text().splitlines()
    if keying == "static":
        assert (said, lines) == ([], [])
        return
    assert [at for at, *_ in packets] == sorted(at for at, *_ in packets)
    early = [message for _, message, remark in said if remark == "set up before the run"]
    assert [message[18] for message in early] == [34, 34, 35, 35], "IKE_SA_INIT and IKE_AUTH, there and back"
    kinds = Counter(message[18] for _, message, remark in said if not remark)
    assert kinds[34] == kinds[35] == 2, "the tunnel after the death"
    assert kinds[36] >= 2 * 7, "a renewal an hour"
    lost = [at for at, _, remark in said if remark == "lost on the way"]
    assert len(lost) >= 2
    assert all(deaths[0].at - SECOND < at < deaths[0].at + 7 * SECOND for at in lost)
    spis = {message[:8] for _, message, _ in said}
    assert len(spis) == len(lines) == len({line[:16] for line in lines}) >= (2 if rekey_ike == 0 else 5)


@pytest.mark.parametrize(
    ("esp", "said"),
    [("aes128gcm16", None), ("chacha20poly1305", "does not open chacha20poly1305"), ("aes256-sha256-esn", "ICV bad")],
)
def test_the_comment_says_what_a_reader_will_not_see(tmp_path: Path, esp: str, said: str | None) -> None:
    path = tmp_path / "run.pcapng"
    profile = LinkProfile(outages_per_day=0.0, esp=esp)
    hours(path, profile, tapped=True)
    about = path.read_bytes()[:600].decode("latin-1")
    assert "core link, kind ipsec" in about
    assert (said or "core link") in about
    assert ("; Wireshark" in about or "; its table" in about) is (said is not None)
