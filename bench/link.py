"""What the core link costs: `python bench/link.py [--frame BYTES] [--json FILE] [--picture FILE] [--quick]`.

Offered is what the sending gateway does, delivered what the receiving one does, the mean of both directions, in
microseconds a packet. The best round and the middle one are shown, as others may be using the machine. Beside it:

* `wire_packets_s`: 128 bytes of UDP payload through the whole pipeline (encapsulate, an impairment, decapsulate);
* `pipe_packets_s`: the same without bytes;
* `wire_vs_strongswan_userland`: the first against two charons with the same payload and suite (`userland_esp`), whose
  best round is taken too, in turn with ours. Theirs is packets a second of CPU that both used, system calls included;
  `user_time_alone` leaves the kernel's share of their time out. Null, and a word why, where they cannot be had;
* `handshakes_s`: IKE_SA_INIT and IKE_AUTH with a pre-shared key, both ends in this process;
* `alerts_day`: SMETS1's 180,000 alerts of a day through the same pipeline, upwards, with the outages and renewals of
  a day: seconds it takes, and what became of them (`bench/alerts.py` has what the devices' own work costs);
* `tunnels_day`: so many tunnels for 24 virtual hours, hourly renewals, a look for the peer each minute, each of these
  played out by both state machines with every message; and how long the chain takes, which knows what comes of them.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time, process_time_ns
from typing import Any

from userland_esp import AbsentError, Round, Userland

from emulator.crypto import backend
from emulator.kernel.chance import draw as luck
from emulator.kernel.time import DAY, HOUR, MILLISECOND, MINUTE
from emulator.link.chain import Chain, Delivered, Offered
from emulator.link.ike.memory import Memory
from emulator.link.ike.pair import CONNECTION, gateways, virtual_pair
from emulator.link.ike.settings import Timers
from emulator.link.kinds import KINDS
from emulator.link.picture import draw
from emulator.link.profile import Direction, LinkProfile

START = 18_300 * DAY
STEP = 50 * MILLISECOND
PACKETS = 4000
ROUNDS = 25
PORT = 4059
WIRE_FRAME = 128
ALERTS = 180_000
ALERT = 92
"""Bytes of a sealed alert of the standard causes, its wrapper's header included."""
USERLAND_S = 0.5
QUIET = LinkProfile(outages_per_day=0.0)


class Jitter:
    """An impairment as `Chain.impaired` has it: a keyed delay for every packet, and a loss in ten thousand."""

    def core(
        self, direction: Direction, installation: int, packet: bytes, now: int, usual: int
    ) -> tuple[Offered, list[bytes]] | None:
        chance = luck(1, "bench.link", installation, now)
        return ([] if chance < 1e-4 else [(usual + int(chance * 5000), packet)]), []


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


def alerts_day() -> dict[str, float]:
    """A virtual day of alerts, each from a home of the cell to the head end, spread evenly."""
    chain = Chain("ipsec", 3, 7)
    chain.impaired = Jitter()
    head_end, alert, heard = chain.profile.head_end, bytes(ALERT), 0
    began = process_time()
    for number in range(ALERTS):
        now = START + number * DAY // ALERTS
        for delay, packet in chain.offer_up(number % 4096, head_end, PORT, PORT, alert, now, number):
            heard += isinstance(chain.deliver_up(packet, now + delay), Delivered)
    return {"alerts": ALERTS, "heard": heard, "seconds": process_time() - began}


def handshakes(seconds: float) -> float:
    """Pre-shared key set-ups a second, both ends together."""
    done, began = 0, process_time()
    while process_time() - began < seconds:
        virtual_pair(1, done, QUIET)
        done += 1
    return done / (process_time() - began)


def played_out(tunnels: int) -> float:
    """Seconds for so many tunnels over a virtual day, every message of it sent and opened."""
    timers = Timers(dpd_delay=MINUTE, rekey_child=HOUR, rekey_ike=0)
    began = process_time()
    for cell in range(tunnels):
        down, up = gateways(1, cell, QUIET, timers=timers)
        memory = Memory((down, up), delay=QUIET.propagation_us)
        memory.do(down, down.initiate(CONNECTION, 0))
        memory.run(DAY)
        assert all(memory.children.values())
    return process_time() - began


def known(tunnels: int) -> float:
    """The same in chains, a packet crossing each way each minute."""
    began = process_time()
    for cell in range(tunnels):
        chain = Chain("ipsec", cell, 1, QUIET)
        for number in range(24 * 60):
            now = START + number * MINUTE
            for delay, packet in chain.offer_down(number, PORT, PORT, b"", now, number):
                chain.deliver_down(packet, now + delay)
            for delay, packet in chain.offer_up(number, chain.profile.head_end, PORT, PORT, b"", now, number):
                chain.deliver_up(packet, now + delay)
    return process_time() - began


def a_second(rounds: list[tuple[float, float]]) -> float:
    """Packets a second of the best round."""
    return 1e6 / min(sum(one) for one in rounds)


def against(ours: float, theirs: list[Round], absent: str | None) -> dict[str, Any]:
    """What is told of the two charons, beside our packets a second."""
    if not theirs:
        return {"wire_vs_strongswan_userland": None, "strongswan_userland": {"absent": absent}}
    whole = Round(*map(sum, zip(*theirs, strict=True)))
    best, user = max(one.a_second for one in theirs), whole.user_a_second  # the kernel samples it: not for one round
    figures = {"packets_s": best, "middle_packets_s": median(one.a_second for one in theirs), "user_packets_s": user}
    return {
        "wire_vs_strongswan_userland": ours / best,
        "strongswan_userland": {**figures, "lost": whole.lost, "user_time_alone": ours / user},
    }


def compared(found: dict[str, Any]) -> str:
    theirs = found["strongswan_userland"]
    if "absent" in theirs:
        return f"strongSwan's userland ESP: not measured ({theirs['absent']})"
    return (
        f"strongSwan's userland ESP: {theirs['packets_s']:,.0f} packets/s of one core, "
        f"{theirs['user_packets_s']:,.0f} without the kernel's share; "
        f"wire is {found['wire_vs_strongswan_userland']:.2f} and {theirs['user_time_alone']:.2f} times that"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=int, default=96, help="bytes of a frame")
    parser.add_argument("--json", type=Path, help="write the figures here as JSON")
    parser.add_argument("--picture", type=Path, help="draw the six seconds there as SVG, and do nothing else")
    parser.add_argument("--quick", action="store_true", help="few rounds and few tunnels")
    options = parser.parse_args()
    if options.picture:
        options.picture.write_text(draw(), "utf-8")
        return
    frame, wire_frame = bytes(options.frame), bytes(WIRE_FRAME)
    chains = {kind: Chain(kind, 3, 7) for kind in KINDS}
    whole = Chain("ipsec", 3, 7, QUIET)
    whole.impaired = Jitter()
    pipe = Chain("ipsec", 3, 7, replace(QUIET, fidelity="pipe"))
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in (*chains, "whole", "pipe")}
    theirs: list[Round] = []
    with ExitStack() as stack:
        try:
            charons, absent = stack.enter_context(Userland(WIRE_FRAME)), None
        except AbsentError as reason:
            charons, absent = None, str(reason)
        for turn in range(3 if options.quick else ROUNDS):  # in turn, so that a disturbance hits all of them
            start = START + turn * PACKETS * STEP
            for name, chain in chains.items():
                rounds[name].append(one_round(chain, frame, start))
            rounds["whole"].append(one_round(whole, wire_frame, start))
            rounds["pipe"].append(one_round(pipe, wire_frame, start))
            if charons is not None:
                theirs.append(charons.round(USERLAND_S))
    sys.stdout.write(f"core: {backend()}; frames of {options.frame} bytes; us a packet, best (middle)\n")
    told: dict[str, dict[str, float]] = {}
    for name, taken in rounds.items():
        columns = list(zip(*[(*one, sum(one)) for one in taken], strict=True))
        told[name] = dict(zip(("offered", "delivered", "together"), map(median, columns), strict=True))
        figures = [f"{min(column):6.2f} ({median(column):5.2f})" for column in columns]
        sys.stdout.write(f"{name:14} offered {figures[0]}  delivered {figures[1]}  together {figures[2]}\n")
    tunnels = 10 if options.quick else 200
    found: dict[str, Any] = {
        "core": backend(),
        "frame": options.frame,
        "us_a_packet": told,
        "wire_packets_s": a_second(rounds["whole"]),
        "pipe_packets_s": a_second(rounds["pipe"]),
        "handshakes_s": handshakes(0.5 if options.quick else 3.0),
        "alerts_day": alerts_day(),
        "tunnels_day": {"tunnels": tunnels, "played_out_s": played_out(tunnels), "known_s": known(tunnels)},
        **against(a_second(rounds["whole"]), theirs, absent),
    }
    day, alerts = found["tunnels_day"], found["alerts_day"]
    lines = (
        f"wire, 128 bytes, impaired: {found['wire_packets_s']:,.0f} packets/s",
        f"pipe: {found['pipe_packets_s']:,.0f} packets/s",
        f"handshakes: {found['handshakes_s']:,.0f}/s",
        f"a day of {alerts['alerts']:,} alerts, {alerts['heard']:,} heard: {alerts['seconds']:.1f} s",
        f"{tunnels} tunnels, a virtual day: {day['played_out_s']:.1f} s played out, {day['known_s']:.1f} s in chains",
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.write(f"{compared(found)}\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
