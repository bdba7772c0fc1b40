"""All objects of a model as one tree, and those of them that act by themselves.

Never compiled: it stands on what only the interpreter has, a dict with slots and a protocol that is asked at run time.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from emulator.codecs.get import DataAccessResult
from emulator.dlms.bindings import AccessRefused, ActionRefused, Device
from emulator.dlms.cosem import CosemObject, obis_text
from emulator.errors import UsageError
from emulator.kernel.effects import Instant


@runtime_checkable
class Timed(Protocol):
    """An object that acts by itself when its time comes (a schedule, an activation time)."""

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        """The first instant later than `after` (true time) at which something is to be done, or None."""

    def run(self, device: Device, at: Instant, now: Instant) -> None:
        """Do what fell due at `at`; `now` is later when the device was asleep or without power."""


class ObjectTree(dict[tuple[int, bytes], CosemObject]):
    """All objects of a model, keyed (class id, logical name). Made once and never changed.

    `find` is how a device's own rooms come by an object that somebody wants; None when it is not to be had. A tree that
    withholds objects puts another there: `get` is a dict's own, and compiled code takes it for that.
    """

    __slots__ = ("_by_logical_name", "_by_name", "find", "timed")

    def __init__(self, objects: Iterable[CosemObject]) -> None:
        super().__init__()
        self.find: Callable[[tuple[int, bytes]], CosemObject | None] = self.get
        self._by_name: dict[str, CosemObject] = {}
        self._by_logical_name: dict[bytes, list[CosemObject]] = {}
        for item in objects:
            key = (item.class_id, item.logical_name)
            if key in self:
                raise UsageError(f"two objects {item.class_id} {obis_text(item.logical_name)}")
            if item.name and item.name in self._by_name:
                raise UsageError(f"two objects named {item.name!r}")
            self[key] = item
            if item.name:
                self._by_name[item.name] = item
            self._by_logical_name.setdefault(item.logical_name, []).append(item)
        self.timed: tuple[Timed, ...] = tuple(item for item in self.values() if isinstance(item, Timed))

    def named(self, name: str) -> CosemObject:
        """The object of that name. Raises `UsageError`."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UsageError(f"no object named {name!r}; there are {', '.join(sorted(self._by_name))}") from None

    def has_name(self, name: str) -> bool:
        return name in self._by_name

    def at(self, logical_name: bytes) -> list[CosemObject]:
        """All objects with this logical name, of whatever class."""
        return self._by_logical_name.get(logical_name, [])

    def missing(self, logical_name: bytes) -> DataAccessResult:
        """Why (class, logical name) is not here: nothing has that name, or something of another class does."""
        if logical_name in self._by_logical_name:
            return DataAccessResult.OBJECT_CLASS_INCONSISTENT
        return DataAccessResult.OBJECT_UNDEFINED

    def next_due(self, device: Device, after: Instant) -> Instant | None:
        """The first instant later than `after` at which any object acts by itself."""
        times = [at for item in self.timed if (at := item.next_due(device, after)) is not None]
        return min(times) if times else None

    def run_due(self, device: Device, after: Instant, until: Instant, limit: int = 10_000) -> Instant | None:
        """Do, in order of time, all that fell due in (after, until]; returns what is due next, or None.

        A device calls this when it wakes, with the time it was last served. `limit` bounds how much a long sleep may
        bring. A refusal by an object (a script that no longer exists) is noted and does not stop the others.
        """
        at = after
        for _ in range(limit):
            due = [(when, item) for item in self.timed if (when := item.next_due(device, at)) is not None]
            if not due:
                return None
            at = min(when for when, _ in due)
            if at > until:
                return at
            for when, item in due:
                if when == at:
                    try:
                        item.run(device, at, until)
                    except (AccessRefused, ActionRefused) as refusal:
                        device.note("dlms.schedule.refused", type(item).__name__, int(refusal.result), refusal.reason)
        device.note("dlms.schedule.limit", limit)
        return at
