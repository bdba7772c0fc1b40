"""A maker's habits are data: another profile is another behaviour, and no code changes."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from devices.catalogue import KINDS
from devices.common import profile as profiles
from devices.common.model import DeviceModel
from emulator.codecs.axdr import array, date_time, enum, integer, long_unsigned, octet_string, structure
from emulator.commands import PowerCut, PressBoost
from emulator.dlms import moment
from emulator.dlms.client import Answer, Refused
from emulator.kernel.machine import Party
from emulator.kernel.time import HOUR, MINUTE, SECOND

E = Party.ELECTRICITY


def rebuilt(home: Any, party: Party, **sections: dict[str, Any]) -> None:
    """Put a device of the same model with other habits into the home."""
    own = home.machines[party].model.profile
    changed = {name: msgspec.structs.replace(getattr(own, name), **fields) for name, fields in sections.items()}
    model = DeviceModel(msgspec.structs.replace(own, **changed), KINDS[party])
    spec = home.installation.device(party)
    home.machines[party] = model.create(
        home.installation, spec, store=home.store, contexts={1: int(party)}, seed=home.seed
    )


@pytest.fixture
def home(bench: Callable[..., Any]) -> Any:
    made = bench(tariff="economy7", switches=1)
    made.rouse()
    return made


def opened(home: Any, party: Party = E) -> Any:
    talk = home.talk(party)
    assert isinstance(talk.open(), Answer)
    return talk


def test_an_inverted_output_is_open_when_the_switch_is_on(home: Any) -> None:
    """Polarity changes the output and not the state: the misery of a home wired the other way round."""
    rebuilt(home, E, auxiliary={"inverted": True})
    talk = opened(home)
    home.command(E, PressBoost(1, 30))
    assert (talk.read(70, "0-1:96.3.10", 2), talk.read(70, "0-1:96.3.10", 3)) == (False, 1)


@pytest.mark.parametrize(("habit", "held"), [("keep", True), ("calendar", False)])
def test_a_hold_survives_a_power_cut_or_not(home: Any, habit: str, held: bool) -> None:
    """After the mains are back the boost goes on, or the calendar has it, as the profile says."""
    rebuilt(home, E, auxiliary={"after_power_up": habit})
    home.command(E, PressBoost(1, 120))
    home.command(E, PowerCut(60))
    home.run(2 * MINUTE)
    assert home.electricity.auxiliary(1, home.now) is held


def test_a_supply_may_come_back_only_armed(home: Any) -> None:
    """A meter whose supply waits for the button after a power cut draws nothing until then."""
    rebuilt(home, E, supply={"after_power_up": "ready"})
    home.command(E, PowerCut(60))
    home.run(2 * MINUTE)
    home.rouse()
    assert opened(home).read(70, "0-0:96.3.10", 3) == 2
    assert home.electricity.power(home.now) == 0


def test_script_numbers_are_the_profiles(home: Any) -> None:
    """With other numbers the old ones do not exist any more."""
    rebuilt(home, E, supply={"enable": 1, "disable": 2, "arm": 3}, auxiliary={"activate": 0x0500, "step": 1})
    talk = opened(home)
    assert isinstance(talk.act(9, "0-0:10.0.106", 1, long_unsigned(0x34)), Refused)
    assert isinstance(talk.act(9, "0-0:10.0.106", 1, long_unsigned(2)), Answer)
    assert talk.read(70, "0-0:96.3.10", 3) == 0
    assert isinstance(talk.act(9, "0-0:10.0.103", 1, long_unsigned(0x0501)), Answer)
    assert talk.read(70, "0-1:96.3.10", 2) is True


def test_a_clock_may_refuse_to_be_moved_far(home: Any) -> None:
    """With a limit of ten seconds a small correction is taken and an hour is refused."""
    rebuilt(home, E, clock={"adjust_limit_s": 10})
    talk = opened(home)
    assert talk.write(8, "0-0:1.0.0", 2, date_time(moment.encode(home.now + 5 * SECOND))) == Answer(None)
    assert isinstance(talk.write(8, "0-0:1.0.0", 2, date_time(moment.encode(home.now + HOUR))), Refused)


@pytest.mark.parametrize(
    ("reaction", "expected"), [("exception", "invocation-counter"), ("plain-exception", "exception"), ("silence", None)]
)
def test_reactions_to_a_replayed_frame_are_the_profiles(home: Any, reaction: str, expected: str | None) -> None:
    """The same frame sent twice: the counter named, a plain exception, or nothing at all."""
    rebuilt(home, E, security={"bad_counter": reaction})
    talk = opened(home)
    from emulator.headend.services import FIRMWARE

    apdu = talk.client.get(FIRMWARE)
    assert home.ask(1, 2, apdu) is not None
    again = home.ask(1, 2, apdu, patience=MINUTE)
    if expected is None:
        assert again is None
    else:
        assert talk.client.receive(again).reason == expected


@pytest.mark.parametrize("reset", [False, True])
def test_counters_after_a_key_change_are_the_profiles(home: Any, reset: bool) -> None:
    """A new encryption key leaves the lowest acceptable counter where it was, or starts it anew."""
    rebuilt(home, E, security={"counter_reset": reset})
    talk = opened(home)
    before = home.store.counters(int(E))[1]
    wrapped = home.store.wrap(int(E) + 10, b"\x31" * 16)
    keys = array((structure((enum(0), octet_string(wrapped))),))
    assert isinstance(talk.act(64, "0-0:43.0.0", 2, keys), Answer)
    after = home.store.counters(int(E))[1]
    assert after == 0 if reset else after > before


def test_a_master_key_that_cannot_be_changed_over_the_air_is_not(home: Any) -> None:
    """The transfer is refused whole: not even the other key in it is installed."""
    rebuilt(home, E, security={"master_key_changes": False})
    talk = opened(home)
    pair = [structure((enum(n), octet_string(home.store.wrap(int(E) + 10, bytes((n,)) * 16)))) for n in (0, 3)]
    assert isinstance(talk.act(64, "0-0:43.0.0", 2, array(pair)), Refused)
    assert talk.read(1, "1-0:0.2.0") == b"03.24"


def test_a_gas_meter_of_another_rhythm_is_mirrored_at_its_own_polls(bench: Callable[..., Any]) -> None:
    """The hub learns the rhythm from the model that is announced under the meter's name."""
    home = bench()
    own = home.gas.model.profile
    quick = msgspec.structs.replace(own, gas=msgspec.structs.replace(own.gas, poll_s=60))
    profiles.announce(quick)
    try:
        home.restart(Party.HUB)
        assert home.now - home.hub.mirror.heard_at(home.now) <= MINUTE
    finally:
        profiles.announce(own)


def test_low_level_security_is_a_profile_away(home: Any) -> None:
    """A meter that asks for a password instead of keys takes the right one and refuses another."""
    from emulator.dlms.client import Client, Profile

    rebuilt(home, E, security={"mechanism": "low", "policy": 0})
    for password, welcome in ((home.electricity.password, True), (b"12345678", False)):
        talk = home.talk(E)
        talk.client = Client(profile=Profile(1, 1, password))
        assert isinstance(talk.open(), Answer) is welcome
    talk = home.talk(E)
    talk.client = Client(profile=Profile(1, 1, home.electricity.password))
    talk.open()
    assert isinstance(talk.act(70, "0-0:96.3.10", 1, integer(0)), Answer)
