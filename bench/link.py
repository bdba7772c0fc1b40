"""Microseconds a packet costs on the core link: `python bench/link.py [--frame BYTES]`.

Offered is what the sending gateway does, delivered what the receiving one does, the mean of both directions. The best
round and the middle one are shown, as others may be using the machine.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import process_time_ns

from emulator.crypto import backend
from emulator.kernel.time import DAY, MILLISECOND
from emulator.link.chain import Chain
from emulator.link.kinds import KINDS

START = 18_300 * DAY
STEP = 50 * MILLISECOND
PACKETS = 4000
ROUNDS = 25
PORT = 4059


def one_round(chain: Chain, frame: bytes, start: int) -> tuple[float, float]:
    """Microseconds a packet: offered, delivered."""
    head_end, offered, delivered = chain.profile.head_end, 0, 0
    for up in (False, True):
        packets = []
        began = process_time_ns()
        for number in range(PACKETS):
            now = start + number * STEP
            if up:
                offer = chain.offer_up(number, head_end, PORT, PORT, frame, now, number)
            else:
                offer = chain.offer_down(number, PORT, PORT, frame, now, number)
            packets += offer
        between = process_time_ns()
        deliver = chain.deliver_up if up else chain.deliver_down
        for number, (delay, packet) in enumerate(packets):
            deliver(packet, start + number * STEP + delay)
        offered += between - began
        delivered += process_time_ns() - between
    return offered / PACKETS / 2000, delivered / PACKETS / 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frame", type=int, default=96, help="bytes of a frame")
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    frame = bytes(options.frame)
    chains = {kind: Chain(kind, 3, 7) for kind in KINDS}
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in chains}
    for turn in range(ROUNDS):  # in turn, so that a disturbance hits all of them
        for name, chain in chains.items():
            rounds[name].append(one_round(chain, frame, START + turn * PACKETS * STEP))
    sys.stdout.write(f"core: {backend()}; frames of {options.frame} bytes; us a packet, best (middle)\n")
    told: dict[str, dict[str, float]] = {}
    for name, taken in rounds.items():
        columns = list(zip(*[(*one, sum(one)) for one in taken], strict=True))
        told[name] = dict(zip(("offered", "delivered", "together"), map(median, columns), strict=True))
        figures = [f"{min(column):6.2f} ({median(column):5.2f})" for column in columns]
        sys.stdout.write(f"{name:8} offered {figures[0]}  delivered {figures[1]}  together {figures[2]}\n")
    if options.json:
        figures_of = {"core": backend(), "frame": options.frame, "us_a_packet": told}
        options.json.write_text(json.dumps(figures_of, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
