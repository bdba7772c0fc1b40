"""Which function carries out which command. A handler's return annotation is what its answers look like, for whoever
describes them to others; `Task[X]` means that X comes later."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from emulator.commands import Command
from emulator.control.tasks import Task

Handler: TypeAlias = Callable[..., Any]
H = TypeVar("H", bound=Handler)

HANDLERS: dict[type[Command], Handler] = {}
"""A handler takes (desk, command), then an installation's number and a party as far as the command's scope says."""


def handles(*commands: type[Command]) -> Callable[[H], H]:
    """The decorated function carries these out."""

    def mark(function: H) -> H:
        for command in commands:
            assert command not in HANDLERS, f"{command.__name__} has two handlers"
            HANDLERS[command] = function
        return function

    return mark


def answers(command: type[Command]) -> tuple[type, bool]:
    """(what a command answers, whether that takes virtual time)."""
    found = get_type_hints(HANDLERS[command])["return"]
    if get_origin(found) is Task:
        return get_args(found)[0], True
    return found, False
