"""Derivation: repeatable everywhere, apart for everyone who asks."""

from hashlib import blake2b

import pytest

from emulator.crypto import derive
from emulator.errors import UsageError


def test_keys_are_keyed_blake2b_of_the_labelled_words() -> None:
    """Spelled out with the plain construction, so another program can derive the same keys."""
    expected = blake2b(b"s4:homei141372:s2:ek", key=b"secret", person=b"smets1 key", digest_size=16).digest()
    assert derive.key(b"secret", "home", 141372, "ek") == expected
    expected = blake2b(b"i-1:", key=b"secret", person=b"smets1 challenge", digest_size=32).digest()
    assert derive.challenge(b"secret", -1, length=32) == expected


def test_several_keys_come_out_of_one_derivation() -> None:
    """They differ from each other and from those of another count; one to four can be had; a long secret is taken."""
    three, two = derive.keys(b"secret", 3, 7), derive.keys(b"secret", 2, 7)
    assert len({*three, *two}) == 5
    assert derive.keys(b"secret", 1, 7) == (derive.key(b"secret", 7),)
    assert derive.keys(bytes(200), 4, 7) != derive.keys(bytes(201), 4, 7)
    for count in (0, 5):
        with pytest.raises(UsageError):
            derive.keys(b"secret", count, 7)


def test_different_words_never_meet() -> None:
    """Kind, order and boundaries of words count; so do the secret and the purpose."""
    asked = [
        (), ("1",), (1,), ("1", "2"), ("12",), (1, 2), (12,), ("1", 2), (1, "2"), (2, 1), ("", "1"), ("1", ""),
        ("i1:",), ("s1:1",),
    ]  # fmt: skip
    keys = {derive.key(secret, *words) for words in asked for secret in (b"a", b"b")}
    challenges = {derive.challenge(secret, *words) for words in asked for secret in (b"a", b"b")}
    assert len(keys | challenges) == 4 * len(asked)
    assert {len(key) for key in keys | challenges} == {16}


def test_challenge_lengths() -> None:
    """8 to 32 bytes; the Green Book's 8 to 64 are more than an HLS exchange here needs."""
    assert len(derive.challenge(b"secret", length=8)) == 8
    for length in (7, 33):
        with pytest.raises(UsageError):
            derive.challenge(b"secret", length=length)
