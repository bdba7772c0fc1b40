"""Service 6.11, and 8.1.1 as a meter knows it: its clock is set to ours, and looked at again.

The time is that of the instant at which the request goes out. A sleepy gas meter answers while its session is opened
and is awake by then, so what is set is late by one crossing of the link and no more. A clock that is still out by more
than the tolerance afterwards was not set: a meter may acknowledge and leave it (seen in the field, 8F0C; FACT).
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from emulator.codecs.axdr import Data, Tag
from emulator.dlms import moment
from emulator.headend import services
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import NOT_EFFECTED, Course, Payload
from emulator.kernel.time import SECOND


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a clock may be out afterwards."""

    tolerance_s: Annotated[int, Meta(ge=1, le=3_600, description="seconds")] = 10


def _out_by(course: Course, shown: Data) -> float:
    """Seconds by which a clock that was just read is ahead of ours."""
    at = moment.decode(bytes(shown.value))
    return (at - course.now) / SECOND


def synchronise(course: Course, asked: Tolerance) -> Steps[Payload]:
    """6.11: set the clock and see that it is right."""
    before = _out_by(course, (yield from course.get(services.CLOCK)))
    yield from course.set(services.CLOCK, Data(int(Tag.DATE_TIME), moment.encode(course.now)))
    after = _out_by(course, (yield from course.get(services.CLOCK)))
    if abs(after) > asked.tolerance_s:
        raise RefusedError(NOT_EFFECTED, f"the clock is out by {after:.0f} s")
    return {"was_out_by_s": round(before, 1), "out_by_s": round(after, 1)}


def commission(course: Course, asked: Tolerance) -> Steps[Payload]:
    """8.1.1: the device is who the papers say, and its clock is ours. Raises RefusedError("other-device", name)."""
    name = bytes((yield from course.get(services.DEVICE_NAME)).value)
    if course.target.device.spec.serial.encode("ascii") not in name:
        raise RefusedError("other-device", name.decode("ascii", "replace"))
    told = yield from synchronise(course, asked)
    return {"device": name.decode("ascii", "replace"), **told}
