"""Service requests through the desk: one verdict each, whatever comes of them; the asker's mistakes told as such."""

from collections.abc import Callable
from typing import Any

import pytest

from emulator.commands import DropDevice, ResetHome, ServiceRequest, Services
from emulator.control.errors import WrongFieldError
from emulator.control.service_requests import front
from emulator.headend.steps import SERVICES
from emulator.kernel.machine import Party

HOME = 6  # five terminals, gas


def test_a_request_is_carried_out_and_read_back(bench: Callable[..., Any]) -> None:
    """7.5 closes the relay itself; the answer carries what was read back."""
    desk = bench()
    answer = desk.ask(ServiceRequest("7.6", {"switch": 1, "minutes": 20}), HOME)
    assert (answer.verdict, answer.code, answer.payload["on"]) == ("success", "I0", False)
    assert not desk.desk.look_at(HOME, Party.ELECTRICITY, lambda meter: meter.auxiliary(1, desk.live.now))
    answer = desk.ask(ServiceRequest("7.5", {"switch": 1, "minutes": 20}), HOME)
    assert answer.payload == {"switch": 1, "on": True, "minutes": 20}
    assert answer.latency_s > 0
    assert desk.desk.look_at(HOME, Party.ELECTRICITY, lambda meter: meter.auxiliary(1, desk.live.now))


def test_a_refusal_at_the_front_is_an_answer_and_not_an_error(bench: Callable[..., Any]) -> None:
    """Role, device and certificate are checked before anything is sent."""
    desk = bench()
    for wish, code in (
        (ServiceRequest("7.2", role="ED"), "E2"),
        (ServiceRequest("7.1", device="gas"), "E11"),
        (ServiceRequest("7.2", certificate="1/nobody"), "E4"),
    ):
        answer = desk.ask(wish, HOME)
        assert (answer.verdict, answer.code, answer.latency_s) == ("failed", code, 0.0)
    assert desk.live.cell(HOME).desk.exchanges == 0


def test_every_request_has_begun_and_ended_once(bench: Callable[..., Any]) -> None:
    """Those that stand in line behind each other, too; and one that nobody waits for any more."""
    desk = bench()
    tasks = [desk.begin(ServiceRequest(number), HOME) for number in ("7.4", "11.2", "6.13")]
    tasks[1].cancel("a test")
    for task in tasks:
        desk.drive(task)
    desk.live.advance(desk.live.now + 3_600_000_000)
    at = front(desk.desk)
    assert (at.begun, at.ended, len(at.open)) == (3, 3, 0)
    entries, _ = desk.desk.ring.after(0, 1_000, "request.")
    ended = [entry.detail for entry in entries if entry.kind == "request.ended"]
    assert sorted(each[0] for each in ended) == [1, 2, 3]
    assert {each[0]: each[2] for each in ended} == {1: "success", 2: "timeout", 3: "success"}


def test_a_lost_gas_meter_fails_and_says_where(bench: Callable[..., Any]) -> None:
    """The hub answers in its place; that is a failure, not a silence."""
    desk = bench()
    desk.ask(DropDevice(), HOME, Party.GAS)
    answer = desk.ask(ServiceRequest("7.4", device="gas"), HOME)
    assert (answer.verdict, answer.reason) == ("failed", "exception")


def test_a_home_put_back_is_forgotten_by_the_front(bench: Callable[..., Any]) -> None:
    """Certificates notified since are gone with everything else."""
    desk = bench()
    mpan = desk.live.estate.installation(HOME).mpan
    given = {"mpxn": mpan, "critical": "1/Z1", "non_critical": "2/Z1", "floor": 1}
    assert desk.ask(ServiceRequest("6.23", given), HOME).verdict == "success"
    assert desk.ask(ServiceRequest("7.4", certificate="2/Z1"), HOME).verdict == "success"
    desk.ask(ResetHome(), HOME)
    assert desk.ask(ServiceRequest("7.4", certificate="2/Z1"), HOME).code == "E4"


@pytest.mark.parametrize(
    ("service", "parameters", "told"),
    [
        ("7.5", {"switch": 6}, "switch"),
        ("7.5", {"minutes": 30}, "switch"),
        ("7.5", {"switch": 1, "hours": 1}, "hours"),
        ("2.2", {}, "no equivalent steps"),
    ],
)
def test_what_nobody_could_carry_out_is_the_askers_mistake(
    bench: Callable[..., Any], service: str, parameters: dict[str, Any], told: str
) -> None:
    """The error names the field; no request was begun."""
    desk = bench()
    with pytest.raises(WrongFieldError, match=told):
        desk.ask(ServiceRequest(service, parameters), HOME)
    assert front(desk.desk).begun == 0


def test_services_are_listed_with_what_their_bodies_take(bench: Callable[..., Any]) -> None:
    """Enough to ask for each of them, from the table itself."""
    told = {each.service: each for each in bench().ask(Services()).services}
    assert list(told) == list(SERVICES)
    timed = told["7.5"]
    assert (timed.devices, timed.critical, timed.roles, timed.on_paper) == (["electricity"], True, ["IS"], False)
    assert [(each.name, each.required) for each in timed.fields] == [("switch", True), ("minutes", False)]
    assert "from 1 to 5" in timed.fields[0].takes
    assert told["6.23"].on_paper
    assert told["7.4"].fields == []
