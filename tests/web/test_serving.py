"""On a real socket: where it listens, how it stops, what it counts and logs."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulator.errors import InputError
from emulator.web import auth
from emulator.web.app import run

Visit = Callable[..., None]


def test_it_listens_on_loopback_alone_and_says_what_is_wrong_with_a_port(site: Visit) -> None:
    """Another address, a name and a port in use are refused in words; the one that runs is not disturbed."""

    async def body(here: Any) -> None:
        for host in ("0.0.0.0", "192.0.2.1", "::", "localhost", ""):
            with pytest.raises(InputError, match=r"loopback|IP address"):
                await run(here.app, host, 0)
        with pytest.raises(InputError, match="in use"):
            await run(here.app, "127.0.0.1", here.served.port)
        assert (await here.get("status"))["estate"] == "demo-street"
        assert here.served.url == f"http://127.0.0.1:{here.served.port}"

    site(body)


def test_stopped_it_is_gone(site: Visit) -> None:
    """A request under way is answered, then nobody is there any more."""

    async def body(here: Any) -> None:
        last = asyncio.create_task(here.post("step-clock", {"seconds": 3_600}))
        await asyncio.sleep(0)
        await last
        await here.served.stop()
        with pytest.raises(httpx.TransportError):
            await here.stranger.get("/health")

    site(body)


def test_garbage_and_half_open_connections_disturb_nobody(site: Visit) -> None:
    """Bytes that are no HTTP, headers without end, and fifty connections that say nothing: others are served."""

    async def body(here: Any) -> None:
        place = (here.served.host, here.served.port)
        writers = []
        for content in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000, *[b""] * 50):
            _, writer = await asyncio.open_connection(*place)
            writer.write(content)
            writers.append(writer)
        assert (await here.get("status"))["estate"] == "demo-street"
        for writer in writers:
            writer.close()
        for line in here.logs.getvalue().splitlines():
            assert "event" in json.loads(line)

    site(body)


def test_metrics_agree_with_what_was_done(site: Visit) -> None:
    """Exchanges, journal entries by kind, requests by verb and the virtual clock, in Prometheus's words."""

    async def body(here: Any) -> None:
        await here.post("installations/0/electricity/rotate-keys")
        await here.post("installations/0/electricity/read-object", {"what": "nothing"}, 404)
        await here.post("inject-fault", {"fault": "link-outage", "settings": {"seconds": 0}})
        status = await here.get("status")
        page = await here.http.get("/metrics")
        lines = dict(line.rsplit(" ", 1) for line in page.text.splitlines() if not line.startswith("#"))
        assert float(lines["smets1_exchanges_total"]) == status["exchanges"] > 5
        assert float(lines['smets1_journal_entries_total{kind="rotation.confirmed"}']) == 1
        assert float(lines['smets1_http_requests_total{status="404",verb="read-object"}']) == 1
        assert float(lines["smets1_faults_in_force"]) == 1
        assert float(lines["smets1_virtual_time_seconds"]) == pytest.approx(status["clock"]["now"] / 1e6)
        assert page.headers["content-type"].startswith("text/plain")

    site(body)


def test_logs_are_json_lines_without_what_was_asked(site: Visit) -> None:
    """One object a request with verb, status and time; no path a caller wrote, no query, no body."""

    async def body(here: Any) -> None:
        await here.get("installations?first=3")
        await here.http.get("/v1/my-secret-path?token=abc")
        lines = [json.loads(line) for line in here.logs.getvalue().splitlines()]
        requests = [each for each in lines if each["event"] == "http.request"]
        assert [(each["verb"], each["status"]) for each in requests] == [("installations", 200), ("none", 404)]
        assert "secret" not in here.logs.getvalue()
        assert "first=3" not in here.logs.getvalue()

    site(body)


def test_tokens_are_made_and_read(tmp_path: Path) -> None:
    """Fresh ones differ and are long; a file's first line is taken; a short, a spaced and a missing one are refused."""
    assert auth.new_token() != auth.new_token()
    assert len(auth.new_token()) >= 43
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\nmore\n")
    assert auth.read_token(file) == "0123456789abcdef"
    for text in ("short\n", "has spaces in it, many\n", "", "ümlaut-0123456789\n"):
        file.write_text(text)
        with pytest.raises(InputError, match="token"):
            auth.read_token(file)
    with pytest.raises(InputError, match="token"):
        auth.read_token(tmp_path / "none")
