"""Joining: the hash, the CRC and the door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import FrameError
from emulator.han.join import JoinState, TrustCentre, aes_mmo, crc16, install_code, link_key

CODE = bytes.fromhex("83FED3407A939723A5C639B26916D505C3B5")
KEY = bytes.fromhex("66B6900981E1EE3CA4206B6B861C02BB")


def test_published_install_code_gives_the_published_link_key() -> None:
    """The well-known code hashes into its well-known key, CRC bytes included in the hash."""
    assert link_key(CODE) == KEY


def test_crc_is_x25() -> None:
    """The CRC's check value over "123456789" is 0x906E."""
    assert crc16(b"123456789") == 0x906E


def test_install_code_carries_its_crc_low_byte_first() -> None:
    """Making the published code again from its secret gives its published CRC."""
    assert install_code(CODE[:-2]) == CODE


@given(secret=st.sampled_from((6, 8, 12, 16)).flatmap(lambda n: st.binary(min_size=n, max_size=n)), data=st.data())
def test_any_single_bent_bit_is_found(secret: bytes, data: st.DataObject) -> None:
    """A CRC of 16 bits finds every single-bit error in a code of any allowed length."""
    code = bytearray(install_code(secret))
    bit = data.draw(st.integers(0, 8 * len(code) - 1))
    code[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError, match="CRC"):
        link_key(bytes(code))


@pytest.mark.parametrize("length", [0, 1, 7, 9, 11, 17, 19, 40])
def test_other_lengths_are_refused(length: int) -> None:
    """Only 6, 8, 12 and 16 bytes with a CRC are install codes."""
    with pytest.raises(FrameError):
        link_key(bytes(length))
    with pytest.raises(FrameError):
        install_code(bytes(length))


def test_hash_of_every_padding_case_is_its_own() -> None:
    """Messages around the block edges (13, 14, 15, 16 bytes) pad into different blocks, and none equals another."""
    assert len({aes_mmo(bytes(length)) for length in range(40)}) == 40


def test_hash_refuses_what_its_length_field_cannot_hold() -> None:
    """From 8,192 bytes on the 16-bit length would wrap."""
    assert len(aes_mmo(bytes(8191))) == 16
    with pytest.raises(FrameError):
        aes_mmo(bytes(8192))


def test_trust_centre_admits_only_who_it_was_told_of() -> None:
    """The right device with the right code joins; an unknown one, another code and a forgotten one stay out."""
    centre = TrustCentre()
    eui64 = bytes.fromhex("00155F0000000001")
    centre.expect(eui64, CODE)
    assert centre.join(eui64, CODE) is JoinState.JOINED
    assert centre.join(eui64, install_code(bytes(16))) is JoinState.LOST
    assert centre.join(bytes(8), CODE) is JoinState.LOST
    centre.forget(eui64)
    assert centre.join(eui64, CODE) is JoinState.LOST


def test_trust_centre_refuses_a_bad_code_at_once() -> None:
    """A misread code is refused when it is told, not when the device knocks."""
    with pytest.raises(FrameError):
        TrustCentre().expect(bytes(8), CODE[:-1] + b"\x00")
    with pytest.raises(FrameError):
        TrustCentre().expect(bytes(7), CODE)
