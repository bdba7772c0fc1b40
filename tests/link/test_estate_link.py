"""What an estate says of its link holds in what runs on it: suites, ESP in UDP, sizes, NAT, kinds, fidelities."""

from pathlib import Path
from typing import Any

import pytest

from emulator.codecs.ipv4 import IPV4_FRAME
from emulator.dcc import campaign
from emulator.dcc.host import HostOptions
from emulator.errors import InputError
from emulator.fleet import core_link
from emulator.fleet.estate import Estate, open_estate
from emulator.kernel.time import HOUR, MINUTE, SECOND
from emulator.link.chain import Chain
from emulator.link.kinds import KINDS
from emulator.link.profile import CutOver, LinkProfile, PeerDeath
from emulator.resources import fixture
from emulator.scenario import emit, run_scenario
from emulator.scenario.report import Report
from emulator.shell.live import LiveEstate

HOMES = 6
QUIET = {"outages_per_day": 0.0}
REBINDS = {"fault": "link-nat", "rebind_s": 60}


def migrated(core: dict[str, Any], *faults: dict[str, Any]) -> Report:
    """Six homes migrated over an IPsec link of these settings."""
    return run_scenario(
        {
            "name": "link-settings",
            "estate": {"source": "thousand", "installations": HOMES, "conditions": False},
            "link": {"kind": "ipsec", "core": {**QUIET, **core}},
            "campaigns": [{"kind": "migrate"}],
            "faults": list(faults),
            "checks": [],
        }
    )


@pytest.mark.parametrize("keying", ["ike", "static"])
@pytest.mark.parametrize(
    "esp", ["aes128gcm8-noesn", "aes256gcm16-esn", "chacha20poly1305", "aes128-sha256-esn", "aes256-sha512"]
)
@pytest.mark.parametrize("encap", [False, True], ids=["bare", "udp"])
def test_every_suite_carries_a_campaign(keying: str, esp: str, encap: bool) -> None:
    """Both keyings, with and without extended sequence numbers, bare and in UDP: nothing is refused, and the tunnel is
    what was asked for."""
    settings = {"keying": keying, "esp": esp, "encap": encap}
    report = migrated(settings)
    assert report.verdicts["migrated"] == HOMES
    assert not [kind for kind in report.facts.trouble.counts if kind.startswith("link.")]
    chain = Chain("ipsec", 0, 1, LinkProfile(**settings))  # type: ignore[arg-type]
    spec = chain.course.carriers[0].spec(0)
    assert spec is not None
    assert (spec.suite, spec.esn) == (esp.removesuffix("-esn").removesuffix("-noesn"), esp.endswith("-esn"))
    ((_, packet),) = chain.offer_down(3, 4059, 4059, b"", 0, 0)
    assert IPV4_FRAME.parse(packet).protocol == (17 if encap else 50)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("more", [{}, {"encap": True, "esp": "aes128-sha256-esn"}, {"fidelity": "pipe"}])
def test_what_does_not_fit_is_lost_or_comes_in_pieces(how: str, more: dict[str, Any]) -> None:
    """On a path of 160 bytes no key change fits: without pieces every home fails, with them none."""
    small = {"mtu": 160, **more}
    lost = migrated(small)
    assert lost.verdicts["failed"] == HOMES
    assert lost.facts.trouble.counts["link.lost.too-big"] > HOMES
    assert migrated({**small, "fragment": how}).verdicts["migrated"] == HOMES


@pytest.mark.parametrize("keying", ["ike", "static"])
def test_a_nat_that_rebinds_is_followed_in_udp(keying: str) -> None:
    """Every minute another port: the data centre's gateway follows what is authentic. Bare ESP has no ports and dies at
    the NAT; a gateway that holds on to the address it was given refuses what comes."""
    followed = migrated({"keying": keying, "encap": True}, REBINDS)
    assert followed.verdicts["migrated"] == HOMES
    assert followed.fired["link-nat"] > 100
    assert "link.refused" not in followed.facts.trouble.counts
    bare = migrated({"keying": keying}, REBINDS)
    assert bare.verdicts["failed"] == HOMES
    assert bare.facts.trouble.counts["link.lost.impairment"] > HOMES
    stubborn = migrated({"keying": keying, "encap": True, "follow": False}, REBINDS)
    assert stubborn.verdicts["failed"] == HOMES
    assert stubborn.facts.trouble.counts["link.refused"] > HOMES


def thirty(folder: Path, link: str = "") -> Estate:
    """Thirty homes in three cells; `link` stands in the recipe's [link], its last table."""
    text = Path(str(fixture("estates/thousand.toml"))).read_text("utf-8")
    text = text.replace("cell = 250", "cell = 10")
    if link:
        text = text[: text.index("[link]")] + f"[link]\n{link}\n"
    file = folder / "thirty.toml"
    file.write_text(text, "utf-8")
    return open_estate(str(file), 11, 30)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_one_digest_on_any_number_of_workers(kind: str, tmp_path: Path) -> None:
    """One worker, two or four, whichever way packets go."""
    estate = thirty(tmp_path)
    chosen = core_link.of_kind(estate.recipe.link, kind)
    options = HostOptions(link=kind, profile=core_link.profile_of(chosen, estate.start))
    alone, *others = (campaign.run(estate, options, workers=workers) for workers in (1, 2, 4))
    assert alone.objections == []
    assert {(one.digest, one.link_digest) for one in others} == {(alone.digest, alone.link_digest)}


def test_fidelities_end_alike(tmp_path: Path) -> None:
    """Through headers and keys, through the host's sockets, or through neither: every home has the same verdict after
    the same attempts; and what was outside came back, to the digest."""
    estate = thirty(tmp_path)
    ends = {}
    for fidelity in ("wire", "interop", "pipe"):
        chosen = core_link.with_core(estate.recipe.link, {"fidelity": fidelity})
        options = HostOptions(profile=core_link.profile_of(chosen, estate.start))
        ends[fidelity] = campaign.run(estate, options, workers=2)
    assert (ends["wire"].columns == ends["pipe"].columns).all()
    assert ends["wire"].counts == ends["pipe"].counts
    assert ends["wire"].digest == ends["interop"].digest
    assert ends["wire"].link_digest == ends["interop"].link_digest != ends["pipe"].link_digest


RECIPE = """kind = "ipsec"
core = { esp = "aes256gcm16-esn", mtu = 1400, ike = { dpd_delay = 500_000 } }
air = { loss = 0.0 }
cut_over = { day = 91, at = 02:00:00 }

[[link.peer_deaths]]
day = 1
at = 06:00:00.250
restart_s = 3.5
"""


def test_a_recipe_says_all_of_its_link_and_reads_back(tmp_path: Path) -> None:
    """Days become instants, names settings; written down it says the same; another kind drops what is not its own."""
    estate = thirty(tmp_path, RECIPE)
    link = estate.recipe.link
    profile = core_link.profile_of(link, estate.start)
    assert (profile.esp, profile.mtu, profile.ike.dpd_delay) == ("aes256gcm16-esn", 1400, SECOND // 2)
    day = 24 * HOUR
    assert profile.cut_over == CutOver(estate.start + 91 * day + 2 * HOUR)
    dies = estate.start + day + 6 * HOUR + SECOND // 4
    assert profile.peer_deaths == (PeerDeath(dies, restart_us=7 * SECOND // 2),)
    assert core_link.air_of(link).loss == 0.0
    file = tmp_path / "again.toml"
    file.write_text(emit.table_text(emit.plain(estate.recipe)), "utf-8")
    assert open_estate(str(file), 11).recipe == estate.recipe
    other = core_link.profile_of(core_link.of_kind(link, "plain"), estate.start)
    assert (other.cut_over, other.peer_deaths) == (None, ())
    at_once = core_link.untroubled(profile)
    assert (at_once.propagation_us, at_once.peer_deaths, at_once.cut_over) == (0, (), profile.cut_over)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("core = { esp = 'rot13' }", "link.core: no algorithm 'rot13'"),
        ("core = { mtu = 90 }", "link.core: mtu: 90 bytes"),
        ("core = { mtu = 128, fragment = 'before', esp = 'aes128-sha256' }", "leaves pieces of 62 bytes"),
        ("core = { fidelity = 'string' }", "link.core.fidelity"),
        ("core = { outages = [] }", "link.core.outages: not here"),
        ("core = { mtuu = 90 }", "did you mean 'mtu'"),
        ("air = { los = 0.1 }", "link.air.los"),
        ("kind = 'mpls'\npeer_deaths = [{ at = 06:00:00 }]", "link.peer_deaths: a link of kind mpls"),
        ("kind = 'plain'\ncut_over = { at = 06:00:00 }", "link.cut_over: from plain to mpls"),
        ("cut_over = { at = 06:00:00, blak_s = 1 }", "did you mean 'black_s'"),
    ],
)
def test_a_link_that_cannot_be_is_refused_with_its_key(said: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told.replace("[", r"\[")):
        thirty(tmp_path, said)


def test_a_death_is_survived_by_a_campaign_over_every_suite(tmp_path: Path) -> None:
    """The recipe's own: the tunnel after it has other keys, of the same suite."""
    estate = thirty(tmp_path, RECIPE)
    profile = core_link.profile_of(estate.recipe.link, estate.start)
    chain = Chain("ipsec", 0, 1, profile)
    dies = profile.peer_deaths[0].at
    before, after = (chain.status(at)["paths"][0]["spis"] for at in (dies - MINUTE, dies + MINUTE))
    spec = chain.course.carriers[0].spec(0)
    assert spec is not None
    assert (spec.suite, spec.esn) == ("aes256gcm16", True)
    assert not set(before) & set(after)


def test_a_served_estate_keeps_its_recipes_appointments(tmp_path: Path) -> None:
    """A death and a cut-over of the recipe, a death by hand ordered for later: cells made before and after know of all,
    and tunnels from outside are told when each is due, once."""
    said = """kind = "ipsec"
peer_deaths = [{ at = 01:00:00, restart_s = 3 }, { at = 01:30:00, end = "data-centre" }]
cut_over = { at = 03:00:00 }
"""
    estate = thirty(tmp_path, said)
    live = LiveEstate(estate, timing="modelled")
    told: list[tuple[int, object]] = []
    early = live.cell(0)
    live.link.kill_gateway(5, after_s=2 * 3600, end="data-centre")
    live.link.on_cut_over.append(lambda kind: told.append((live.now, kind)))
    live.link.on_death.append(lambda seconds: told.append((live.now, seconds)))
    late = live.cell(29)
    assert early is not late
    for minute in range(0, 4 * 60, 30):
        live.advance(estate.start + minute * MINUTE)
    at = {hours: estate.start + hours * HOUR for hours in (1, 3)}
    assert told == [(at[1], 3.0), (at[3], "mpls")], "only the operator's end is that of tunnels from outside"
    assert live.link.kind == "mpls"
    for cell in (early, late):
        status = cell.chain.status(live.now)
        assert (status["down"], status["up"]) == ("mpls", "mpls")
        dies = [one["at"] - estate.start for one in status["told"] if "dies" in one["what"]]
        assert dies == [HOUR, 3 * HOUR // 2, 2 * HOUR]
    after = live.cell(15)
    assert after.chain.kind.name == "mpls"
    at_once = LiveEstate(estate)
    assert at_once.cell(0).chain.profile.peer_deaths == ()
    at_once.advance(estate.start + 4 * HOUR)
    assert at_once.link.kind == "mpls"
