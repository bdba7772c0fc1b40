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
from emulator.crypto.layout import ContextState
from emulator.dlms.association import Association
from emulator.dlms.cosem import Device
from emulator.dlms.security import parse_gmac_reply
from emulator.errors import CryptoError, FrameError
from emulator.watch.levels import Levels

REMEMBERED: Final = 64
"""Counters remembered for each context."""

CONTEXTS_MOST: Final = 512
"""Contexts of a cell that counters are remembered for: those used last."""

_GMAC: Final = 0x10


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
    key: int
    seen: "OrderedDict[tuple[bytes, int], bytes]"
    highest: dict[bytes, int]
    """By client title."""


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
    """The counters of one cell's devices, whose keys `levels` tells apart. `gap_most` as in `WatchSettings`;
    `wire_repeats` says whether what comes twice may be the wire's doing now."""

    def __init__(self, levels: Levels, gap_most: int, wire_repeats: Callable[[], bool]) -> None:
        self._levels = levels
        self._gap_most = gap_most
        self._wire_repeats = wire_repeats
        self._traces: OrderedDict[int, Trace] = OrderedDict()
        self._scratch: ContextStore | None = None

    def forget(self, index: int) -> None:
        """A context was put back: its counters may begin anew."""
        self._traces.pop(index, None)

    def judge(
        self,
        device: Device,
        message: Sealed,
        state: ContextState | None,
        challenge_reply: bytes | None,
        report: Report,
    ) -> bool:
        """After the device has dealt with a message: say what is wrong with its counter. Whether it was accepted.

        `state` is how the message's context stands now (None: ask the store); `challenge_reply` the client's f(StoC)
        where the message carried one that was accepted."""
        if state is None:
            if not device.store.loaded(message.index):
                return False
            state = device.store.state(message.index)
        accepted = state.epoch != message.epoch or state.rx > message.lowest
        counter, where = message.counter, f"counter {message.counter}, lowest acceptable {message.lowest}"
        if accepted:
            trace = self._trace(device, message, state.epoch)
            if counter - message.lowest > self._gap_most:
                jump = counter - message.lowest
                report("bad-counter", f"the counter jumped by {jump}, more than {self._gap_most}", where)
            self._use(trace, message.title, counter, message.text, report, where)
            if challenge_reply is not None and (reply := parse_gmac_reply(challenge_reply)) is not None:
                self._use(trace, message.title, reply[0], reply[1], report, f"challenge reply, {where}")
        elif counter < message.lowest:
            self._refused(device, message, self._trace(device, message, state.epoch), report, where)
        return accepted

    def reply(self, device: Device, association: Association, challenge_reply: bytes, report: Report) -> None:
        """A challenge was answered in a plain message: its tag has used up a counter too."""
        found = parse_gmac_reply(challenge_reply)
        index = association.index
        if found is None or index < 0 or not device.store.loaded(index):
            return
        state = device.store.state(index)
        title = association.client_title or state.peer
        message = Sealed(index, _GMAC, found[0], found[1], state.rx, state.epoch, 0, title)
        trace = self._trace(device, message, state.epoch)
        self._use(trace, title, found[0], found[1], report, f"challenge reply, counter {found[0]}")

    # Inside

    def _trace(self, device: Device, message: Sealed, epoch: int) -> Trace:
        """What the key that the message came under has seen. With another key everything begins anew."""
        traces, index = self._traces, message.index
        found = traces.get(index)
        if found is None or found.epoch != message.epoch:
            if epoch != message.epoch:  # keys were changed by this very message, which was the last under its own
                return found or Trace(message.epoch, 0, OrderedDict(), {})
            key = self._levels.key(device, index, epoch)
            if found is None or found.key != key:
                found = traces[index] = Trace(epoch, key, OrderedDict(), {})
                if len(traces) > CONTEXTS_MOST:
                    traces.popitem(last=False)
            found.epoch = epoch
        traces.move_to_end(index)
        return found

    def _use(self, trace: Trace, title: bytes, counter: int, text: bytes, report: Report, where: str) -> None:
        """A counter was used, for a text that holds its tag."""
        seen, key, digest = trace.seen, (title, counter), _digest(text)
        before = seen.get(key)
        if before is not None and before != digest:
            report("reused-nonce", f"counter {counter} has protected another message under the same key", where)
        seen[key] = digest
        if len(seen) > REMEMBERED:
            seen.popitem(last=False)
        if counter > trace.highest.get(title, -1):
            trace.highest[title] = counter

    def _refused(self, device: Device, message: Sealed, trace: Trace, report: Report, where: str) -> None:
        """A counter below the lowest acceptable one. Whoever has not used a higher one is only behind the device, as a
        head end is that was handed an old record."""
        title, counter = message.title, message.counter
        before = trace.seen.get((title, counter))
        if before is not None and before == _digest(message.text):
            if not self._wire_repeats():
                report("bad-counter", "a message was sent again as it was", where)
        elif self._authentic(device, message):
            highest = trace.highest.get(title, -1)
            if before is None and counter <= highest:
                report("bad-counter", f"the counter does not rise: {highest} was used before", where)
            self._use(trace, title, counter, message.text, report, where)

    def _authentic(self, device: Device, message: Sealed) -> bool:
        """Whether the message was made by who has the keys: opened in a store of our own, whose counter is lower."""
        if not message.control & _GMAC:
            return False  # without a tag nothing is proven
        if self._scratch is None:
            self._scratch = ContextStore(1)
        scratch = self._scratch
        exported = device.store.export(message.index)
        try:
            scratch.restore(0, exported)
            scratch.set_peer(0, message.title)
            scratch.set_counters(0, rx=message.counter)
            scratch.open(0, message.control, message.counter, message.text)
        except CryptoError:
            return False
        finally:
            exported[:] = bytes(len(exported))
            if scratch.loaded(0):
                scratch.erase(0)
        return True


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).digest()
