"""One logical device, talked to by a script: requests with patience, repeats, and answers as plain values.

A `Session` turns the sans-IO DLMS client into generator methods: `value = yield from session.get(CLOCK)`. Reads are
repeated when no answer comes, each time as a new request under a new invocation counter. What changes something is
never repeated here: whether it took effect is a question for whoever asked (`headend/rotation.py` for keys).

Ends are exceptions of two kinds: `NoAnswerError` (nobody knows what happened) and `RefusedError` (the device, or our own
check of its answer, said no, and why).
"""

from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef
from emulator.dlms.client import Answer, Client, More, Refused
from emulator.errors import EmulatorError
from emulator.fleet.installation import DeviceKeys
from emulator.headend.conversation import Ask, Heard, Request

T = TypeVar("T")
Steps: TypeAlias = Generator[Ask, Heard, T]
"""A part of a script that comes to a value."""

READ_TRIES: Final = 3
"""How often a request that changes nothing is made before nobody is believed to be there. ASSUMED."""
