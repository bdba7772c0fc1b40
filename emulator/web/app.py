"""The application: a route for every command, the journal's stream, metrics, and a page that shows the description.

All requests are answered in one event loop, the engine's own, so none of them ever meets another half done. A body is
read up to a bound and within a time; an answer that takes virtual time comes when it comes, or as a task when the asker
will not wait. Nothing that goes wrong is told as anything but `answers.problem`, and no traceback leaves the process.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.commands import Command, Migrate
from emulator.control import names
from emulator.control.desk import Desk
from emulator.control.dispatch import Order
from emulator.control.driver import WAIT_MOST_S, Driver
from emulator.control.errors import WishError, WrongFieldError
from emulator.control.pace import Pace
from emulator.control.tasks import Task
from emulator.errors import EmulatorError
from emulator.shell.gate import Log
from emulator.shell.live import LiveEstate
from emulator.web import answers, auth, dashboard, openapi, sse
from emulator.web.metrics import CONTENT_TYPE, Metrics
from emulator.web.server import Served, listen

__all__ = ["Served", "make_app", "run"]

BODY_MOST: Final = 2 * 1024 * 1024
BODY_S: Final = 10.0
STREAMS_MOST: Final = 64
WAIT_S: Final = 30.0
"""How long a request waits for what takes virtual time, unless it says so itself."""

_AT_ONCE: Final = frozenset({Migrate})
_OPEN: Final = frozenset({"/", "/openapi.json", "/static/api.js", "/static/api.css", "/health"}) | dashboard.OPEN
"""What anybody may see: the description says nothing of an estate."""

_POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"

Endpoint = Callable[[Request], Awaitable[Response]]


class Application:
    """What the endpoints share."""

    def __init__(self, live: LiveEstate, pace: Pace, token: str, log: Log) -> None:
        self.desk = Desk(live, pace)
        self.driver = Driver(self.desk, lambda text: log.write("http.fault", error=text))
        self.metrics = Metrics(self.desk)
        self.token = token
        self.log = log
        self.closing = asyncio.Event()
        self.streams = 0
        self.verbs: dict[Any, str] = {}
        """What an endpoint is called in metrics and logs."""
        self.description = msgspec.json.encode(openapi.document())

    def routes(self) -> list[Route]:
        """Every command's, and the few others."""
        found = [
            Route(names.path(each), self._endpoint(each), methods=["GET" if names.is_get(each) else "POST"], name=verb)
            for verb, each in names.COMMANDS.items()
        ]
        static = {"/": ("api.html", "text/html"), "/static/api.js": ("api.js", "text/javascript")}
        static["/static/api.css"] = ("api.css", "text/css")
        found += [Route(path, _static(*file), methods=["GET"], name=file[0]) for path, file in static.items()]
        found += dashboard.routes()
        found.append(Route("/v1/journal/events", self._events, methods=["GET"], name="journal-events"))
        found.append(Route("/openapi.json", self._describe, methods=["GET"], name="openapi"))
        found.append(Route("/metrics", self._metrics, methods=["GET"], name="metrics"))
        found.append(Route("/health", self._health, methods=["GET"], name="health"))
        self.verbs = {route.endpoint: route.name for route in found}
        return found

    def _endpoint(self, command: type[Command]) -> Endpoint:
        get = names.is_get(command)

        async def endpoint(request: Request) -> Response:
            given = _query(request)
            wait = _wait(given, 0.0 if command in _AT_ONCE else WAIT_S)
            if get:
                wish = names.make(command, given, text=True)
            else:
                if given:
                    raise WrongFieldError("there is no such parameter", next(iter(given)), "put fields into the body")
                wish = names.make(command, await _body(request))
            answer = await self.driver.carry_out(_order(request, wish), wait)
            if isinstance(answer, Task):
                where = f"/v1/task?task={answer.number}"
                return answers.json(answer.view(), 202, {"location": where})
            return answers.json(answer)

        return endpoint

    async def _events(self, request: Request) -> Response:
        if self.streams >= STREAMS_MOST:
            return answers.problem(503, f"{STREAMS_MOST} streams are open already", "journal", "close one first")
        given = _query(request)
        last = request.headers.get("last-event-id")
        if last is not None:
            given["since"] = last
        given.setdefault("since", str(self.desk.ring.last))
        asked = names.make(sse.Asked, given, text=True)
        self.streams += 1
        return _Stream(self, sse.events(self.desk.ring, asked, self.closing))

    async def _describe(self, request: Request) -> Response:
        return Response(self.description, headers={"cache-control": "no-cache"}, media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _health(self, request: Request) -> Response:
        return answers.json({"ok": True})


class _Stream(StreamingResponse):
    """Server-sent events. However it ends, its place is free again."""

    def __init__(self, application: Application, content: Any) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(content, headers=headers, media_type="text/event-stream")
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._application.streams -= 1


class _Guard:
    """Around everything: the token, what is counted and logged, and the last word on any exception."""

    def __init__(self, app: ASGIApp, application: Application) -> None:
        self._app = app
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if scope["path"] not in _OPEN and not auth.allowed(headers, self._application.token):
                challenge = {"www-authenticate": 'Bearer realm="smets1"'}
                cure = "send `Authorization: Bearer TOKEN` with the token of the server's ready line"
                refusal = answers.problem(401, "no token, or a wrong one", "authorization", cure, challenge)
                await refusal(scope, receive, noting)
            else:
                await self._app(scope, receive, noting)
        except Exception as error:
            self._application.log.write("http.fault", error=f"{type(error).__name__}: {error}")
            if not status:
                fault = answers.problem(500, "a fault of ours", scope["path"], "look at the server's log")
                await fault(scope, receive, noting)
        finally:
            self._told(scope, status, time.monotonic() - began)

    def _told(self, scope: Scope, status: int, took: float) -> None:
        verb = self._application.verbs.get(scope.get("endpoint"), "none")
        self._application.metrics.requests.labels(verb, str(status)).inc()
        self._application.metrics.seconds.labels(verb).observe(took)
        self._application.log.write(
            "http.request", method=scope["method"], verb=verb, status=status, ms=round(took * 1000, 1)
        )


def make_app(live: LiveEstate, pace: Pace, *, token: str | None = None, log: Log | None = None) -> Starlette:
    """The application for one estate. Its token is `app.state.token`, its desk `app.state.desk`."""
    application = Application(live, pace, token or auth.new_token(), log or Log())
    app = Starlette(
        routes=application.routes(),
        exception_handlers={HTTPException: _no_route, WishError: _refused, EmulatorError: _in_trouble},  # type: ignore[dict-item]
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Guard, application=application)
    app.state.application = application
    app.state.token = application.token
    app.state.desk = application.desk
    return app


async def run(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Served:
    """Serve the application in the running event loop; it listens when this returns. Port 0: any that is free.

    Raises InputError when the port is in use or the host is not this machine's loopback."""
    application: Application = app.state.application

    async def ending() -> None:
        application.closing.set()
        await application.driver.stop()

    return await listen(app, host, port, application.log, ending)


# Requests


def _query(request: Request) -> dict[str, Any]:
    """The parameters. Raises WrongFieldError for one that is given twice."""
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise WrongFieldError("this parameter is given twice", name[:64], "give it once")
        found[name] = value
    return found


def _wait(given: dict[str, Any], default: float) -> float:
    text = given.pop("wait", None)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= WAIT_MOST_S:
        raise WrongFieldError("this is no time to wait", "wait", f"give 0 to {WAIT_MOST_S:.0f} real seconds")
    return seconds


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; {} for an empty body. Raises WrongFieldError, HTTPException."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_MOST:
                    raise HTTPException(413)
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None
    if not raw.strip():
        return {}
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WrongFieldError(f"this is no JSON: {error}", "body", "send one JSON object, in UTF-8") from None
    if not isinstance(found, dict):
        raise WrongFieldError("this is no object", "body", "send one JSON object, {} for no fields")
    return found


def _order(request: Request, wish: Command) -> Order:
    """The command with its address. Raises WrongFieldError, NoSuchThingError."""
    if wish.scope == "estate":
        return Order(wish)
    text = request.path_params["installation"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise WrongFieldError("this is no installation's number", "installation", "give a whole number from 0 on")
    party = names.party(request.path_params["device"]) if wish.scope == "device" else None
    return Order(wish, int(text), party)


_TROUBLE: Final = {
    400: ("the request broke off", "body", "send it again"),
    408: ("the body did not come in time", "body", "send it in one go"),
    413: (f"the body is larger than {BODY_MOST} bytes", "body", "send less"),
}


async def _no_route(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    path = request.url.path[:200]
    if status == 404:
        return answers.problem(404, "there is no such route", path, "GET /openapi.json lists them all")
    if status == 405:
        allow = (error.headers or {}).get("Allow", "")
        return answers.problem(405, f"{request.method} is not for this route", path, f"use {allow}", {"allow": allow})
    return answers.problem(status, *_TROUBLE.get(status, (str(error.detail), path, "GET /openapi.json")))


async def _refused(request: Request, error: WishError) -> Response:
    return answers.refused(error)


async def _in_trouble(request: Request, error: EmulatorError) -> Response:
    return answers.problem(503, str(error), request.url.path[:200], "cure that, and ask again")


def _static(name: str, kind: str) -> Endpoint:
    content = resources.files("emulator.web").joinpath("static", name).read_bytes()
    headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "cache-control": "no-cache"}

    async def endpoint(request: Request) -> Response:
        return Response(content, headers=headers, media_type=kind)

    return endpoint
