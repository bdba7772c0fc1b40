"""Script table, class 9 (DLMS UA 1000-1 4.5.2): named lists of writes and method calls on the device's own objects.

A script runs with the authority of the device and not of the client that started it: who may execute is decided by
the access rights of this object. Its actions run in order; the first that is refused ends the script with its result,
and what was done before stays done, as in a meter. Scripts may start scripts, four deep and no deeper.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from emulator.codecs.action import ActionResult
from emulator.codecs.axdr import Data, Tag, array, enum, integer, long_unsigned, null, octet_string, structure
from emulator.dlms.cosem import ActionRefused, CosemObject, Device, as_action_result, stored
from emulator.kernel.effects import Instant

WRITE: Final = 1
EXECUTE: Final = 2
_MAX_DEPTH: Final = 4

Executed: TypeAlias = Callable[[Device, int, Instant], None]


@dataclass(frozen=True, slots=True)
class ScriptAction:
    """Write attribute `index` (service 1) or invoke method `index` (service 2) with `parameter`."""

    service: int
    class_id: int
    logical_name: bytes
    index: int
    parameter: Data


@dataclass(frozen=True, slots=True)
class Script:
    """`number` 1 to 65,535."""

    number: int
    actions: tuple[ScriptAction, ...]


def script_data(scripts: Iterable[Script]) -> Data:
    """Attribute 2 of a script table."""
    return array(
        structure(
            (
                long_unsigned(script.number),
                array(
                    structure(
                        (
                            enum(action.service),
                            long_unsigned(action.class_id),
                            octet_string(action.logical_name),
                            integer(action.index),
                            action.parameter,
                        )
                    )
                    for action in script.actions
                ),
            )
        )
        for script in scripts
    )


_ACTION_TAGS: Final = [Tag.ENUM, Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER]


def _is_scripts(data: Data) -> bool:
    if data.tag != Tag.ARRAY:
        return False
    for script in data.value:
        if script.tag != Tag.STRUCTURE or [item.tag for item in script.value] != [Tag.LONG_UNSIGNED, Tag.ARRAY]:
            return False
        for action in script.value[1].value:
            if action.tag != Tag.STRUCTURE or len(action.value) != 5:
                return False
            service, _, logical_name = action.value[:3]
            if [item.tag for item in action.value[:4]] != _ACTION_TAGS:
                return False
            if service.value not in (WRITE, EXECUTE) or len(logical_name.value) != 6:
                return False
    numbers = [script.value[0].value for script in data.value]
    return len(set(numbers)) == len(numbers)


def execute_script(device: Device, logical_name: bytes, number: int, now: Instant) -> None:
    """Run script `number` of the script table called `logical_name`. Raises `ActionRefused`."""
    table = device.objects.find((9, logical_name))
    if table is None:
        raise ActionRefused(as_action_result(device.objects.missing(logical_name)), "no such script table")
    table.act(device, 1, long_unsigned(number), now)


class ScriptTable(CosemObject):
    """Attribute 2 scripts. Method 1 execute, with the script's number as long-unsigned."""

    __slots__ = ("_depth", "_executed")
    class_id: ClassVar[int] = 9
    methods: ClassVar[Mapping[int, str]] = {1: "execute"}

    def __init__(
        self,
        logical_name: bytes | str,
        scripts: Iterable[Script],
        *,
        executed: Executed | None = None,
        name: str = "",
    ) -> None:
        """`executed(device, number, now)` is told after a script ran to its end."""
        super().__init__(logical_name, (stored(script_data(scripts), _is_scripts),), name=name)
        self._executed = executed
        self._depth = 0

    def act_execute(self, device: Device, data: Data, now: Instant) -> None:
        if data.tag != Tag.LONG_UNSIGNED:
            raise ActionRefused(ActionResult.TYPE_UNMATCHED, "the number of a script is wanted")
        if self._depth >= _MAX_DEPTH:
            raise ActionRefused(ActionResult.OTHER_REASON, "scripts start each other too deep")
        self._depth += 1
        try:
            self._run(device, data.value, now)
        finally:
            self._depth -= 1
        if self._executed is not None:
            self._executed(device, data.value, now)

    def _run(self, device: Device, number: int, now: Instant) -> None:
        for script in self.read(device, 2, now).value:
            if script.value[0].value == number:
                break
        else:
            raise ActionRefused(ActionResult.OBJECT_UNDEFINED, f"no script {number}")
        for action in script.value[1].value:
            service, class_id, logical_name, index, parameter = action.value
            target = device.objects.find((class_id.value, logical_name.value))
            if target is None:
                result = device.objects.missing(logical_name.value)
                raise ActionRefused(as_action_result(result), "the script names an object that is not here")
            if service.value == WRITE:
                target.set(device, index.value, parameter, now)
            else:
                target.act(device, index.value, parameter if parameter != null() else None, now)
        device.note("script.executed", self.name or self.logical_name, number)
