"""One batch call over memory laid out as a proof wants it, and the comparison with the model.

Ways to lay it out: `close` (no offsets: messages and slots one after another), `loose` (any order, gaps between, at
addresses that are multiples of nothing) and `in place` (the output is the input). Whatever is not a slot must stand
after the call as it stood before, and a refused slot must be zero: both are checked for every batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from proof.core import OK, Core
from proof.oracle import Model
from proof.workshop import demand

FILL: Final = 0xA5
MANNERS: Final = ("close", "loose", "in place")
Memory = Callable[[int], Any]
"""Gives so many bytes, every one of which may be touched and none beyond."""


@dataclass
class Row:
    """One message. `counter` is what an opened message came with."""

    index: int
    text: bytes
    control: int = 0x30
    counter: int = 0


@dataclass
class Answer:
    """What a batch gave: per message a status, a counter and its slot's bytes."""

    good: int
    statuses: list[int]
    counters: list[int]
    slots: list[bytes]


def slot(length: int) -> int:
    return (length + 15) // 16 * 16 + 16


def _places(rows: Sequence[Row], manner: str, chance: Random) -> tuple[list[int], list[int], int, int]:
    """(input offsets, output offsets, input size, output size)."""
    ins, outs = [0] * len(rows), [0] * len(rows)
    order = list(range(len(rows)))
    at_in = at_out = 0
    if manner != "close":
        chance.shuffle(order)
    for k in order:
        length = len(rows[k].text)
        if manner != "close":
            at_in += chance.randrange(4)
            at_out += chance.randrange(20)
        ins[k], outs[k] = at_in, at_out
        at_in += length
        at_out += slot(length)
    return (outs, outs, at_out, at_out) if manner == "in place" else (ins, outs, at_in, at_out)


def run(
    core: Core, store: Any, what: str, rows: Sequence[Row], *, manner: str = "close", chance: Random | None = None,
    memory: Memory | None = None,
) -> Answer:  # fmt: skip
    """Call sm_<what>_batch (seal, open, gmac, wrap, unwrap) and check what it did not write."""
    chance = chance or Random(0)
    ffi, count = core.ffi, len(rows)
    give = memory or (lambda size: core.plain(size, 0 if manner == "close" else chance.randrange(16)))
    words = memory or core.plain
    ins, outs, in_size, out_size = _places(rows, manner, chance)
    text = give(in_size)
    out = text if manner == "in place" else give(out_size)
    before = bytearray([FILL]) * out_size
    core.put(out, bytes(before))
    for row, at in zip(rows, ins, strict=True):
        core.put(text + at, row.text)
    if manner == "in place":
        before[:] = core.take(out, out_size)

    def column(values: Sequence[int]) -> Any:
        kept.append(words(4 * count))
        cells = ffi.cast("uint32_t *", kept[-1])
        for k, value in enumerate(values):
            cells[k] = value
        return cells

    came = core.take(text, in_size)
    kept: list[Any] = []
    index, length = column([row.index for row in rows]), column([len(row.text) for row in rows])
    offsets = (ffi.NULL, ffi.NULL) if manner == "close" else (column(ins), column(outs))
    counter = column([row.counter for row in rows])
    control, status = words(count), words(count)
    core.put(control, bytes(row.control for row in rows))
    good = getattr(core.lib, f"sm_{what}_batch")(
        store, count, index, *([control] if what in ("seal", "open") else []), text, in_size, offsets[0], length, out,
        out_size, offsets[1], *([counter] if what in ("seal", "open", "gmac") else []), status,
    )  # fmt: skip
    after = core.take(out, out_size)
    unread = manner == "in place" or core.take(text, in_size) == came
    demand(unread, f"{what} ({manner}) wrote into its input")
    statuses = list(core.take(status, count))
    slots = [after[at : at + slot(len(row.text))] for row, at in zip(rows, outs, strict=True)]
    for at, row in zip(outs, rows, strict=True):
        before[at : at + slot(len(row.text))] = after[at : at + slot(len(row.text))]
    demand(bytes(before) == after, f"{what} ({manner}) wrote outside its slots")
    for k, state in enumerate(statuses):
        demand(state == OK or not any(slots[k]), f"{what} ({manner}): slot {k} was refused ({state}) and is not zero")
    return Answer(good, statuses, [counter[k] for k in range(count)], slots)


def compare(
    core: Core, store: Any, model: Model, what: str, rows: Sequence[Row], *, manner: str = "close",
    chance: Random | None = None, memory: Memory | None = None,
) -> Answer:  # fmt: skip
    """As `run`, and every answer is the model's. Raises Failed naming the message."""
    answer = run(core, store, what, rows, manner=manner, chance=chance, memory=memory)
    tier = core.ffi.string(core.lib.sm_selected()).decode()
    good = 0
    for k, row in enumerate(rows):
        if what == "seal":
            status, counter, body = model.seal(row.index, row.control, row.text)
        elif what == "open":
            status, counter, body = model.open(row.index, row.control, row.counter, row.text)
        else:
            status, counter, body = getattr(model, what)(row.index, row.text)
        where = f"{tier}: {what} ({manner}), message {k} of {len(rows)}, {len(row.text)} bytes, SC {row.control:02X}h:"
        demand(answer.statuses[k] == status, where, "status", answer.statuses[k], "and not", status)
        if status == OK:
            good += 1
            demand(answer.slots[k][: len(body)] == body, where, "other bytes than the oracle's")
            if what in ("seal", "gmac"):
                demand(answer.counters[k] == counter, where, "counter", answer.counters[k], "and not", counter)
    demand(answer.good == good, f"{tier}: {what} counts {answer.good} good ones, not {good}")
    return answer
