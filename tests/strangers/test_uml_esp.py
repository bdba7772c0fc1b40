"""ESP against a kernel nobody here wrote: what we seal it opens, what it seals we open, what it refuses we refuse."""

import struct
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from esp_kit import DUMMY, IPV4_IN_IP, Tunnel, echoes, esp_guest, listen_for_udp, opens
from uml_kit import Guest

from emulator.codecs.esp import ESP_FRAME
from emulator.crypto.esp_sa import SaState
from emulator.crypto.esp_suites import SUITES
from emulator.errors import CounterExhaustedError, FrameError
from emulator.kernel.chance import between

pytestmark = pytest.mark.stranger

WRAP = 1 << 32
CORES = pytest.mark.parametrize("core", [True, False], ids=["compiled", "general"])


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with esp_guest(tmp_path_factory.mktemp("uml")) as found:
        listen_for_udp(found)
        yield found


# Whole packets, both ways


@pytest.mark.parametrize("esn", [False, True], ids=["short", "esn"])
@pytest.mark.parametrize("suite", ["aes128gcm16", "aes256gcm16"])
def test_packets_of_every_size_cross_both_ways(guest: Guest, suite: str, esn: bool) -> None:
    """2,000 inside 28 to 1,446 bytes: what fits an MTU of 1,500. The kernel refused none. Without extended numbers they
    come from the compiled core's whole packets."""
    tunnel = Tunnel(guest, suite, core=not esn, esn=esn)
    before = tunnel.refused()
    echoes(tunnel, 2_000, seed=len(suite))
    assert tunnel.refused() == before
    assert tunnel.opening.state() == SaState(1, 2_000, (1 << 64) - 1)


@pytest.mark.parametrize("esn", [False, True], ids=["short", "esn"])
@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_crosses_both_ways(guest: Guest, suite: str, esn: bool) -> None:
    """With and without extended sequence numbers."""
    tunnel = Tunnel(guest, suite, esn=esn)
    before = tunnel.refused()
    echoes(tunnel, 100, seed=7, longest=1_380)
    assert tunnel.refused() == before


@pytest.mark.slow
@pytest.mark.parametrize("esn", [False, True], ids=["short", "esn"])
@pytest.mark.parametrize("suite", SUITES)
def test_two_thousand_of_every_suite_cross_both_ways(guest: Guest, suite: str, esn: bool) -> None:
    echoes(Tunnel(guest, suite, esn=esn), 2_000, seed=8, longest=1_380)


@pytest.mark.parametrize("in_udp", [False, True], ids=["bare", "udp"])
@pytest.mark.parametrize("mode", ["tunnel", "transport"])
@pytest.mark.parametrize("suite", ["aes256gcm16", "aes128-sha256"])
def test_tunnel_and_transport_bare_and_in_udp(guest: Guest, suite: str, mode: str, in_udp: bool) -> None:
    tunnel = Tunnel(guest, suite, mode=mode, in_udp=in_udp)
    before = tunnel.refused()
    echoes(tunnel, 100, seed=9, longest=1_380)
    assert tunnel.refused() == before


@CORES
def test_the_kernel_writes_what_we_write(guest: Guest, core: bool) -> None:
    """Sequence from 1, eight bytes of IV, padding 1, 2, 3, next header 4: ours is the same but for the IV."""
    tunnel = Tunnel(guest, core=core)
    for number in range(1, 9):
        inner = tunnel.echo(number, bytes(number))
        sealed = tunnel.sealed(inner)
        tunnel.send(sealed)
        theirs = tunnel.receive()
        assert theirs is not None
        packets = [ESP_FRAME.parse(sealed), ESP_FRAME.parse(theirs)]
        assert [packet.spi for packet in packets] == [tunnel.to_it, tunnel.from_it]
        assert [packet.sequence for packet in packets] == [number, number]
        gcm = AESGCM(tunnel.key)
        plain = [
            gcm.decrypt(tunnel.salt + each.iv, each.text, struct.pack(">II", each.spi, each.sequence))
            for each in packets
        ]
        padding = -(len(inner) + 2) % 4
        trailer = bytes(range(1, padding + 1)) + bytes([padding, IPV4_IN_IP])
        assert [text[len(inner) :] for text in plain] == [trailer, trailer]


# What is refused


@CORES
def test_a_repeated_packet_is_refused(guest: Guest, core: bool) -> None:
    tunnel = Tunnel(guest, core=core)
    sealed = tunnel.sealed(tunnel.echo(1))
    before = guest.counters()["XfrmInStateSeqError"]
    assert tunnel.takes(sealed, 1)
    assert not tunnel.takes(sealed, 1)
    assert guest.counters()["XfrmInStateSeqError"] == before + 1


@CORES
def test_the_window_is_64_wide(guest: Guest, core: bool) -> None:
    """Top - 63 is taken, top - 64 is not: there and here."""
    tunnel = Tunnel(guest, core=core)
    with tunnel.association(tunnel.to_it) as ours:
        for sequence, expected in ((1_000, True), (1_000 - 63, True), (1_000 - 64, False)):
            sealed = tunnel.sealed_at(sequence, tunnel.echo(sequence))
            assert tunnel.takes(sealed, sequence) is expected
            assert opens(ours, sealed) is expected


@pytest.mark.parametrize("window", [1, 32, 100, 1_024, 4_096])
def test_windows_of_any_width(guest: Guest, window: int) -> None:
    """The lowest number inside is taken and the one below is not: with ESN, where the kernel has wide windows."""
    tunnel = Tunnel(guest, esn=True, window=window)
    with tunnel.association(tunnel.to_it) as ours:
        for sequence, expected in ((10_000, True), (10_001 - window, window > 1), (10_000 - window, False)):
            sealed = tunnel.sealed_at(sequence, tunnel.echo(sequence))
            assert tunnel.takes(sealed, sequence) is expected
            assert opens(ours, sealed) is expected


@CORES
def test_a_forged_packet_moves_no_window(guest: Guest, core: bool) -> None:
    """A bent ICV far ahead, then the packet that it would have put out of the window."""
    tunnel = Tunnel(guest, core=core)
    before = guest.counters()["XfrmInStateProtoError"]
    far = tunnel.sealed_at(5_000, tunnel.echo(1))
    assert not tunnel.takes(far[:-1] + bytes([far[-1] ^ 1]), 1)
    assert guest.counters()["XfrmInStateProtoError"] == before + 1
    assert tunnel.takes(tunnel.sealed_at(1, tunnel.echo(2)), 2)
    assert tunnel.takes(far, 1), "the forged one did not use its number up"


def test_an_unknown_spi_is_counted_and_dropped(guest: Guest) -> None:
    tunnel = Tunnel(guest)
    before = guest.counters()["XfrmInNoStates"]
    sealed = tunnel.sealed(tunnel.echo(1))
    assert not tunnel.takes(b"\0\0\x77\x77" + sealed[4:], 1)
    assert guest.counters()["XfrmInNoStates"] == before + 1


def test_a_dummy_packet_is_dropped(guest: Guest) -> None:
    """Next header 59 (RFC 4303 2.6) brings no answer. Here the kernel is not the model: it counts a protocol error and
    does not use the number up, so that its window moves on good packets of any other kind only."""
    tunnel = Tunnel(guest)
    before = guest.counters()["XfrmInStateProtoError"]
    dummy = tunnel.sealed_at(7, bytes(40), DUMMY)
    assert not tunnel.takes(dummy)
    assert guest.counters()["XfrmInStateProtoError"] == before + 1
    assert tunnel.takes(tunnel.sealed_at(7, tunnel.echo(1)), 1)
    with tunnel.association(tunnel.to_it) as ours:
        assert ours.open(dummy) == (DUMMY, bytes(40))
        assert not opens(ours, tunnel.sealed_at(7, tunnel.echo(1)))


def test_the_kernel_does_not_look_at_the_padding(guest: Guest) -> None:
    """It takes what RFC 4303 2.4 lets a receiver refuse; ours does either, as it is told."""
    tunnel = Tunnel(guest)
    inner = tunnel.echo(1, b"x")
    text = inner + bytes([9] * (-(len(inner) + 2) % 4)) + bytes([-(len(inner) + 2) % 4, IPV4_IN_IP])
    header, iv = struct.pack(">II", tunnel.to_it, 1), bytes(8)
    sealed = header + iv + AESGCM(tunnel.key).encrypt(tunnel.salt + iv, text, header)
    assert len(text) > len(inner) + 2, "the packet has padding"
    assert tunnel.takes(sealed, 1)
    with tunnel.association(tunnel.to_it) as ours, pytest.raises(FrameError):
        ours.open(sealed)


# Sequence numbers


@CORES
def test_both_stop_after_the_last_sequence_number(guest: Guest, core: bool) -> None:
    """2^32 - 1 is used, then nothing more is sent (RFC 4303 3.3.3): there and here."""
    tunnel = Tunnel(guest, core=core, its=(WRAP - 3, 0))
    before = guest.counters()["XfrmOutStateSeqError"]
    for number in (1, 2, 3):
        tunnel.send(tunnel.sealed(tunnel.echo(number)))
    assert [ESP_FRAME.parse(tunnel.receive() or b"").sequence for _ in range(2)] == [WRAP - 2, WRAP - 1]
    assert tunnel.receive(0.3) is None
    assert guest.counters()["XfrmOutStateSeqError"] == before + 1
    with tunnel.association(tunnel.to_it, SaState(WRAP - 1, 0, 0)) as last:
        last.seal(tunnel.echo(4), IPV4_IN_IP)
        with pytest.raises(CounterExhaustedError):
            last.seal(tunnel.echo(5), IPV4_IN_IP)


@pytest.mark.parametrize("suite", ["aes256gcm16", "chacha20poly1305", "aes128-sha256"])
def test_extended_numbers_pass_the_wrap_in_both_directions(guest: Guest, suite: str) -> None:
    """Ours from 2^32 - 20 on and the kernel's too; then a late one from before the wrap, inside the window."""
    start = WRAP - 20
    tunnel = Tunnel(guest, suite, esn=True, its=(start, start))
    tunnel.sealing = tunnel.association(tunnel.to_it, SaState(start + 2, 0, 0))
    tunnel.opening = tunnel.association(tunnel.from_it, SaState(1, start, 1))
    echoes(tunnel, 60, seed=3, longest=200)
    assert tunnel.opening.state().top == start + 60
    late = tunnel.sealed_at(start + 1, tunnel.echo(1))
    assert tunnel.takes(late, 1), "61 places below the top: inside"
    assert not tunnel.takes(late, 1)
    assert not tunnel.takes(tunnel.sealed_at(start - 10, tunnel.echo(2)), 2)


def test_extended_numbers_end_at_two_to_the_64(guest: Guest) -> None:
    last = (1 << 64) - 1
    tunnel = Tunnel(guest, esn=True, its=(last - 2, last - 64))
    tunnel.opening = tunnel.association(tunnel.from_it, SaState(1, last - 2, 1))
    tunnel.sealing = tunnel.association(tunnel.to_it, SaState(last - 1, 0, 0))
    before = guest.counters()["XfrmOutStateSeqError"]
    for number in (1, 2):
        tunnel.send(tunnel.sealed(tunnel.echo(number)))
        assert tunnel.opened(tunnel.receive() or b"")[0] == number
    assert tunnel.opening.state().top == last
    with pytest.raises(CounterExhaustedError):
        tunnel.sealed(tunnel.echo(3))
    tunnel.send(tunnel.sealed_at(last - 5, tunnel.echo(4)))
    assert tunnel.receive(0.3) is None
    assert guest.counters()["XfrmOutStateSeqError"] == before + 1


@pytest.mark.parametrize(
    ("core", "esn", "top"),
    [(True, False, 1), (False, False, 1), (False, True, 1), (False, True, WRAP - 150)],
    ids=["compiled", "general", "esn", "esn-wrap"],
)
def test_kernel_and_emulator_agree_on_every_packet_of_a_bad_link(guest: Guest, core: bool, esn: bool, top: int) -> None:
    """Duplicates, late ones, jumps ahead and bent bytes, 300 in a row: both take the same ones."""
    tunnel = Tunnel(guest, core=core, esn=esn, its=(0, top))
    verdicts = []
    with tunnel.association(tunnel.to_it, SaState(1, top, 0)) as ours:
        for number in range(300):
            kind = between(0, 9, 9, "kind", number)
            sequence = top + 1 if kind < 5 else max(1, top - between(0, 80, 9, "late", number))
            if kind == 9:
                sequence = top + between(1, 100, 9, "ahead", number)
            sealed = bytearray(tunnel.sealed_at(sequence, tunnel.echo(number)))
            if between(0, 9, 9, "bent", number) == 0:
                sealed[between(8, len(sealed) - 1, 9, "where", number)] ^= 1 << between(0, 7, 9, "bit", number)
            here, there = opens(ours, bytes(sealed)), tunnel.takes(bytes(sealed), number)
            assert here is there, f"packet {number}, sequence {sequence}, top {top}"
            verdicts.append(here)
            top = max(top, ours.state().top)
    assert 100 < sum(verdicts) < 250, "the run had both in it"
