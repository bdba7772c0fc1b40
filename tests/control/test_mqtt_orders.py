"""Messages become orders and outcomes become answers, without a broker anywhere."""

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest

from emulator.commands import Clock, PressBoost, State
from emulator.control import mqtt_orders as orders
from emulator.control import names
from emulator.control.errors import NoSuchThingError, WishError, WrongFieldError
from emulator.kernel.machine import Party

ROOT = "smets1/demo-street"


def ask(path: str, body: Any = None, response: str | None = None) -> orders.Asked:
    payload = b"" if body is None else json.dumps(body).encode()
    return orders.asked(path, payload, response, ROOT)


@pytest.mark.parametrize("verb", names.COMMANDS)
def test_every_command_has_its_topic(verb: str) -> None:
    """Each dataclass is reached by the topic made from it; one that needs fields asks for them by name."""
    kind = names.COMMANDS[verb]
    path = names.path(kind).removeprefix("/v1/").format(installation=3, device="gas")
    needed = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    if needed:
        with pytest.raises(WrongFieldError, match="this field is missing") as caught:
            ask(path, {})
        assert caught.value.where in needed
        return
    found = ask(path, {})
    assert type(found.order.command) is kind
    wanted = {"device": (3, Party.GAS), "home": (3, None), "estate": (None, None)}[kind.scope]
    assert (found.order.installation, found.order.party) == wanted


def test_no_command_has_a_field_that_the_bus_takes() -> None:
    """`request` and `wait` stand among a command's fields, so none may be called that."""
    for kind in names.COMMANDS.values():
        assert not {"request", "wait"} & {each.name for each in fields(kind)}


def test_fields_and_waiting() -> None:
    """Fields are checked as at every door; how long an asker waits has a default and bounds."""
    found = ask("installations/1/electricity/press-boost", {"request": "a", "switch": 2, "minutes": 5})
    assert found.order.command == PressBoost(switch=2, minutes=5)
    assert not found.reads
    assert found.wait_s == orders.WAIT_S
    assert ask("migrate").wait_s == 0
    assert ask("clock", {"wait": 1.5}) == orders.Asked(orders.Order(Clock()), 1.5)
    assert ask("installations/7/state").reads
    assert ask("installations/7/state").order.command == State()


@pytest.mark.parametrize(
    ("path", "payload", "where", "says"),
    [
        ("nonsense", b"", "command", "no command"),
        ("", b"", "command", "no command"),
        ("press-boost", b"", "topic", "installations/{installation}/{device}/press-boost"),
        ("installations/1/clock", b"", "topic", f"{ROOT}/command/clock"),
        ("houses/1/state", b"", "topic", "installations/{installation}/state"),
        ("installations/-1/state", b"", "installation", "from 0 on"),
        ("installations/\u0661/state", b"", "installation", "from 0 on"),
        ("installations/1/kettle/press-boost", b"", "device", "electricity"),
        ("clock", b"{", "payload", "JSON"),
        ("clock", b"\xff\xfe", "payload", "JSON"),
        ("clock", b"[1]", "payload", "object"),
        ("clock", b'{"nosuch": 1}', "nosuch", "give none"),
        ("clock", b"[" * 100_000, "payload", "JSON"),
        ("clock", b"{" + b" " * orders.PAYLOAD_MOST + b"}", "payload", "bytes at most"),
        ("clock", b'{"wait": -1}', "wait", "0 to 600"),
        ("clock", b'{"wait": "soon"}', "wait", "0 to 600"),
        ("clock", b'{"wait": true}', "wait", "0 to 600"),
        ("clock", b'{"request": "a/b"}', "request", "letters"),
        ("clock", b'{"request": ["a"]}', "request", "letters"),
        ("installations/1/electricity/press-boost", b'{"switch": 6}', "switch", "1 to 5"),
    ],
)
def test_mistakes_say_what_where_and_how_to_mend(path: str, payload: bytes, where: str, says: str) -> None:
    """Every mistake is a WishError with its three parts, and nothing else comes out."""
    with pytest.raises(WishError) as caught:
        orders.asked(path, payload, None, ROOT)
    assert caught.value.where == where
    assert says in f"{caught.value.problem} {caught.value.cure}"
    answer = json.loads(orders.said(orders.Asker("t", "r"), path, orders.problem(caught.value)))
    assert answer.keys() == {"request", "command", "error", "where", "cure"}


def test_where_an_answer_goes() -> None:
    """The response topic first, then the request's own, then the one for those without; never a command's topic."""
    named = b'{"request": "r-1"}'
    assert orders.asker(ROOT, named, None, None).topic == f"{ROOT}/answer/r-1"
    assert orders.asker(ROOT, b'{"request": 17}', None, None).topic == f"{ROOT}/answer/17"
    assert orders.asker(ROOT, b"{", None, None).topic == f"{ROOT}/answer"
    assert orders.asker(ROOT, b'{"request": "a/+/b"}', None, None).topic == f"{ROOT}/answer"
    mine = orders.asker(ROOT, named, "my/inbox", b"\x01\xff")
    assert mine == orders.Asker("my/inbox", "r-1", b"\x01\xff")
    for bad in (f"{ROOT}/command/clock", f"{ROOT}/command", "$SYS/x", "a/+", "a/#", "", "x" * 2_000):
        assert orders.asker(ROOT, named, bad, None).topic == f"{ROOT}/answer/r-1"
        with pytest.raises(WrongFieldError, match="response topic"):
            ask("clock", {}, response=bad)
    assert ask("clock", {}, response=f"{ROOT}/commands").reads


def test_a_wish_that_comes_twice_is_remembered() -> None:
    """The same wish under the same name is known again, with its answer once there is one; another wish is refused."""
    memory = orders.Memory()
    assert memory.met("r", "p", b"1") == (False, None)
    assert memory.met("r", "p", b"1") == (True, None)
    memory.answered("r", {"answer": 1}, 10)
    assert memory.met("r", "p", b"1") == (True, {"answer": 1})
    with pytest.raises(WrongFieldError, match="another wish"):
        memory.met("r", "p", b"2")
    with pytest.raises(WrongFieldError, match="another wish"):
        memory.met("r", "q", b"1")


def test_memory_is_bounded() -> None:
    """Neither many names nor large answers are kept without end; the oldest go first."""
    memory = orders.Memory(most=3, most_bytes=100)
    for number in range(5):
        memory.met(str(number), "p", b"")
        memory.answered(str(number), {"answer": number}, 10)
    assert memory.met("1", "p", b"") == (False, None)
    assert memory.met("4", "p", b"") == (True, {"answer": 4})
    memory.answered("4", {"answer": "large"}, 95)
    assert memory.met("3", "p", b"") == (False, None)
    assert memory.met("4", "p", b"") == (True, {"answer": "large"})


def test_asking_for_a_home_there_is_none_of() -> None:
    """A number out of this estate is well formed here; the estate says no itself."""
    assert ask("installations/999999999/state").order.installation == 999_999_999
    with pytest.raises(WrongFieldError):
        ask("installations/9999999999/state")
    with pytest.raises(NoSuchThingError):
        ask("installations/0/nosuch")
