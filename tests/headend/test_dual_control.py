"""Who must agree before a supply is touched, for how long, and who holds a device while its keys change."""

import pytest

from emulator.codecs.action import MethodRef
from emulator.codecs.get import AttributeRef
from emulator.dlms.cosem import obis
from emulator.errors import UsageError
from emulator.headend import services
from emulator.headend.dual_control import Approvals, DualControl, service
from emulator.headend.lock import DeviceLock
from emulator.headend.policy import DualControlSettings
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND

E, G = Party.ELECTRICITY, Party.GAS


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        (services.KEY_TRANSFER, "keys"),
        (MethodRef(64, obis("0-0:43.0.0"), 1), "keys"),
        (services.SUPPLY_SCRIPTS, "supply"),
        (MethodRef(70, obis("0-0:96.3.10"), 1), "supply"),
        (AttributeRef(70, obis("0-0:96.3.10"), 4), "supply"),
        (AttributeRef(22, obis("0-0:15.0.1"), 4), "supply"),
        (AttributeRef(71, obis("0-0:17.0.0"), 4), "load-limit"),
        (services.AUXILIARY_SCRIPTS, "auxiliary"),
        (MethodRef(70, obis("0-2:96.3.10"), 2), "auxiliary"),
        (services.CLOCK, None),
        (services.PUSH_DESTINATION, None),
        (services.PUSH, None),
        (AttributeRef(64, obis("0-0:43.0.0"), 2), None),
        (MethodRef(15, obis("0-0:40.0.0"), 1), None),
    ],
)
def test_one_place_says_what_needs_two(reference: MethodRef | AttributeRef, wanted: str | None) -> None:
    """Supply, arming, load limits, auxiliary switches and keys; nothing else."""
    assert service(reference) == wanted


def test_the_dco_has_four_reasons() -> None:
    """Policy, rate and wrong device are its own; silence is what a fault makes of it."""
    settings = DualControlSettings(refused=frozenset({"supply"}), most=2, window_s=60)
    control = DualControl(settings, range(10))
    assert control.ask(10, E, "keys", 0).reason == "wrong-device"
    assert control.ask(0, E, "supply", 0).reason == "policy"
    assert [control.ask(0, E, "keys", at * SECOND).reason for at in (0, 30, 59, 60, 89, 90)] == [
        None,
        None,
        "rate",
        None,
        "rate",
        None,
    ]
    assert control.ask(0, G, "keys", 59 * SECOND).granted  # counted for each device


def test_what_needs_no_countersignature_is_not_asked_for() -> None:
    """A setting says which services do."""
    control = DualControl(DualControlSettings(services=frozenset({"keys"}), refused=frozenset({"supply"})), range(1))
    assert control.ask(0, E, "supply", 0).granted
    assert not control.needs("auxiliary")
    with pytest.raises(UsageError, match="no service suply; there are supply"):
        DualControl(DualControlSettings(refused=frozenset({"suply"})))


def test_an_approval_covers_its_device_service_and_time() -> None:
    """From the instant it was given until it runs out or is taken back."""
    approvals = Approvals()
    approvals.grant(3, E, "supply", 100 * SECOND, 60)
    assert [approvals.covers(3, E, "supply", at * SECOND) for at in (99, 100, 159, 160)] == [False, True, True, False]
    assert not approvals.covers(3, E, "keys", 120 * SECOND)
    assert not approvals.covers(3, G, "supply", 120 * SECOND)
    assert not approvals.covers(4, E, "supply", 120 * SECOND)
    approvals.revoke(3, E, "supply")
    assert not approvals.covers(3, E, "supply", 120 * SECOND)
    approvals.revoke(3, E, "supply")
    with pytest.raises(UsageError, match="no service 'heating'"):
        approvals.grant(3, E, "heating", 0, 60)


def test_what_our_own_dco_grants_is_approved_and_what_it_refuses_is_not() -> None:
    """A watch that is told by both sees one truth."""
    control = DualControl(DualControlSettings(refused=frozenset({"supply"})))
    control.approvals = Approvals()
    control.ask(0, E, "supply", 0)
    control.ask(0, E, "keys", 0)
    assert not control.approvals.covers(0, E, "supply", 1)
    assert control.approvals.covers(0, E, "keys", 1)


def test_a_device_is_held_by_one_and_not_for_ever() -> None:
    """A second one waits until the first lets go, or its time is over; others' devices are free."""
    lock, device = DeviceLock(), (0, E)
    assert lock.take(device, "ours", 0, 10)
    assert lock.take(device, "ours", 5, 10)  # its own, for longer
    assert not lock.take(device, "rival", 14, 10)
    assert lock.take((0, G), "rival", 14, 10)
    assert lock.holder(device, 14) == "ours"
    lock.release(device, "rival")
    assert lock.holder(device, 14) == "ours"
    assert lock.take(device, "rival", 15, 10)
    lock.release(device, "ours")
    assert lock.holder(device, 16) == "rival"
    lock.release(device, "rival")
    assert lock.holder(device, 16) is None
