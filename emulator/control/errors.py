"""What can be wrong with a wish: said once, in three parts that every door repeats in its own form.

`problem` is what is wrong, `where` the field, device or number it is about, `cure` what to do about it. The classes say
whose fault it is; doors translate them (HTTP to status codes, a command line to exit codes).
"""

from emulator.errors import InputError


class WishError(InputError):
    """Root: something asked for cannot be done as it was asked."""

    def __init__(self, problem: str, where: str, cure: str) -> None:
        super().__init__(f"{where}: {problem}; {cure}" if where else f"{problem}; {cure}")
        self.problem = problem
        self.where = where
        self.cure = cure


class WrongFieldError(WishError):
    """A field is missing, unknown, of another type or out of range."""


class NoSuchThingError(WishError):
    """What was named does not exist: a command, an installation, a device, a task, a snapshot."""


class NotNowError(WishError):
    """It exists, but as things stand it cannot be done."""


class DeviceRefusedError(WishError):
    """The device, or our own check of its answer, said no."""


class NoAnswerInTimeError(WishError):
    """Nobody answered: patience ran out, in virtual time."""
