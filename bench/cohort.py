"""How fast an estate migrates, and where the time goes.

    python bench/cohort.py [--estate mds-cohort] [--installations N] [--workers N] [--link ipsec] [--json FILE]

Prints homes and exchanges a second, microseconds a wake and an exchange, bytes a sleeping home, peak memory, and the
share of each layer, sampled over the whole run. Every time is printed beside a calibration line, a fixed piece of
pure Python and hashing timed in the same process, so that two runs on a noisy machine can be compared by their ratio.
"""

import argparse
import json
import os
import sys
from hashlib import blake2b
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from emulator.crypto import backend
from emulator.dcc import campaign
from emulator.dcc.cell_campaign import CampaignSettings, CellCampaign
from emulator.dcc.host import HostOptions
from emulator.fleet.estate import Estate, open_estate
from emulator.fleet.sampler import shares
from emulator.link.air import AirProfile
from emulator.link.profile import LinkProfile


def calibration() -> float:
    """Microseconds for a fixed piece of work, the median of 15: the state of the machine."""
    times = []
    for _ in range(15):
        begin = perf_counter()
        table: dict[int, int] = {}
        for number in range(2_000):
            table[number & 255] = table.get(number & 255, 0) + len(blake2b(b"%d" % number).digest())
        times.append((perf_counter() - begin) * 1e6)
    return median(times)


def wake_cost(estate: Estate, homes: int = 400) -> float:
    """Microseconds to build a home's machines from its row and put them back, all devices touched."""
    cell = CellCampaign(
        estate, 0, CampaignSettings(), link="plain", profile=LinkProfile(), air=AirProfile()
    ).cell
    numbers = list(cell.members)[:homes]
    rounds = []
    for _ in range(5):
        begin = perf_counter()
        for number in numbers:
            for spec in estate.installation(number).devices:
                cell.machine(number, spec.kind)
            cell.sleep(number)
        rounds.append((perf_counter() - begin) / len(numbers) * 1e6)
    return median(rounds[1:])


def measure(estate: Estate, workers: int, link: str) -> dict[str, Any]:
    """Run the campaign, sampled; the figures."""
    before = calibration()
    result = campaign.run(estate, HostOptions(link=link, sample=True), workers=workers)
    after = calibration()
    sums = result.totals
    cpu_s = result.elapsed_s * workers
    return {
        "estate": estate.name,
        "seed": estate.seed,
        "digest": result.digest,
        "link": link,
        "workers": workers,
        "crypto": backend(),
        "python": sys.version.split()[0],
        "calibration_us": [round(before), round(after)],
        "installations": sums.installations,
        "migrated": sums.migrated,
        "failed": sums.failed,
        "unrecoverable": sums.unrecoverable,
        "agrees": not result.objections,
        "elapsed_s": round(result.elapsed_s, 2),
        "homes_per_s": round(sums.installations / result.elapsed_s, 1),
        "exchanges": result.exchanges,
        "exchanges_per_s": round(result.exchanges / result.elapsed_s),
        "us_per_exchange": round(cpu_s / result.exchanges * 1e6, 1),
        "us_per_wake": round(wake_cost(estate), 1),
        "events": result.events,
        "bytes_per_sleeping_installation": round(result.row_bytes),
        "peak_rss_bytes": result.peak_rss_bytes,
        "time_shares": {layer: round(share, 3) for layer, share in shares(result.samples).items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Migrate an estate and say where the time went.")
    parser.add_argument("--estate", default="mds-cohort")
    parser.add_argument("--installations", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--link", default="ipsec", choices=["plain", "ipsec", "mpls"])
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    figures = measure(open_estate(options.estate, options.seed, options.installations), options.workers, options.link)
    for name, value in figures.items():
        if name == "time_shares":
            print("where the time goes")
            for layer, share in value.items():
                print(f"  {layer:<10}{share:>7.1%}")
        else:
            print(f"{name:<34}{value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
