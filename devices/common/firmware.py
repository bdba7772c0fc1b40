"""Firmware: which version runs, and what is needed to run another.

An image names itself `version:digest`, the digest being the first 16 hexadecimal digits of `image_digest` over its
blocks: the emulator's own form (ASSUMED), which lets verification catch a changed bit without keeping an image. An
image that names itself otherwise, is too large for the model, or whose digest does not fit is not good. Activation
restarts the device: associations end.
"""

from collections.abc import Callable
from re import compile as pattern
from typing import TYPE_CHECKING, Final

from devices.common.event_log import Event, Log
from devices.common.profile import Profile
from emulator.codecs.axdr import octet_string
from emulator.dlms.classes.image_transfer import Image, ImageInfo, image_digest
from emulator.dlms.cosem import Device, Key, obis
from emulator.kernel.effects import Instant

if TYPE_CHECKING:
    from devices.common.device import CosemDevice

_NAME: Final = pattern(rb"([A-Za-z0-9][A-Za-z0-9._-]{0,31}):([0-9a-f]{16})")
_RUNNING: Final[Key] = (1, obis("1-0:0.2.0"), 2)


def identifier(version: str, image: bytes, block_size: int) -> bytes:
    """What an image that is to become `version` calls itself."""
    return f"{version}:{image_digest(image, block_size).hex()[:16]}".encode("ascii")


def running(device: "CosemDevice") -> bytes:
    """The version that runs."""
    kept = device.deviations.get(_RUNNING) if device.deviations else None
    return device.spec.firmware.encode("ascii") if kept is None else bytes(kept.value)


def verify(profile: Profile) -> Callable[[Device, Image, Instant], ImageInfo | None]:
    """Whether an image is good for this model."""
    most = profile.sizes.image

    def check(device: Device, image: Image, now: Instant) -> ImageInfo | None:
        named = _NAME.fullmatch(image.identifier)
        if named is None or image.size > most or image.digest.hex()[:16].encode() != named[2]:
            return None
        return ImageInfo(image.size, named[1])

    return check


def activate(device: Device, image: Image, now: Instant) -> bool:
    """Run the image: the version changes, the device restarts."""
    from devices.common.objects import of

    own = of(device)
    named = _NAME.fullmatch(image.identifier)
    if named is None:
        return False
    if named[1] == own.spec.firmware.encode("ascii"):
        own.deviations.pop(_RUNNING, None)
    else:
        own.deviations[_RUNNING] = octet_string(named[1])
    own.write_log(Log.EVENT, Event.FIRMWARE_ACTIVATED, now)
    own.restart()
    return True
