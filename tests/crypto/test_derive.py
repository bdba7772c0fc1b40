"""Derivation: repeatable everywhere, apart for everyone who asks."""

import hashlib
import hmac

import pytest

from emulator.crypto import derive
from emulator.errors import UsageError


def test_keys_are_hmac_sha_256_of_the_labelled_words() -> None:
    """Spelled out with the plain construction, so another program can derive the same keys."""
    expected = hmac.new(b"secret", b"smets1 key\0s4:homei141372:s2:ek", hashlib.sha256).digest()[:16]
    assert derive.key(b"secret", "home", 141372, "ek") == expected
    expected = hmac.new(b"secret", b"smets1 challenge\0i-1:", hashlib.sha256).digest()
    assert derive.challenge(b"secret", -1, length=32) == expected


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
