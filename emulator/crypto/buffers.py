"""Buffers for a batch: many messages side by side, no Python object per message.

Made once and used again. Every field is a writable memoryview (numpy reads it with `frombuffer`). Message k lies in
`input` at `in_offsets[k]`, `lengths[k]` bytes long, and its answer goes to `output` at `out_offsets[k]`, whose slot is
`layout.slot(lengths[k])` bytes: 16-byte steps leave the core free to write whole blocks.
"""

from typing import Any

from emulator.crypto.layout import MESSAGE_MAX, slot
from emulator.errors import UsageError


class BatchBuffers:
    """Room for `messages` messages of `octets` bytes together (1 to 2^24 each)."""

    __slots__ = (
        "cells", "contexts", "controls", "counters", "in_offsets", "input", "lengths", "messages", "native",
        "out_offsets", "output", "statuses",
    )  # fmt: skip

    def __init__(self, messages: int, octets: int) -> None:
        if not 0 < messages <= MESSAGE_MAX or not 0 < octets <= 16 * MESSAGE_MAX:
            raise UsageError("a batch holds 1 to 2^24 messages of 1 to 2^28 bytes together")
        self.messages = messages
        words = [bytearray(4 * messages) for _ in range(5)]
        sizes = (messages, messages, octets + 16, octets + 32 * messages)
        octet_rows = [bytearray(size) for size in sizes]
        self.cells = (*words, *octet_rows)
        """The memory behind the views, in the order of the C calls."""
        self.contexts, self.counters, self.in_offsets, self.lengths, self.out_offsets = (
            memoryview(row).cast("I") for row in words
        )
        self.controls, self.statuses, self.input, self.output = (memoryview(row) for row in octet_rows)
        self.native: tuple[Any, ...] | None = None
        """Pointers the compiled core keeps here, so that they are made once."""

    def fill(self, indices: list[int], texts: list[bytes], security_control: int = 0) -> int:
        """Lay `texts` out one after another; the count, for the `*_buffers` calls. A convenience, not the fast way."""
        count = len(texts)
        if count > self.messages or count != len(indices) or sum(map(len, texts)) > len(self.input) - 16:
            raise UsageError("the messages do not fit these buffers")
        start = target = 0
        for k, text in enumerate(texts):
            self.contexts[k], self.controls[k] = indices[k], security_control
            self.in_offsets[k], self.lengths[k], self.out_offsets[k] = start, len(text), target
            self.input[start : start + len(text)] = text
            start += len(text)
            target += slot(len(text))
        return count
