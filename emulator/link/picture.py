"""The six seconds as a picture: `python bench/link.py --picture FILE`.

A packet is sent every 50 ms, down and up, over each kind of trouble, in virtual time and in real bytes; a dot is one
that arrived, at the second it was sent. Nothing in the picture is drawn by hand but its axes.
"""

from dataclasses import replace
from html import escape
from itertools import pairwise
from typing import Final

from emulator.kernel.time import DAY, HOUR, MILLISECOND, SECOND
from emulator.link.chain import Chain, Delivered
from emulator.link.ike.settings import Timers
from emulator.link.profile import CutOver, LinkProfile, Outage, PeerDeath

NOON: Final = 18_300 * DAY + 12 * HOUR
STEP: Final = 50 * MILLISECOND
BEFORE, AFTER = 2, 9
LEFT, TOP, LANE, SCALE = 250, 64, 58, 56
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


def run(kind: str, profile: LinkProfile) -> list[tuple[float, int, str]]:
    """(second sent, direction, path) of every packet that arrived."""
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
                    path = "ipsec" if packet[9] == 50 else "mpls"
                    arrived.append(((now - NOON) / SECOND, direction, path))
    return arrived


def gap(arrived: list[tuple[float, int, str]]) -> float:
    """The longest time without a packet down, in seconds, less the usual distance of two."""
    sent = [at for at, direction, _ in arrived if not direction]
    return max(after - before for before, after in pairwise(sent)) - STEP / SECOND


def draw() -> str:
    """The picture, as SVG."""

    def x(second: float) -> float:
        return LEFT + (second + BEFORE) * SCALE

    width, height = LEFT + (BEFORE + AFTER) * SCALE + 110, TOP + LANE * len(RUNS) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="14">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        '<text x="16" y="28" font-size="18" fill="#222">The six seconds between: packets that arrive</text>',
        f'<text x="16" y="48" fill="#06c">IPsec</text><text x="66" y="48" fill="#080">MPLS</text>'
        f'<text x="{width - 90}" y="48" fill="#222">longest gap</text>',
    ]
    for second in range(-BEFORE, AFTER + 1):
        parts.append(
            f'<line x1="{x(second)}" y1="{TOP}" x2="{x(second)}" y2="{height - 34}" stroke="#ddd"/>'
            f'<text x="{x(second)}" y="{height - 14}" text-anchor="middle" fill="#555">{second} s</text>'
        )
    for lane, (title, kind, profile) in enumerate(RUNS):
        arrived = run(kind, profile)
        y = TOP + lane * LANE + 22
        parts.append(f'<text x="16" y="{y + 12}" fill="#222">{escape(title)}</text>')
        for path, colour in (("ipsec", "#06c"), ("mpls", "#080")):
            dots = "".join(
                f"M{x(at):.1f} {y + 16 * direction}h2.2" for at, direction, taken in arrived if taken == path
            )
            if dots:
                parts.append(f'<path d="{dots}" stroke="{colour}" stroke-width="10" fill="none"/>')
        parts.append(f'<text x="{width - 90}" y="{y + 12}" fill="#222">{max(gap(arrived), 0):.2f} s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
