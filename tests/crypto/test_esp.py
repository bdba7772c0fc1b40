"""ESP associations: packets as RFC 4303 and RFC 4106 have them, and a window that only good packets move."""

import pickle

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.crypto.esp_sa_base import SaState
from emulator.errors import (
    CounterExhaustedError,
    ForeignStoreError,
    FrameError,
    ReplayError,
    TagError,
    UsageError,
)

KEY, SALT, SPI = bytes(range(16)), b"salt", 0x1000_0001


def packet_by_hand(
    inner: bytes, sequence: int, *, key: bytes = KEY, next_header: int = 4, trailer: bytes | None = None
):
    """A packet made with an independent AES-GCM."""
    pads = -(len(inner) + 2) % 4
    text = inner + (bytes(range(1, pads + 1)) + bytes([pads, next_header]) if trailer is None else trailer)
    header, iv = SPI.to_bytes(4, "big") + sequence.to_bytes(4, "big"), sequence.to_bytes(8, "big")
    return header + iv + AESGCM(key).encrypt(SALT + iv, text, header)


@pytest.mark.parametrize("key", [KEY, bytes(range(32))])
def test_packets_are_those_of_an_independent_implementation(core, key) -> None:
    """Every length of 0 to 300 and some larger, both ways, sequence numbers from 1."""
    out, into = core.esp_sa.Sa(SPI, key, SALT), core.esp_sa.Sa(SPI, key, SALT)
    for sequence, length in enumerate([*range(301), 1400, 1500, 4096, 65535], start=1):
        inner = bytes(n * 7 & 255 for n in range(length))
        packet = out.seal(inner, 4)
        assert packet == packet_by_hand(inner, sequence, key=key)
        assert into.open(packet) == (4, inner)
    assert out.state().sequence == 306
    assert into.state().top == 305


def test_window(core) -> None:
    """64 wide; each number once; older than the window never; a jump forgets what it leaves behind."""
    into = core.esp_sa.Sa(SPI, KEY, SALT)
    packets = {n: packet_by_hand(b"inner", n) for n in range(1, 400)}
    for sequence in (1, 3, 2, 70, 7, 69, 8):
        into.open(packets[sequence])
    for sequence in (1, 2, 3, 6, 7, 8, 69, 70):
        with pytest.raises(ReplayError) as refused:
            into.open(packets[sequence])
        assert refused.value.expected == 7
    assert into.lowest == 7
    into.open(packets[133])
    with pytest.raises(ReplayError):
        into.open(packets[70])
    with pytest.raises(ReplayError):
        into.open(packets[69])
    into.open(packets[71])
    into.open(packets[399])
    assert into.state() == SaState(1, 399, 1)


def test_only_a_good_packet_moves_the_window(core) -> None:
    """A forged packet far ahead, with any byte changed, leaves the window where it was."""
    into = core.esp_sa.Sa(SPI, KEY, SALT)
    into.open(packet_by_hand(b"inner", 5))
    before = into.state()
    ahead = packet_by_hand(b"inner", 1000)
    for at in range(len(ahead)):
        bent = ahead[:at] + bytes([ahead[at] ^ 1]) + ahead[at + 1 :]
        with pytest.raises(FrameError if at < 4 else TagError):
            into.open(bent)
        assert into.state() == before
    assert into.open(ahead) == (4, b"inner")


def test_malformed_packets_are_frame_errors(core) -> None:
    """Cut, not a multiple of four, too long, another association's; authentic ones with false padding too."""
    into = core.esp_sa.Sa(SPI, KEY, SALT)
    packet = packet_by_hand(b"inner", 1)
    for length in range(36):
        with pytest.raises(FrameError):
            into.open(packet[:length])
    with pytest.raises(FrameError):
        into.open(packet + b"\0")
    with pytest.raises(FrameError):
        into.open(packet + bytes(65600))
    with pytest.raises(FrameError):
        core.esp_sa.Sa(SPI + 1, KEY, SALT).open(packet)
    for sequence, trailer in enumerate([b"\0\0\2\4", b"\1\3\2\4", b"\1\2\xff\4", b"\1\2\7\4"], start=1):
        with pytest.raises(FrameError):
            into.open(packet_by_hand(b"", sequence, trailer=trailer))
        assert into.state().top == sequence  # authentic: it counts as received
    assert into.open(packet_by_hand(b"", 9, trailer=b"\1\2\3\4\5\6\6\4")) == (4, b"")  # more padding than needed


def test_sequence_number_nought_is_never_accepted(core) -> None:
    """RFC 4303 3.3.3: the first packet has 1."""
    with pytest.raises(ReplayError):
        core.esp_sa.Sa(SPI, KEY, SALT).open(packet_by_hand(b"inner", 0))


def test_the_last_sequence_number(core) -> None:
    """FFFFFFFF is sent and received; then the association is spent."""
    out = core.esp_sa.Sa(SPI, KEY, SALT, state=SaState(0xFFFFFFFF, 0, 0))
    packet = out.seal(b"last", 4)
    assert packet == packet_by_hand(b"last", 0xFFFFFFFF)
    for _ in range(2):
        with pytest.raises(CounterExhaustedError):
            out.seal(b"more", 4)
    into = core.esp_sa.Sa(SPI, KEY, SALT, state=SaState(1, 0xFFFFFFF0, 1))
    assert into.open(packet) == (4, b"last")
    with pytest.raises(ReplayError):
        into.open(packet)


def test_an_association_has_one_direction(core) -> None:
    """Both ends count from 1 under one salt: sealing with the association one opens with would repeat a nonce."""
    out, into = core.esp_sa.Sa(SPI, KEY, SALT), core.esp_sa.Sa(SPI, KEY, SALT)
    packet = out.seal(b"inner", 4)
    into.open(packet)
    with pytest.raises(UsageError):
        out.open(packet)
    with pytest.raises(UsageError):
        into.seal(b"inner", 4)


def test_an_association_goes_on_from_its_state(core) -> None:
    """Sent number and window survive a move to another association object."""
    out, into = core.esp_sa.Sa(SPI, KEY, SALT), core.esp_sa.Sa(SPI, KEY, SALT)
    packets = [out.seal(b"inner", 4) for _ in range(3)]
    into.open(packets[2])
    out, into = (core.esp_sa.Sa(SPI, KEY, SALT, state=sa.state()) for sa in (out, into))
    assert into.open(packets[0]) == (4, b"inner")
    for old in (0, 2):
        with pytest.raises(ReplayError):
            into.open(packets[old])
    assert out.seal(b"inner", 4) == packet_by_hand(b"inner", 4)


def test_misuse(core) -> None:
    """Sizes, ranges, use after close, pickling."""
    sa = core.esp_sa.Sa
    for arguments in ((0, KEY, SALT), (1 << 32, KEY, SALT), (SPI, bytes(24), SALT), (SPI, KEY, b"sal")):
        with pytest.raises(UsageError):
            sa(*arguments)
    with pytest.raises(UsageError):
        sa(SPI, KEY, SALT, state=SaState(0, 0, 0))
    with sa(SPI, KEY, SALT) as out:
        with pytest.raises(UsageError):
            out.seal(bytes(65536), 4)
        with pytest.raises(UsageError):
            out.seal(b"", 256)
        with pytest.raises(UsageError):
            out.seal(b"", -1)
        assert out.state().sequence == 1
        with pytest.raises(ForeignStoreError):
            pickle.dumps(out)
    out.close()
    with pytest.raises(UsageError):
        out.seal(b"", 4)


@pytest.mark.stranger
def test_scapy_reads_what_we_seal_and_we_open_what_it_seals(core) -> None:
    """Tunnel mode with AES-GCM, 16-byte ICV, through scapy's own IPsec."""
    layers = pytest.importorskip("scapy.layers.inet")
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    tunnel = layers.IP(src="192.0.2.1", dst="192.0.2.2")
    theirs = ipsec.SecurityAssociation(
        ipsec.ESP, spi=SPI, crypt_algo="AES-GCM", crypt_key=KEY + SALT, tunnel_header=tunnel
    )
    for sequence, length in enumerate((0, 1, 2, 3, 64, 500), start=1):
        inner = layers.IP(src="10.0.0.1", dst="10.0.0.2") / layers.UDP(sport=4059, dport=4059) / bytes(length)
        packet = core.esp_sa.Sa(SPI, KEY, SALT, state=SaState(sequence, 0, 0)).seal(bytes(inner), 4)
        opened = theirs.decrypt(tunnel / ipsec.ESP(packet), verify=True)
        assert bytes(opened) == bytes(inner)
        sealed = theirs.encrypt(inner, seq_num=sequence, iv=sequence.to_bytes(8, "big"))
        assert core.esp_sa.Sa(SPI, KEY, SALT).open(bytes(sealed[ipsec.ESP])) == (4, bytes(inner))
        assert bytes(sealed[ipsec.ESP]) == packet
