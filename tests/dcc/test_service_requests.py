"""The front: who may ask what of which device, what stands on paper only, and one verdict for every request."""

from typing import Any

import pytest

from emulator.dcc.auxiliary_release import AuxiliarySettings
from emulator.dcc.s1sp import certificate_id
from emulator.dcc.service_requests import FrontSettings
from emulator.kernel.effects import Note
from emulator.kernel.machine import Party
from emulator.scenario.playground import Home, Playground

HOME = 6
NEW = {"critical": "71/Z2", "non_critical": "72/Z2"}


def played(**settings: Any) -> tuple[Playground, Home]:
    world = Playground("demo-street", seed=1, front=FrontSettings(**settings))
    return world, world.home(HOME)


@pytest.mark.parametrize(
    ("service", "asked", "code", "reason"),
    [
        ("7.2", {"role": "ED"}, "E2", "role"),
        ("7.5", {"role": "GS", "switch": 1}, "E2", "role"),
        ("7.1", {"device": "gas"}, "E11", "wrong-device"),
        ("7.4", {"device": "hub"}, "E11", "wrong-device"),
        ("7.2", {"certificate": "1/Z9"}, "E4", "certificate"),
    ],
)
def test_checks_stop_a_request_before_anything_is_sent(
    service: str, asked: dict[str, Any], code: str, reason: str
) -> None:
    """At once, without a frame, with the code of the check that failed."""
    world, home = played()
    answer = home.request(service, **asked)
    assert (answer.verdict, answer.code, answer.reason, answer.latency_s) == ("failed", code, reason, 0.0)
    assert world.cell(HOME).cell.desk.exchanges == 0


def test_a_device_that_is_not_there_is_unknown() -> None:
    """Home 1 has no gas meter."""
    world, _ = played()
    assert world.home(1).request("7.4", device="gas").code == "E19"


def test_an_uncommissioned_device_takes_nothing_but_what_commissions_it() -> None:
    """8.1.1 makes it commissioned, once it has proved to be the one and its clock is right."""
    _, home = played(status_as_found="Pending")
    refused = home.request("7.2")
    assert (refused.code, refused.reason) == ("E5", "status")
    commissioned = home.request("8.1.1")
    assert commissioned.success
    serial = home.installation.device(Party.ELECTRICITY).serial  # type: ignore[union-attr]
    assert serial in commissioned.payload["device"]
    assert home.request("7.2").success
    assert home.request("7.2", device="gas").code == "E5"


def test_a_suspended_device_takes_nothing() -> None:
    """Not even a commissioning."""
    world, home = played()
    world.front.book.entry(home.installation, Party.ELECTRICITY).status = "Suspended"
    assert [home.request(service).code for service in ("7.4", "8.1.1")] == ["E5", "E5"]


def test_certificates_change_hands_with_the_supplier() -> None:
    """After 6.23 the old supplier's certificate opens nothing; the meter point and the floor are checked."""
    _, home = played()
    old = certificate_id(home.installation.supplier, True)
    mpan = home.installation.mpan
    assert home.request("7.2", certificate=old).success
    assert home.request("6.23", mpxn="123", floor=5, **NEW).reason == "meter-point"
    assert home.request("6.23", mpxn=mpan, floor=5, **NEW).success
    assert home.request("7.1", certificate=old).code == "E4"
    assert home.request("7.1", certificate="71/Z2").success
    assert home.request("7.4", certificate="71/Z2").code == "E4"  # not the one for what is not critical
    assert home.request("6.15.1", owner="supplier", floor=4, **NEW).reason == "floor"
    assert home.request("6.23", device="gas", mpxn=home.installation.mprn, floor=1, **NEW).success


def test_credentials_of_the_network_operator_are_its_own() -> None:
    """6.15.1 changes the certificates of one party and leaves the other's."""
    _, home = played()
    theirs = certificate_id(home.installation.supplier, False)
    changed = home.request("6.15.1", owner="network-operator", **NEW)
    assert (changed.payload["owner"], changed.latency_s) == ("network-operator", 0.0)
    assert home.request("7.4", role="ED", certificate="72/Z2").success
    assert home.request("7.4", certificate=theirs).success


def test_a_device_is_notified_once() -> None:
    """12.2 for one that is known already is refused."""
    world, home = played()
    coming = {"eui64": "00A1B2C3D4E5F607", "kind": "PPMID", "manufacturer": "E", "model": "P", "firmware": "1"}
    assert home.request("12.2", **coming).payload["status"] == "Pending"
    assert home.request("12.2", **coming).reason == "known-already"
    here = home.installation.device(Party.GAS).eui64.hex()  # type: ignore[union-attr]
    assert home.request("12.2", **{**coming, "eui64": here}).reason == "known-already"
    assert list(world.front.book.prenotified) == ["00a1b2c3d4e5f607"]


@pytest.mark.parametrize(("hypothesis", "code"), [("H1", "N55"), ("H3", "E11")])
def test_a_core_release_without_auxiliary_load_refuses_it(hypothesis: Any, code: str) -> None:
    """By the S1SP or at the front, as the hypothesis has it; the meter is not touched, and supply goes on working."""
    _, home = played(auxiliary=AuxiliarySettings("1.0", hypothesis))
    for service, body in (("7.5", {"switch": 1}), ("7.7", {}), ("6.14.1", {"switch": 1, "description": "x"})):
        answer = home.request(service, **body)
        assert (answer.verdict, answer.code, answer.reason) == ("failed", code, "not-capable")
    assert home.request("7.2").success


def test_what_nobody_countersigned_stops_before_the_meter() -> None:
    """A silent DCO costs its waiting time, a refusing one none; the contact stays closed."""
    for fault, reason in (("dco-silent", "silent"), ("dco-refuses", "policy")):
        world, home = played()
        world.inject(fault, installation=HOME)
        answer = home.request("7.2")
        assert (answer.verdict, answer.code, answer.reason) == ("failed", "N55", f"dual-control-{reason}")
        assert home.electricity.physical.ledger.regimes[-1].flowing
        assert home.request("7.4").success


def test_silence_is_a_timeout_and_says_whose() -> None:
    """A hub that does not call is told from a meter that does not answer."""
    world, home = played()
    fault = world.inject("out-of-coverage", installation=HOME, seconds=3_600)
    answer = home.request("7.4")
    assert (answer.verdict, answer.code, answer.reason) == ("timeout", "E20", "hub-silent")
    fault.clear()
    world.inject("low-lqi", installation=HOME, device="electricity", lqi=1)
    answer = home.request("7.4")
    assert (answer.verdict, answer.code, answer.reason) == ("timeout", "E21", "no-answer")
    assert answer.latency_s > 30


def test_each_request_is_noted_once_and_ends_once() -> None:
    """Two notes under one number, whatever the verdict; none is left open; the same seed notes the same."""
    digests = set()
    asked = (("7.2", {}), ("7.3", {}), ("7.1", {"device": "gas"}), ("6.11", {}), ("7.5", {"switch": 5}))
    for _ in range(2):
        world, home = played()
        for service, body in asked:
            home.request(service, **body)  # type: ignore[arg-type]
        begun = [entry.detail[0] for entry in home.notes("request.begun")]
        ended = [entry.detail[0] for entry in home.notes("request.ended")]
        assert begun == ended == [1, 2, 3, 4, 5]
        assert (world.front.begun, world.front.ended, world.front.open) == (5, 5, {})
        digests.add(world.digest())
    assert len(digests) == 1


def test_a_request_without_a_verdict_is_found_by_the_standing_check() -> None:
    """One that somebody began and never ended, and one that ended twice."""
    world, home = played()
    assert home.request("7.4").success
    assert world.check("one-verdict-each") == []
    job = world.front.begin("7.4", HOME, {})
    assert ["0 verdicts" in each.what for each in world.check("one-verdict-each")] == [True]
    world.front.give_up(job, "a test")
    assert world.check("one-verdict-each") == []
    world.front.place.tell(HOME, Note("request.ended", (job.number, "7.4", "success", "I0", "")))
    assert ["2 verdicts" in each.what for each in world.check("one-verdict-each")] == [True]


def test_a_request_that_is_given_up_has_its_verdict_too() -> None:
    """And a late end does not change it."""
    world, _ = played()
    job = world.front.begin("7.4", HOME, {})
    given_up = world.front.give_up(job, "a test")
    assert (given_up.verdict, given_up.code) == ("timeout", "E30")
    assert world.front.end(job, {"supply": "Enabled"}, None) is given_up
