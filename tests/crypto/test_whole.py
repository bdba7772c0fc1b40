"""Whole packets of a tunnel: on every tier those an independent implementation makes.

What the call leaves to the long way, and that both agree, is tested where the long way is: tests/link/test_whole.py.
"""

from struct import pack

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto.esp_sa_base import SaState
from emulator.errors import UsageError

KEY, SALT, SPI = bytes(range(16)), b"salt", 0x1000_0001
SOURCE, DESTINATION = 0x0A000001, 0x0A800005


def checksum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def ipv4(total: int, identification: int, ttl: int, protocol: int, source: int, destination: int) -> bytes:
    header = pack(">BBHHHBBHII", 0x45, 0, total, identification, 0x4000, ttl, protocol, 0, source, destination)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:]


def by_hand(frame: bytes, sequence: int, identification: int, key: bytes = KEY) -> bytes:
    """The whole packet, ports 4059 and 40000, by `struct` and an independent AES-GCM."""
    length = len(frame) + 8
    datagram = pack(">HHHH", 4059, 40000, length, 0) + frame
    udp = checksum(pack(">IIHH", SOURCE, DESTINATION, 17, length) + datagram) or 0xFFFF
    datagram = datagram[:6] + udp.to_bytes(2, "big") + datagram[8:]
    text = ipv4(20 + length, identification, 63, 17, SOURCE, DESTINATION) + datagram
    pads = -(len(text) + 2) % 4
    text += bytes(range(1, pads + 1)) + bytes([pads, 4])
    header, iv = pack(">II", SPI, sequence), sequence.to_bytes(8, "big")
    sealed = header + iv + AESGCM(key).encrypt(SALT + iv, text, header)
    return ipv4(20 + len(sealed), 0, 64, 50, 0xC6120003, 0xC6130003) + sealed


OUTER = ipv4(20, 0, 64, 50, 0xC6120003, 0xC6130003)
INNER = ipv4(28, 0, 63, 17, 0, 0) + pack(">HHHH", 0, 0, 8, 0xFFFF)


@pytest.fixture
def compiled(core):
    """Each tier of the compiled core."""
    if core.name == "cryptography":
        pytest.skip("has no such call, which the last test here says")
    return core


def test_whole_packets_are_those_made_by_hand(compiled) -> None:
    """Every length of 0 to 300 and some larger, under both key lengths, beside packets sealed the long way."""
    for key in (KEY, bytes(range(32))):
        out, into = compiled.esp_sa.Sa(SPI, key, SALT), compiled.esp_sa.Sa(SPI, key, SALT)
        sealing, opening = out.whole(OUTER, INNER), into.whole(OUTER, INNER)
        for number, length in enumerate([*range(301), 1400, 4096, 9000, 65_450]):
            frame = bytes(n * 7 & 255 for n in range(length))
            packet = sealing.seal(SOURCE, DESTINATION, 4059, 40_000, frame, number)
            assert packet == by_hand(frame, 2 * number + 1, number, key)
            assert opening.open(packet) == (SOURCE, DESTINATION, 4059, 40_000, frame)
            assert opening.open(packet) is None
            assert into.open(out.seal(b"inner", 4)) == (4, b"inner")
            assert into.state().top == out.state().sequence - 1 == 2 * number + 2


def test_the_window_is_the_associations_own(compiled) -> None:
    """What one way has seen the other refuses, and the window reaches as far back."""
    into = compiled.esp_sa.Sa(SPI, KEY, SALT)
    opening = into.whole(OUTER, INNER)
    said = (SOURCE, DESTINATION, 4059, 40_000, b"frame")
    assert opening.open(by_hand(b"frame", 100, 0)) == said
    assert opening.open(by_hand(b"frame", 36, 0)) is None
    assert opening.open(by_hand(b"frame", 37, 0)) == said
    assert into.open(by_hand(b"frame", 38, 0)[20:])[0] == 4
    assert [opening.open(by_hand(b"frame", number, 0)) for number in (100, 37, 38, 0)] == [None] * 4
    assert into.state() == SaState(1, 100, 1 | 3 << 62)


def test_one_direction_still(compiled) -> None:
    """An association that seals whole packets opens none, and the other way round."""
    sa = compiled.esp_sa.Sa(SPI, KEY, SALT)
    whole = sa.whole(OUTER, INNER)
    packet = whole.seal(SOURCE, DESTINATION, 4059, 40_000, b"frame", 1)
    assert whole.open(packet) is None
    with pytest.raises(UsageError):
        sa.open(packet[20:])
    into = compiled.esp_sa.Sa(SPI, KEY, SALT)
    whole = into.whole(OUTER, INNER)
    assert whole.open(packet) is not None
    assert whole.seal(SOURCE, DESTINATION, 4059, 40_000, b"frame", 1) is None
    assert into.state() == SaState(1, 1, 1)


def test_odd_arguments_are_left_to_the_long_way(compiled) -> None:
    """Out of range or of another type: no packet and no number used."""
    sa = compiled.esp_sa.Sa(SPI, KEY, SALT)
    whole = sa.whole(OUTER, INNER)
    good = (SOURCE, DESTINATION, 4059, 40_000, b"frame", 1)
    odd = {0: (-1, 1 << 32, 1 << 64, None), 2: (-1, 1 << 16, 1 << 32, 1.5), 4: (bytearray(3), "abc", bytes(65_451))}
    for place, values in (odd | {1: odd[0], 3: odd[2], 5: odd[2]}).items():
        for value in values:
            assert whole.seal(*good[:place], value, *good[place + 1 :]) is None
    assert sa.state().sequence == 1
    for packet in (bytearray(by_hand(b"frame", 1, 0)), "packet", b"", bytes(100_000)):
        assert whole.open(packet) is None


def test_only_headers_of_a_tunnel_are_taken(core) -> None:
    """IPv4 with ESP in it outside, IPv4 with UDP in it inside; and nothing after `close`."""
    if core.name == "cryptography":
        assert core.esp_sa.Sa(SPI, KEY, SALT).whole(OUTER, INNER) is None
        return
    sa = core.esp_sa.Sa(SPI, KEY, SALT)
    for outer, inner in ((OUTER[:19], INNER), (OUTER, INNER[:20]), (INNER[:20], INNER), (OUTER, OUTER + bytes(8))):
        with pytest.raises(UsageError):
            sa.whole(outer, inner)
    whole = sa.whole(OUTER, INNER)
    sa.close()
    assert whole.seal(SOURCE, DESTINATION, 4059, 40_000, b"frame", 1) is None
    assert whole.open(by_hand(b"frame", 1, 0)) is None
    with pytest.raises(UsageError):
        sa.whole(OUTER, INNER)
