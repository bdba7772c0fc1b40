"""ESP of every suite: published packets, extended sequence numbers, windows of any width, padding, what is refused."""

import hmac
import os
import pickle
import tomllib
from dataclasses import dataclass
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from emulator.crypto.esp_general import EXTENDED_MAX, GeneralSa
from emulator.crypto.esp_sa import Sa, SaState, associate
from emulator.crypto.esp_suites import SUITES, suite
from emulator.crypto.esp_transforms import transform
from emulator.errors import (
    CounterExhaustedError,
    ForeignStoreError,
    FrameError,
    InputError,
    ReplayError,
    TagError,
    UsageError,
)
from emulator.resources import fixture

SPI = 0x1000_0001
CASES = tomllib.loads(fixture("vectors/esp/sealed.toml").read_text())["case"]
every_suite = pytest.mark.parametrize("name", SUITES)
with_and_without = pytest.mark.parametrize("esn", [False, True], ids=["short", "extended"])


@dataclass(frozen=True)
class Keys:
    """Keys of a suite, different in every byte."""

    key: bytes
    salt: bytes
    integrity: bytes


def keys(name: str) -> Keys:
    sizes = suite(name)
    return Keys(bytes(range(sizes.key)), b"salt"[: sizes.salt], bytes(range(100, 100 + sizes.integrity)))


def make(name: str, **settings):
    """A fresh association."""
    own = keys(name)
    return associate(name, SPI, own.key, own.salt, own.integrity, **settings)


def by_hand(name: str, text: bytes, sequence: int, esn: bool) -> bytes:
    """A packet around a text that has its trailer, by primitives alone (GCM as a mode of a cipher, not as an AEAD)."""
    sizes, own = suite(name), keys(name)
    low, high = (sequence & 0xFFFFFFFF).to_bytes(4, "big"), (sequence >> 32).to_bytes(4, "big") if esn else b""
    head = SPI.to_bytes(4, "big")
    if sizes.mode == "cbc":
        iv = sequence.to_bytes(16, "big")
        encryptor = Cipher(algorithms.AES(own.key), modes.CBC(iv)).encryptor()
        sealed = head + low + iv + encryptor.update(text) + encryptor.finalize()
        return sealed + hmac.digest(own.integrity, sealed + high, sizes.digest)[: sizes.icv]
    iv = sequence.to_bytes(8, "big")
    if sizes.mode == "chacha":
        chacha = pytest.importorskip("cryptography.hazmat.primitives.ciphers.aead").ChaCha20Poly1305(own.key)
        return head + low + iv + chacha.encrypt(own.salt + iv, text, head + high + low)
    encryptor = Cipher(algorithms.AES(own.key), modes.GCM(own.salt + iv)).encryptor()
    encryptor.authenticate_additional_data(head + high + low)
    return head + low + iv + encryptor.update(text) + encryptor.finalize() + encryptor.tag[: sizes.icv]


def text_of(name: str, inner: bytes, next_header: int = 4) -> bytes:
    pads = -(len(inner) + 2) % suite(name).grain
    return inner + bytes(range(1, pads + 1)) + bytes([pads, next_header])


# Published packets


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['suite']}-{case['aad'][8:]}-{case['sealed'][:6]}")
def test_published_packets_are_made_and_opened(case) -> None:
    """The kernel's and the RFCs' own: all sixteen of draft-mcgrew-gcm-test-01 among them."""
    key, salt, integrity, iv, aad, text, sealed = (
        bytes.fromhex(case.get(name, "")) for name in ("key", "salt", "integrity", "iv", "aad", "text", "sealed")
    )
    one = transform(suite(case["suite"]), key, salt, integrity)
    if len(aad) in (8, 12):
        header, high = aad[:4] + aad[-4:], aad[4:-4]
        assert one.seal(header, high, iv, text) == sealed
        assert one.open(header, high, iv + sealed) == text
        for at in range(0, len(sealed), 7):
            bent = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
            assert one.open(header, high, iv + bent) is None
    spi, number = int.from_bytes(aad[:4], "big"), int.from_bytes(aad[4:], "big")
    if spi and number and text[-2] <= len(text) - 2 and "mcgrew" in case["source"]:
        esn = len(aad) == 12
        into = associate(case["suite"], spi, key, salt, integrity, esn=esn, state=SaState(1, number - 1, 0))
        inside = text[: len(text) - 2 - text[-2]]
        assert into.open(aad[:4] + aad[-4:] + iv + sealed) == (text[-1], inside)


def test_there_are_as_many_published_packets_as_there_should_be() -> None:
    sources = [case["source"] for case in CASES]
    assert sum("mcgrew" in source for source in sources) == 16
    assert len(sources) == 26


# Every suite


@every_suite
@with_and_without
def test_packets_are_those_of_the_primitives(name: str, esn: bool) -> None:
    """Every length of 0 to 70 and a large one: what we seal opens by hand's rules, what is made by hand opens here."""
    out, into, other = make(name, esn=esn), make(name, esn=esn), make(name, esn=esn)
    for sequence, length in enumerate([*range(71), 1400, 65_535], start=1):
        inner = bytes(n * 7 & 255 for n in range(length))
        ours = by_hand(name, text_of(name, inner), sequence, esn)
        sealed = out.seal(inner, 4)
        assert len(sealed) == len(ours)
        if suite(name).mode != "cbc":
            assert sealed == ours
        assert other.open(sealed) == into.open(ours) == (4, inner)
    assert into.state() == other.state()


@every_suite
def test_extended_numbers_pass_the_wrap(name: str) -> None:
    """2^32 - 1, 2^32, ...: the upper half is not sent, and opens only where it is the one the sender has."""
    start = SaState(0xFFFF_FFFE, 0, 0)
    out, into = make(name, esn=True, state=start), make(name, esn=True, state=SaState(1, 0xFFFF_FFF0, 1))
    packets = [out.seal(b"inner", 4) for _ in range(6)]
    assert [int.from_bytes(packet[4:8], "big") for packet in packets] == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 2, 3]
    for packet in (packets[5], packets[1], packets[2], packets[0], packets[4]):  # two of them from before the wrap
        assert into.open(packet) == (4, b"inner")
    assert into.state().top == (1 << 32) + 3
    for packet in (packets[5], packets[1], packets[0]):
        with pytest.raises(ReplayError):
            into.open(packet)
    assert into.open(packets[3]) == (4, b"inner")
    behind = make(name, esn=True)  # a receiver that is a whole turn behind reckons with another upper half
    with pytest.raises((TagError, ReplayError)):
        behind.open(packets[5])
    with pytest.raises((TagError, ReplayError)):
        make(name).open(packets[5])


@every_suite
def test_the_last_number_is_sent_and_then_no_more(name: str) -> None:
    """2^32 - 1 without ESN, 2^64 - 1 with it; the receiver takes it and nothing that would come behind it."""
    for esn, last in ((False, 0xFFFF_FFFF), (True, EXTENDED_MAX)):
        out = make(name, esn=esn, state=SaState(last, 0, 0))
        into = make(name, esn=esn, state=SaState(1, last - 9, 1))
        packet = out.seal(b"last", 4)
        assert into.open(packet) == (4, b"last")
        for _ in range(2):
            with pytest.raises(CounterExhaustedError):
                out.seal(b"more", 4)
        for low in (0, 1, 70):
            with pytest.raises(ReplayError):
                into.open(packet[:4] + low.to_bytes(4, "big") + packet[8:])
        assert into.state().top == last


@every_suite
@pytest.mark.parametrize("width", [1, 32, 64, 1000, 4096])
@with_and_without
def test_the_window_is_as_wide_as_it_is_set(name: str, width: int, esn: bool) -> None:
    """The lowest number inside is taken once, the one below it never; a jump forgets what it leaves behind. With ESN a
    number below the window is reckoned to be of the next turn (RFC 4303 A2.1), so what it fails by is its ICV."""
    if width != 64 and suite(name).key == 24:
        return  # the key's length is nothing to the window
    top = 3 * width
    packets = {
        number: by_hand(name, text_of(name, b""), number, esn)
        for number in (1, top, top - width + 1, top - width, 2 * top)
    }
    into = make(name, esn=esn, window=width)
    into.open(packets[top])
    with pytest.raises(ReplayError) as refused:
        into.open(packets[top])
    assert refused.value.expected == into.lowest == top - width + 1
    old = TagError if esn else ReplayError
    for number in (top - width, 1):
        with pytest.raises(old):
            into.open(packets[number])
    if width > 1:
        into.open(packets[top - width + 1])
    with pytest.raises(ReplayError):
        into.open(packets[top - width + 1])
    into.open(packets[2 * top])
    with pytest.raises(old):
        into.open(packets[top])
    assert into.state() == SaState(1, 2 * top, 1)


def test_without_a_window_everything_authentic_is_new() -> None:
    """Width 0: the same packet again and again; nothing else is waived."""
    packet = make("aes128gcm16").seal(b"inner", 4)
    into = make("aes128gcm16", window=0)
    for _ in range(3):
        assert into.open(packet) == (4, b"inner")
    with pytest.raises(TagError):
        into.open(packet[:-1] + bytes([packet[-1] ^ 1]))
    with pytest.raises(UsageError):
        make("aes128gcm16", window=0, esn=True)


@pytest.mark.parametrize("seed", range(6))
def test_the_window_against_a_set(seed: int) -> None:
    """Any order of numbers around the wrap, with repeats: taken are those that a plain set of numbers says."""
    chance = Random(seed)
    width = chance.choice([32, 64, 100, 1024])
    start = chance.choice([5, (1 << 32) - 50, (3 << 32) - 200])
    esn = start > 1 << 31
    into = make("chacha20poly1305", esn=esn, window=width, state=SaState(1, start, 1))
    seen, top = {start}, start
    for _ in range(1500):
        number = max(1, top + chance.choice([1, 2, -1, -chance.randrange(2 * width), chance.randrange(width)]))
        expected = number > top - width and number not in seen
        try:
            into.open(by_hand("chacha20poly1305", text_of("chacha20poly1305", b""), number, esn))
            taken = True
        except (ReplayError, TagError):
            taken = False
        assert taken is expected, number
        if taken:
            seen.add(number)
            top = max(top, number)
    assert into.state().top == top


@every_suite
@with_and_without
def test_only_a_good_packet_moves_the_window(name: str, esn: bool) -> None:
    """Each byte bent, each length cut: refused with the state as it was, and the whole packet is good afterwards."""
    into = make(name, esn=esn)
    into.open(by_hand(name, text_of(name, b"inner"), 5, esn))
    before = into.state()
    ahead = by_hand(name, text_of(name, b"inner"), 1000, esn)
    for at in range(len(ahead)):
        bent = ahead[:at] + bytes([ahead[at] ^ 0x80]) + ahead[at + 1 :]
        with pytest.raises(FrameError if at < 4 else (TagError, ReplayError)):
            into.open(bent)
        with pytest.raises((FrameError, TagError)):
            into.open(ahead[:at])
        assert into.state() == before
    assert into.open(ahead) == (4, b"inner")


@every_suite
def test_padding_strict_and_lenient(name: str) -> None:
    """Wrong pad bytes: libipsec's way refuses them, the kernel's takes them; a pad length over the text nobody takes.
    All of them are authentic and count as received. More padding than needed is in order."""
    grain = suite(name).grain
    wrong = bytes(grain - 2) + bytes([grain - 2, 4])
    too_much = bytes(grain - 2) + bytes([grain - 1, 4])
    full = bytes(range(1, 2 * grain - 1)) + bytes([2 * grain - 2, 4])
    strict, lenient = make(name), make(name, strict_padding=False)
    with pytest.raises(FrameError):
        strict.open(by_hand(name, wrong, 1, False))
    assert lenient.open(by_hand(name, wrong, 1, False)) == (4, b"")
    for number, into in enumerate((strict, lenient), start=2):
        with pytest.raises(FrameError):
            into.open(by_hand(name, too_much, number, False))
        assert into.state().top == number
        assert into.open(by_hand(name, full, 9, False)) == (4, b"")


@every_suite
def test_sizes_and_other_associations_are_frame_errors(name: str) -> None:
    into, packet = make(name), make(name).seal(b"inner", 4)
    for bad in (b"", packet[:7], packet[: suite(name).smallest - 1], packet + b"\0", packet + bytes(65_616)):
        with pytest.raises(FrameError):
            into.open(bad)
    own = keys(name)
    with pytest.raises(FrameError):
        associate(name, SPI + 1, own.key, own.salt, own.integrity).open(packet)


@every_suite
def test_misuse(name: str) -> None:
    """Sizes of keys, states, directions, use after close and in another process."""
    own, sizes = keys(name), suite(name)
    for arguments in (
        (0, own.key, own.salt, own.integrity),
        (SPI, own.key + b"\0", own.salt, own.integrity),
        (SPI, own.key, own.salt + b"\0", own.integrity),
        (SPI, own.key, own.salt, own.integrity + b"\0"),
    ):
        with pytest.raises(UsageError):
            GeneralSa(sizes, *arguments)
    for state in (SaState(0, 0, 0), SaState(1, 1 << 32, 0), SaState(1, 0, 1 << 64)):
        with pytest.raises(UsageError):
            make(name, state=state)
    out = make(name)
    packet = out.seal(b"inner", 4)
    for call in (lambda: out.open(packet), lambda: out.seal(bytes(65_536), 4), lambda: out.seal(b"", 256)):
        with pytest.raises(UsageError):
            call()
    assert out.state().sequence == 2
    with pytest.raises(ForeignStoreError):
        pickle.dumps(out)
    assert own.key.hex() not in repr(out)
    out.close()
    with pytest.raises(UsageError):
        out.seal(b"", 4)


def test_ivs_of_cbc_do_not_repeat_and_cannot_be_foreseen() -> None:
    """Each is the number under the key (NIST SP 800-38A appendix C): other keys, other IVs, and no two alike."""
    own = keys("aes128-sha256")
    out = make("aes128-sha256", state=SaState(0xFFFF_FF00, 0, 0))
    ivs = [out.seal(b"inner", 4)[8:24] for _ in range(256)]
    numbers = Cipher(algorithms.AES(own.key), modes.ECB()).decryptor().update(b"".join(ivs))
    assert [int.from_bytes(numbers[at : at + 16], "big") for at in range(0, len(numbers), 16)] == list(
        range(0xFFFF_FF00, 0x1_0000_0000)
    )
    other = associate("aes128-sha256", SPI, bytes(16), b"", own.integrity, state=SaState(0xFFFF_FF00, 0, 0))
    assert other.seal(b"inner", 4)[8:24] not in ivs


def test_a_child_process_has_no_association() -> None:
    """A forked child that sealed would repeat its parent's IVs."""
    out = make("aes128-sha256")
    child = os.fork()
    if child == 0:
        try:
            out.seal(b"inner", 4)
        except ForeignStoreError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_plain_case_is_the_compiled_one() -> None:
    """AES-GCM-16 as it always was takes one call of the core; anything more is the general association."""
    assert isinstance(make("aes128gcm16"), Sa)
    assert isinstance(make("aes256gcm16"), Sa)
    for settings in ({"esn": True}, {"window": 128}, {"strict_padding": False}):
        assert isinstance(make("aes128gcm16", **settings), GeneralSa)
    with pytest.raises(InputError, match="aes128gcm16"):
        suite("aes128gcm12")


def test_both_kinds_of_gcm_16_are_one() -> None:
    """The compiled association and the general one: packet for packet, state for state, refusal for refusal."""
    own = keys("aes256gcm16")
    plain = [make("aes256gcm16") for _ in range(2)]
    general = [GeneralSa(suite("aes256gcm16"), SPI, own.key, own.salt) for _ in range(2)]
    chance = Random(4)
    packets = []
    for length in range(300):
        packet = plain[0].seal(bytes(length), length & 255)
        assert packet == general[0].seal(bytes(length), length & 255)
        packets.append(packet)
    for _ in range(1500):
        packet = chance.choice(packets)
        if chance.random() < 0.3:
            at = chance.randrange(len(packet))
            packet = packet[:at] + bytes([chance.randrange(256)]) + packet[at + 1 :]
        answers = []
        for one in (plain[1], general[1]):
            try:
                answers.append(one.open(packet))
            except (FrameError, ReplayError, TagError) as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        assert plain[1].state() == general[1].state()
    assert plain[0].state() == general[0].state()


# Mutations


def mutations(count: int, seed: int) -> None:
    """No exception but the tree's, no state that moves: and the packets themselves are good afterwards."""
    chance = Random(seed)
    ends = []
    for name in SUITES:
        for esn in (False, True):
            top = chance.choice([0, 70, (1 << 32) - 3])
            top = min(top, 0xFFFF_FFF0) if not esn else top
            into = make(name, esn=esn, state=SaState(1, top, 1 if top else 0))
            good = [by_hand(name, text_of(name, bytes(20 * n)), top + n, esn) for n in range(1, 5)]
            ends.append((into, good, into.state()))
    for _ in range(count):
        into, good, before = chance.choice(ends)
        packet = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 4)):
            match chance.randrange(5):
                case 0 if packet:
                    packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
                case 1:
                    del packet[chance.randrange(len(packet) + 1) :]
                case 2:
                    packet += chance.randbytes(chance.choice([1, 4, 16, 40]))
                case 3:
                    at = chance.randrange(len(packet) + 1)
                    packet[at : at + 4] = chance.randbytes(4)
                case _:
                    packet[4:8] = chance.choice([0, 1, 69, 0xFFFFFFFF, chance.getrandbits(32)]).to_bytes(4, "big")
        if bytes(packet) in good:
            continue
        with pytest.raises((FrameError, ReplayError, TagError)):
            into.open(bytes(packet))
        assert into.state() == before
    for into, good, _ in ends:
        for packet in good:
            into.open(packet)


def test_mutated_packets_change_nothing() -> None:
    mutations(20_000, 1)


@pytest.mark.slow
def test_a_million_mutated_packets_change_nothing() -> None:
    mutations(1_000_000, 2)
