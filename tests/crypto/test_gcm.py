"""AES-GCM against `cryptography`, over every length that has an edge in it."""

from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.errors import TagError, UsageError

LENGTHS = [*range(301), *(n + d for n in (384, 512, 1024, 1500, 2048) for d in (-1, 0, 1)), 65535]


@pytest.mark.parametrize("key_bytes", [16, 32])
@pytest.mark.parametrize("tag_bytes", [12, 16])
def test_equal_to_an_independent_implementation(core, key_bytes, tag_bytes) -> None:
    """Texts of 0 to 300 bytes and around block edges above, AAD of mixed lengths, both ways."""
    chance = Random(7)
    for length in LENGTHS:
        key, iv, text = (chance.randbytes(n) for n in (key_bytes, 12, length))
        aad = chance.randbytes((0, 1, 8, 15, 16, 17, 33, 64, 65, 200)[length % 10])
        whole = AESGCM(key).encrypt(iv, text, aad)
        sealed = core.gcm.seal(key, iv, aad, text, tag_bytes)
        assert sealed == whole[: length + tag_bytes], length
        assert core.gcm.open(key, iv, aad, sealed, tag_bytes) == text, length


def test_any_changed_byte_is_refused(core) -> None:
    """Each byte of key, IV, AAD, text and tag takes part in the tag."""
    chance = Random(11)
    parts = [chance.randbytes(n) for n in (16, 12, 17, 70)]
    parts[3] = core.gcm.seal(*parts)
    for which, part in enumerate(parts):
        for at in range(len(part)):
            bent = list(parts)
            bent[which] = part[:at] + bytes([part[at] ^ 0x40]) + part[at + 1 :]
            with pytest.raises(TagError):
                core.gcm.open(*bent)


def test_text_shorter_than_its_tag_is_refused(core) -> None:
    """A cut frame has no tag to hold."""
    for length in range(16):
        with pytest.raises(TagError):
            core.gcm.open(bytes(16), bytes(12), b"", bytes(length), 16)


@pytest.mark.parametrize(("key", "iv", "tag"), [(15, 12, 12), (24, 12, 12), (16, 11, 12), (16, 12, 8), (16, 12, 0)])
def test_sizes_the_core_does_not_take_are_misuse(core, key, iv, tag) -> None:
    """AES-192, other IVs and short tags are not half supported."""
    with pytest.raises(UsageError):
        core.gcm.seal(bytes(key), bytes(iv), b"", b"text", tag)
    with pytest.raises(UsageError):
        core.gcm.open(bytes(key), bytes(iv), b"", bytes(32), tag)


def test_key_may_come_in_memory_that_can_be_wiped(core) -> None:
    """A bytearray and a memoryview give what bytes give."""
    key = bytes(range(16))
    expected = core.gcm.seal(key, bytes(12), b"a", b"text")
    assert core.gcm.seal(bytearray(key), bytes(12), b"a", b"text") == expected
    assert core.gcm.seal(memoryview(bytearray(key)), bytes(12), b"a", b"text") == expected
    assert core.keywrap.wrap(bytearray(key), bytearray(key)) == core.keywrap.wrap(key, key)
