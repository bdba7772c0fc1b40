"""A codec: one frame's definition, its faster rung if it has one, and the one place where a rung is chosen.

`codec.parse` and `codec.build` are plain functions kept in slots: a call on the hot path costs what the function does.
They are bound when first used and unbound when the rung changes: callers say `WRAPPER.parse(...)` each
time and never keep the function. Binding late also lets a twin import its value type from the definition's module
without a circle, and leaves unimported what a run never uses.

Refusals are one error. A definition may raise Construct's own errors and, on values of the wrong type, what Python
raises for those; both become `FrameError` here and a twin does the same for itself. On the way in, anything
but a Construct error is a fault of the definition and is let through to be seen by the tests.
"""

import io
import os
import struct
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from construct import Construct, ConstructError

from emulator.errors import FrameError, UsageError

T = TypeVar("T")

Rung = Literal["fast", "construct"]
RUNGS: Final[tuple[Rung, ...]] = ("fast", "construct")
ENVIRONMENT: Final = "SMETS1_RUNG"

MAX_APDU: Final = 65_535
"""Longest APDU: the wrapper's length field has 16 bits. Longer answers travel in blocks."""

VALUE_ERRORS: Final = (struct.error, TypeError, ValueError, AttributeError, OverflowError, KeyError, IndexError)
"""What Python raises when a value to be built has the wrong type or range; `struct.error` is not a ValueError."""


class Fast(Protocol):
    """The faster rung of a codec: a hand-made twin or a lowered layout."""

    def functions(self, name: str, limit: int) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """parse and build, refusing in the name of codec `name`, and what is longer than `limit` bytes."""
        ...


class Twin:
    """A hand-made twin by name: `Twin("get", "request")` is `parse_request` and `build_request` of `fast/get.py`."""

    def __init__(self, module: str, suffix: str = "") -> None:
        self._module = f"{__package__}.fast.{module}"
        self._suffix = f"_{suffix}" if suffix else ""

    def functions(self, name: str, limit: int) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        module = import_module(self._module)
        return getattr(module, "parse" + self._suffix), getattr(module, "build" + self._suffix)


class Codec(Generic[T]):
    """One kind of frame. `limit` is the longest frame in bytes, in both directions."""

    __slots__ = ("build", "definition", "fast", "limit", "name", "parse")

    parse: Callable[[bytes], T]
    """Bytes to value: the whole of the bytes, or FrameError."""
    build: Callable[[T], bytes]
    """Value to bytes, or FrameError."""

    def __init__(self, name: str, definition: Construct, *, limit: int, fast: Fast | None = None) -> None:
        self.name = name
        self.definition = definition
        self.limit = limit
        self.fast = fast
        _every.append(self)

    def __getattr__(self, name: str) -> Any:
        """Only reached while `parse` and `build` are unbound."""
        if name not in ("parse", "build"):
            raise AttributeError(name)
        self.parse, self.build = self.functions(_rung)
        return self.parse if name == "parse" else self.build

    def functions(self, rung: Rung) -> tuple[Callable[[bytes], T], Callable[[T], bytes]]:
        """parse and build on one rung; the definition's where there is no faster one."""
        if rung == "fast" and self.fast is not None:
            return self.fast.functions(self.name, self.limit)
        return self.parse_definition, self.build_definition

    def unbind(self) -> None:
        for name in ("parse", "build"):
            try:
                delattr(self, name)
            except AttributeError:  # it was never used on this rung
                continue

    def parse_definition(self, data: bytes) -> T:
        """Parse by the definition alone."""
        if len(data) > self.limit:
            raise FrameError(self.name, f"oversized: {len(data)} bytes, at most {self.limit}", self.limit)
        stream = io.BytesIO(data)
        try:
            value: T = self.definition.parse_stream(stream)
        except ConstructError as error:
            raise FrameError(self.name, _reason(error), stream.tell()) from error
        if stream.tell() != len(data):
            raise FrameError(self.name, f"{len(data) - stream.tell()} bytes too many", stream.tell())
        return value

    def build_definition(self, value: T) -> bytes:
        """Build by the definition alone."""
        try:
            data: bytes = self.definition.build(value)
        except ConstructError as error:
            raise FrameError(self.name, _reason(error)) from error
        except VALUE_ERRORS as error:
            raise FrameError(self.name, f"{type(error).__name__}: {error}") from error
        if len(data) > self.limit:
            raise FrameError(self.name, f"oversized: {len(data)} bytes, at most {self.limit}", self.limit)
        return data


_every: Final[list[Codec[Any]]] = []


def every() -> tuple[Codec[Any], ...]:
    """Every codec made so far in this process."""
    return tuple(_every)


def _reason(error: ConstructError) -> str:
    """Construct puts a path on the first line and the reason on the last."""
    lines = str(error).splitlines()
    return lines[-1] if lines else type(error).__name__


def _checked(rung: str) -> Rung:
    for known in RUNGS:
        if rung == known:
            return known
    raise UsageError(f"no such rung {rung!r}: choose from {', '.join(RUNGS)}")


_rung: Rung = _checked(os.environ.get(ENVIRONMENT) or "fast")


def current() -> Rung:
    """The rung in force."""
    return _rung


def use(rung: str) -> None:
    """Put every codec on `rung` ("fast" or "construct"). Raises UsageError for any other word."""
    global _rung
    _rung = _checked(rung)
    for codec in _every:
        codec.unbind()
