"""How fast an estate migrates, and where the time goes.

    python bench/cohort.py [--estate mds-cohort] [--installations N] [--workers N] [--link ipsec] [--json FILE]
    python bench/cohort.py --faults [SCENARIO] [--installations N] [--workers N] [--sample N] [--json FILE]
    python bench/cohort.py --bytecodes [--installations N] [--json FILE]
    python bench/cohort.py --compiled [...]

Prints homes and exchanges a second (the audit of every home included; the migration's own part beside it, and how long
20 exchanges an installation would take, as migrations differ in how many they make), microseconds a wake and an
exchange, bytes a sleeping home, peak memory, and the share of each layer, sampled over the whole run. Two figures say
what the machine was like: a calibration line (a fixed piece of pure Python and hashing, before and after), and a peer
timed in the same process: what the client library dlms-cosem needs for the client's side alone of one ciphered GET. Our
exchange, through both ends, link, hub and radio, is given as a multiple of that.

With `--faults` the estate is a scenario's, things go wrong on the way, and the oracle looks at what came of it; see
`faulty_cohort`. With `--bytecodes` nothing is timed: a hundred homes are migrated under a trace that counts what the
interpreter does, which is the same on every machine; see `bytecodes`. With `--compiled` the hot modules are what mypyc
made of them, built first where that is not done yet; see `engine`. Layers have no shares then, as frames are not seen.
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

import bytecodes
import engine
import faulty_cohort

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
    cell = CellCampaign(estate, 0, CampaignSettings(), link="plain", profile=LinkProfile(), air=AirProfile()).cell
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


def peer_cost() -> float | None:
    """Microseconds that dlms-cosem, a client library, needs for its own side of one ciphered GET: build the request and
    seal it, open the answer and parse it. None where it is not installed."""
    try:
        from dlms_cosem import cosem, enumerations, security
        from dlms_cosem.protocol import xdlms
    except ImportError:
        return None
    control = security.SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
    ek, ak, title = bytes(range(16)), bytes(range(16, 32)), b"ELS\x00\x00\x00\x00\x01"
    attribute = cosem.CosemAttribute(enumerations.CosemInterface.DATA, cosem.Obis(0, 0, 42, 0, 0, 255), 2)
    answer = security.encrypt(control, title, 1, ek, b"\xc4\x01\xc1\x00\x09\x10" + bytes(16), ak)
    rounds = []
    for _ in range(7):
        begin = perf_counter()
        for number in range(500):
            request = xdlms.GetRequestNormal(cosem_attribute=attribute).to_bytes()
            security.encrypt(control, title, number, ek, request, ak)
            xdlms.GetResponseNormal.from_bytes(security.decrypt(control, title, 1, ek, answer, ak))
        rounds.append((perf_counter() - begin) / 500 * 1e6)
    return median(rounds)


def measure(estate: Estate, workers: int, link: str) -> dict[str, Any]:
    """Run the campaign, sampled where frames can be seen; the figures."""
    before, peer_before = calibration(), peer_cost()
    runs_on = engine.engine()
    sample = runs_on == "interpreted"
    result = campaign.run(estate, HostOptions(link=link, sample=sample), workers=workers)
    after, peer_after = calibration(), peer_cost()
    peer = None if peer_before is None or peer_after is None else (peer_before + peer_after) / 2
    us_per_exchange = result.elapsed_s * workers / result.exchanges * 1e6
    sums = result.totals
    return {
        "estate": estate.name,
        "seed": estate.seed,
        "digest": result.digest,
        "link": link,
        "workers": workers,
        "engine": runs_on,
        "crypto": backend(),
        "python": sys.version.split()[0],
        "calibration_us": [round(before), round(after)],
        "installations": sums.installations,
        "migrated": sums.migrated,
        "failed": sums.failed,
        "unrecoverable": sums.unrecoverable,
        "agrees": not result.objections,
        "objections": result.objections,
        "elapsed_s": round(result.elapsed_s, 2),
        "homes_per_s": round(sums.installations / result.elapsed_s, 1),
        "exchanges": result.exchanges,
        "exchanges_per_installation": round(result.exchanges / sums.installations, 1),
        "exchanges_per_s": round(result.exchanges / result.elapsed_s),
        "s_for_20_exchanges_per_installation": round(result.elapsed_s * 20 * sums.installations / result.exchanges, 1),
        "migration_s": round(result.migration_s, 2),
        "migration_exchanges_per_installation": round(result.migration_exchanges / sums.installations, 1),
        "us_per_exchange": round(us_per_exchange, 1),
        "us_dlms_cosem_client_side": None if peer is None else round(peer, 1),
        "exchange_vs_dlms_cosem_client_side": None if peer is None else round(us_per_exchange / peer, 2),
        "us_per_wake": round(wake_cost(estate), 1),
        "events": result.events,
        "bytes_per_sleeping_installation": round(result.row_bytes),
        "peak_rss_bytes": result.peak_rss_bytes,
        "time_shares": {layer: round(share, 3) for layer, share in shares(result.samples).items()} if sample else {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Migrate an estate and say where the time went.")
    parser.add_argument("--estate", default="mds-cohort")
    parser.add_argument("--installations", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--link", default="ipsec", choices=["plain", "ipsec", "mpls"])
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    parser.add_argument("--faults", nargs="?", const="cohort-faults", metavar="SCENARIO", help="run a scenario instead")
    parser.add_argument("--bytecodes", action="store_true", help="count instead of timing")
    parser.add_argument("--compiled", action="store_true", help="on the compiled engine, which is built where needed")
    parser.add_argument("--sample", type=int, default=60, help="homes of each cell that the oracle looks at")
    options = parser.parse_args()
    if options.compiled and options.bytecodes:
        parser.error("--bytecodes counts what the interpreter does, and --compiled leaves it little")
    if options.compiled:
        engine.run_compiled()
    if options.bytecodes:
        figures = bytecodes.measure(options.estate, options.installations or 100, options.link)
    elif options.faults:
        figures = faulty_cohort.measure(
            options.faults, options.installations, options.seed, options.workers, options.sample
        )
    else:
        estate = open_estate(options.estate, options.seed, options.installations)
        figures = measure(estate, options.workers, options.link)
    for name, value in figures.items():
        if name == "time_shares" and value:
            print("where the time goes")
            for layer, share in value.items():
                print(f"  {layer:<10}{share:>7.1%}")
        elif isinstance(value, dict | list):
            print(f"{name}{'' if value else ': none'}")
            for each in value.items() if isinstance(value, dict) else enumerate(value):
                print(f"  {each[0]:<46} {each[1]}")
        else:
            print(f"{name:<38}{value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
