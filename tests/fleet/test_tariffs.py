"""Switching tables: what they answer, and how a bad one is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.common import tariff as meter_tariff
from emulator.codecs.axdr import Data, array, octet_string, structure, unsigned
from emulator.errors import InputError
from emulator.fleet import tariffs
from emulator.kernel.time import DAY, HOUR, MINUTE

MIDNIGHT = 18_323 * DAY


def test_economy_seven_is_seven_hours_and_economy_ten_is_ten() -> None:
    """What the tariffs promise is what their tables hold, in every variant."""
    hours = {
        "economy7": 7,
        "economy7-early": 7,
        "economy7-late": 7,
        "economy10": 10,
        "economy10-four": 10,
        "white-meter": 8.5,
    }
    for name, promised in hours.items():
        table = tariffs.tables()[name]
        live = sum(table.live(MIDNIGHT + minute * MINUTE) for minute in range(24 * 60))
        assert live == promised * 60, name


def test_next_switch_of_economy_seven() -> None:
    """At noon the circuit is dead and comes alive half an hour after midnight."""
    table = tariffs.tables()["economy7"]
    noon = MIDNIGHT + 12 * HOUR
    assert not table.live(noon)
    assert table.next_switch(noon) == MIDNIGHT + DAY + 30 * MINUTE


@given(st.sampled_from(sorted(tariffs.tables())), st.integers(0, 3 * DAY))
def test_next_switch_is_the_first_change(name: str, after: int) -> None:
    """Until the instant it names nothing changes; at it, everything does. A table that switches nothing names none."""
    table = tariffs.tables()[name]
    now = MIDNIGHT + after
    at = table.next_switch(now)
    if at is None:
        assert not table.switched
        return
    assert at > now
    assert table.live(at) != table.live(now)
    assert all(table.live(when) == table.live(now) for when in range(now, at, 7 * MINUTE))
    assert table.live(at - 1) == table.live(now)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('title="x"\nrates=2\nswitched=[2]\nday=[["00:30",1]]', "begin with 00:00"),
        ('title="x"\nrates=2\nswitched=[2]\nday=[["00:00",1],["00:00",2]]', "let the times rise"),
        ('title="x"\nrates=2\nswitched=[3]\nday=[["00:00",1]]', "rates from 1 to 2"),
        ('title="x"\nrates=2\nswitched=[]\nday=[["00:00",3]]', "a rate from 1 to 2"),
        ('title="x"\nrates=2\nswitched=[]\nday=[["24:00",1]]', "out of order"),
        ('title="x"\nrates=0\nswitched=[]\nday=[["00:00",1]]', "1 to 48"),
        ('title="x"\nrates=1\nday=[["00:00",1]]', "exactly the keys"),
        ("title=", "TOML"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, body: str, told: str) -> None:
    """One InputError that names file and table, and says what to do."""
    file = tmp_path / "tariffs.toml"
    file.write_text(f"[mine]\n{body}\n")
    with pytest.raises(InputError, match=told) as caught:
        tariffs.read(file)
    assert str(file) in str(caught.value)


def test_thirteen_switching_times_are_too_many(tmp_path: Path) -> None:
    """A meter holds twelve a day."""
    rows = ",".join(f'["{hour:02d}:00",1]' for hour in range(13))
    file = tmp_path / "tariffs.toml"
    file.write_text(f'[mine]\ntitle="x"\nrates=1\nswitched=[]\nday=[{rows}]\n')
    with pytest.raises(InputError, match="twelve"):
        tariffs.read(file)


def test_a_meter_tells_its_table_from_all_others() -> None:
    """The day profiles a meter is found with agree with the table of its home, and with no other."""
    for name, held in meter_tariff.tables().items():
        assert [other for other, table in tariffs.tables().items() if table.agrees(held.days)] == [name]


@pytest.mark.parametrize(
    "shape",
    [
        array(()),
        octet_string(b""),
        array((unsigned(1),)),
        array((structure((unsigned(1),)),)),
        array((structure((unsigned(1), array((structure((octet_string(b"\x00"), unsigned(0), unsigned(1))),)))),)),
    ],
)
def test_other_shapes_are_no_table(shape: Data) -> None:
    """Whatever a meter answers instead of day profiles does not agree, and does no harm."""
    assert not any(table.agrees(shape) for table in tariffs.tables().values())
