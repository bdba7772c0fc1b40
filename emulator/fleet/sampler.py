"""Where the time goes: a sampling profiler that knows the rooms of the house.

Every few milliseconds of CPU time a signal looks at the running Python frame and walks outward to the first file of
this project; the room that file stands in gets the sample. C code counts for the room that called it. A tracing
profiler would cost more than the work it measures; this costs less than one part in a hundred.
"""

import signal
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Final

INTERVAL_S: Final = 0.002

_ROOMS: Final = {
    "/emulator/kernel/": "kernel",
    "/emulator/codecs/": "codecs",
    "/emulator/crypto/": "crypto",
    "/emulator/link/": "link",
    "/emulator/han/": "link",
    "/emulator/dlms/": "dlms",
    "/devices/": "devices",
    "/emulator/fleet/": "fleet",
    "/emulator/headend/": "headend",
    "/emulator/dcc/": "headend",
}
LAYERS: Final = ("kernel", "codecs", "crypto", "link", "dlms", "devices", "fleet", "headend", "other")


def layer_of(file: str) -> str:
    """The layer that a source file belongs to."""
    return next((layer for part, layer in _ROOMS.items() if part in file), "other")


class Sampler:
    """Counts samples per layer between `start` and `stop`. Main thread only; one at a time in a process."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self._layers: dict[str, str] = {}

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            layer = self._layer(frame.f_code.co_filename)
            if layer != "other":
                self.samples[layer] += 1
                return
            frame = frame.f_back
        self.samples["other"] += 1

    def _layer(self, file: str) -> str:
        found = self._layers.get(file)
        if found is None:
            found = self._layers[file] = layer_of(file)
        return found


def shares(samples: Mapping[str, int]) -> dict[str, float]:
    """Samples as shares of one, for every layer, largest first."""
    total = sum(samples.values()) or 1
    return dict(sorted(((layer, samples.get(layer, 0) / total) for layer in LAYERS), key=lambda item: -item[1]))
