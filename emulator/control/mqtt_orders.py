"""A message on a command topic becomes an order, and its outcome an answer: the part of the bus that knows no broker.

    <root>/command/status                                         a command to the estate
    <root>/command/installations/1/state                          to a home
    <root>/command/installations/1/electricity/press-boost        to a device

The payload is the command's fields as a JSON object; an empty one is no fields. Two more may stand among them:
`request`, a name for the answer, and `wait`, how many real seconds the asker waits for what takes virtual time. The
answer goes to the response topic with its correlation data where MQTT 5 gave one, else to `<root>/answer/<request>`,
else, so that no mistake is passed over in silence, to `<root>/answer`.

    {"request", "command", "answer": ...}                         what HTTP answers
    {"request", "command", "error", "where", "cure"}              what is wrong, about what, what to do about it
    {"request", "command", "task": {...}}                         it takes longer; one of the other two follows

A request's name also makes it safe to send again. Brokers deliver at least once, and who heard no answer asks again:
a wish that comes a second time under the same name is not carried out a second time, but gets the first one's answer,
marked `"repeated": true`. Questions are always asked anew. The last 1,000 names are remembered, in memory.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec

from emulator.commands import Command, Migrate
from emulator.control import names
from emulator.control.dispatch import Order
from emulator.control.driver import WAIT_MOST_S
from emulator.control.errors import NoSuchThingError, WishError, WrongFieldError

PAYLOAD_MOST: Final = 1024 * 1024
REMEMBERED: Final = 1_000
REMEMBERED_BYTES: Final = 16 * 1024 * 1024
WAIT_S: Final = 30.0

_AT_ONCE: Final = frozenset({Migrate})
_REQUEST: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TOPIC_MOST: Final = 1_024
_NUMBER_MOST: Final = 9
_DEVICE_LEVELS: Final = 4
_HOME_LEVELS: Final = 3


@dataclass(frozen=True, slots=True)
class Asker:
    """Where an answer goes, and what it is to be recognised by."""

    topic: str
    request: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that is well formed. `reads`: it changes nothing."""

    order: Order
    wait_s: float

    @property
    def reads(self) -> bool:
        return self.order.command.reads


def asker(root: str, payload: bytes, response: str | None, correlation: bytes | None) -> Asker:
    """Where the answer to a message goes; never raises, because a mistake is answered too."""
    request: str | None = None
    try:
        found = msgspec.json.decode(payload) if 0 < len(payload) <= PAYLOAD_MOST else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        name = found.get("request")
        name = str(name) if type(name) is int else name
        if isinstance(name, str) and _REQUEST.fullmatch(name):
            request = name
    if response is not None and _fit(response, root):
        return Asker(response, request, correlation)
    return Asker(f"{root}/answer/{request}" if request is not None else f"{root}/answer", request)


def _fit(topic: str, root: str) -> bool:
    """May answers go there? Not where they would be commands, or what nobody may publish to."""
    command = f"{root}/command"
    return (
        0 < len(topic) <= _TOPIC_MOST
        and not topic.startswith("$")
        and not any(each in topic for each in "+#\0")
        and topic != command
        and not topic.startswith(command + "/")
    )


def asked(path: str, payload: bytes, response: str | None, root: str) -> Asked:
    """The command that `path` (the topic behind `<root>/command/`) and `payload` name. Raises WishError."""
    if len(payload) > PAYLOAD_MOST:
        raise WrongFieldError(
            f"the payload has {len(payload)} bytes", "payload", f"send {PAYLOAD_MOST} bytes at most, as JSON"
        )
    if response is not None and not _fit(response, root):
        raise WrongFieldError(
            "nothing can be answered there",
            "response topic",
            f"name a topic without wildcards that is neither beneath {root}/command nor begins with $",
        )
    given = _fields(payload)
    request = given.pop("request", None)
    if request is not None and not (type(request) in (str, int) and _REQUEST.fullmatch(str(request))):
        raise WrongFieldError(
            "this cannot name an answer's topic", "request", "give 1 to 128 letters, digits, dots, dashes or colons"
        )
    wait = given.pop("wait", None)
    address = path.split("/")
    kind = names.command_class(address[-1])
    if wait is None:
        wait = 0.0 if kind in _AT_ONCE else WAIT_S
    elif type(wait) not in (int, float) or not 0 <= wait <= WAIT_MOST_S:
        raise WrongFieldError("this is no time to wait", "wait", f"give 0 to {WAIT_MOST_S:.0f} real seconds")
    return Asked(_order(address, kind, given, root), float(wait))


def _fields(payload: bytes) -> dict[str, Any]:
    if not payload:
        return {}
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "it is nested too deep" if isinstance(error, RecursionError) else f"this is no JSON: {error}"
        raise WrongFieldError(problem, "payload", "send the command's fields as a JSON object") from None
    if not isinstance(found, dict):
        raise WrongFieldError("this is no object", "payload", "send the command's fields as a JSON object")
    return found


def _order(address: list[str], kind: type[Command], given: dict[str, Any], root: str) -> Order:
    levels = {"device": _DEVICE_LEVELS, "home": _HOME_LEVELS, "estate": 1}[kind.scope]
    if len(address) != levels or (levels > 1 and address[0] != "installations"):
        place = names.path(kind).removeprefix("/v1/")
        raise NoSuchThingError(f"{address[-1]} is not asked for there", "topic", f"publish to {root}/command/{place}")
    wish = names.make(kind, given)
    if kind.scope == "estate":
        return Order(wish)
    number = address[1]
    if not (number.isascii() and number.isdigit() and len(number) <= _NUMBER_MOST):
        raise WrongFieldError("this is no installation's number", "installation", "give a whole number from 0 on")
    return Order(wish, int(number), names.party(address[2]) if kind.scope == "device" else None)


def problem(error: WishError) -> dict[str, Any]:
    """What went wrong, as an answer says it."""
    return {"error": error.problem, "where": error.where, "cure": error.cure}


def said(who: Asker, path: str, what: dict[str, Any]) -> bytes:
    """An answer's payload."""
    head: dict[str, Any] = {} if who.request is None else {"request": who.request}
    return msgspec.json.encode({**head, "command": path[:_TOPIC_MOST], **what})


@dataclass(slots=True)
class _Kept:
    likeness: bytes
    answer: dict[str, Any] | None = None
    size: int = 0


class Memory:
    """The wishes of late, by their request's name: what makes it safe to send one again."""

    def __init__(self, most: int = REMEMBERED, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def met(self, request: str, path: str, payload: bytes) -> tuple[bool, dict[str, Any] | None]:
        """(whether this wish came before, its answer if it has one); a new one is remembered from now on.

        Raises WrongFieldError when the name stood for something else."""
        likeness = blake2b(path.encode() + b"\0" + payload, digest_size=16).digest()
        kept = self._kept.get(request)
        if kept is None:
            self._kept[request] = _Kept(likeness)
            self._forget()
            return False, None
        if kept.likeness != likeness:
            raise WrongFieldError("this name stood for another wish", "request", "give every wish a name of its own")
        return True, kept.answer

    def answered(self, request: str, answer: dict[str, Any], size: int) -> None:
        """What the wish of that name came to; `size` about so many bytes."""
        kept = self._kept.get(request)
        if kept is not None:
            self._bytes += size - kept.size
            kept.answer, kept.size = answer, size
            self._forget()

    def _forget(self) -> None:
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size
