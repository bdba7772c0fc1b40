"""What the devices say unasked, as it reached the head end's address: decoded, numbered, and kept a while.

The frame goes along as it came, so that a head end under test can open it itself. What is decoded here is read with
the key the device holds at that moment, in a store of its own: nobody's counter moves, and no key is any part of what
comes out. An alert that cannot be opened (damaged on its way, say) is told too, with its body unknown.
"""

from collections import deque
from typing import Any, Final

import msgspec

from emulator.codecs.axdr import Data, Tag
from emulator.codecs.data_notification import DATA_NOTIFICATION
from emulator.codecs.glo import GENERAL_GLO
from emulator.codecs.wrapper import WRAPPER
from emulator.control import values
from emulator.control.ring import device_name, text
from emulator.crypto import gcm
from emulator.crypto.keys import ContextStore
from emulator.crypto.layout import LINE, LINE_BYTES
from emulator.errors import CryptoError, FrameError
from emulator.fleet import registry
from emulator.fleet.installation import KEYED, Installation
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.shell.live import LiveEstate
from emulator.shell.live_cell import LiveCell

MOST: Final = 20_000

_GENERAL_GLO_TAG: Final = b"\xdb"
_BOTH: Final = 0x30
_TAG_BYTES: Final = 12
_PARTS: Final = 3


class AlertView(msgspec.Struct, frozen=True, gc=False):
    """One notification. `at` µs since 1970, when it arrived. `device` is whose it says it is; `vouched` whether it came
    ciphered under that device's key. `code` is the alert's 16-bit code, None for a notification that has none (a hub
    that calls back); `body` as plain JSON, octets as hex; `frame` the wrapper frame as hex."""

    number: int
    at: int
    time: str
    installation: int
    device: str | None
    vouched: bool
    code: int | None
    body: Any
    frame: str


class Alerts:
    """The last `most` alerts of a live estate, read like the journal's `Ring`. Whoever else listens goes on hearing
    them."""

    def __init__(self, live: LiveEstate, most: int = MOST) -> None:
        self._live = live
        self._entries: deque[AlertView] = deque(maxlen=most)
        self._store = ContextStore(1)
        self._next = live.on_alert
        self.last = 0
        self.watch: list[Any] = []
        """Called after each new one, and must be quick."""
        live.on_alert = self.hear

    def hear(self, installation: int, frame: bytes, now: Instant) -> None:
        """A frame from the alert port."""
        if self._next is not None:
            self._next(installation, frame, now)
        self.last += 1
        self._entries.append(self._view(installation, frame, now))
        for each in self.watch:
            each()

    @property
    def first(self) -> int:
        """Number of the oldest that is still here; one more than `last` when there is none."""
        return self.last - len(self._entries) + 1

    def missed(self, since: int) -> int:
        """How many after number `since` have fallen out."""
        return max(0, self.first - since - 1)

    def after(self, since: int, limit: int) -> tuple[list[AlertView], int]:
        """(those after number `since`, oldest first, at most `limit`; the number looked at last)."""
        number = max(since, self.first - 1)
        start = number - self.first + 1
        entries = self._entries  # a deque is indexed from the nearer end; `islice` would walk past all before `start`
        found = [entries[at] for at in range(start, min(start + limit, len(entries)))]
        return found, number + len(found)

    def _view(self, installation: int, frame: bytes, now: Instant) -> AlertView:
        device: str | None = None
        vouched, code, body = False, None, None
        try:
            wrapper = WRAPPER.parse(frame)
            cell = self._live.cell(installation)
            party = _speaker(cell.home(installation), wrapper.source)
            device = None if party is None else device_name(party)
            apdu = wrapper.payload
            if apdu[:1] == _GENERAL_GLO_TAG:
                apdu = self._open(cell, installation, party, apdu)
                vouched = True
            code, body = _read(DATA_NOTIFICATION.parse(apdu).body)
        except (FrameError, CryptoError):
            pass
        return AlertView(self.last, now, text(now), installation, device, vouched, code, body, frame.hex())

    def _open(self, cell: LiveCell, installation: int, party: Party | None, apdu: bytes) -> bytes:
        """The notification inside. Raises FrameError, CryptoError."""
        ciphered = GENERAL_GLO.parse(apdu)
        index = -1 if party not in KEYED else cell.context(installation, party)
        if index < 0 or not cell.store.loaded(index):
            raise CryptoError("it is nobody's whose keys are known")
        raw = cell.store.export(index)
        try:
            ek, ak, *_ = LINE.unpack(raw[:LINE_BYTES])
        finally:
            raw[:] = bytes(len(raw))
        title = ciphered.system_title
        if ciphered.security_control == _BOTH:  # as all devices here send them: opened in one call
            iv = title + ciphered.invocation_counter.to_bytes(4, "big")
            return gcm.open(ek, iv, b"\x30" + ak, ciphered.text, _TAG_BYTES)
        self._store.load(0, ek=ek, ak=ak, title=title, peer=title)
        try:
            return self._store.open(0, ciphered.security_control, ciphered.invocation_counter, ciphered.text)
        finally:
            self._store.erase(0)


def _speaker(home: Installation, sap: int) -> Party | None:
    """Whose logical device it is."""
    for spec in home.devices:
        if spec.kind in KEYED and registry.model(spec.model).profile.addressing.sap == sap:
            return spec.kind
    return None


def _read(data: Data) -> tuple[int | None, Any]:
    """(code, body): an alert is a structure of its code, the device's clock and a body; anything else has no code."""
    if data.tag == Tag.STRUCTURE and len(data.value) == _PARTS and data.value[0].tag == Tag.LONG_UNSIGNED:
        return data.value[0].value, values.plain(data.value[2])
    return None, values.plain(data)
