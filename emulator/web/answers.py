"""How anything is said over HTTP: JSON, with one shape for whatever went wrong.

    {"error": what is wrong, "where": the field, device or route it is about, "cure": what to do about it}
"""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from emulator.control.errors import (
    DeviceRefusedError,
    NoAnswerInTimeError,
    NoSuchThingError,
    NotNowError,
    WishError,
    WrongFieldError,
)
from emulator.control.tasks import Problem

_STATUS: Final[dict[type[WishError], int]] = {
    WrongFieldError: 400,
    NoSuchThingError: 404,
    NotNowError: 409,
    DeviceRefusedError: 502,
    NoAnswerInTimeError: 504,
}
_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer: dataclasses, dicts, lists and plain values as JSON."""
    return Response(
        msgspec.json.encode(content), status, {**_HEADERS, **(headers or {})}, media_type="application/json"
    )


def problem(status: int, error: str, where: str, cure: str, headers: dict[str, str] | None = None) -> Response:
    """Something that went wrong."""
    return json(Problem(error, where, cure), status, headers)


def refused(error: WishError) -> Response:
    """A wish that cannot be carried out."""
    return problem(status_of(error), error.problem, error.where, error.cure)


def status_of(error: WishError) -> int:
    """The status code of a wish's end: 400 field, 404 no such thing, 409 not now, 502 refused, 504 no answer."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
