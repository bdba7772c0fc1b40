"""SET: writing attributes, in every form of request and response (DLMS UA 1000-2 9.3.7, 9.5)."""

from dataclasses import dataclass

from emulator.codecs.axdr import Data
from emulator.codecs.get import AttributeRef


@dataclass(slots=True)
class SetRequest:
    """One attribute, one value (C1 01)."""

    invoke: int
    attribute: AttributeRef
    value: Data


@dataclass(slots=True)
class SetRequestFirstBlock:
    """The first block of a long value (C1 02)."""

    invoke: int
    attribute: AttributeRef
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class SetRequestBlock:
    """A later block (C1 03)."""

    invoke: int
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class SetRequestList:
    """Several attributes and as many values (C1 04)."""

    invoke: int
    attributes: tuple[AttributeRef, ...]
    values: tuple[Data, ...]


@dataclass(slots=True)
class SetRequestListFirstBlock:
    """Several attributes, their values arriving in blocks (C1 05)."""

    invoke: int
    attributes: tuple[AttributeRef, ...]
    last: bool
    block: int
    raw: bytes


@dataclass(slots=True)
class SetResponse:
    """`result` is a data-access-result (C5 01)."""

    invoke: int
    result: int


@dataclass(slots=True)
class SetResponseBlock:
    """This block was received (C5 02)."""

    invoke: int
    block: int


@dataclass(slots=True)
class SetResponseLastBlock:
    """The result, after the last block (C5 03)."""

    invoke: int
    result: int
    block: int


@dataclass(slots=True)
class SetResponseLastBlockList:
    """The results for a list, after the last block (C5 04)."""

    invoke: int
    results: tuple[int, ...]
    block: int


@dataclass(slots=True)
class SetResponseList:
    """The results for a list (C5 05)."""

    invoke: int
    results: tuple[int, ...]
