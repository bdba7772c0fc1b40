"""Published answers: NIST CAVP for GCM with a 96-bit IV and for key wrap, the Green Book, RFC 3394 section 4.

CAVP files are those of the package cryptography-vectors. DLMS has 128-bit keys (suite 2: 256-bit) and 96-bit tags,
IPsec has both with 128-bit tags: these are the cases taken, of both operations, those published as FAIL included.
Every tier answers every case.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from proof.core import OK, TAG, Core, Keys
from proof.setting import Counts, Setting
from proof.workshop import ROOT, Missing, demand

Case = dict[str, str]
BITS = ("128", "256")


def _cases(path: str, first: str) -> Iterator[Case]:
    """Cases of a file, each with the bracketed settings above it; a case begins with the field `first`."""
    try:
        import cryptography_vectors as vectors
    except ImportError:
        raise Missing("no NIST vectors here (pip install cryptography-vectors)") from None
    settings: Case = {}
    case: Case = {}
    with vectors.open_vector_file(path, "r") as lines:
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, _, value = (part.strip() for part in text.strip("[]").partition("="))
            if text.startswith("["):
                settings[name] = value
                continue
            if name == first:
                if case:
                    yield case
                case = dict(settings)
            case[name] = value
    if case:
        yield case


@cache
def gcm_cases(operation: str, bits: str) -> list[Case]:
    """With 96-bit IVs, and tags of 96 or 128 bits."""
    name = f"gcmEncryptExtIV{bits}.rsp" if operation == "encrypt" else f"gcmDecrypt{bits}.rsp"
    every = _cases(f"ciphers/AES/GCM/{name}", "Count")
    return [case for case in every if case["IVlen"] == "96" and case["Taglen"] in ("96", "128")]


@cache
def wrap_cases(operation: str, bits: str) -> list[Case]:
    """Of keys the core takes: 128 to 512 bits."""
    every = _cases(f"keywrap/kwtestvectors/KW_{operation}_{bits}.txt", "COUNT")
    return [case for case in every if int(case["PLAINTEXT LENGTH"]) <= 512]


def _field(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def _gcm(core: Core, case: Case, operation: str) -> bool:
    """Whether the case was one that must be refused."""
    key, iv, aad, tag = (_field(case, name) for name in ("Key", "IV", "AAD", "Tag"))
    text, refused = _field(case, "CT"), "FAIL" in case
    if operation == "encrypt":
        plain = _field(case, "PT")
        out = core.plain(len(plain) + len(tag))
        done = core.lib.sm_gcm_seal(key, len(key), iv, aad, len(aad), plain, len(plain), out, len(tag))
        demand(done == OK and core.take(out, len(plain) + len(tag)) == text + tag, "sealed otherwise:", case)
        return False
    out = core.plain(len(text))
    done = core.lib.sm_gcm_open(key, len(key), iv, aad, len(aad), text + tag, len(text + tag), out, len(tag))
    wanted = bytes(len(text)) if refused else _field(case, "PT")
    demand(done == (-TAG if refused else OK) and core.take(out, len(text)) == wanted, "opened otherwise:", case)
    return refused


def _wrap(core: Core, case: Case, operation: str) -> bool:
    kek, wrapped, refused = _field(case, "K"), _field(case, "C"), "FAIL" in case
    if operation == "AE":
        key = _field(case, "P")
        out = core.plain(len(wrapped))
        done = core.lib.sm_key_wrap(kek, len(kek), key, len(key), out)
        demand(done == OK and core.take(out, len(wrapped)) == wrapped, "wrapped otherwise:", case)
        return False
    out = core.plain(len(wrapped) - 8)
    done = core.lib.sm_key_unwrap(kek, len(kek), wrapped, len(wrapped), out)
    wanted = bytes(len(wrapped) - 8) if refused else _field(case, "P")
    demand(done == (-TAG if refused else OK) and core.take(out, len(wanted)) == wanted, "unwrapped otherwise:", case)
    return refused


def nist(setting: Setting) -> Counts:
    """CAVP: GCM and key wrap, both operations, 128 and 256 bits, on every tier."""
    core, counts = setting.core, {"cases": 0, "refusals": 0}
    for tier in core.tiers:
        with core.on(tier):
            for bits in BITS:
                for operation in ("encrypt", "decrypt"):
                    chosen = gcm_cases(operation, bits)
                    demand(len(chosen) == 750, "750 cases are published, not", len(chosen))
                    for case in chosen:
                        counts["refusals"] += _gcm(core, case, operation)
                        counts["cases"] += 1
                for operation in ("AE", "AD"):
                    chosen = wrap_cases(operation, bits)
                    demand(len(chosen) >= 400, "at least 400 cases are published, not", len(chosen))
                    for case in chosen:
                        counts["refusals"] += _wrap(core, case, operation)
                        counts["cases"] += 1
    demand(counts["refusals"] > 300 * len(core.tiers), "too few cases that must be refused:", counts)
    return counts


def _vectors(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "fixtures" / "vectors" / name).read_text())


def green_book(setting: Setting) -> Counts:
    """Worked examples of the Green Book through the store, one at a time and as a batch of nine; RFC 3394 section 4."""
    core, counts = setting.core, {"examples": 0}
    book, section4 = _vectors("green_book/suite0.toml"), _vectors("rfc3394/section4.toml")
    ek, ak = (bytes.fromhex(book["keys"][name]) for name in ("ek", "ak"))
    for tier in core.tiers:
        with core.on(tier):
            for row in book["message"]:
                title, text, protected = (bytes.fromhex(row[name]) for name in ("title", "text", "protected"))
                _message(core, Keys(ek, ak, title, bytes(8), bytes(16)), row, text, protected)
            for row in book["gmac"]:
                title, challenge, tag = (bytes.fromhex(row[name]) for name in ("title", "challenge", "tag"))
                with core.store(Keys(ek, ak, title, bytes(8), bytes(16)), tx=row["counter"]) as store:
                    out = core.plain(12)
                    came = core.lib.sm_gmac_one(store, 0, challenge, len(challenge), out)
                    demand(came == row["counter"] and core.take(out, 12) == tag, tier, "another tag:", row)
            for row in section4["wrap"]:
                kek, key, wrapped = (bytes.fromhex(row[name]) for name in ("kek", "key", "wrapped"))
                if len(kek) in (16, 32):
                    _wrap(core, {"K": kek.hex(), "P": key.hex(), "C": wrapped.hex()}, "AE")
                    _wrap(core, {"K": kek.hex(), "P": key.hex(), "C": wrapped.hex()}, "AD")
            counts["examples"] += len(book["message"]) + len(book["gmac"]) + len(section4["wrap"])
    return counts


def _message(core: Core, keys: Keys, row: dict[str, Any], text: bytes, protected: bytes) -> None:
    """Alone, and in every lane and beyond: nine contexts under the same keys seal the same example."""
    from proof.batch import Row, run

    control, counter = row["security_control"], row["counter"]
    out = core.plain(len(text) + 12)
    with core.store(*[keys] * 10, tx=counter) as ours, core.store(*[keys.turned()] * 9, rx=counter) as theirs:
        came = core.lib.sm_seal_one(ours, 9, control, text, len(text), out, len(text) + 12)
        demand(came == counter and core.take(out, len(protected)) == protected, "sealed otherwise:", row)
        answer = run(core, ours, "seal", [Row(n, text, control) for n in range(9)])
        demand(all(found[: len(protected)] == protected for found in answer.slots), "a batch seals otherwise:", row)
        back = run(core, theirs, "open", [Row(n, protected, control, counter) for n in range(9)])
        demand(all(found[: len(text)] == text for found in back.slots) and back.good == 9, "not opened:", row)
