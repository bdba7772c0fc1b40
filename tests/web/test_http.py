"""HTTP over the wishes: routes, refusals, waiting, and many at once."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from emulator.control import names
from emulator.web import app as web

Visit = Callable[..., None]
READ = "installations/0/electricity/read-object"


def test_a_home_is_driven_by_http_alone(site: Visit) -> None:
    """Listed, read, switched, re-keyed, put back: each by its own route, with plain JSON."""

    async def body(here: Any) -> None:
        listed = await here.get("installations?first=1&count=1")
        assert [each["kind"] for each in listed["installations"][0]["devices"]] == ["hub", "electricity", "ihd"]
        assert (await here.post(READ, {"what": "clock"}))["time"].startswith("2020-03-01T23:59:59")
        assert await here.post("installations/0/electricity/set-supply", {"state": "off"}) == {"supply": "off"}
        state = await here.get("installations/0/state?log=1")
        assert state["devices"][1]["supply"] == "off"
        assert state["devices"][1]["log"][0]["meaning"] == "supply-off"
        assert await here.post("installations/0/gas/rotate-keys") == {"data": 1, "master": 1}
        await here.post("installations/0/reset-home")
        assert (await here.get("installations/0/state"))["devices"][1]["supply"] == "on"

    site(body)


def test_time_is_stepped_and_set_going(site: Visit) -> None:
    """A day passes at once; at a speed time passes by itself; at 0 it stands."""

    async def body(here: Any) -> None:
        began = (await here.get("clock"))["now"]
        assert await here.post("step-clock", {"seconds": 86_400}) == began + 86_400_000_000
        assert (await here.post("set-speed", {"speed": 1_000}))["speed"] == 1_000
        await asyncio.sleep(0.05)
        await here.post("set-speed", {"speed": 0})
        stood = (await here.get("clock"))["now"]
        assert stood > began + 86_430_000_000
        assert (await here.get("clock"))["now"] == stood

    site(body)


def test_what_takes_long_is_a_task_to_come_back_to(site: Visit) -> None:
    """A migration is answered at once with where to look, shows its progress, and ends with its sums."""

    async def body(here: Any) -> None:
        answer = await here.http.post("/v1/migrate", json={"installations": [0, 4, 6], "abreast": 1})
        assert answer.status_code == 202
        assert answer.json()["progress"]["homes"] == 3
        where = answer.headers["location"]
        for _ in range(500):
            task = (await here.http.get(where)).json()
            if task["state"] != "running":
                break
            await asyncio.sleep(0.01)
        assert (task["state"], task["answer"]["migrated"], task["answer"]["audited"]) == ("done", 3, 3)
        assert (await here.get("ledger?count=1"))["lines"][0]["verdict"] == "migrated"

    site(body)


def test_a_running_clock_ends_a_visit_and_a_stopped_one_too(site: Visit) -> None:
    """With modelled timing a reading takes seconds: of a fast clock, or after the clock was stopped under it."""

    async def body(here: Any) -> None:
        assert (await here.post(READ, {"what": "import"}))["plain"] > 0
        await here.post("set-speed", {"speed": 0.001})
        answer = await here.http.post(f"/v1/{READ}?wait=0", json={"what": "clock"})
        assert (answer.status_code, answer.json()["state"]) == (202, "running")
        await here.post("set-speed", {"speed": 0})
        for _ in range(500):
            task = (await here.http.get(answer.headers["location"])).json()
            if task["state"] != "running":
                break
            await asyncio.sleep(0.01)
        assert task["state"] == "done"

    site(body, timing="modelled", speed=10_000)


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", "Basic {}", "bearer {}x", "{}"])
def test_without_the_token_nothing_is_answered(site: Visit, given: str | None) -> None:
    """Every route but the description refuses, with one and the same answer; nothing was carried out."""

    async def body(here: Any) -> None:
        headers = {} if given is None else {"authorization": given.format(here.token)}
        for path in ("/v1/status", "/v1/reset-estate", "/metrics", "/v1/journal/events", "/v1/nowhere", "/static/x"):
            for method in ("GET", "POST"):
                answer = await here.stranger.request(method, path, headers=headers)
                assert answer.status_code == 401
                assert set(answer.json()) == {"error", "where", "cure"}
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await here.stranger.get("/openapi.json")).status_code == 200
        assert here.app.state.desk.ring.last == 0

    site(body)


BAD = [
    ("GET", "/v1/nowhere", None, 404, "/v1/nowhere"),
    ("GET", "/v1/status/", None, 404, "/v1/status/"),
    ("GET", "/v1/migrate", None, 405, "/v1/migrate"),
    ("POST", "/v1/status", b"{}", 405, "/v1/status"),
    ("GET", "/v1/status?more=1", None, 400, "more"),
    ("GET", "/v1/installations?first=-1", None, 400, "first"),
    ("GET", "/v1/installations?first=1&first=2", None, 400, "first"),
    ("GET", "/v1/installations?count=x", None, 400, "count"),
    ("GET", "/v1/task", None, 400, "task"),
    ("GET", "/v1/task?task=77", None, 404, "task"),
    ("GET", "/v1/installations/x/state", None, 400, "installation"),
    ("GET", "/v1/installations/-1/state", None, 400, "installation"),
    ("GET", "/v1/installations/%F0%9D%9F%8F/state", None, 400, "installation"),
    ("GET", "/v1/installations/16/state", None, 404, "installation"),
    ("GET", "/v1/installations/99999999999999999999/state", None, 400, "installation"),
    ("POST", "/v1/installations/0/water/press-boost", b"{}", 404, "device"),
    ("POST", "/v1/installations/4/gas/press-reconnect", b"{}", 404, "device"),
    ("POST", "/v1/installations/0/electricity/press-boost?switch=1", b"{}", 400, "switch"),
    ("POST", "/v1/installations/0/electricity/press-boost", b'{"switch": 6}', 400, "switch"),
    ("POST", "/v1/installations/0/electricity/press-boost", b'{"swich": 1}', 400, "swich"),
    ("POST", "/v1/installations/0/electricity/press-boost", b"[]", 400, "body"),
    ("POST", "/v1/installations/0/electricity/press-boost", b"{", 400, "body"),
    ("POST", "/v1/installations/0/electricity/press-boost", b"\xff\xfe", 400, "body"),
    ("POST", "/v1/installations/0/electricity/press-boost", b"[" * 100_000, 400, "body"),
    ("POST", "/v1/step-clock", b"{}", 400, "seconds"),
    ("POST", "/v1/step-clock", b'{"seconds": 1e999}', 400, "body"),
    ("POST", "/v1/step-clock?wait=soon", b'{"seconds": 1}', 400, "wait"),
    ("POST", "/v1/step-clock?wait=nan", b'{"seconds": 1}', 400, "wait"),
    ("POST", "/v1/clear-fault", b'{"number": 3}', 404, "number"),
    ("POST", "/v1/restore-snapshot", b'{"name": "x"}', 404, "name"),
    ("POST", "/v1/take-snapshot", b'{"name": "../x"}', 400, "name"),
    ("POST", "/v1/inject-fault", b'{"fault": "flood"}', 404, "fault"),
    ("POST", "/v1/installations/0/electricity/read-object", b'{"what": "clocks"}', 404, "what"),
    ("POST", "/v1/installations/0/electricity/write-object", b'{"what": "clock", "value": 1}', 400, "value"),
    ("GET", "/v1/journal/events?since=x", None, 400, "since"),
]


def test_whatever_is_wrong_is_one_json_error(site: Visit) -> None:
    """Error, place and cure for every wrong route, method, address, parameter and body; never a traceback."""

    async def body(here: Any) -> None:
        for method, path, raw, status, where in BAD:
            answer = await here.http.request(method, path, content=raw)
            told = answer.json()
            assert (answer.status_code, told["where"]) == (status, where), (method, path, told)
            assert set(told) == {"error", "where", "cure"}
            assert all(told.values())
            assert "Traceback" not in answer.text
        assert here.app.state.desk.tasks.last == 0

    site(body)


def test_a_fault_of_ours_is_told_as_one(site: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception nobody foresaw is 500 with the same shape; its text is in the log and not in the answer."""

    async def body(here: Any) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("the inside of things")

        monkeypatch.setattr(here.app.state.desk.pace, "set_speed", broken)
        answer = await here.http.post("/v1/set-speed", json={"speed": 1})
        assert (answer.status_code, set(answer.json())) == (500, {"error", "where", "cure"})
        assert "inside" not in answer.text
        assert "the inside of things" in here.logs.getvalue()
        assert "Traceback" not in here.logs.getvalue()
        assert (await here.get("status"))["estate"] == "demo-street"

    site(body)


def test_bodies_are_bounded_whether_they_say_their_length_or_not(site: Visit) -> None:
    """Three megabytes are refused while they come, and the server goes on."""

    async def body(here: Any) -> None:
        async def endless() -> Any:
            for _ in range(48):
                yield b" " * 65_536

        for content in (b" " * (web.BODY_MOST + 1), endless()):
            try:
                answer = await here.http.post("/v1/migrate", content=content)
            except httpx.HTTPError:
                continue  # the server hung up on us in the middle, which is as good
            assert answer.status_code == 413
            assert set(answer.json()) == {"error", "where", "cure"}
        assert (await here.get("status"))["tasks_running"] == 0

    site(body)


def test_a_body_that_does_not_come_is_not_waited_for(site: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who announces a body and sends none is answered 408 in time; others were served meanwhile."""
    monkeypatch.setattr(web, "BODY_S", 0.1)

    async def body(here: Any) -> None:
        reader, writer = await asyncio.open_connection(here.served.host, here.served.port)
        head = ["POST /v1/migrate HTTP/1.1", "Host: x", f"Authorization: Bearer {here.token}", "Content-Length: 9"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        assert (await here.get("status"))["tasks_running"] == 0
        assert b" 408 " in await reader.readline()
        writer.close()

    site(body)


def test_many_at_once_are_each_answered_rightly(site: Visit) -> None:
    """A hundred requests of all kinds together: every reading is of its own home, and nothing is mixed up."""

    async def body(here: Any) -> None:
        homes = [0, 1, 4, 5, 6, 9, 13, 14]
        serials = {}
        for each in (await here.get("installations"))["installations"]:
            meter = next(device for device in each["devices"] if device["kind"] == "electricity")
            serials[each["installation"]] = meter["serial"]

        async def read(number: int) -> None:
            found = await here.post(f"installations/{number}/electricity/read-object", {"what": "serial"})
            assert bytes.fromhex(found["plain"]).decode() == serials[number]

        async def look(number: int) -> None:
            assert (await here.get(f"installations/{number}/state"))["installation"] == number

        every = homes * 6
        await asyncio.gather(*map(read, every), *map(look, every))
        assert (await here.get("status"))["tasks_running"] == 0

    site(body)


def test_faults_are_put_in_force_listed_and_cleared(site: Visit) -> None:
    """By name with their settings; met as 504 over the air; gone when cleared."""

    async def body(here: Any) -> None:
        kinds = {each["fault"] for each in (await here.get("fault-kinds"))["faults"]}
        assert "link-outage" in kinds
        fault = await here.post("inject-fault", {"fault": "out-of-coverage", "settings": {"installation": 0}})
        silent = await here.post(READ, {"what": "clock"}, 504)
        assert "did not call back" in silent["error"]
        assert (await here.get("faults"))["faults"][0]["number"] == fault["number"]
        await here.post("clear-fault", {"number": fault["number"]})
        await here.post("fail-link", {"seconds": 60})
        assert await here.post("heal-link") == {"cleared": 1}
        assert (await here.get("faults"))["faults"] == []
        await here.post("installations/0/gas/drop-device")
        refused = await here.post("installations/0/gas/read-object", {"what": "clock"}, 502)
        assert "cannot be reached" in refused["error"]
        await here.post("installations/0/gas/restore-device")
        assert (await here.post("installations/0/gas/read-object", {"what": "clock"}))["time"]

    site(body)


def test_it_is_asked_whether_something_happened_exactly_once(site: Visit) -> None:
    """The question names what it expects; the answer says whether it was so and what differs."""

    async def body(here: Any) -> None:
        since = (await here.get("status"))["journal"]
        await here.post("installations/1/electricity/press-boost", {"switch": 2, "minutes": 5})
        await here.post("installations/0/electricity/rotate-keys")
        boost = {"kind": "auxiliary.held", "installation": 1, "detail": [2, True, 5]}
        keys = {"kind": "rotation.confirmed", "installation": 0}
        asked = {"expect": [boost, keys], "ordered": True, "since": since}
        assert (await here.post("verify", asked))["fulfilled"] is True
        await here.post("installations/1/electricity/press-boost", {"switch": 2, "minutes": 5})
        told = await here.post("verify", asked)
        assert told["fulfilled"] is False
        assert told["differences"][0]["problem"] == "expected exactly 1, found 2"

    site(body)


def test_every_command_is_routed_and_none_breaks_on_an_empty_body(site: Visit) -> None:
    """Each of them, asked with nothing, is carried out or refused in words."""

    async def body(here: Any) -> None:
        for command in names.COMMANDS.values():
            for device in ("hub", "electricity", "gas", "ihd") if command.scope == "device" else ("",):
                path = names.path(command).replace("{installation}", "6").replace("{device}", device)
                answer = await here.http.request("GET" if names.is_get(command) else "POST", path, json={})
                assert answer.status_code in (200, 202, 400, 404, 409, 502), (path, answer.text)
                if answer.status_code >= 400:
                    assert set(answer.json()) == {"error", "where", "cure"}
        assert json.loads((await here.http.get("/health")).text) == {"ok": True}

    site(body)
