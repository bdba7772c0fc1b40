"""Image transfer, class 18 version 0 (DLMS UA 1000-1 4.4.6): firmware in blocks, with gaps seen, verified, activated.

A meter keeps the image in flash; 141,372 meters here would keep 30 GB of it. What is kept is a bitmap of the blocks
received and a running digest: the sum, modulo 2 to the 128th, of a hash of (number, bytes) of each block. Sums do not
mind the order, so blocks may come in any, and a block sent twice counts once. Whoever supplies an image makes the
same digest with `image_digest`, and verification compares the two: one changed bit anywhere is found.

Verification and activation may take time (`verify_s`, `activate_s`): meanwhile the method has answered *temporary
failure* as the standard wants, the status says "initiated", and the device wakes to finish.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar, Final, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import (
    Data,
    Tag,
    array,
    bit_string,
    boolean,
    double_long_unsigned,
    enum,
    long64,
    octet_string,
    structure,
)
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, computed, constant, require_integer, stored
from emulator.kernel.effects import Instant
from emulator.kernel.time import SECOND

NOT_INITIATED: Final = 0
INITIATED: Final = 1
VERIFYING: Final = 2
VERIFIED: Final = 3
VERIFICATION_FAILED: Final = 4
ACTIVATING: Final = 5
ACTIVATED: Final = 6
ACTIVATION_FAILED: Final = 7

_STATUS: Final = -1
_IMAGE: Final = -2
_BLOCKS: Final = -3
_DIGEST: Final = -4
_READY: Final = -5
_MODULUS: Final = 1 << 128
MAX_IMAGE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """What arrived: `identifier` as initiated, `size` in bytes, `digest` of 16 bytes over the blocks."""

    identifier: bytes
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a verified image turned out to be, for attribute 7."""

    size: int
    identification: bytes
    signature: bytes = b""


Verify: TypeAlias = Callable[[Device, Image, Instant], ImageInfo | None]
Activate: TypeAlias = Callable[[Device, Image, Instant], bool]


def block_digest(number: int, block: bytes) -> int:
    """The share of one block in the digest of its image."""
    return int.from_bytes(blake2b(number.to_bytes(4, "big") + block, digest_size=16).digest(), "big")


def image_digest(image: bytes, block_size: int) -> bytes:
    """16 bytes that stand for an image cut into blocks of this size."""
    total = 0
    for number, start in enumerate(range(0, len(image), block_size)):
        total += block_digest(number, image[start : start + block_size])
    return (total % _MODULUS).to_bytes(16, "big")


class ImageTransfer(CosemObject):
    """Attributes: 2 block size, 3 transferred blocks, 4 first block not transferred, 5 transfer enabled, 6 status, 7
    images to activate. Methods: 1 initiate, 2 block transfer, 3 verify, 4 activate."""

    __slots__ = ("_activate", "_activate_us", "_block_size", "_verify", "_verify_us")
    class_id: ClassVar[int] = 18
    methods: ClassVar[Mapping[int, str]] = {
        1: "image_transfer_initiate",
        2: "image_block_transfer",
        3: "image_verify",
        4: "image_activate",
    }

    def __init__(
        self,
        logical_name: bytes | str = "0-0:44.0.0.255",
        *,
        verify: Verify,
        activate: Activate,
        block_size: int = 128,
        verify_s: int = 0,
        activate_s: int = 0,
        enabled: bool = True,
        name: str = "",
    ) -> None:
        """`verify(device, image, now)` says what the image is, or None when it is not good; `activate(device, image,
        now)` makes the device run it and says whether that went well."""
        super().__init__(
            logical_name,
            (
                constant(double_long_unsigned(block_size)),
                computed(lambda device, now: bit_string(self._bits(device))),
                computed(lambda device, now: double_long_unsigned(self.first_missing(device))),
                stored(boolean(enabled)),
                computed(lambda device, now: enum(self.status(device, now))),
                computed(self._to_activate),
            ),
            name=name,
        )
        self._block_size = block_size
        self._verify = verify
        self._activate = activate
        self._verify_us = verify_s * SECOND
        self._activate_us = activate_s * SECOND

    # What is known of the image

    def status(self, device: Device, now: Instant) -> int:
        """0 not initiated to 7 activation failed (DLMS UA 1000-1 4.4.6.2)."""
        self._settle(device, now)
        kept = self.recall(device, _STATUS)
        return NOT_INITIATED if kept is None else int(kept.value)

    def _bits(self, device: Device) -> str:
        kept = self.recall(device, _BLOCKS)
        return "" if kept is None else str(kept.value)

    def first_missing(self, device: Device) -> int:
        """The number of the first block that has not come; the number of blocks when all have."""
        bits = self._bits(device)
        gap = bits.find("0")
        return len(bits) if gap < 0 else gap

    def image(self, device: Device) -> Image | None:
        """The image as it has arrived so far, or None when none was initiated."""
        kept = self.recall(device, _IMAGE)
        if kept is None:
            return None
        identifier, size = kept.value[0].value, kept.value[1].value
        digest = self.recall(device, _DIGEST)
        return Image(identifier, size, bytes(16) if digest is None else digest.value)

    def _to_activate(self, device: Device, now: Instant) -> Data:
        if self.status(device, now) not in (VERIFIED, ACTIVATING):
            return array(())
        image = self.image(device)
        info = None if image is None else self._verify(device, image, now)
        if info is None:
            return array(())
        return array(
            (
                structure(
                    (double_long_unsigned(info.size), octet_string(info.identification), octet_string(info.signature))
                ),
            )
        )

    # Methods

    def _enabled(self, device: Device, now: Instant) -> None:
        if not self.read(device, 5, now).value:
            raise ActionRefused(ActionResult.READ_WRITE_DENIED, "image transfer is not enabled")

    def act_image_transfer_initiate(self, device: Device, data: Data, now: Instant) -> None:
        """Structure of identifier and size. Forgets any image before it."""
        self._enabled(device, now)
        if data.tag != Tag.STRUCTURE or [i.tag for i in data.value] != [Tag.OCTET_STRING, Tag.DOUBLE_LONG_UNSIGNED]:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "identifier and size are wanted")
        size = data.value[1].value
        if not 0 < size <= MAX_IMAGE_BYTES:
            raise ActionRefused(ActionResult.OTHER_REASON, "no room for an image of that size")
        if self.status(device, now) in (VERIFYING, ACTIVATING):
            raise ActionRefused(ActionResult.TEMPORARY_FAILURE, "busy with the image before")
        self.remember(device, _STATUS, enum(INITIATED))
        self.remember(device, _IMAGE, data)
        self.remember(device, _BLOCKS, bit_string("0" * -(-size // self._block_size)))
        self.remember(device, _DIGEST, None)

    def act_image_block_transfer(self, device: Device, data: Data, now: Instant) -> None:
        """Structure of block number and bytes; every block is of full size but the last."""
        self._enabled(device, now)
        if data.tag != Tag.STRUCTURE or [i.tag for i in data.value] != [Tag.DOUBLE_LONG_UNSIGNED, Tag.OCTET_STRING]:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "number and bytes of a block are wanted")
        if self.status(device, now) != INITIATED:
            raise ActionRefused(ActionResult.OTHER_REASON, "no image transfer is under way")
        image, bits = self.image(device), self._bits(device)
        assert image is not None
        number, block = data.value[0].value, data.value[1].value
        if number >= len(bits):
            raise ActionRefused(ActionResult.OTHER_REASON, "the image has no such block")
        last = image.size - (len(bits) - 1) * self._block_size
        if len(block) != (last if number == len(bits) - 1 else self._block_size):
            raise ActionRefused(ActionResult.OTHER_REASON, "the block is not of the size it should have")
        if bits[number] == "1":
            return
        digest = (int.from_bytes(image.digest, "big") + block_digest(number, block)) % _MODULUS
        self.remember(device, _BLOCKS, bit_string(f"{bits[:number]}1{bits[number + 1 :]}"))
        self.remember(device, _DIGEST, octet_string(digest.to_bytes(16, "big")))

    def act_image_verify(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._enabled(device, now)
        status = self.status(device, now)
        if status == VERIFYING:
            raise ActionRefused(ActionResult.TEMPORARY_FAILURE, "verification goes on")
        if status == VERIFIED:
            return
        if status not in (INITIATED, VERIFICATION_FAILED) or "0" in self._bits(device):
            raise ActionRefused(ActionResult.OTHER_REASON, "the image is not complete")
        self._begin(device, VERIFYING, self._verify_us, now)
        if self.status(device, now) != VERIFIED:
            raise ActionRefused(ActionResult.OTHER_REASON, "the image is not good")

    def act_image_activate(self, device: Device, data: Data, now: Instant) -> None:
        require_integer(data)
        self._enabled(device, now)
        status = self.status(device, now)
        if status == ACTIVATING:
            raise ActionRefused(ActionResult.TEMPORARY_FAILURE, "activation goes on")
        if status not in (VERIFIED, ACTIVATION_FAILED):
            raise ActionRefused(ActionResult.OTHER_REASON, "no verified image is here")
        self._begin(device, ACTIVATING, self._activate_us, now)
        if self.status(device, now) != ACTIVATED:
            raise ActionRefused(ActionResult.OTHER_REASON, "the image did not start")

    def _begin(self, device: Device, status: int, delay_us: int, now: Instant) -> None:
        self.remember(device, _STATUS, enum(status))
        self.remember(device, _READY, long64(now + delay_us))
        if delay_us:
            device.wake_at(now + delay_us)
            raise ActionRefused(ActionResult.TEMPORARY_FAILURE, "begun; ask for the status")

    def _settle(self, device: Device, now: Instant) -> None:
        """Finish what has had its time."""
        ready = self.recall(device, _READY)
        if ready is None or ready.value > now:
            return
        kept, image = self.recall(device, _STATUS), self.image(device)
        assert kept is not None
        assert image is not None
        self.remember(device, _READY, None)
        if kept.value == VERIFYING:
            good = self._verify(device, image, now) is not None
            status = VERIFIED if good else VERIFICATION_FAILED
        else:
            good = self._activate(device, image, now)
            status = ACTIVATED if good else ACTIVATION_FAILED
            if good:
                self.remember(device, _BLOCKS, None)
        self.remember(device, _STATUS, enum(status))
        device.note("image.status", status, image.identifier)

    # By itself

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        ready = self.recall(device, _READY)
        return int(ready.value) if ready is not None and ready.value > after else None

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        self._settle(device, at)
