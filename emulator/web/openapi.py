"""The OpenAPI 3.1 description, made from the command classes and their handlers' answers: nothing in it is written
twice."""

from typing import Any, Final

import msgspec

from emulator import __version__
from emulator.commands import Command
from emulator.control import names, ring
from emulator.control.registry import answers
from emulator.control.tasks import Problem, TaskView

_REF: Final = "#/components/schemas/{name}"
_WORDS: Final = {400: "a field is wrong", 401: "no token, or a wrong one", 404: "there is no such thing"}
_LATER: Final = {409: "not as things stand", 502: "the device refused", 504: "nobody answered, in virtual time"}


def document() -> dict[str, Any]:
    """The whole description."""
    commands = list(names.COMMANDS.values())
    kinds = list(dict.fromkeys([*commands, *(answers(each)[0] for each in commands), TaskView, Problem]))
    found, components = msgspec.json.schema_components([*kinds, ring.JournalEntry], ref_template=_REF)
    schemas = dict(zip([*kinds, ring.JournalEntry], found, strict=True))
    for part in components.values():
        if "description" in part:
            part["description"] = " ".join(part["description"].split())
    paths = {
        names.path(each): {"get" if names.is_get(each) else "post": _operation(each, schemas, components)}
        for each in commands
    }
    paths["/v1/journal/events"] = {"get": _events()}
    paths["/metrics"] = {"get": _text("metrics", "The estate in Prometheus's text format.", "text/plain")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SMETS1 emulator",
            "version": __version__,
            "description": "An estate of emulated smart meters, driven and watched from outside. Instants are "
            "microseconds since 1970 of virtual time. Every problem is {error, where, cure}.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(command: type[Command], schemas: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    answer, later = answers(command)
    doc = " ".join((command.__doc__ or "").split())
    responses: dict[str, Any] = {"200": _response("done", schemas[answer])}
    parameters = _address(command)
    if later:
        responses["202"] = _response("not done yet: a task to look at", schemas[TaskView])
        parameters.append(
            {
                "name": "wait",
                "in": "query",
                "description": "real seconds to wait for the answer; then a task is answered",
                "schema": {"type": "number", "minimum": 0, "maximum": 600},
            }
        )
    for status, words in {**_WORDS, **(_LATER if later else {409: _LATER[409]})}.items():
        responses[str(status)] = _response(words, schemas[Problem])
    found: dict[str, Any] = {
        "operationId": names.verb(command),
        "summary": doc.partition(". ")[0].rstrip("."),
        "description": doc,
        "tags": [{"device": "device", "home": "installation", "estate": "estate"}[command.scope]],
        "responses": responses,
    }
    if names.is_get(command):
        schema = components[command.__name__]
        required = schema.get("required", [])
        for name, each in schema["properties"].items():
            parameters.append({"name": name, "in": "query", "required": name in required, "schema": each})
    else:
        body = {"content": {"application/json": {"schema": schemas[command]}}}
        found["requestBody"] = {**body, "required": bool(components[command.__name__].get("required"))}
    if parameters:
        found["parameters"] = parameters
    return found


def _address(command: type[Command]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if command.scope != "estate":
        number = {"type": "integer", "minimum": 0}
        found.append({"name": "installation", "in": "path", "required": True, "schema": number})
    if command.scope == "device":
        device = {"enum": list(names.DEVICES)}
        found.append({"name": "device", "in": "path", "required": True, "schema": device})
    return found


def _response(words: str, schema: Any) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _text(name: str, about: str, kind: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string"}}}
    return {
        "operationId": name,
        "summary": about.rstrip("."),
        "tags": ["watching"],
        "responses": {"200": {"description": "the text", "content": content}},
    }


def _events() -> dict[str, Any]:
    found = _text("journal-events", "The journal as server-sent events.", "text/event-stream")
    found["description"] = (
        "Events `entry` with the entry's number as id and a JournalEntry as data; an event `gap` says how many have "
        "fallen out of the journal before they were read. Last-Event-ID, or `since`, says where to go on; without "
        "them only new entries come."
    )
    found["parameters"] = [
        {"name": "since", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {"name": "limit", "in": "query", "description": "end after so many", "schema": {"type": "integer"}},
        {"name": "kind", "in": "query", "schema": {"type": "string"}},
        {"name": "installation", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer", "minimum": 0}},
    ]
    return found
