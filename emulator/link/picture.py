"""The six seconds as a picture: `smets1 link picture --out FILE`.

A packet is sent every 10 ms, down and up, over each kind of trouble, in virtual time and in real bytes. A bar is a run
of packets that arrived one after the other, drawn at the seconds at which they were sent; what no bar covers was lost.
The outage is counted from the last arrival before it to the first packet sent that arrives.
The marks are what the link itself says happened. Nothing in the picture is drawn by hand but its axes.
"""

from dataclasses import replace
from html import escape
from itertools import pairwise
from typing import Final, TypeAlias

from emulator.codecs.esp import PROTOCOL as PROTOCOL_ESP
from emulator.kernel.time import DAY, HOUR, MILLISECOND, SECOND
from emulator.link.carrier import mark_of
from emulator.link.chain import Chain, Delivered
from emulator.link.ike.settings import Timers
from emulator.link.profile import STANDARD, CutOver, LinkProfile, Outage, PeerDeath

NOON: Final = 18_300 * DAY + 12 * HOUR
STEP: Final = 10 * MILLISECOND
BEFORE, AFTER = 2, 9
_ESP: Final = PROTOCOL_ESP << 16
_TRIP: Final = STANDARD.propagation_us / SECOND
LEFT, TOP, LANE, SCALE = 290, 76, 58, 56
_COLOURS: Final = {"ipsec": "#0066cc", "mpls": "#117733"}
_MARKS: Final = (("dies", "#cc3311"), ("given up", "#ee7733"), ("carries again", "#333333"))
_QUIET: Final = LinkProfile(outages_per_day=0.0)
_DIES: Final = (PeerDeath(NOON + 300 * MILLISECOND),)

RUNS: Final = (
    ("IPsec, planned outage", "ipsec", replace(_QUIET, outages=(Outage(NOON),))),
    ("IPsec, its gateway dies", "ipsec", replace(_QUIET, peer_deaths=_DIES)),
    ("the same, MPLS standing by", "ipsec-standby", replace(_QUIET, peer_deaths=_DIES)),
    (
        "the same, noticed sooner",
        "ipsec-standby",
        replace(
            _QUIET,
            peer_deaths=_DIES,
            ike=Timers(dpd_delay=200 * MILLISECOND, retransmit=100 * MILLISECOND),
            clock_us=MILLISECOND,
        ),
    ),
    ("IPsec, planned, MPLS standing by", "ipsec-standby", replace(_QUIET, outages=(Outage(NOON),))),
    ("cut over from IPsec to MPLS", "ipsec", replace(_QUIET, cut_over=CutOver(NOON + 3 * SECOND))),
)


Arrived: TypeAlias = list[tuple[int, int, str]]
"""(step at which it was sent, direction, path) of every packet that arrived."""


def run(kind: str, profile: LinkProfile) -> tuple[Arrived, list[tuple[float, str]]]:
    """What arrived, and what happened: (second, what)."""
    chain = Chain(kind, 0, 1, profile)
    arrived = []
    for number in range((BEFORE + AFTER) * SECOND // STEP):
        now = NOON - BEFORE * SECOND + number * STEP
        ways = (
            (chain.deliver_down, chain.offer_down(3, 4059, 4059, b"picture", now, number)),
            (chain.deliver_up, chain.offer_up(3, profile.head_end, 4059, 4059, b"picture", now, number)),
        )
        for direction, (deliver, offered) in enumerate(ways):
            for delay, packet in offered:
                if isinstance(deliver(packet, now + delay), Delivered):
                    arrived.append((number, direction, "ipsec" if mark_of(packet) == _ESP else "mpls"))
    told = chain.status(NOON + AFTER * SECOND)["told"]
    return arrived, [((one["at"] - NOON) / SECOND, one["what"]) for one in told]


def runs_of(arrived: Arrived, direction: int) -> list[tuple[int, int, str]]:
    """Unbroken runs of one direction: (first step, the step behind the last, path)."""
    found: list[tuple[int, int, str]] = []
    for number, way, path in arrived:
        if way != direction:
            continue
        if found and found[-1][1:] == (number, path):
            found[-1] = (found[-1][0], number + 1, path)
        else:
            found.append((number, number + 1, path))
    return found


def outage(arrived: Arrived, direction: int) -> float:
    """The longest time, in seconds, from an arrival to the sending of the next packet that arrives."""
    sent = [number for number, way, _ in arrived if way == direction]
    return max(0.0, max(after - before for before, after in pairwise(sent)) * STEP / SECOND - _TRIP)


def draw() -> str:
    """The picture, as SVG."""

    def x(second: float) -> float:
        return LEFT + (second + BEFORE) * SCALE

    width, height = LEFT + (BEFORE + AFTER) * SCALE + 110, TOP + LANE * len(RUNS) + 48
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="14">',
        "<title>The six seconds: packets that arrive over the core link, in virtual time</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        '<text x="16" y="28" font-size="18" fill="#222">The six seconds: packets that arrive over the core link</text>',
        f'<text x="{width - 94}" y="52" fill="#222">outage</text>',
    ]
    at = 16
    for word, colour in (("IPsec", _COLOURS["ipsec"]), ("MPLS", _COLOURS["mpls"])):
        parts.append(f'<rect x="{at}" y="42" width="22" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{at + 28}" y="52" fill="#222">by {word}</text>')
        at += 108
    for word, colour in _MARKS:
        word = {"dies": "gateway dies", "given up": "tunnel given up"}.get(word, word)
        parts.append(f'<path d="M{at} 38v18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{at + 8}" y="52" fill="#222">{word}</text>')
        at += 28 + 7 * len(word)
    for second in range(-BEFORE, AFTER + 1):
        parts.append(
            f'<path d="M{x(second):g} {TOP}V{height - 46}" stroke="#ddd"/>'
            f'<text x="{x(second):g}" y="{height - 28}" text-anchor="middle" fill="#555">{second}</text>'
        )
    parts.append(
        f'<text x="{x((AFTER - BEFORE) / 2):g}" y="{height - 10}" text-anchor="middle" fill="#555">'
        "sent at, seconds from noon</text>"
    )
    for lane, (title, kind, profile) in enumerate(RUNS):
        arrived, happened = run(kind, profile)
        y = TOP + lane * LANE + 14
        parts.append(f'<text x="16" y="{y + 20}" fill="#222">{escape(title)}</text>')
        for direction, word in enumerate(("down", "up")):
            top = y + 17 * direction
            parts.append(
                f'<text x="{LEFT - 8}" y="{top + 11}" text-anchor="end" font-size="11" fill="#777">{word}</text>'
            )
            for first, last, path in runs_of(arrived, direction):
                begin, end = (x(step * STEP / SECOND - BEFORE) for step in (first, last))
                parts.append(
                    f'<rect x="{begin:.2f}" y="{top}" width="{end - begin:.2f}" height="13" fill="{_COLOURS[path]}"/>'
                )
        for instant, what in happened:
            for word, colour in _MARKS:
                if word in what:
                    parts.append(f'<path d="M{x(instant):.2f} {y - 5}v40" stroke="{colour}" stroke-width="3"/>')
        longest = max(outage(arrived, direction) for direction in (0, 1))
        parts.append(f'<text x="{width - 94}" y="{y + 20}" fill="#222">{longest:.2f} s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
