"""What the core must answer, said with `cryptography` and the standards alone.

Green Book 9.2.3.3.7: IV = system title of the sender | invocation counter; authenticated only: AAD = SC | AK | text;
encrypted only: no AAD and no tag; both: AAD = SC | AK; tags of 12 bytes. RFC 3394 for key wrap.
`Model` is a store: in order, one message after the other, no lanes, no sorting, no buffers.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from proof.core import EXHAUSTED, NO_KEY, OK, REPLAY, TAG, TOP, USAGE, Keys

TAG_BYTES = 12


def gcm(key: bytes, iv: bytes, aad: bytes, text: bytes, tag_length: int = 16) -> bytes:
    """Ciphertext and (cut) tag."""
    return AESGCM(key).encrypt(iv, text, aad)[: len(text) + tag_length]


def sealed(keys: Keys, title: bytes, counter: int, control: int, text: bytes) -> bytes:
    """The protected text under security control 1xh, 2xh or 3xh, x being the suite."""
    iv, head = title + counter.to_bytes(4, "big"), bytes([control]) + keys.ak
    if control & 0x30 == 0x30:
        return gcm(keys.ek, iv, head, text, TAG_BYTES)
    if control & 0x20:
        return gcm(keys.ek, iv, b"", text, 0)
    return text + gcm(keys.ek, iv, head + text, b"", TAG_BYTES)


def opened(keys: Keys, title: bytes, counter: int, control: int, text: bytes) -> bytes | None:
    """The plaintext, or None. Counter mode is its own inverse: what seals to `text` is what it opens to."""
    if control & 0x30 == 0x20:
        return sealed(keys, title, counter, control, text)
    if len(text) < TAG_BYTES:
        return None
    body = text[:-TAG_BYTES]
    plain = sealed(keys, title, counter, 0x20, body) if control & 0x20 else body
    return plain if sealed(keys, title, counter, control, plain) == text else None


def control_fault(control: int, suite: int) -> int:
    """OK for the three protections; NO_KEY for other suites and the broadcast key; USAGE for the rest."""
    if control & 0x40 or control & 0x0F != suite:
        return NO_KEY
    return OK if control & 0xF0 in (0x10, 0x20, 0x30) else USAGE


@dataclass
class Place:
    """One context: its keys and counters."""

    keys: Keys
    tx: int = 0
    rx: int = 0


class Model:
    """A store of contexts side by side and `spare` empty places. Each call gives (status, counter or 0, bytes)."""

    def __init__(self, *contexts: Keys, spare: int = 1, tx: int = 0, rx: int = 0) -> None:
        self.places: list[Place | None] = []
        for keys in contexts:
            self.places += [Place(keys, tx, rx), *[None] * (keys.places - 1)]
        self.places += [None] * spare

    def _place(self, index: int, control: int | None = None) -> tuple[int, Place | None]:
        if index >= len(self.places):
            return USAGE, None
        place = self.places[index]
        if control is not None:
            fault = control_fault(control, place.keys.suite if place is not None else 0)
            if fault != OK:
                return fault, None
        return (OK, place) if place is not None else (NO_KEY, None)

    def _spend(self, place: Place) -> int | None:
        if place.tx == TOP:
            return None
        place.tx += 1
        return place.tx - 1

    def seal(self, index: int, control: int, text: bytes) -> tuple[int, int, bytes]:
        fault, place = self._place(index, control)
        if place is None:
            return fault, 0, b""
        counter = self._spend(place)
        if counter is None:
            return EXHAUSTED, 0, b""
        return OK, counter, sealed(place.keys, place.keys.title, counter, control, text)

    def open(self, index: int, control: int, counter: int, text: bytes) -> tuple[int, int, bytes]:
        fault, place = self._place(index, control)
        if place is None:
            return fault, 0, b""
        if counter < place.rx or counter == TOP:
            return REPLAY, 0, b""
        plain = opened(place.keys, place.keys.peer, counter, control, text)
        if plain is None:
            return TAG, 0, b""
        place.rx = counter + 1
        return OK, counter, plain

    def gmac(self, index: int, text: bytes) -> tuple[int, int, bytes]:
        fault, place = self._place(index)
        if place is None:
            return fault, 0, b""
        status, counter, body = self.seal(index, 0x10 | place.keys.suite, text)
        return status, counter, body[len(text) :]

    def wrap(self, index: int, key: bytes) -> tuple[int, int, bytes]:
        fault, place = self._place(index)
        if place is None:
            return fault, 0, b""
        return (OK, 0, aes_key_wrap(place.keys.kek, key)) if len(key) == len(place.keys.ek) else (USAGE, 0, b"")

    def unwrap(self, index: int, wrapped: bytes) -> tuple[int, int, bytes]:
        fault, place = self._place(index)
        if place is None:
            return fault, 0, b""
        if len(wrapped) != len(place.keys.ek) + 8:
            return TAG, 0, b""
        try:
            return OK, 0, aes_key_unwrap(place.keys.kek, wrapped)
        except InvalidUnwrap:
            return TAG, 0, b""
