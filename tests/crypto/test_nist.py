"""NIST CAVP: the cases DLMS and IPsec come near to (96-bit IVs, tags of 96 and 128 bits, 128-bit keys)."""

from collections.abc import Iterator
from functools import cache

import pytest

from emulator.errors import TagError

vectors = pytest.importorskip("cryptography_vectors")
pytestmark = pytest.mark.stranger

Case = dict[str, str]


def cases(path: str, first: str) -> Iterator[Case]:
    """Cases of a file, each with the bracketed settings above it. `first` is the field a case begins with."""
    settings: Case = {}
    case: Case = {}
    with vectors.open_vector_file(path, "r") as lines:
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("["):
                name, _, value = text.strip("[]").partition(" = ")
                settings[name] = value
                continue
            name, _, value = text.partition("=")
            if name.strip() == first and case:
                yield case
            if name.strip() == first:
                case = dict(settings)
            case[name.strip()] = value.strip()
    if case:
        yield case


def field(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


@cache
def gcm_cases(file: str, tag_bits: str) -> list[Case]:
    path = f"ciphers/AES/GCM/{file}"
    return [case for case in cases(path, "Count") if (case["IVlen"], case["Taglen"]) == ("96", tag_bits)]


@pytest.mark.parametrize("tag_bits", ["96", "128"])
def test_gcm_encryption_gives_the_published_bytes(core, tag_bits) -> None:
    """All 375 cases of each tag length."""
    chosen = gcm_cases("gcmEncryptExtIV128.rsp", tag_bits)
    assert len(chosen) == 375
    for case in chosen:
        answer = core.gcm.seal(*(field(case, n) for n in ("Key", "IV", "AAD", "PT")), int(tag_bits) // 8)
        assert answer == field(case, "CT") + field(case, "Tag"), case


@pytest.mark.parametrize("tag_bits", ["96", "128"])
def test_gcm_decryption_gives_the_published_bytes_and_refuses_the_rest(core, tag_bits) -> None:
    """All 375 cases of each tag length, those published as FAIL included."""
    chosen = gcm_cases("gcmDecrypt128.rsp", tag_bits)
    refused = 0
    assert len(chosen) == 375
    for case in chosen:
        text = field(case, "CT") + field(case, "Tag")
        arguments = (field(case, "Key"), field(case, "IV"), field(case, "AAD"), text, int(tag_bits) // 8)
        if "FAIL" in case:
            refused += 1
            with pytest.raises(TagError):
                core.gcm.open(*arguments)
        else:
            assert core.gcm.open(*arguments) == field(case, "PT"), case
    assert 100 < refused < 275


@cache
def wrap_cases(file: str) -> list[Case]:
    path = f"keywrap/kwtestvectors/{file}"
    return [case for case in cases(path, "COUNT") if int(case["PLAINTEXT LENGTH"]) in (128, 192, 256, 320)]


def test_key_wrap_gives_the_published_bytes(core) -> None:
    """Every case of KW_AE_128 with a key of 128 to 320 bits."""
    chosen = wrap_cases("KW_AE_128.txt")
    assert len(chosen) == 400
    for case in chosen:
        assert core.keywrap.wrap(field(case, "K"), field(case, "P")) == field(case, "C"), case


def test_key_unwrap_gives_the_published_bytes_and_refuses_the_rest(core) -> None:
    """Every case of KW_AD_128 with a key of 128 to 320 bits, those published as FAIL included."""
    chosen = wrap_cases("KW_AD_128.txt")
    refused = 0
    assert len(chosen) == 400
    for case in chosen:
        if "FAIL" in case:
            refused += 1
            with pytest.raises(TagError):
                core.keywrap.unwrap(field(case, "K"), field(case, "C"))
        else:
            assert core.keywrap.unwrap(field(case, "K"), field(case, "C")) == field(case, "P"), case
    assert refused == 80
