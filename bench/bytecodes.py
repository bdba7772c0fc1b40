"""How many bytecodes an exchange takes, by layer and by function: a cost that no machine's mood touches.

Times on a shared machine swing by half from minute to minute; the number of bytecodes is the same on every run of one
Python version, so a change of one part in a hundred shows at once. It is a proxy: C code counts nothing, and what a
bytecode costs (some 20 ns here, for the interpreter's own code and data do not fit the caches) is for the clock to say.
"""

import sys
from collections import Counter
from types import CodeType, FrameType
from typing import Any

from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.fleet.estate import open_estate
from emulator.fleet.sampler import layer_of

_WARM: int = 30
"""Homes migrated uncounted before: what is made once in a process is not an exchange's."""


def measure(estate: str, homes: int, link: str, dearest: int = 25) -> dict[str, Any]:
    """Migrate and audit `homes` of an estate in this process, counted."""
    campaign.run(open_estate(estate, installations=_WARM), HostOptions(link=link), workers=1)
    taken: Counter[CodeType] = Counter()
    calls: Counter[CodeType] = Counter()

    def step(frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            taken[frame.f_code] += 1
        elif event == "call":
            calls[frame.f_code] += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    world = open_estate(estate, installations=homes)
    sys.settrace(step)
    try:
        result = campaign.run(world, HostOptions(link=link), workers=1)
    finally:
        sys.settrace(None)
    layers: Counter[str] = Counter()
    for code, count in taken.items():
        layers[layer_of(code.co_filename)] += count

    def per_exchange(count: int) -> float:
        return round(count / result.exchanges, 1)

    return {
        "digest": result.digest,
        "exchanges": result.exchanges,
        "bytecodes_per_exchange": per_exchange(taken.total()),
        "calls_per_exchange": per_exchange(calls.total()),
        "by_layer": {layer: per_exchange(count) for layer, count in layers.most_common()},
        "dearest": {
            f"{code.co_qualname} ({'/'.join(code.co_filename.split('/')[-2:])})": per_exchange(count)
            for code, count in taken.most_common(dearest)
        },
    }
