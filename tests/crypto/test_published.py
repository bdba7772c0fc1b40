"""Worked examples of the DLMS Green Book and RFC 3394 (fixtures/vectors), on every core."""

import tomllib

import pytest

from emulator.errors import ReplayError, TagError
from emulator.resources import fixture

SUITE0 = tomllib.loads(fixture("vectors/green_book/suite0.toml").read_text())
SECTION4 = tomllib.loads(fixture("vectors/rfc3394/section4.toml").read_text())
EK, AK = (bytes.fromhex(SUITE0["keys"][name]) for name in ("ek", "ak"))
OTHER = bytes(8)


def named(table: list[dict[str, object]]) -> list[object]:
    return [pytest.param(row, id=str(row.get("name", row.get("section")))) for row in table]


@pytest.mark.parametrize("row", named(SUITE0["message"]))
def test_message_seals_to_the_published_bytes_and_opens_again(core, row) -> None:
    """The sender's title and counter make the IV on both sides; the counters then stand one higher."""
    title, text, protected = (bytes.fromhex(row[n]) for n in ("title", "text", "protected"))
    store = core.context_store(2)
    store.load(0, ek=EK, ak=AK, title=title, peer=OTHER, tx=row["counter"])
    store.load(1, ek=EK, ak=AK, title=OTHER, peer=title, rx=row["counter"])
    assert store.seal(0, row["security_control"], text) == (row["counter"], protected)
    assert store.open(1, row["security_control"], row["counter"], protected) == text
    assert store.counters(0)[0] == store.counters(1)[1] == row["counter"] + 1


@pytest.mark.parametrize("row", named(SUITE0["gmac"]))
def test_hls_tag_is_the_published_one(core, row) -> None:
    """HLS mechanism 5, passes 3 and 4; the tag checks on the other side and a bent one does not."""
    title, challenge, tag = (bytes.fromhex(row[n]) for n in ("title", "challenge", "tag"))
    store = core.context_store(2)
    store.load(0, ek=EK, ak=AK, title=title, peer=OTHER, tx=row["counter"])
    store.load(1, ek=EK, ak=AK, title=OTHER, peer=title)
    assert store.gmac(0, challenge) == (row["counter"], tag)
    for bit in range(96):
        bent = (int.from_bytes(tag, "big") ^ 1 << bit).to_bytes(12, "big")
        with pytest.raises(TagError):
            store.check_gmac(1, row["counter"], bent, challenge)
    assert store.counters(1) == (0, 0)
    store.check_gmac(1, row["counter"], tag, challenge)
    assert store.counters(1) == (0, row["counter"] + 1)


@pytest.mark.parametrize("row", named(SUITE0["free"]))
def test_whole_tag_and_its_first_twelve_bytes(core, row) -> None:
    """The same example with the 16-byte tag it publishes and with the 12 bytes that are sent."""
    ek, ak, title, text, cipher_text, tag = (
        bytes.fromhex(row[n]) for n in ("ek", "ak", "title", "text", "cipher_text", "tag")
    )
    iv, aad = title + row["counter"].to_bytes(4, "big"), bytes([row["security_control"]]) + ak
    assert core.gcm.seal(ek, iv, aad, text, 16) == cipher_text + tag
    assert core.gcm.open(ek, iv, aad, cipher_text + tag, 16) == text
    store = core.context_store(1)
    store.load(0, ek=ek, ak=ak, title=title, peer=title, tx=row["counter"], rx=row["counter"])
    assert store.seal(0, row["security_control"], text)[1] == cipher_text + tag[:12]
    assert store.open(0, row["security_control"], row["counter"], cipher_text + tag[:12]) == text


def test_every_flipped_bit_of_a_message_is_refused(core) -> None:
    """Control byte, counter, text or tag: one bit changed is a TagError (or a refused counter), and nothing moves."""
    row = SUITE0["message"][2]
    title, protected = bytes.fromhex(row["title"]), bytes.fromhex(row["protected"])
    store = core.context_store(1)
    store.load(0, ek=EK, ak=AK, title=OTHER, peer=title, rx=1)
    for bit in range(8 * len(protected)):
        bent = (int.from_bytes(protected, "big") ^ 1 << bit).to_bytes(len(protected), "big")
        with pytest.raises(TagError):
            store.open(0, 0x30, row["counter"], bent)
    for bit in range(32):
        with pytest.raises((TagError, ReplayError)):
            store.open(0, 0x30, row["counter"] ^ 1 << bit, protected)
    with pytest.raises(TagError):
        store.open(0, 0x10, row["counter"], protected)
    assert store.counters(0) == (0, 1)


@pytest.mark.parametrize("row", named(SECTION4["wrap"]))
def test_wrapped_key_is_the_published_one(core, row) -> None:
    """Both ways; one bit changed, another KEK or any other length is refused."""
    kek, key, wrapped = (bytes.fromhex(row[n]) for n in ("kek", "key", "wrapped"))
    assert core.keywrap.wrap(kek, key) == wrapped
    assert core.keywrap.unwrap(kek, wrapped) == key
    for bit in range(0, 8 * len(wrapped), 7):
        bent = (int.from_bytes(wrapped, "big") ^ 1 << bit).to_bytes(len(wrapped), "big")
        with pytest.raises(TagError):
            core.keywrap.unwrap(kek, bent)
    with pytest.raises(TagError):
        core.keywrap.unwrap(bytes(len(kek)), wrapped)
    for length in {0, 8, 16, 23, 25, len(wrapped) - 8, len(wrapped) + 8}:
        with pytest.raises(TagError):
            core.keywrap.unwrap(kek, (wrapped + bytes(8))[:length])
