"""Waking a hub: short messages until it calls back.

The callback is a plain notification, as the hub has no association then: it proves that somebody at the hub's address
is up, and nothing more.
"""

from dataclasses import dataclass

from mypy_extensions import mypyc_attr

from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Listen, Text
from emulator.headend.session import Steps
from emulator.kernel.time import MINUTE


@mypyc_attr(native_class=False)
@dataclass(frozen=True, slots=True)
class RouseSettings:
    """`callback` is the address the hub shall call, as text; `patience_us` is given `tries` times. ASSUMED."""

    callback: str = "10.0.0.1:4061"
    patience_us: int = 2 * MINUTE
    tries: int = 3


def rouse(inbox: Inbox, hub_sap: int, settings: RouseSettings) -> Steps[bool]:
    """Send messages and wait. False: the hub never called."""
    text = f"SMETS1 WAKE {settings.callback}".encode("ascii")
    for _ in range(settings.tries):
        yield Text(text)
        while (yield Listen(settings.patience_us)):
            if inbox.take(hub_sap, vouched=False) is not None:
                return True
    return False
