"""The description and its page: made from the commands, complete, and without anything from elsewhere."""

import json
import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from emulator.commands import PressBoost
from emulator.control import names
from emulator.web import openapi

Visit = Callable[..., None]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_command_is_described_with_its_fields_and_answers() -> None:
    """A path for each, its fields with their ranges, its answer and its errors; every reference leads somewhere."""
    found = json.loads(json.dumps(openapi.document()))
    assert found["openapi"] == "3.1.0"
    for command in names.COMMANDS.values():
        operation = found["paths"][names.path(command)]["get" if names.is_get(command) else "post"]
        assert operation["summary"]
        assert {"200", "400", "401"} <= set(operation["responses"])
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]
    identities = [each["operationId"] for path in found["paths"].values() for each in path.values()]
    assert len(set(identities)) == len(identities)
    for reference in set(references(found)):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"], reference
    switch = found["components"]["schemas"][PressBoost.__name__]["properties"]["switch"]
    assert (switch["minimum"], switch["maximum"], switch["default"]) == (1, 5, 1)
    boost = found["paths"][names.path(PressBoost)]["post"]
    assert [each["name"] for each in boost["parameters"]] == ["installation", "device"]


def test_the_page_is_whole_and_from_here_alone(site: Visit) -> None:
    """Page, script and style come without a token, name no other host, and the policy forbids any."""

    async def body(here: Any) -> None:
        page = await here.stranger.get("/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            if path.startswith("data:"):
                continue
            assert path.startswith("/static/") or path == "/dashboard"
            assert (await here.stranger.get(path)).status_code == 200
        assert (await here.stranger.get("/openapi.json")).json()["openapi"] == "3.1.0"

    site(body)


def test_static_files_name_no_other_host() -> None:
    """No address of anywhere in what the browser gets, and nothing sets markup from texts."""
    for each in resources.files("emulator.web").joinpath("static").iterdir():
        if each.name.startswith("api."):
            text = each.read_text("utf-8")
            assert not re.search(r"https?://|//[a-z]+\.", text), each.name
            assert "innerHTML" not in text
