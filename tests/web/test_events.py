"""The journal as server-sent events: numbered, replayed, and honest about what is gone."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from emulator.commands import PressBoost
from emulator.control.ring import Ring
from emulator.kernel.machine import Party
from emulator.web import app as web

Visit = Callable[..., None]


def parse(text: str) -> list[tuple[str, int, Any]]:
    """(event, id, data) of every whole event."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            found.append((lines["event"], int(lines["id"]), json.loads(lines["data"])))
    return found


def test_entries_come_as_they_are_made_and_are_replayed_from_any_number(site: Visit) -> None:
    """A reader hears what happens while it listens; one that comes back goes on after its last number."""

    async def body(here: Any) -> None:
        listening = asyncio.create_task(here.http.get("/v1/journal/events?limit=2&kind=auxiliary."))
        while not here.app.state.desk.ring.watchers:
            await asyncio.sleep(0.005)
        for minutes in (1, 2, 3):
            await here.post("installations/1/electricity/press-boost", {"switch": 1, "minutes": minutes})
        live = parse((await listening).text)
        assert [(kind, data["kind"], data["detail"]) for kind, _, data in live] == [
            ("entry", "auxiliary.held", [1, True, 1]),
            ("entry", "auxiliary.held", [1, True, 2]),
        ]
        assert [number for _, number, _ in live] == [data["number"] for _, _, data in live]
        back = await here.http.get("/v1/journal/events?limit=1", headers={"last-event-id": str(live[-1][1])})
        assert parse(back.text)[0][1] == live[-1][1] + 1
        whole = parse((await here.http.get(f"/v1/journal/events?since=0&limit={live[-1][1]}")).text)
        assert [number for _, number, _ in whole] == list(range(1, live[-1][1] + 1))
        assert back.headers["content-type"].startswith("text/event-stream")

    site(body)


def test_a_gap_is_said(site: Visit) -> None:
    """Who comes back too late is told how many entries are gone, and after which number."""

    async def body(here: Any) -> None:
        desk = here.app.state.desk
        here.live.unsubscribe(desk.ring.take)
        desk.ring = Ring(most=3)
        here.live.subscribe(desk.ring.take)
        for _ in range(5):
            await here.post("installations/1/electricity/press-boost")
        last = desk.ring.last
        told = parse((await here.http.get("/v1/journal/events?since=1&limit=3")).text)
        assert [(kind, number) for kind, number, _ in told] == [
            ("gap", last - 3), ("entry", last - 2), ("entry", last - 1), ("entry", last)
        ]  # fmt: skip
        assert told[0][2] == {"missed": last - 4, "after": 1}

    site(body)


def test_streams_are_bounded_freed_and_ended(site: Visit, monkeypatch: Any) -> None:
    """Past the bound a stream is refused; a reader that goes makes room; stopping ends the streams that are open."""
    monkeypatch.setattr(web, "STREAMS_MOST", 2)

    async def body(here: Any) -> None:
        application = here.app.state.application

        async def hold() -> None:
            async with here.http.stream("GET", "/v1/journal/events") as answer:
                async for _ in answer.aiter_bytes():
                    pass

        readers = [asyncio.create_task(hold()) for _ in range(2)]
        while application.streams < 2:
            await asyncio.sleep(0.005)
        refused = await here.http.get("/v1/journal/events")
        assert (refused.status_code, set(refused.json())) == (503, {"error", "where", "cure"})
        readers[0].cancel()
        while application.streams > 1:
            await asyncio.sleep(0.005)
        assert len(here.app.state.desk.ring.watchers) == 1
        await here.served.stop()
        await asyncio.wait_for(readers[1], 3)
        assert application.streams == 0

    site(body)


def test_a_reader_that_does_not_read_holds_up_nobody(site: Visit) -> None:
    """With one stream stuck, twenty thousand entries are made and others are answered."""

    async def body(here: Any) -> None:
        _, writer = await asyncio.open_connection(here.served.host, here.served.port)
        head = f"GET /v1/journal/events?since=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {here.token}\r\n\r\n"
        writer.write(head.encode())
        while not here.app.state.desk.ring.watchers:
            await asyncio.sleep(0.005)
        for _ in range(20_000):  # some three megabytes: more than sockets and transports will hold
            here.live.command(1, Party.ELECTRICITY, PressBoost())
        for _ in range(20):
            await here.post("installations/1/electricity/press-boost")
        assert (await here.get("status"))["journal"] >= 20_020
        writer.transport.abort()
        while here.app.state.desk.ring.watchers:
            await here.post("installations/1/electricity/press-boost")

    site(body)
