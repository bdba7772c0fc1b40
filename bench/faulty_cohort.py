"""The cohort under faults: what `bench/cohort.py --faults` runs.

A scenario over the whole estate (`cohort-faults`, unless another is named): migration under a mixture of faults with
the core link cut in the middle, then an evening in which every auxiliary switch is switched. In every cell the oracle
then looks at each home that was lost for its keys and at a sample of the others, and copies of the devices are driven
by real messages to see whether it is right.
"""

import sys
from typing import Any

import msgspec
from engine import engine

from emulator.crypto import backend
from emulator.dcc.rates import wilson
from emulator.scenario import reading, virtual


def measure(source: str, installations: int | None, seed: int | None, workers: int, sample: int) -> dict[str, Any]:
    """Run it; the figures. `sample`: homes of each cell that the oracle looks at besides those lost."""
    read = reading.opened(source)
    if installations is not None:
        use = msgspec.structs.replace(read.scenario.estate, installations=installations)
        read = reading.convert(msgspec.to_builtins(msgspec.structs.replace(read.scenario, estate=use)), read.where)
    report = virtual.run(read, seed, workers=workers, examine=sample)
    cost, examination, moment = report.cost, report.examination, report.facts.trouble
    assert cost is not None
    assert examination is not None
    homes = len(moment.homes)
    verdicts = {name: len(ended) for name, ended in moment.verdicts().items()}
    rate = wilson(verdicts["unrecoverable"], homes)
    return {
        "scenario": report.name,
        "seed": report.seed,
        "digest": report.digest,
        "workers": workers,
        "engine": engine(),
        "crypto": backend(),
        "python": sys.version.split()[0],
        "installations": homes,
        **verdicts,
        "unrecoverable_rate": rate.told(),
        "by_cause": report.causes,
        "faults_fired": report.fired,
        "switchings_done": moment.done,
        "switchings_failed": len(moment.failed),
        "elapsed_s": round(report.elapsed_s, 2),
        "homes_per_s": round(homes / report.elapsed_s, 1),
        "exchanges": cost.exchanges,
        "us_per_exchange": round(report.elapsed_s * workers / cost.exchanges * 1e6, 1),
        "bytes_per_sleeping_installation": round(cost.row_bytes),
        "peak_rss_bytes": cost.peak_rss_bytes,
        "oracle_s": round(cost.examined_s, 2),
        "oracle": examination.told(),
        "oracle_agrees": examination.agrees,
        "oracle_exceptions": examination.exceptions,
        "failures": [str(each) for each in report.failures],
    }
