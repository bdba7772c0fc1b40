"""A running server, spoken to over HTTP. Standard library only; one connection a question."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import urlsplit

from emulator.errors import EmulatorError, InputError

LONGEST_S: Final = 660.0
"""How long an answer may take: longer than any server waits for what takes virtual time."""

_WRONGLY_ASKED: Final = (400, 401, 404, 405, 413)


class ServerError(EmulatorError):
    """The server cannot be reached, or says that something cannot be done: `status` 409 not now, 502 the device
    refused, 504 it did not answer, 0 nobody there."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Server:
    """A running server, by its address and token. `patience_s` bounds the wait for an answer."""

    def __init__(self, url: str, token: str, patience_s: float = LONGEST_S) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InputError(f"{url!r} is no address of a server; write http://127.0.0.1:8059")
        self._url = url
        self._where = (parts.hostname, parts.port or 80)
        self._patience_s = patience_s
        self._headers = {"Authorization": f"Bearer {token}", "Connection": "close"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer. Raises InputError or ServerError with what the server says."""
        answer = self._request(method, path, body, self._patience_s)
        try:
            text = answer.read()
        except (OSError, HTTPException) as error:
            raise self._unheard(error) from error
        found = _json(text)
        if answer.status >= 400:
            self._fail(answer.status, found)
        return found

    def stream(self, path: str) -> Iterator[tuple[str, Any]]:
        """(event, data) of a stream of server-sent events, until it ends."""
        with self._request("GET", path, None, None) as answer:
            if answer.status >= 400:
                self._fail(answer.status, _json(answer.read()))
            event = "message"
            for raw in answer:
                line = raw.decode("utf-8").rstrip("\n")
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    yield event, json.loads(line[6:])

    def _request(self, method: str, path: str, body: Any, timeout: float | None) -> HTTPResponse:
        headers, raw = dict(self._headers), None
        if body is not None:
            headers["Content-Type"] = "application/json"
            raw = json.dumps(body).encode()
        connection = HTTPConnection(*self._where, timeout=timeout)
        try:
            connection.request(method, path, raw, headers)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._unheard(error) from error

    def _unheard(self, error: Exception) -> ServerError:
        return ServerError(f"{self._url}: {error or type(error).__name__}; is the server running there?")

    def _fail(self, status: int, found: Any) -> None:
        if not isinstance(found, dict) or "error" not in found:
            raise ServerError(f"{self._url} answers {status}; is this a server of ours?", status)
        text = f"{found.get('where')}: {found['error']}; {found.get('cure')}"
        raise InputError(text) if status in _WRONGLY_ASKED else ServerError(text, status)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
