"""The picture of the six seconds: what it shows is what the link does, and it is the same every time."""

import re
from pathlib import Path
from xml.etree import ElementTree

from click.testing import CliRunner

from emulator.cli import group
from emulator.kernel.time import SECOND
from emulator.link.picture import AFTER, BEFORE, RUNS, STEP, outage, run, runs_of
from emulator.resources import fixture


def test_the_command_draws_the_picture_that_is_shown(tmp_path: Path) -> None:
    """To a file or to stdout, and the one in the README is up to date."""
    file = tmp_path / "six.svg"
    done = CliRunner().invoke(group, ["link", "picture", "--out", str(file)])
    assert done.exit_code == 0, done.exception
    assert file.read_text("utf-8") == CliRunner().invoke(group, ["link", "picture"]).stdout
    assert file.read_text("utf-8") == Path(str(fixture("pictures/six-seconds.svg"))).read_text("utf-8")
    refused = CliRunner().invoke(group, ["link", "picture", "--out", str(tmp_path / "no" / "six.svg")])
    assert "name a file that can be written" in str(refused.exception)


def test_its_figures_are_the_links() -> None:
    """A planned outage exactly six seconds; a death what is left of a second, five more, and a set-up of 80 ms; with a
    standby the noticing alone; and nothing at all where traffic is moved in time."""
    told = [[outage(run(kind, profile)[0], way) for way in (0, 1)] for _, kind, profile in RUNS]
    assert [[round(each, 2) for each in pair] for pair in told] == [
        [6.0, 6.0], [5.78, 5.78], [5.70, 5.72], [0.69, 0.71], [0.0, 0.0], [0.0, 0.0],
    ]  # fmt: skip


def test_it_is_drawn_as_it_happened() -> None:
    """Well formed; every bar is a run of packets, every mark an instant of the link's own."""
    svg = ElementTree.fromstring(CliRunner().invoke(group, ["link", "picture"]).stdout)
    space = "{http://www.w3.org/2000/svg}"
    bars = [each for each in svg.iter(f"{space}rect") if each.get("height") == "13"]
    wanted = 0
    for _, kind, profile in RUNS:
        arrived, happened = run(kind, profile)
        for way in (0, 1):
            found = runs_of(arrived, way)
            wanted += len(found)
            assert sum(last - first for first, last, _ in found) == sum(one[1] == way for one in arrived)
            assert all(0 <= first < last <= (BEFORE + AFTER) * SECOND // STEP for first, last, _ in found)
            assert {path for *_, path in found} <= {"ipsec", "mpls"}
        assert any("dies" in what for _, what in happened) is bool(profile.peer_deaths)
    assert len(bars) == wanted
    texts = [each.text or "" for each in svg.iter(f"{space}text")]
    assert [text for text in texts if re.fullmatch(r"\d\.\d\d s", text)] == [
        "6.00 s", "5.78 s", "5.72 s", "0.71 s", "0.00 s", "0.00 s",
    ]  # fmt: skip
