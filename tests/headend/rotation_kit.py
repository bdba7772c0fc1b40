"""A device as simple as one can be, and a session's face over it: what the head end's own scripts are run against.

Three keys, and rules as simple as a device's can be. The channel loses requests and answers, the device refuses and
tears, as the row of fates says.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from emulator.codecs.axdr import Data
from emulator.crypto import keywrap
from emulator.errors import CryptoError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.custody import DeviceCustody
from emulator.headend.recovery import associate
from emulator.headend.rotation import rotate
from emulator.headend.session import NoAnswerError, RefusedError

HANDED = DeviceKeys(b"e" * 16, b"a" * 16, b"k" * 16)

OK, REQUEST_LOST, ANSWER_LOST, REFUSED, TORN = "ok", "request lost", "answer lost", "refused", "torn"
FATES = (OK, REQUEST_LOST, ANSWER_LOST, REFUSED, TORN)


@dataclass
class Device:
    """Three keys. `silent`: it says nothing to what it cannot open."""

    ek: bytes = HANDED.ek
    ak: bytes = HANDED.ak
    kek: bytes = b"k" * 16
    silent: bool = False


@dataclass
class Line:
    """A session's face over an oracle: what the scripts call, with a fate for every request."""

    device: Device
    fates: Iterator[str]
    keys: DeviceKeys | None = None
    lowest: int = 7
    asked: list[str] = field(default_factory=list)

    def use(self, keys: DeviceKeys) -> None:
        self.keys = keys

    def begin_with(self, keys: DeviceKeys) -> int:
        before, self.lowest, self.keys = self.lowest, 0, keys
        return before

    def back_to(self, keys: DeviceKeys, lowest: int) -> None:
        self.keys, self.lowest = keys, lowest

    def open(self) -> Generator[Any, Any, None]:
        yield from self._ask("open", None)

    def get(self, reference: object) -> Generator[Any, Any, None]:
        yield from self._ask("get", None)

    def action(self, method: object, data: Data) -> Generator[Any, Any, None]:
        yield from self._ask("transfer", data)

    def _ask(self, what: str, transfer: Data | None) -> Generator[Any, Any, None]:
        yield from ()
        self.asked.append(what)
        device, keys, fate = self.device, self.keys, next(self.fates, OK)
        assert keys is not None
        if fate == REQUEST_LOST:
            raise NoAnswerError("lost")
        if (keys.ek, keys.ak) != (device.ek, device.ak):
            if device.silent or fate == ANSWER_LOST:
                raise NoAnswerError("silence")
            raise RefusedError("exception", 5)
        if transfer is not None:
            if fate == REFUSED:
                raise RefusedError("action", 2)
            found = {}
            for item in transfer.value:
                try:
                    found[item.value[0].value] = keywrap.unwrap(device.kek, item.value[1].value)
                except CryptoError:
                    raise RefusedError("action", 250) from None
            if fate == TORN and len(found) == 2:
                del found[0 if len(self.asked) % 2 else 2]
            device.ek, device.ak = found.get(0, device.ek), found.get(2, device.ak)
            device.kek = found.get(3, device.kek)
        self.lowest += 1
        if fate == ANSWER_LOST:
            raise NoAnswerError("lost")


def carry_out(script: Generator[Any, Any, None]) -> Exception | None:
    """Run a script to its end; what it raised."""
    try:
        for _ in script:
            pass
    except (NoAnswerError, RefusedError) as error:
        return error
    return None


def attempt(line: Line, custody: DeviceCustody) -> Exception | None:
    """One attempt: a new association, then the change."""

    def script() -> Generator[Any, Any, None]:
        yield from associate(line, custody)  # type: ignore[arg-type]
        yield from rotate(line, custody)  # type: ignore[arg-type]

    return carry_out(script())
