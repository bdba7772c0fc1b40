"""A run under faults is the same run, whoever carries it out; and a fault that never strikes changes nothing."""

from pathlib import Path

import pytest

from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.faults import texts
from emulator.fleet.estate import Estate, open_estate

FAULTS = tuple(
    texts.parse(line)
    for line in (
        "gprs-loss chance=0.02",
        "gprs-split chance=0.05",
        "gprs-coalesce chance=0.02 transport=datagram",
        "gprs-corrupt chance=0.01 bits=3",
        "half-open chance=0.01",
        "sms-lost chance=0.1",
        "second-sms-needed share=0.3",
        "new-address-after-wake share=0.5",
        "hub-reboot chance=0.002",
        "han-lost share=0.1",
        "forced-wrong-key share=0.1",
        "link-outage installation=13 after_s=28800 seconds=36000",
    )
)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """Forty of the thousand in five cells of eight."""
    from emulator.resources import fixture

    text = Path(str(fixture("estates/thousand.toml"))).read_text("utf-8")
    file = tmp_path_factory.mktemp("estate") / "forty.toml"
    file.write_text(text.replace("cell = 250", "cell = 8"), "utf-8")
    return open_estate(str(file), 11, 40)


def test_the_number_of_workers_changes_nothing_under_faults(estate: Estate) -> None:
    """Same digest, same deliveries, same strikes; and every fault struck."""
    alone = campaign.run(estate, HostOptions(faults=FAULTS), workers=1)
    shared = campaign.run(estate, HostOptions(faults=FAULTS), workers=3)
    assert shared.digest == alone.digest
    assert shared.link_digest == alone.link_digest
    assert shared.fired == alone.fired
    assert set(alone.fired) == set(range(1, len(FAULTS) + 1))
    assert all(alone.fired.values()), alone.fired
    assert alone.exchanges == alone.logged_exchanges


def test_faults_that_never_strike_leave_the_digest_alone(estate: Estate) -> None:
    """Wrapped wires, watched radios and hubs that ask: none of it shows."""
    never = tuple(texts.parse(f"{fault.name} after_s=30000000") for fault in FAULTS)
    clean = campaign.run(estate, HostOptions(), workers=1)
    watched = campaign.run(estate, HostOptions(faults=never), workers=1)
    assert watched.digest == clean.digest
    assert watched.link_digest == clean.link_digest
    assert not any(watched.fired.values())
    assert clean.fired == {}
