"""Counters and nonces of clients, device by device and key by key.

What a client sealed under one title, key and counter must be one message (AES-GCM's nonce is title and counter). So for
each context the last messages that the device *accepted* are remembered, as counter and a short digest of the text;
keys are told apart by a fingerprint. A message that the device refused for its counter is opened once more in a store
of our own: only what holds its tag was really made by the client, anything else may be damage on the way. The same
message twice is a replay; where a fault on the wire is in force it is the wire's.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from emulator.codecs.acse import AARQ_FRAME
from emulator.codecs.glo import DEDICATED, GENERAL_DED, GENERAL_GLO, GLO, PLAIN
from emulator.crypto.keys import ContextStore
from emulator.dlms.association import Association
from emulator.dlms.cosem import Device
from emulator.dlms.security import parse_gmac_reply
from emulator.errors import CryptoError, FrameError

REMEMBERED: Final = 64
"""Counters remembered for each context."""

_GMAC: Final = 0x10
_LINE_KEY: Final = slice(0, 16)


@dataclass(slots=True)
class Sealed:
    """A message as it came: what protects it, and how the context stood before."""

    index: int
    control: int
    counter: int
    text: bytes
    lowest: int
    epoch: int
    tag: int
    title: bytes


@dataclass(slots=True)
class Trace:
    """What one key of one context has seen."""

    epoch: int
    key: bytes
    seen: "OrderedDict[tuple[bytes, int], bytes]"


Report = Callable[[str, str, str], None]
"""Called with kind, what and where."""


def sealed(device: Device, association: Association | None, client_sap: int, apdu: bytes) -> Sealed | None:
    """The protection of an APDU, where it has any that this device has a context for."""
    tag = apdu[0] if apdu else 0
    try:
        if tag in PLAIN:
            frame = GLO.parse(apdu)
            dedicated = tag in DEDICATED
        elif tag in (0xDB, 0xDC):
            general = (GENERAL_GLO if tag == 0xDB else GENERAL_DED).parse(apdu)
            frame, dedicated = general, tag == 0xDC  # type: ignore[assignment]
        elif tag == 0x60:
            return _initiate(device, client_sap, apdu)
        else:
            return None
    except FrameError:
        return None
    if association is None:
        return None
    index = association.dedicated if dedicated else association.index
    return _made(
        device, index, tag, frame.security_control, frame.invocation_counter, frame.text, association.client_title
    )


def _initiate(device: Device, client_sap: int, apdu: bytes) -> Sealed | None:
    """The ciphered InitiateRequest inside an AARQ."""
    asked = AARQ_FRAME.parse(apdu)
    inner = asked.user_information
    if not inner or inner[0] not in PLAIN:
        return None
    frame = GLO.parse(inner)
    index = device.contexts.get(client_sap, -1)
    title = asked.calling_title or b""
    return _made(device, index, 0x60, frame.security_control, frame.invocation_counter, frame.text, title)


def _made(device: Device, index: int, tag: int, control: int, counter: int, text: bytes, title: bytes) -> Sealed | None:
    if index < 0 or not device.store.loaded(index):
        return None
    state = device.store.state(index)
    return Sealed(index, control, counter, text, state.rx, state.epoch, tag, title or state.peer)


class Counters:
    """The counters of one cell's devices. `gap_most` as in `WatchSettings`; `wire_repeats` says whether what comes
    twice may be the wire's doing now."""

    def __init__(self, gap_most: int, wire_repeats: Callable[[], bool]) -> None:
        self._gap_most = gap_most
        self._wire_repeats = wire_repeats
        self._traces: dict[tuple[int, int], Trace] = {}
        self._scratch: ContextStore | None = None
        self._secret = blake2b(b"watch", digest_size=16).digest()

    def forget(self, installation: int) -> None:
        """A home was put back: its counters may begin anew."""
        for key in [key for key in self._traces if key[0] == installation]:
            del self._traces[key]

    def judge(self, device: Device, message: Sealed, challenge_reply: bytes | None, report: Report) -> bool:
        """After the device has dealt with a message: say what is wrong with its counter. Whether it was accepted.

        `challenge_reply` is the client's f(StoC) where the message carried one that was accepted."""
        store, index = device.store, message.index
        if not store.loaded(index):
            return False
        state = store.state(index)
        accepted = state.epoch != message.epoch or state.rx > message.lowest
        trace = self._trace(device, message)
        counter, where = message.counter, f"counter {message.counter}, lowest acceptable {message.lowest}"
        if accepted:
            if counter - message.lowest > self._gap_most:
                jump = counter - message.lowest
                report("bad-counter", f"the counter jumped by {jump}, more than {self._gap_most}", where)
            self._use(trace, message.title, counter, self._digest(message.text), report, where)
            if challenge_reply is not None and (reply := parse_gmac_reply(challenge_reply)) is not None:
                self._use(trace, message.title, reply[0], self._digest(reply[1]), report, f"challenge reply, {where}")
        elif counter < message.lowest:
            self._refused(device, message, trace, report, where)
        elif counter == 0xFFFF_FFFF and self._authentic(device, message, 0):
            report("bad-counter", "the counter is spent: FFFFFFFF is never used", where)
        return accepted

    def reply(self, device: Device, association: Association, challenge_reply: bytes, report: Report) -> None:
        """A challenge was answered in a plain message: its tag has used up a counter too."""
        found = parse_gmac_reply(challenge_reply)
        index = association.index
        if found is None or index < 0 or not device.store.loaded(index):
            return
        state = device.store.state(index)
        trace = self._trace(
            device, Sealed(index, _GMAC, found[0], b"", state.rx, state.epoch, 0, association.client_title)
        )
        title = association.client_title or state.peer
        self._use(trace, title, found[0], self._digest(found[1]), report, f"challenge reply, counter {found[0]}")

    # Inside

    def _trace(self, device: Device, message: Sealed) -> Trace:
        """What the key that the message came under has seen. With another key everything begins anew."""
        place = device.installation, message.index
        found = self._traces.get(place)
        if found is None or found.epoch != message.epoch:
            if device.store.state(message.index).epoch != message.epoch:  # keys were changed by this very message
                return found or Trace(message.epoch, b"", OrderedDict())
            exported = device.store.export(message.index)
            key = blake2b(exported[_LINE_KEY], key=self._secret, digest_size=8).digest()
            exported[:] = bytes(len(exported))
            if found is None or found.key != key:
                found = self._traces[place] = Trace(message.epoch, key, OrderedDict())
            found.epoch = message.epoch
        return found

    def _digest(self, text: bytes) -> bytes:
        return blake2b(text, digest_size=8).digest()

    def _use(self, trace: Trace, title: bytes, counter: int, digest: bytes, report: Report, where: str) -> None:
        seen, key = trace.seen, (title, counter)
        before = seen.get(key)
        if before is not None and before != digest:
            report("reused-nonce", f"counter {counter} has protected another message under the same key", where)
        seen[key] = digest
        if len(seen) > REMEMBERED:
            seen.popitem(last=False)

    def _refused(self, device: Device, message: Sealed, trace: Trace, report: Report, where: str) -> None:
        before = trace.seen.get((message.title, message.counter))
        if before is not None and before == self._digest(message.text):
            if not self._wire_repeats():
                report("bad-counter", "a message was sent again as it was", where)
        elif self._authentic(device, message, message.counter):
            if before is None:
                report("bad-counter", "the counter does not rise", where)
            else:
                what = f"counter {message.counter} has protected another message under the same key"
                report("reused-nonce", what, where)

    def _authentic(self, device: Device, message: Sealed, lowest: int) -> bool:
        """Whether the message was made by who has the keys: opened in a store of our own, whose counter is lower."""
        if self._scratch is None:
            self._scratch = ContextStore(1)
        scratch = self._scratch
        exported = device.store.export(message.index)
        try:
            scratch.restore(0, exported)
            scratch.set_peer(0, message.title)
            scratch.set_counters(0, rx=lowest)
            scratch.open(0, message.control, message.counter, message.text)
        except CryptoError:
            return False
        finally:
            exported[:] = bytes(len(exported))
            if scratch.loaded(0):
                scratch.erase(0)
        return message.control & _GMAC != 0  # without a tag nothing is proven
