"""The same run, whoever carries it out."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.fleet.estate import Estate, open_estate

HOMES = 90


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """The thousand, as ninety homes in nine cells of ten."""
    from emulator.resources import fixture

    text = Path(str(fixture("estates/thousand.toml"))).read_text("utf-8")
    file = tmp_path_factory.mktemp("estate") / "ninety.toml"
    file.write_text(text.replace("cell = 250", "cell = 10"), "utf-8")
    return open_estate(str(file), 11, HOMES)


@pytest.fixture(scope="module")
def alone(estate: Estate) -> campaign.Result:
    return campaign.run(estate, HostOptions(), workers=1)


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_changes_nothing(estate: Estate, alone: campaign.Result, workers: int) -> None:
    """One worker, two or four: same digest, same ledger, same deliveries."""
    shared = campaign.run(estate, HostOptions(), workers=workers)
    assert estate.cells == 9
    assert shared.digest == alone.digest
    assert shared.link_digest == alone.link_digest
    assert (shared.columns == alone.columns).all()
    assert shared.counts == alone.counts


def test_a_run_ends_well_and_its_witnesses_agree(alone: campaign.Result) -> None:
    """Every home has one verdict, the audit confirms every migration, and the link counted the same exchanges."""
    assert alone.objections == []
    sums = alone.totals
    assert sums.installations == HOMES
    assert sums.migrated + sums.failed + sums.unrecoverable == HOMES
    assert sums.migrated > HOMES * 0.7
    assert alone.exchanges == alone.logged_exchanges > 20 * sums.migrated


def test_every_seed_is_another_run(estate: Estate, alone: campaign.Result) -> None:
    """Another seed gives another digest; the same seed again gives the same."""
    other = campaign.run(open_estate("demo-street", 5), HostOptions(), workers=1)
    again = campaign.run(open_estate("demo-street", 5), HostOptions(), workers=1)
    third = campaign.run(open_estate("demo-street", 6), HostOptions(), workers=1)
    assert other.digest == again.digest
    assert len({alone.digest, other.digest, third.digest}) == 3


@pytest.mark.parametrize("link", ["plain", "mpls"])
def test_the_link_changes_bytes_and_not_outcomes(link: str) -> None:
    """Another kind of link carries other bytes; without outages the homes fare alike."""
    over_ipsec = campaign.run(open_estate("demo-street"), HostOptions(), workers=1)
    over_other = campaign.run(open_estate("demo-street"), HostOptions(link=link), workers=1)
    assert over_ipsec.link_digest != over_other.link_digest
    assert over_ipsec.totals.by_cause == over_other.totals.by_cause
    assert over_other.objections == []


SNIPPET = """
import json
from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.fleet.estate import open_estate
result = campaign.run(open_estate("demo-street", 3), HostOptions(), workers=1)
print(json.dumps([result.digest, result.objections]))
"""


def run_elsewhere(python: str, **environment: str) -> list[object]:
    import os

    every = {**os.environ, **environment}
    done = subprocess.run([python, "-c", SNIPPET], env=every, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_the_fallback_and_the_definitions_give_the_same_run() -> None:
    """Without the compiled core, on `cryptography`, and on the Construct definitions alone: same digest."""
    here = run_elsewhere(sys.executable)
    assert here[1] == []
    without = {"SMETS1_BACKEND": "cryptography", "SMETS1_REQUIRE_NATIVE": ""}
    assert run_elsewhere(sys.executable, **without) == here
    assert run_elsewhere(sys.executable, SMETS1_RUNG="construct") == here


def test_hash_randomisation_plays_no_part() -> None:
    """Python's own hash seed does not leak into a run."""
    assert run_elsewhere(sys.executable, PYTHONHASHSEED="1") == run_elsewhere(sys.executable, PYTHONHASHSEED="2")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_gives_the_same_run(version: str, tmp_path: Path) -> None:
    """3.11, 3.12 and 3.13, each in an environment of its own."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode:
        pytest.skip(f"python{version} is not here")
    subprocess.run([python, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin_folder = tmp_path / "venv" / "bin"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([str(bin_folder / "pip"), "install", "-q", str(root)], check=True, timeout=600)
    assert run_elsewhere(str(bin_folder / "python")) == run_elsewhere(sys.executable)
