"""One errand to one device: rouse the hub if need be, associate, do something, leave.

What a test, a command line or a control surface wants of a single device. The errand itself is a script part that is
given the open session; its value, or the exception it ended with, is the visit's.
"""

from collections.abc import Callable
from typing import Any

from emulator.errors import EmulatorError
from emulator.fleet.installation import COUNTER_MAX
from emulator.headend import services
from emulator.headend.alerts import Inbox
from emulator.headend.conversation import Script
from emulator.headend.keyring import Target
from emulator.headend.recovery import associate
from emulator.headend.rouse import RouseSettings, rouse
from emulator.headend.session import HubSilentError, RefusedError, Steps

Errand = Callable[[Target], Steps[Any]]


class Visit:
    """One errand. After the script has ended either `value` or `error` stands."""

    __slots__ = ("_enters", "_errand", "_hub_sap", "_inbox", "_settings", "_target", "done", "error", "value")

    def __init__(
        self,
        target: Target,
        hub_sap: int,
        inbox: Inbox,
        settings: RouseSettings,
        errand: Errand,
        *,
        enters: bool = True,
    ) -> None:
        """`enters` False: the errand opens its association itself, and leaves."""
        self._enters = enters
        self._target = target
        self._hub_sap = hub_sap
        self._inbox = inbox
        self._settings = settings
        self._errand = errand
        self.done = False
        self.value: Any = None
        self.error: EmulatorError | None = None

    def script(self) -> Script:
        """The visit. Never raises."""
        try:
            self.value = yield from self._go()
        except EmulatorError as error:
            self.error = error
        self.done = True

    def _go(self) -> Steps[Any]:
        target = self._target
        if not (yield from rouse(self._inbox, self._hub_sap, self._settings)):
            raise HubSilentError("the hub did not call back; is it within coverage?")
        if not self._enters:
            return (yield from self._errand(target))
        yield from target.public.open()
        counter = yield from target.public.get(services.INVOCATION_COUNTER)
        yield from target.public.close()
        if int(counter.value) >= COUNTER_MAX or not target.session.raise_counter(int(counter.value)):
            raise RefusedError("counter", int(counter.value))
        yield from associate(target.session, target.custody, reachable=True)
        value = yield from self._errand(target)
        yield from target.session.close()
        return value
