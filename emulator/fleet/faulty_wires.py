"""Wires with mischief on them: the sound wire, wrapped, as long as a fault in force may strike there.

A cell puts these in place of its wires when a fault is armed and takes them away with the last one, so a wire nobody
troubles costs nothing. A home that no fault concerns crosses a wrapped wire as it would the bare one: the same delays,
the same event numbers, and so the same luck.

The faults themselves only say what becomes of a frame (`emulator.faults.wire`); here it is carried out. Every strike,
and every frame lost to an earlier one, is noted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from emulator.faults.fault import Point
from emulator.faults.mischief import Armed, Mischief
from emulator.faults.wire import Crossing, GprsCoalesce, GprsSplit, WireFault
from emulator.fleet.impaired import Impaired
from emulator.fleet.wires import WanDown, WanUp
from emulator.kernel.effects import Instant, Note, Port
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Party
from emulator.kernel.time import MILLISECOND
from emulator.kernel.world import Wire
from emulator.link.chain import Chain
from emulator.link.profile import Direction

_ALERT_PREFIX: Final = 6


@dataclass(frozen=True, slots=True)
class _Late:
    """The time of a frame that was held back is over: it goes on alone, if it has not gone with another one."""

    number: int
    frame: bytes
    memory: dict[str, Any]
    held: str
    """Under what name the fault remembers it: each wire holds its own."""

    def alone(self) -> bytes | None:
        held = self.memory.get(self.held)
        if held is None or held[0] != self.number:
            return None
        del self.memory[self.held]
        return self.frame


class FaultyWan:
    """The WAN one way, or the way of alerts, with mischief in the air and on the core link."""

    stages: Final = 2
    hears: Final = None
    __slots__ = (
        "_chain", "_core", "_held", "_impaired", "_journal", "_mischief", "_point", "_prefix", "_whose", "inner",
    )  # fmt: skip

    def __init__(
        self,
        inner: WanDown | WanUp,
        mischief: Mischief,
        impaired: Impaired,
        chain: Chain,
        journal: Journal,
        whose: Callable[[int, int], Party],
        *,
        alerts: bool,
    ) -> None:
        """`inner`: the wire as it is without faults; `whose(installation, sap)`: the device behind a logical device."""
        self._whose = whose
        down = isinstance(inner, WanDown)
        self.inner = inner
        self._mischief = mischief
        self._impaired = impaired
        self._chain = chain
        self._journal = journal
        self._point = Point.WAN_DOWN if down else Point.WAN_UP
        self._core = 0 if down else 1
        self._prefix = _ALERT_PREFIX if alerts else 0
        self._held = f"held {self._point}{' alerts' if alerts else ''}"

    def carry(self, stage: int, installation: int, payload: Any, now: Instant, number: int) -> Any:
        if stage != self._core:
            return self._fly(stage, installation, payload, now, number)
        if type(payload) is _Late:
            payload = payload.alone()
            if payload is None:
                return ()
        strike = self._mischief.strike(Point.CORE, installation, None, now)
        if strike is not None:
            direction = Direction.DOWN if self._point is Point.WAN_DOWN else Direction.UP
            self._chain.log.ways[direction].offered += 1
            self._chain.log.lost(direction, "outage")
            self._journal.note(now, installation, Party.HUB, strike.note)
            return ()
        return self.inner.carry(stage, installation, payload, now, number)

    def arrive(self, installation: int, payload: Any, now: Instant) -> tuple[int, Port, bytes] | None:
        if type(payload) is _Late:
            payload = payload.alone()
            if payload is None:
                return None
        return self.inner.arrive(installation, payload, now)

    def _fly(self, stage: int, installation: int, payload: Any, now: Instant, number: int) -> Any:
        """Through the air, and through what lies in wait there."""
        items = self.inner.carry(stage, installation, payload, now, number)
        watching = self._mischief.at(self._point)
        if items and self._mischief.watches(Point.LINK):
            items = self._impair(items, installation, now)
        if not items or not watching:
            return items
        prefix = self._prefix  # of an alert: where to, which is no part of the frame
        cut = [(delay, frame[:prefix], frame[prefix:]) for delay, frame in items]
        if is_dead(watching, self._point, self._journal, installation, now):
            return ()
        _, head, frame = cut[0]
        pieces = [(delay, each) for delay, _, each in cut]
        waiting = self._waiting(watching, installation)
        party = self._party(installation, frame) if any(armed.party is not None for armed in watching) else None
        for strike in self._mischief.strikes(self._point, installation, party, now, frame):
            fault, memory = strike.fault, strike.armed.recall(installation)
            self._journal.note(now, installation, Party.HUB, strike.note)
            crossing = Crossing(self._point, now, strike.armed.until, strike.luck, memory)
            if isinstance(fault, GprsCoalesce):
                if waiting is None and pieces:
                    delay, first = pieces[0]
                    memory[self._held] = (number, first)
                    late = _Late(number, head + first, memory, self._held)
                    return [(delay + more, late) for more, _ in fault.bend(first, crossing)]
                continue
            if isinstance(fault, GprsSplit) and self._told_of_split(fault, installation, frame, strike.luck):
                continue
            pieces = [(delay + more, bent) for delay, each in pieces for more, bent in fault.bend(each, crossing)]
        if waiting is not None and pieces:
            armed, first = waiting
            del armed.recall(installation)[self._held]
            delay, second = pieces[0]
            pieces[:1] = [(delay + more, each) for more, each in armed.fault.join(first, second)]  # type: ignore[attr-defined]
        return [(delay, head + each) for delay, each in pieces]

    def _impair(self, items: list[tuple[int, bytes]], installation: int, now: Instant) -> list[tuple[int, bytes]]:
        """What the bearer's own character makes of what the air carries."""
        direction = Direction.DOWN if self._point is Point.WAN_DOWN else Direction.UP
        prefix, found = self._prefix, []
        for delay, frame in items:
            fate = self._impaired.cross("air", direction, installation, frame[prefix:], now, delay)
            if fate is None:
                found.append((delay, frame))
            else:
                found += [(late, frame[:prefix] + each) for late, each in fate[0]]
        return found

    def _told_of_split(self, fault: GprsSplit, installation: int, frame: bytes, luck: int) -> bool:
        """Whether somebody was told of an answer in pieces who lets it show on the asker's own stream."""
        tell = self._mischief.on_split
        if tell is None or fault.transport != "stream" or self._point is not Point.WAN_UP or self._prefix:
            return False
        if len(frame) > 1:
            tell(installation, frame, fault.cut(frame, luck), fault.gap_ms * MILLISECOND)
        return True

    def _party(self, installation: int, frame: bytes) -> Party:
        """Which device a wrapper frame is for or from."""
        at = 4 if self._point is Point.WAN_DOWN else 2
        return self._whose(installation, int.from_bytes(frame[at : at + 2], "big"))

    def _waiting(self, watching: list[Armed], installation: int) -> tuple[Armed, bytes] | None:
        """A frame that waits for this one, and the fault that holds it."""
        for armed in watching:
            memory = armed.remembers(installation)
            if memory is not None and self._held in memory:
                return armed, memory[self._held][1]
        return None


class FaultySms:
    """The way of short messages, with mischief on it."""

    stages: Final = 1
    __slots__ = ("_impaired", "_journal", "_mischief", "hears", "inner")

    def __init__(self, inner: Wire, mischief: Mischief, impaired: Impaired, journal: Journal) -> None:
        self.inner = inner
        self._impaired = impaired
        self.hears = inner.hears
        self._mischief = mischief
        self._journal = journal

    def carry(self, stage: int, installation: int, payload: Any, now: Instant, number: int) -> Any:
        items = list(self.inner.carry(stage, installation, payload, now, number))
        if items and self._mischief.watches(Point.LINK):
            delay, message = items[0]
            fate = self._impaired.cross("sms", Direction.DOWN, installation, message, now, delay)
            items = items if fate is None else fate[0]
        for strike in self._mischief.strikes(Point.SMS, installation, None, now, payload) if items else ():
            self._journal.note(now, installation, Party.HUB, strike.note)
            crossing = Crossing(Point.SMS, now, strike.armed.until, strike.luck, strike.armed.recall(installation))
            items = [(delay + more, bent) for delay, each in items for more, bent in strike.fault.bend(each, crossing)]
        return items

    def arrive(self, installation: int, payload: bytes, now: Instant) -> tuple[int, Port, bytes] | None:
        return self.inner.arrive(installation, payload, now)


def is_dead(watching: list[Armed], point: Point, journal: Journal, installation: int, now: Instant) -> bool:
    """Whether what struck an earlier frame takes this one too."""
    for armed in watching:
        fault = armed.fault
        if isinstance(fault, WireFault) and fault.lingers:
            memory = armed.remembers(installation)
            if memory and fault.dead(Crossing(point, now, armed.until, 0, memory)):
                journal.note(now, installation, Party.HUB, Note("wire.dead", (armed.number, fault.name)))
                return True
    return False
