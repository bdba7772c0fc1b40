"""The one error tree.

Errors are named by whose fault they are. Bytes from outside that are wrong raise `FrameError` in a decoder and
become *data* one floor up: a Note in the journal and the answer the standard asks for. A refusal by the
crypto core is a `CryptoError`. Wrong input from a person (a file, a row, an option) is an `InputError` and its text
says what, where and what to do. Misuse by our own callers is a `UsageError`. The impossible is an `assert`.
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class EmulatorError(Exception):
    """Root of every error this project raises on purpose."""


class FrameError(EmulatorError):
    """Bytes that are not a frame of this kind: cut, bent or oversized.

    `codec` is the catalogue name, `reason` one short clause, `offset` the byte where it went wrong (-1: unknown).
    """

    def __init__(self, codec: str, reason: str, offset: int = -1) -> None:
        super().__init__(codec, reason, offset)
        self.codec = codec
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        place = f" at byte {self.offset}" if self.offset >= 0 else ""
        return f"not a valid {self.codec}{place}: {self.reason}"


class CryptoError(EmulatorError):
    """The crypto core refused; nothing was changed and no plaintext left it."""


class TagError(CryptoError):
    """The authentication tag or the key-wrap integrity check does not hold: wrong key or changed bytes."""


class ReplayError(CryptoError):
    """An invocation counter (or ESP sequence number) below the lowest acceptable value, which is `expected`."""

    def __init__(self, expected: int) -> None:
        super().__init__(f"counter refused; the lowest acceptable value is {expected}")
        self.expected = expected


class CounterExhaustedError(CryptoError):
    """The send counter stands at its maximum: sealing again would reuse a nonce."""


class NoKeyError(CryptoError):
    """The context holds no key of the kind asked for."""


class UsageError(EmulatorError):
    """A caller inside this project, or a test, used an interface against its contract."""


class ForeignStoreError(UsageError):
    """A context store was used by a process other than the one that made it."""


@mypyc_attr(allow_interpreted_subclasses=True)
class InputError(EmulatorError):
    """A person's file, row or option is wrong. The text says what, where and what to do."""
