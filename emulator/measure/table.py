"""A report in a terminal: the calibration line, a table a regime, what it comes to in ratios, and bars.

Takes the object `emulator.measure.crypto.measure` gives, or what a JSON file of one holds. A figure nobody measured is
a word, never a number.
"""

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

ABSENT: Final = "absent"
_WIDE: Final = 44
_NAMES: Final = 24
LINE: Final = 118
"""Columns the tables want."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_SLOWER: Final = {"keys450k_vs_150k"}
_TITLES: Final = {
    "seal_open": ("seal / open", ("seal", "open")),
    "wrap": ("wrap / unwrap a key", ("wrap", "unwrap")),
    "esp": ("ESP seal / open", ("esp_seal", "esp_open")),
}


def calibration_line(report: dict[str, Any]) -> str:
    """The state of the machine in one line: median (fastest to slowest) of each kernel, and what was left to us."""
    state = report["calibration"]
    parts = []
    names = (
        ("integer", "integer_ns"), ("aesenc", "aesenc_ns"), ("aesenc latency", "aesenc_latency_ns"),
        ("line of memory", "line_ns"), ("Python loop", "python_loop_ns"),
    )  # fmt: skip
    for name, key in names:
        kernel = state[key]
        if kernel is None:
            parts.append(f"{name} {ABSENT}")
        else:
            parts.append(f"{name} {kernel['median']:.3g} ({kernel['min']:.3g} to {kernel['max']:.3g}) ns")
    return (
        f"calibration: {state['state']}; {', '.join(parts)}; we had {state['cpu_share']:.0%} of a core, load "
        f"{state['load_average']}; {state['cores']} cores of {state['cpu']}; {state['rounds']} rounds, "
        f"{state['seconds']:.0f} s"
    )


def cell(figures: dict[str, dict[str, float]], operations: tuple[str, str], size: str) -> str:
    """Two figures of one length, as `seal / open`; a dash where one was not asked for."""
    found = [figures.get(operation, {}).get(size) for operation in operations]
    if found == [None, None]:
        return "-"
    return " / ".join("-" if value is None else f"{value:,.0f}" for value in found)


def _sizes(rows: list[dict[str, dict[str, float]]], operations: tuple[str, str]) -> list[str]:
    sizes = {size for figures in rows for operation in operations for size in figures.get(operation, {})}
    return sorted(sizes, key=lambda size: int(size) if size.isdigit() else 1 << 30)


def _tables(report: dict[str, Any]) -> Iterator[Table | Text]:
    """One for each regime and pair of operations that was run."""
    engines: dict[str, Any] = report["engines"]
    regimes = list(dict.fromkeys(regime for tree in engines.values() for regime in tree or ()))
    for regime in regimes:
        for title, operations in _TITLES.values():
            rows = {
                name: tree[regime]
                for name, tree in engines.items()
                if tree and regime in tree and any(operation in tree[regime] for operation in operations)
            }
            if not rows:
                continue
            sizes = _sizes(list(rows.values()), operations)
            number = report["keys"].get(regime)
            label = f"random, of {number:,}" if number else regime
            yield Text(f"{title}, ns a message; keys: {label}")
            table = Table(box=None, pad_edge=False)
            table.add_column("engine", no_wrap=True, min_width=_NAMES)
            for size in sizes:
                table.add_column(size if not size.isdigit() else f"{size} B", justify="right", no_wrap=True)
            for name, figures in rows.items():
                style = "bold" if name == report["best"] else None
                table.add_row(name, *(cell(figures, operations, size) for size in sizes), style=style)
            yield table
            yield Text()


def ratio_text(name: str, value: float | None) -> str:
    """A ratio as it is read."""
    if value is None:
        return ABSENT
    if name == "bytes_per_context":
        return f"{value} B"
    return f"{value:.2f} x as long" if name in _SLOWER else f"{value:.2f} x"


def _ratios(report: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("times faster we are", no_wrap=True)
    table.add_column("all rounds", justify="right", no_wrap=True)
    table.add_column(f"quiet rounds ({report['quiet']['rounds']:.0%})", justify="right", no_wrap=True)
    for name, value in report["ratios"].items():
        if value is not None or report["whole"] or name in report["absent"]:
            quiet = report["quiet"]["ratios"].get(name)
            table.add_row(name, ratio_text(name, value), "" if quiet is None else ratio_text(name, quiet))
    return table


def bars(report: dict[str, Any], size: str = "64", regime: str = "random") -> list[tuple[str, float]]:
    """(engine, ns a message) of sealing `size` bytes, fastest first."""
    found = [
        (name, float(tree[regime]["seal"][size]))
        for name, tree in report["engines"].items()
        if tree and size in tree.get(regime, {}).get("seal", {})
    ]
    return sorted(found, key=lambda each: each[1])


def _bar(value: float, most: float) -> str:
    eighths = max(1, round(value / most * _WIDE * 8))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


class Shown:
    """A report as rich prints it."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self.report
        yield Text(calibration_line(report))
        versions = ", ".join(f"{name} {version or ABSENT}" for name, version in report["versions"].items())
        yield Text(f"beside: {versions}\n")
        yield from _tables(report)
        yield _ratios(report)
        yield Text(f"\nsealing 64 bytes, random keys, ns a message (of {report['messages']:,} a batch)")
        drawn = bars(report)
        for name, value in drawn:
            style = "bold" if name == report["best"] else ""
            yield Text(f"{name:>{_NAMES}} {_bar(value, drawn[-1][1])} {value:,.0f}", style=style)
        for name, why in report["absent"].items():
            yield Text(f"{name}: {ABSENT}, {why}")
