"""A served application on a free port of loopback, in the test's own event loop, and a client for it.

Nothing here waits longer than `LONGEST_S`, whatever goes wrong.
"""

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from emulator.fleet.estate import open_estate
from emulator.shell.gate import Log
from emulator.shell.live import LiveEstate
from emulator.shell.pace import Pace
from emulator.web.app import Served, make_app, run

LONGEST_S = 20
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once: a client that makes its own reads every certificate


@dataclass
class Site:
    """A served estate: `http` carries the token, `stranger` none; `logs` is what was logged."""

    live: LiveEstate
    pace: Pace
    app: Any
    served: Served
    http: httpx.AsyncClient
    stranger: httpx.AsyncClient
    logs: io.StringIO

    @property
    def token(self) -> str:
        return str(self.app.state.token)

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.http.post("/v1/" + path, json=body or {})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.http.get("/v1/" + path)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def site() -> Callable[..., None]:
    """`site(body, estate=..., timing=..., speed=...)` runs `async def body(site)` against a fresh server."""

    def visit(
        body: Callable[[Site], Awaitable[None]],
        *,
        estate: str = "demo-street",
        timing: Any = "instant",
        speed: float = 0,
    ) -> None:
        async def whole() -> None:
            logs = io.StringIO()
            live = LiveEstate(open_estate(estate), timing=timing)
            pace = Pace(live, speed=speed)
            pace.start()
            app = make_app(live, pace, log=Log(logs))
            served = await run(app)
            bearer = {"authorization": f"Bearer {app.state.token}"}
            plain: Any = {"base_url": served.url, "timeout": LONGEST_S, "verify": NO_TLS, "trust_env": False}
            async with httpx.AsyncClient(headers=bearer, **plain) as http, httpx.AsyncClient(**plain) as stranger:
                try:
                    async with asyncio.timeout(LONGEST_S):
                        await body(Site(live, pace, app, served, http, stranger, logs))
                finally:
                    await served.stop()
                    pace.stop()

        asyncio.run(whole())

    return visit
