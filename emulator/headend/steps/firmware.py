"""Services 11.1 and 11.3: bring an image to a device, and let it run.

11.1 is no request to a device in the front's words, but what follows from it is: image transfer (class 18) in blocks.
Blocks whose answer was lost are not counted as lost: the bitmap of the device says which are missing, and only those go
out again, a bounded number of times. Then the device verifies. 11.3 activates what stands verified; the device starts
anew, so the association is opened a second time to ask which version runs.

No maker's image is public. The bytes here are drawn from the version alone, and an image names itself
`version:digest` as the emulated devices expect (ASSUMED form, see the devices' firmware room).
"""

from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from emulator.codecs.action import ActionResult, MethodRef
from emulator.codecs.axdr import array, double_long_unsigned, integer, octet_string, structure
from emulator.codecs.get import AttributeRef
from emulator.crypto import derive
from emulator.dlms import moment
from emulator.dlms.classes.image_transfer import (
    ACTIVATED,
    ACTIVATING,
    VERIFICATION_FAILED,
    VERIFIED,
    VERIFYING,
    image_digest,
)
from emulator.dlms.classes.single_action_schedule import execution_time
from emulator.dlms.cosem import obis
from emulator.headend import services
from emulator.headend.conversation import Rest
from emulator.headend.session import RefusedError, Steps
from emulator.headend.steps.course import NOT_EFFECTED, Course, Payload, not_offered
from emulator.kernel.time import SECOND, utc

_IMAGE: Final = obis("0-0:44.0.0")
_BITMAP: Final = AttributeRef(18, _IMAGE, 3)
_STATUS: Final = AttributeRef(18, _IMAGE, 6)
_TO_ACTIVATE: Final = AttributeRef(18, _IMAGE, 7)
_INITIATE: Final = MethodRef(18, _IMAGE, 1)
_BLOCK: Final = MethodRef(18, _IMAGE, 2)
_VERIFY: Final = MethodRef(18, _IMAGE, 3)
_ACTIVATE: Final = MethodRef(18, _IMAGE, 4)

_SCHEDULE: Final = AttributeRef(22, obis("0-0:15.0.2"), 4)

ROUNDS: Final = 4
"""How often missing blocks are sent again. ASSUMED."""
ASKED_AGAIN: Final = 12
"""How often a device that is busy verifying or activating is asked how far it is. ASSUMED."""
ASKED_AFTER_S: Final = 30

SILENT_MOST: Final = 3
"""So many blocks in a row without an answer, and nobody is believed to be there. ASSUMED."""

_AT_WORK: Final = frozenset({VERIFYING, ACTIVATING})

Version = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,7}$", description="1 to 8 characters")]


@dataclass(frozen=True, slots=True)
class Update:
    """The version an image is of, and its size."""

    version: Version
    size: Annotated[int, Meta(ge=1, le=1 << 20, description="bytes")] = 1_024


@dataclass(frozen=True, slots=True)
class Activation:
    """The version that is expected to run afterwards. `in_minutes`: the device activates by its own clock so many
    minutes from now (0: at once)."""

    version: Version
    in_minutes: Annotated[int, Meta(ge=0, le=527_040, description="minutes")] = 0


def image_of(version: str, size: int) -> bytes:
    """The image of a version: the same bytes for the same version and size."""
    found = bytearray()
    for part in range(-(-size // 16)):
        found += derive.key(b"firmware", version, part)
    return bytes(found[:size])


def name_of(version: str, image: bytes, block: int) -> bytes:
    """What an image calls itself."""
    return f"{version}:{image_digest(image, block).hex()[:16]}".encode("ascii")


def update(course: Course, asked: Update) -> Steps[Payload]:
    """11.1: initiate, send every block, verify."""
    sizes = course.profile.sizes
    if asked.size > sizes.image:
        raise not_offered(f"an image of {asked.size} bytes; this model takes {sizes.image}")
    image, block = image_of(asked.version, asked.size), sizes.image_block
    name = name_of(asked.version, image, block)
    blocks = [image[start : start + block] for start in range(0, len(image), block)]
    wanted = structure((octet_string(name), double_long_unsigned(len(image))))
    doubt = yield from course.tried(_INITIATE, wanted)
    if doubt is not None:
        bits = str((yield from course.get(_BITMAP)).value)
        if len(bits) != len(blocks) or "1" in bits:
            raise doubt
    missing = list(range(len(blocks)))
    for _ in range(ROUNDS):
        silent = 0
        for number in missing:
            body = structure((double_long_unsigned(number), octet_string(blocks[number])))
            doubt = yield from course.tried(_BLOCK, body)
            silent = 0 if doubt is None else silent + 1
            if doubt is not None and silent == SILENT_MOST:
                raise doubt
        bits = str((yield from course.get(_BITMAP)).value)
        missing = [number for number in range(len(blocks)) if bits[number : number + 1] != "1"]
        if not missing:
            break
    else:
        raise RefusedError(NOT_EFFECTED, f"{len(missing)} of {len(blocks)} blocks never arrived")
    yield from _patiently(course, _VERIFY)
    status = yield from _settled(course)
    if status != VERIFIED:
        said = "is not good" if status == VERIFICATION_FAILED else f"has status {status}"
        raise RefusedError(NOT_EFFECTED, f"the image {said}")
    return {"version": asked.version, "blocks": len(blocks), "image": name.decode("ascii")}


def activate(course: Course, asked: Activation) -> Steps[Payload]:
    """11.3: run the verified image, and see that its version runs; or have the device do so at a time (class 22), and
    see that it is planned."""
    ready = yield from course.get(_TO_ACTIVATE)
    versions = [bytes(each.value[1].value).decode("ascii", "replace") for each in ready.value]
    if asked.version not in versions:
        stands = f"version {', '.join(versions)} stands ready" if versions else "no verified image stands ready"
        raise RefusedError("no-image", stands)
    if asked.in_minutes:
        at = course.now + asked.in_minutes * 60 * SECOND
        when = execution_time(moment.encode_time(at), moment.encode_date(at))
        yield from course.written(_SCHEDULE, array((when,)), "the time of activation read back is another")
        return {"version": asked.version, "activates": utc(at).isoformat(timespec="seconds")}
    doubt = yield from _patiently(course, _ACTIVATE)
    session = course.target.session
    session.lost()  # the device has started anew
    yield from session.open()
    status = yield from _settled(course)
    runs = bytes((yield from course.get(services.FIRMWARE)).value).decode("ascii", "replace")
    if runs != asked.version:
        raise doubt or RefusedError(NOT_EFFECTED, f"version {runs} runs, status {status}")
    return {"version": runs, "activated": status == ACTIVATED}


def _patiently(course: Course, method: MethodRef) -> Steps[Exception | None]:
    """Invoke a method that may take its time: "temporary failure" says that it has begun."""
    try:
        return (yield from course.tried(method, integer(0)))
    except RefusedError as error:
        if error.detail != ActionResult.TEMPORARY_FAILURE:
            raise
    return None


def _settled(course: Course) -> Steps[int]:
    """The status once it is no longer one of work in hand."""
    for _ in range(ASKED_AGAIN):
        status = int((yield from course.get(_STATUS)).value)
        if status not in _AT_WORK:
            return status
        yield Rest(course.now + ASKED_AFTER_S * SECOND)
    raise RefusedError(NOT_EFFECTED, f"still busy, status {status}")
