"""A report as a picture, in plain SVG: what a message costs by its length, and what that comes to in ratios.

All axes are logarithmic: engines lie a factor of fifty apart, lengths of sixty-four; a bar to the left of 1 says that
we are slower. Bands are the middle half of the rounds. The calibration line stands under the picture, since no figure
means much without it.
"""

from html import escape
from math import log
from typing import Any, Final

from emulator.measure.natively import RANDOM
from emulator.measure.table import calibration_line, ratio_text

WIDTH, HEIGHT = 1180, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 470, 84, 480
BARS_AT, BARS_WIDE, BAR_STEP = 880, 220, 24
LEAST, MOST = 0.2, 100.0
"""Ratios between which the bars are drawn."""
_COLOURS: Final = ("#06c", "#c40", "#e80", "#727", "#080", "#888", "#b06", "#0aa", "#630")
_RATIOS: Final = (
    "seal64_vs_openssl_rekey", "open64_vs_openssl_rekey", "seal64_vs_openssl35_rekey", "seal64_vs_ipsec_mb",
    "seal64_vs_ipsec_mb_prefetch", "mixed_vs_openssl_rekey", "wrap_vs_openssl", "esp1024_vs_ipsec_mb_precomputed",
    "python_buffers_vs_aesgcm", "python_lists_vs_aesgcm", "python_one_vs_aesgcm", "python_open_buffers_vs_cipher",
    "threads2_vs_1",
)  # fmt: skip


def _lines(report: dict[str, Any]) -> dict[str, list[tuple[int, float, float, float]]]:
    """(bytes, median, first and third quartile) of sealing under random keys, by engine, best first."""
    found = {}
    for name, tree in report["engines"].items():
        figures = (tree or {}).get(RANDOM, {}).get("seal", {})
        bounds = report["quartiles"].get(name) or {}
        points = [(int(n), value, *bounds[RANDOM]["seal"][n]) for n, value in figures.items() if n.isdigit()]
        if len(points) > 1:
            found[name] = sorted(points)
    return dict(sorted(found.items(), key=lambda each: (each[0] != report["best"], each[1][0][1])))


def draw(report: dict[str, Any]) -> str:
    """The picture of a report, as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        '<text x="16" y="28" font-size="18">Many small messages, a different key each</text>',
        f'<text x="16" y="52" fill="#555">AES-GCM, 17 bytes of associated data, 12-byte tags, keys of '
        f"{report['keys'][RANDOM]:,} meters at random, {report['messages']:,} messages a batch</text>",
        *_curves(_lines(report)),
        *_bars(report["ratios"]),
    ]
    kernels, _, machine = calibration_line(report).partition("; we had")
    for number, line in enumerate((kernels, f"we had{machine}")):
        parts.append(f'<text x="16" y="{HEIGHT - 28 + 16 * number}" font-size="11" fill="#555">{escape(line)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _curves(lines: dict[str, list[tuple[int, float, float, float]]]) -> list[str]:
    if not lines:
        return [f'<text x="{LEFT}" y="{TOP + 40}">the engines in C were not measured here</text>']
    sizes = sorted({point[0] for points in lines.values() for point in points})
    lowest = min(point[2] for points in lines.values() for point in points) / 1.3
    highest = max(point[3] for points in lines.values() for point in points) * 1.3

    def x(size: float) -> float:
        return LEFT + (RIGHT - LEFT) * log(size / sizes[0]) / log(sizes[-1] / sizes[0])

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * log(value / lowest) / log(highest / lowest)

    parts = [f'<text x="16" y="{TOP - 8}" fill="#555">ns a message, sealing</text>']
    ticks = [step * 10**power for power in range(1, 6) for step in (1, 2, 5)]
    for tick in ticks:
        if lowest < tick < highest:
            parts.append(
                f'<path d="M{LEFT} {y(tick):.1f}H{RIGHT}" stroke="#ddd"/>'
                f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="#555">{tick:,}</text>'
            )
    for size in sizes:
        parts.append(
            f'<path d="M{x(size):.1f} {TOP}V{BOTTOM}" stroke="#eee"/>'
            f'<text x="{x(size):.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#555">{size} B</text>'
        )
    # Names in the order in which the lines end, pushed apart where they would lie on each other.
    ends = sorted(lines, key=lambda name: y(lines[name][-1][1]))
    label = TOP - 14.0
    for name in ends:
        points = lines[name]
        colour = _COLOURS[list(lines).index(name) % len(_COLOURS)]
        band = [f"{x(s):.1f},{y(third):.1f}" for s, _, _, third in points]
        band += [f"{x(s):.1f},{y(first):.1f}" for s, _, first, _ in reversed(points)]
        path = " ".join(f"{x(s):.1f},{y(value):.1f}" for s, value, _, _ in points)
        thick = 3 if name == next(iter(lines)) else 1.5
        label = max(label + 16, y(points[-1][1]) + 4)
        parts.append(
            f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.15"/>'
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>'
            f'<text x="{RIGHT + 10}" y="{label:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return parts


def _bars(ratios: dict[str, float | None]) -> list[str]:
    def x(ratio: float) -> float:
        return BARS_AT + BARS_WIDE * log(min(max(ratio, LEAST), MOST) / LEAST) / log(MOST / LEAST)

    parts = [
        f'<text x="{BARS_AT - 8}" y="{TOP - 8}" fill="#555" text-anchor="end">times faster</text>'
        f'<text x="{x(1):.1f}" y="{TOP - 8}" fill="#555" text-anchor="middle">1</text>'
    ]
    for tick in (10, 100):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{TOP - 8}" fill="#555" text-anchor="middle">{tick}</text>'
            f'<path d="M{x(tick):.1f} {TOP}v{BAR_STEP * len(_RATIOS)}" stroke="#ddd"/>'
        )
    for number, name in enumerate(_RATIOS):
        y, value = TOP + BAR_STEP * number, ratios.get(name)
        parts.append(f'<text x="{BARS_AT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        if value is not None:
            left, right = sorted((x(1), x(value)))
            colour = "#06c" if value >= 1 else "#c40"
            parts.append(
                f'<rect x="{left:.1f}" y="{y + 3}" width="{max(right - left, 1):.1f}" height="14" fill="{colour}"/>'
            )
        after = x(max(value or 1, 1)) + 6
        parts.append(f'<text x="{after:.1f}" y="{y + 14}" fill="#555">{escape(ratio_text(name, value))}</text>')
    parts.append(f'<path d="M{x(1):.1f} {TOP}v{BAR_STEP * len(_RATIOS)}" stroke="#222"/>')
    return parts
