"""What a request wants: the attributes it writes, the methods it invokes, and what they are given.

Blocks are joined by the device; here a later block stands for the targets of its first one, without its value.
"""

from dataclasses import dataclass
from typing import Final

from emulator.codecs.action import (
    ACTION_REQUEST,
    ACTION_RESPONSE,
    ActionRequest,
    ActionRequestList,
    ActionResponse,
    ActionResponseList,
    MethodRef,
)
from emulator.codecs.axdr import Data, Tag
from emulator.codecs.get import AttributeRef
from emulator.codecs.set import (
    SET_REQUEST,
    SET_RESPONSE,
    SetRequest,
    SetRequestList,
    SetResponse,
    SetResponseLastBlock,
    SetResponseLastBlockList,
    SetResponseList,
)
from emulator.dlms.association import Association
from emulator.dlms.cosem import obis_text
from emulator.errors import FrameError
from emulator.headend import dual_control

GET: Final = 0xC0
SET: Final = 0xC1
ACTION: Final = 0xC3

_ASSOCIATION: Final = 15
_SECURITY_SETUP: Final = 64
_KEY_TRANSFER: Final = 2


@dataclass(frozen=True, slots=True)
class Target:
    """One attribute (`acts` False) or method, and the value given to it (None: none, or still arriving in blocks)."""

    class_id: int
    logical_name: bytes
    number: int
    acts: bool
    value: Data | None

    def told(self) -> str:
        """For people: "action 9/0-0:10.0.106.255 method 1"."""
        what = "method" if self.acts else "attribute"
        service = "action" if self.acts else "set"
        return f"{service} {self.class_id}/{obis_text(self.logical_name)} {what} {self.number}"


def targets(request: bytes, association: Association | None = None) -> list[Target]:
    """What a plain SET or ACTION request touches; empty for any other service and for bytes that are none."""
    if request[:1] not in (b"\xc1", b"\xc3"):
        return []
    try:
        asked = SET_REQUEST.parse(request) if request[0] == SET else ACTION_REQUEST.parse(request)
    except FrameError:
        return []
    if isinstance(asked, SetRequest):
        return [_target(asked.attribute, asked.value)]
    if isinstance(asked, ActionRequest):
        return [_target(asked.method, asked.parameters)]
    if isinstance(asked, SetRequestList):
        return [_target(ref, value) for ref, value in zip(asked.attributes, asked.values, strict=False)]
    if isinstance(asked, ActionRequestList):
        return [_target(ref, value) for ref, value in zip(asked.methods, asked.parameters, strict=False)]
    first = getattr(asked, "attribute", None) or getattr(asked, "method", None)
    if first is not None:
        return [_target(first, None)]
    named = getattr(asked, "attributes", None) or getattr(asked, "methods", None)
    if named is None and association is not None and association.incoming is not None:
        named = association.incoming.targets
    return [_target(ref, None) for ref in named or ()]


def _target(ref: AttributeRef | MethodRef, value: Data | None) -> Target:
    if isinstance(ref, MethodRef):
        return Target(ref.class_id, ref.logical_name, ref.method, True, value)
    return Target(ref.class_id, ref.logical_name, ref.attribute, False, value)


def succeeded(answer: bytes | None) -> bool:
    """Whether a plain answer says that all of a SET or ACTION was done. Where no answer is wanted it is taken to have
    been; a block asked for is not the end."""
    if answer is None:
        return True
    try:
        said = SET_RESPONSE.parse(answer) if answer[:1] == b"\xc5" else ACTION_RESPONSE.parse(answer)
    except FrameError:
        return False
    if isinstance(said, SetResponse | SetResponseLastBlock | ActionResponse):
        return said.result == 0
    if isinstance(said, SetResponseList | SetResponseLastBlockList):
        return not any(said.results)
    if isinstance(said, ActionResponseList):
        return all(result == 0 for result, _ in said.results)
    return False


def is_key_transfer(target: Target) -> bool:
    """Whether it hands keys to the device (class 64, method 2)."""
    return target.acts and target.class_id == _SECURITY_SETUP and target.number == _KEY_TRANSFER


def is_challenge_reply(target: Target) -> bool:
    """Whether it is the client's answer to the challenge (class 15, method 1)."""
    return target.acts and target.class_id == _ASSOCIATION and target.number == 1


def keys_given(target: Target) -> list[tuple[int, bytes]]:
    """(key id, octets) of a key transfer's items, whatever their length; those of another shape are left out."""
    value = target.value
    if value is None or value.tag != Tag.ARRAY or not isinstance(value.value, tuple | list):
        return []
    found = []
    for item in value.value:
        if item.tag == Tag.STRUCTURE and len(item.value) == 2 and isinstance(item.value[1].value, bytes):
            found.append((int(item.value[0].value), item.value[1].value))
    return found


def service(target: Target) -> str | None:
    """The supply-affecting service that a target is part of (`headend.dual_control`); None for any other."""
    if target.acts:
        return dual_control.service(MethodRef(target.class_id, target.logical_name, target.number))
    return dual_control.service(AttributeRef(target.class_id, target.logical_name, target.number))
