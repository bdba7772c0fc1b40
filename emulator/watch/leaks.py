"""Keys where none should be: outside of encryption, or inside it but not wrapped.

Looked for are the keys a device holds now and those it was handed over with, as 16 bytes in a row, in messages that are
not encrypted; that is a search in C of a hundred bytes. A key transfer is looked into after it was opened too: an item
must be a wrapped key (24 bytes, RFC 3394), and no item may contain a key as it is.
"""

from collections.abc import Callable, Iterator
from typing import Final

from emulator.codecs.acse import AARQ_FRAME
from emulator.codecs.initiate import INITIATE_REQUEST
from emulator.dlms.cosem import Device
from emulator.errors import FrameError
from emulator.watch.requests import Target, keys_given

KEY_BYTES: Final = 16
WRAPPED_BYTES: Final = 24

_NAMES: Final = {0: "EK", 1: "broadcast key", 2: "AK", 3: "KEK"}
_HELD: Final = (("EK", slice(0, 16)), ("AK", slice(16, 32)), ("KEK", slice(64, 80)))
"""Where keys stand in an export of a context (`crypto.layout`)."""

HandedOver = Callable[[], Iterator[tuple[str, bytes]]]


def held(device: Device, index: int) -> Iterator[tuple[str, bytes]]:
    """The keys a device holds, by name. Never keep them."""
    if index < 0 or not device.store.loaded(index):
        return
    exported = device.store.export(index)
    try:
        for name, place in _HELD:
            key = bytes(exported[place])
            if any(key):
                yield name, key
    finally:
        exported[:] = bytes(len(exported))


def seen(text: bytes, device: Device, index: int, handed_over: HandedOver) -> str | None:
    """The name of a key that stands in `text`, or None."""
    if len(text) < KEY_BYTES:
        return None
    for name, key in held(device, index):
        if key in text:
            return f"its {name}"
    if index >= 0 and device.store.loaded(index) and device.store.state(index).epoch:
        for name, key in handed_over():
            if key in text:
                return f"the {name} it was handed over with"
    return None


def dedicated(apdu: bytes) -> bool:
    """Whether an AARQ carries a dedicated key outside of encryption."""
    if apdu[:1] != b"\x60":
        return False
    try:
        inner = AARQ_FRAME.parse(apdu).user_information
        if not inner or inner[:1] != b"\x01":
            return False
        return INITIATE_REQUEST.parse(inner).dedicated_key is not None
    except FrameError:
        return False


def unwrapped(target: Target) -> str | None:
    """The name of a transferred key that is not wrapped, or None."""
    for key_id, octets in keys_given(target):
        if len(octets) == KEY_BYTES:
            return f"the new {_NAMES.get(key_id, f'key {key_id}')}"
    return None
