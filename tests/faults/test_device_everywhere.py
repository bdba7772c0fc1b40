"""Every fault of devices on every kind of keyed device, over the whole way: nothing breaks but what was to break."""

from typing import Any

import pytest

from emulator.codecs.axdr import octet_string
from emulator.commands import PowerCut
from emulator.dlms import moment
from emulator.faults.device import FAULTS
from emulator.headend.session import NoAnswerError, RefusedError
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.link.air import AirProfile
from emulator.scenario.playground import Playground

CALM = AirProfile(loss=0.0, sms_loss=0.0)
DEVICES = [
    pytest.param(Party.HUB, id="hub", marks=pytest.mark.slow),
    pytest.param(Party.ELECTRICITY, id="electricity"),
    pytest.param(Party.GAS, id="gas", marks=pytest.mark.slow),
]
OURS = ("dlms.fault", "dlms.not-settled", "headend.bad-frame")
"""Notes of faults that are the emulator's own."""

RARE = {"counter-replay", "counter-gap", "counter-not-reset", "counter-mismatch-reaction"}
"""Those whose occasion a sound head end may never give a sound model: replays, gaps, resets, what does not open."""


def story(kind: Any, party: Party, seed: int = 1) -> tuple[Playground, Any]:
    """Two changes of keys with a power cut between them, reads before and after, and a clock set."""
    world = Playground("demo-street", seed=seed, link="plain", air=CALM)
    settings = {**kind.example, "installation": 0, "device": party.name.lower()}
    if kind.name == "policy-raised":
        settings["with_keys"] = True
    armed = world.inject(kind.name, may_stay_quiet=True, **settings)
    device = world.home(0).device(party)

    def attempt(errand: Any) -> None:
        try:
            errand()
        except (NoAnswerError, RefusedError):
            pass

    attempt(lambda: device.read("clock"))
    attempt(device.rotate_keys)
    device.press(PowerCut(30))
    world.run_for(seconds=31)
    attempt(lambda: device.write("clock", device_clock(world), 2))
    attempt(device.rotate_keys)
    attempt(device.rotate_keys)
    attempt(lambda: device.read("clock"))
    return world, armed


def device_clock(world: Playground) -> Any:
    return octet_string(moment.encode(world.instant + 20 * SECOND))


@pytest.mark.parametrize("party", DEVICES)
@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_a_fault_breaks_nothing_of_ours(kind: Any, party: Party) -> None:
    """No refusal that means a mistake of the emulator; struck where it can be; the same story twice; only the device
    that was named."""
    world, armed = story(kind, party)
    for note in OURS:
        assert not world.notes(note), world.notes(note)[0].detail
    fired = world.notes("fault.fired")
    assert {entry.party for entry in fired} <= {party}
    assert len(fired) == armed.fired
    assert armed.fired or kind.name in RARE
    again, _ = story(kind, party)
    assert again.digest() == world.digest()
