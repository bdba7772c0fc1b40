"""The dashboard's files: one page, its style, its script and the chart library it draws with, all out of the package.

Anybody on this machine may load them, as they say nothing of an estate: what the page shows it asks for with the token
that its reader has. Its policy lets it talk to nobody but the server it came from.
"""

from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE: Final = "/dashboard"

_FILES: Final = {
    PAGE: ("dashboard.html", "text/html"),
    "/static/dashboard.css": ("dashboard.css", "text/css"),
    "/static/dashboard.js": ("dashboard.js", "text/javascript"),
    "/static/dashboard.svg": ("dashboard.svg", "image/svg+xml"),
    "/static/uPlot.iife.min.js": ("uPlot.iife.min.js", "text/javascript"),
    "/static/uPlot.min.css": ("uPlot.min.css", "text/css"),
}

OPEN: Final = frozenset(_FILES)
"""Paths that need no token."""

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> list[Route]:
    """A route for each file."""
    return [_route(path, name, kind) for path, (name, kind) in _FILES.items()]


def _route(path: str, name: str, kind: str) -> Route:
    content = resources.files("emulator.web").joinpath("static", name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return Route(path, endpoint, methods=["GET"], name=name)
