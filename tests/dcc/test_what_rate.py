"""Rates of lost meters come of settings and of nothing else; and the search that turns the question round."""

import json
from dataclasses import replace

import msgspec
import pytest

from emulator.cli import main
from emulator.dcc import rekeying
from emulator.dcc.rates import coverage, wilson
from emulator.dcc.rekeying import RekeyingOptions, Rekeyings
from emulator.dcc.what_rate import Answer, Bench, Setting, cohort, refitted, what_rate
from emulator.errors import InputError
from emulator.fleet import recipe_reading, registry
from emulator.fleet.estate import drawn, locate
from emulator.headend.policy import CustodySettings, RotationPolicy
from emulator.kernel.machine import Party
from emulator.link.air import AirProfile

MODEL = "itron_e"
IMPATIENT = CustodySettings(rotation=RotationPolicy(retry="impatient"))
LOSSY = RekeyingOptions(model=MODEL, custody=IMPATIENT, air=AirProfile(loss=0.05))
HOMES = 80


@pytest.fixture(scope="module")
def runs() -> Rekeyings:
    return Rekeyings(cohort("thousand", "itron", 3, HOMES))


def test_without_loss_nothing_is_lost(runs: Rekeyings) -> None:
    run = runs.run(replace(LOSSY, link="plain", air=AirProfile(loss=0.0, sms_loss=0.0)))
    assert (run.homes, run.changed, run.lost, run.failed) == (HOMES, HOMES, 0, 0)
    assert not run.troubled
    assert run.rate().high == wilson(0, HOMES).high


def test_impatience_within_the_window_loses_meters_and_patience_does_not(runs: Rekeyings) -> None:
    lost = runs.run(LOSSY)
    assert lost.lost > 0
    assert lost.homes == lost.changed + lost.lost + lost.failed == HOMES
    assert sum(lost.causes.values()) == lost.lost + lost.failed
    assert runs.run(replace(LOSSY, custody=CustodySettings())).lost == 0
    assert runs.run(replace(LOSSY, write_ms=0)).lost == 0  # nothing can come in between
    assert runs.run(replace(LOSSY, custody=_waiting(60))).lost == 0  # nor after the window


def _waiting(seconds: float) -> CustodySettings:
    return CustodySettings(rotation=RotationPolicy(retry="impatient", retry_after_s=seconds))


def test_some_are_lost_without_the_head_ends_knowledge() -> None:
    with Rekeyings(cohort("thousand", "itron", 5, 200)) as runs:
        run = runs.run(LOSSY)
    assert 0 < run.unnoticed < run.lost
    assert run.causes["unnoticed"] == run.unnoticed


def test_only_the_troubled_need_be_run_again(runs: Rekeyings) -> None:
    """What the search leans on: homes to which nothing happened go the same way under whatever is no worse."""
    worst = runs.run(LOSSY)
    assert 0 < len(worst.troubled) <= HOMES
    for milder in (
        replace(LOSSY, air=AirProfile(loss=0.01)),
        replace(LOSSY, write_ms=18_000),
        replace(LOSSY, custody=CustodySettings(), air=AirProfile(loss=0.02)),
    ):
        whole, part = runs.run(milder), runs.run(replace(milder, only=worst.troubled))
        assert (part.homes, part.changed, part.lost, part.failed) == (
            whole.homes,
            whole.changed,
            whole.lost,
            whole.failed,
        )
        assert part.troubled == whole.troubled
        assert part.causes == whole.causes


def test_one_run_is_as_another(runs: Rekeyings) -> None:
    assert runs.run(LOSSY) == runs.run(LOSSY)


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    recipe = refitted(recipe_reading.read(locate("thousand")), MODEL)
    estate = drawn(msgspec.structs.replace(recipe, cell=40), 3, HOMES)
    with Rekeyings(estate) as one, Rekeyings(estate, workers=2) as two:
        assert one.run(LOSSY) == two.run(LOSSY)


def test_every_home_of_the_cohort_has_the_makers_meter_and_no_trouble_of_its_own() -> None:
    estate = cohort("mds-cohort", "itron", None, 50)
    for number in range(50):
        home = estate.installation(number)
        meter = home.device(Party.ELECTRICITY)
        assert meter is not None
        assert meter.model == MODEL
        assert home.condition is None
        assert home.wiring is None


def test_a_model_writes_as_long_as_it_is_told() -> None:
    meter = registry.model(MODEL)
    assert rekeying.altered(meter, None) is meter
    assert rekeying.altered(meter, 5).profile.keys.write_ms == 5
    assert rekeying.altered(meter, 5).profile.security == meter.profile.security
    hub = registry.model("elster_hub")
    assert rekeying.altered(hub, 5) is hub
    assert registry.model(MODEL).profile.keys.write_ms == meter.profile.keys.write_ms


def test_a_bench_runs_no_setting_twice_and_no_untroubled_home() -> None:
    with Rekeyings(cohort("thousand", "itron", 3, 60)) as runs:
        bench = Bench(runs, MODEL, "ipsec")
        worst = Setting("impatient", 1.0, 30.0, 0.05, 1.0)
        first = bench.measure(worst)
        assert (bench.runs, bench.looked_at, bench.homes) == (1, 60, 60)
        assert bench.measure(worst) is first
        assert bench.runs == 1
        bench.measure(replace(worst, loss=0.01, retry="patient"))
        assert bench.runs == 2
        assert 60 < bench.looked_at < 120
        bench.measure(replace(worst, outages=9.0))  # worse than what was seen: all of them
        assert bench.looked_at > 120


@pytest.fixture(scope="module")
def answer() -> Answer:
    return what_rate(0.02, installations=200, seed=4)


def test_what_is_found_was_measured(answer: Answer) -> None:
    assert [each.knob for each in answer.found] == [
        "air loss",
        "outages alone, no air loss",
        "write window",
        "retry after",
    ]
    for each in answer.found:
        assert each.measured.rate.of == answer.homes == 200
        assert each.reached is (each.measured.rate.share >= 0.02)
    loss = answer.found[0]
    assert loss.reached
    assert loss.measured.setting.loss == loss.value
    outages = answer.found[1]
    assert not outages.reached  # six seconds, 64 times a day, are not enough for two in a hundred
    assert outages.value == 64
    patient, impatient = answer.table[:2]
    assert patient.setting.retry == "patient"
    assert patient.rate.count == 0 <= impatient.rate.count


def test_it_is_told_as_json(answer: Answer) -> None:
    told = json.loads(json.dumps(answer.object()))
    assert told["found"][0]["rate"] == answer.found[0].measured.rate.share
    assert told["table"][0]["retry"] == "patient"


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--rate", "0"], "between 0 and 1"),
        (["--rate", "0.001", "--installations", "100"], "take 2000 or more"),
        (["--maker", "nobody"], "there are itron, elster"),
        (["--estate", "no-such"], "no-such"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: list[str], about: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["what-rate", *arguments])
    assert ended.value.code == 2
    assert about in capsys.readouterr().err


def test_an_unknown_maker_is_refused() -> None:
    with pytest.raises(InputError, match="maker"):
        cohort("thousand", "nobody", None, 10)


@pytest.mark.slow
def test_two_hundred_campaigns_hold_the_pooled_rate() -> None:
    """200 real cohorts of 60 homes under one setting: how many of their intervals hold the rate of all 12,000 homes
    together lies where the exact coverage of a binomial share puts all but one in a thousand."""
    homes, seeds = 60, 200
    counts = []
    for seed in range(seeds):
        with Rekeyings(cohort("thousand", "itron", seed, homes)) as runs:
            run = runs.run(LOSSY)
            assert run.homes == homes
            counts.append(run.lost)
    pooled = sum(counts) / (homes * seeds)
    held = sum(wilson(count, homes).holds(pooled) for count in counts)
    exact = coverage(pooled, homes)
    print(f"pooled rate {pooled:.4f}, coverage {held / seeds:.3f}, exact {exact:.3f}")
    assert abs(held - seeds * exact) < 3.3 * (seeds * exact * (1 - exact)) ** 0.5 + 1
