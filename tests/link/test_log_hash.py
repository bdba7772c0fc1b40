"""The delivery log's hash is the seed's: run after run, in another process, under another Python."""

import json
import os
import subprocess
import sys

import pytest

SNIPPET = """
import json, sys
from dataclasses import replace
from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.faults import texts
from emulator.fleet import core_link
from emulator.fleet.estate import open_estate
from emulator.kernel.time import HOUR, MINUTE
from emulator.link.profile import CutOver, PeerDeath

FAULTS = ("link-delay delay_ms=40 jitter_ms=30", "link-loss probability=0.02", "link-duplicate probability=0.02",
          "link-corrupt probability=0.01", "link-reorder probability=0.02")
found = []
for kind, settings in (
    ("ipsec", {"esp": "aes256gcm16-esn"}), ("ipsec", {"encap": True, "esp": "aes128-sha256"}),
    ("ipsec-standby", {"mtu": 160, "fragment": "after"}), ("mpls-l3vpn", {}),
):
    estate = open_estate("demo-street", int(sys.argv[1]))
    chosen = core_link.with_core(core_link.of_kind(estate.recipe.link, kind), settings)
    profile = core_link.profile_of(chosen, estate.start)
    if kind == "ipsec":
        profile = replace(profile, peer_deaths=(PeerDeath(estate.start + 9 * HOUR),),
                          cut_over=CutOver(estate.start + 16 * HOUR))
    options = HostOptions(link=kind, profile=profile, faults=tuple(texts.parse(each) for each in FAULTS))
    found.append(campaign.run(estate, options, workers=1).link_digest)
print(json.dumps(found))
"""


def told(seed: int, python: str = sys.executable, hash_seed: str = "random") -> list[str]:
    """The hashes of four eventful campaigns, in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [python, "-c", SNIPPET, str(seed)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_three_runs_in_processes_of_their_own_have_one_hash() -> None:
    """Suites, pieces, standby, deaths, a cut-over, and five impairments at once; another seed is another run."""
    first = told(3)
    assert len(set(first)) == 4
    assert told(3, hash_seed="1") == told(3, hash_seed="2") == first
    assert not set(first) & set(told(4))


@pytest.mark.parametrize("python", os.environ.get("SMETS1_PYTHONS", "").split(os.pathsep))
def test_another_python_has_the_same_hash(python: str) -> None:
    """Every interpreter that SMETS1_PYTHONS names, each with the emulator installed."""
    if not python:
        pytest.skip("SMETS1_PYTHONS names no other interpreter that has the emulator")
    assert told(3, python) == told(3)
