"""What a device says unasked: the head end's ear on the alert port.

A DataNotification comes plain (a hub that has just come up, before any association) or in general-glo-ciphering under
the device's own EK. It is opened when it arrives and not when somebody asks for it, because alerts and answers of one
device share one invocation counter and the counter's high-water mark moves with each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from emulator.codecs.axdr import Data
from emulator.codecs.data_notification import DATA_NOTIFICATION
from emulator.codecs.glo import GENERAL_GLO
from emulator.codecs.wrapper import WRAPPER
from emulator.crypto.keys import ContextStore
from emulator.dlms import security
from emulator.errors import CryptoError, FrameError
from emulator.kernel.effects import Instant, Note

_GENERAL_GLO_TAG: Final = b"\xdb"


@dataclass(slots=True)
class Alert:
    """One notification. `system_title` is None when it came plain: then nobody vouches for it."""

    at: Instant
    source_sap: int
    system_title: bytes | None
    body: Data


def open_alert(
    frame: bytes, now: Instant, store: ContextStore, find: Callable[[bytes], int | None]
) -> Alert | Note:
    """A wrapper frame from the alert port as an alert, or what to note of one that cannot be opened: then nothing has
    moved. `find` gives the context of a system title."""
    try:
        wrapper = WRAPPER.parse(frame)
        apdu = wrapper.payload
        title = None
        if apdu[:1] == _GENERAL_GLO_TAG:
            ciphered = GENERAL_GLO.parse(apdu)
            title = ciphered.system_title
            context = find(title)
            if context is None:
                return Note("headend.alert-stranger", (title,))
            if ciphered.security_control not in security.ACCEPTABLE:
                return Note("headend.alert-refused", ("unprotected",))
            apdu = store.open(context, ciphered.security_control, ciphered.invocation_counter, ciphered.text)
        notification = DATA_NOTIFICATION.parse(apdu)
    except (FrameError, CryptoError) as error:
        return Note("headend.alert-refused", (type(error).__name__,))
    return Alert(now, wrapper.source, title, notification.body)


class Inbox:
    """Alerts of one installation. `contexts` maps a device's system title to its context in `store`; `heard` is told of
    each alert that was opened."""

    __slots__ = ("_contexts", "_heard", "_store", "alerts")

    def __init__(
        self, store: ContextStore, contexts: Mapping[bytes, int], heard: Callable[[Alert], None] | None = None
    ) -> None:
        self._store = store
        self._contexts = contexts
        self._heard = heard
        self.alerts: list[Alert] = []

    def hear(self, frame: bytes, now: Instant) -> Note:
        """Take a wrapper frame from the alert port. Always answers with what to note; bad frames change nothing."""
        alert = open_alert(frame, now, self._store, self._contexts.get)
        if type(alert) is Note:
            return alert
        assert isinstance(alert, Alert)
        self.alerts.append(alert)
        if self._heard is not None:
            self._heard(alert)
        return Note("headend.alert", (alert.source_sap, alert.system_title or b""))

    def take(self, source_sap: int, *, vouched: bool) -> Alert | None:
        """The oldest alert from a logical device, taken out; with `vouched` only one that came ciphered."""
        for position, alert in enumerate(self.alerts):
            if alert.source_sap == source_sap and (alert.system_title is not None or not vouched):
                return self.alerts.pop(position)
        return None
