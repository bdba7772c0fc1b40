"""The options of `smets1 serve` that open its HTTP door, and the opening of it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from emulator.control.driver import Driver
    from emulator.shell.serving import Serving

_HOST = "127.0.0.1"

_OPTIONS = (
    click.option(
        "--control-port",
        type=click.IntRange(0, 65_535),
        default=0,
        help="HTTP, on loopback alone; the ready line says where.  [default: any]",
    ),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the token that HTTP asks for.  [default: one is made, and stands in the ready line]",
    ),
)


@dataclass(frozen=True, slots=True)
class ControlWish:
    """Where HTTP is wanted, and whose token opens it; None: one made at start."""

    port: int
    token: str | None

    async def open(self, serving: "Serving", doors: AsyncExitStack) -> "tuple[dict[str, Any], Driver]":
        """Serve HTTP until `doors` close. What a client has to know, and who carries out wishes, for further doors of
        the same estate. Raises InputError."""
        from emulator.web.app import make_app, run

        app = make_app(serving.live, serving.pace, token=self.token, log=serving.log)
        served = await run(app, _HOST, self.port)
        doors.push_async_callback(served.stop)
        facts = {"http": served.url, "token": app.state.token if self.token is None else None}
        return facts, app.state.application.driver


def control_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The decorated command gets them as `control`: a ControlWish. Raises InputError."""

    @wraps(function)
    def gathered(*args: Any, control_port: int, token_file: Path | None, **given: Any) -> Any:
        token: str | None = None
        if token_file is not None:
            from emulator.web.auth import read_token

            token = read_token(token_file)
        return function(*args, **given, control=ControlWish(control_port, token))

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
