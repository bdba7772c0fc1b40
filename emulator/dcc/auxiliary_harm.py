"""Who went cold: hours of heating lost and gained, for each switch of each five-terminal home.

Two lines are compared. How the *contact* stood, which the meter's physics knows and no read tells; and how it should
have stood by the home's *right* table: the one it was found with, in true time, late by the switch's own randomised
offset. Both are step functions, so the hours are exact sums over switching times and nothing is sampled. A meter whose
clock is wrong heats at the wrong hours, and that counts; so does a load that somebody switched by command, because this
asks who was cold and not whose fault it was.

A home is *cold* when one of its switches lost at least `cold_h` hours (ASSUMED: two of a night's seven).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from emulator.dcc.auxiliary_tables import right_table
from emulator.dcc.verdict import Verdict
from emulator.fleet.cell import Cell
from emulator.fleet.installation import Installation
from emulator.fleet.tariffs import SwitchingTable
from emulator.kernel.effects import Instant
from emulator.kernel.machine import Party
from emulator.kernel.time import DAY, HOUR, SECOND

COLD_H: Final = 2.0
HARMED_H: Final = 1 / 60
"""Up to so many hours off its times a home is not counted as harmed: clocks are a few seconds out. ASSUMED."""
BUCKETS_H: Final = (HARMED_H, 1.0, 3.5, 7.0, 24.0, 72.0)
"""Upper ends of the distribution's classes, in hours lost; the last class is all above."""
WORST: Final = 10


class Stretch(Protocol):
    """A stretch of true time in which a contact stood still (`devices.common.circuits.Span`)."""

    @property
    def since(self) -> Instant: ...
    @property
    def until(self) -> Instant: ...
    @property
    def closed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class SwitchHarm:
    """One switch of one home over a window: µs open that should have been closed, and closed that should not."""

    installation: int
    switch: int
    lost_us: int
    gained_us: int


@dataclass(slots=True)
class HarmReport:
    """What a window did to a set of homes. `homes` are the five-terminal homes looked at, `harmed` those whose heating
    was off its times, `cold` those that lost at least `cold_h` hours on a switch. A home's hours are those of its worst
    switch; `lost_h` and `gained_h` sum over all switches. `distribution` counts homes by hours lost, `worst` lists
    (installation, hours lost, hours gained), coldest first."""

    homes: int = 0
    switches: int = 0
    harmed: int = 0
    cold: int = 0
    cold_h: float = COLD_H
    lost_h: float = 0.0
    gained_h: float = 0.0
    distribution: dict[str, int] = field(default_factory=dict)
    worst: list[tuple[int, float, float]] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "homes": self.homes,
            "switches": self.switches,
            "harmed": self.harmed,
            "cold": self.cold,
            "cold_means_hours": self.cold_h,
            "hours_lost": round(self.lost_h, 3),
            "hours_gained": round(self.gained_h, 3),
            "distribution": dict(self.distribution),
            "worst": [{"installation": n, "hours_lost": lost, "hours_gained": won} for n, lost, won in self.worst],
        }


def against(
    stretches: Iterable[Stretch], table: SwitchingTable, offset_s: int, since: Instant, until: Instant
) -> tuple[int, int]:
    """(µs lost, µs gained) of a contact in [since, until) against a table that is late by `offset_s`. What the
    stretches do not cover is not counted."""
    late = offset_s * SECOND
    lost = gained = 0
    for stretch in stretches:
        at, end = max(stretch.since, since), min(stretch.until, until)
        while at < end:
            wanted = table.live(at - late)
            edge = table.next_switch(at - late)
            to = end if edge is None else min(edge + late, end)
            if wanted and not stretch.closed:
                lost += to - at
            elif stretch.closed and not wanted:
                gained += to - at
            at = to
    return lost, gained


def of_home(cell: Cell, home: Installation, since: Instant, until: Instant) -> list[SwitchHarm]:
    """What a window did to one home, told by its meter. A window that reaches beyond now is told as it will be if
    nothing more happens. Empty for a home without auxiliary load."""
    table = right_table(home)
    if table is None or home.wiring is None:
        return []
    machine: Any = cell.machine(home.number, Party.ELECTRICITY)
    now = cell.world.now
    found = []
    for switch in range(1, home.wiring.switches + 1):
        stretches = machine.auxiliary_spans(switch, since, until, now)
        lost, gained = against(stretches, table, machine.auxiliary_offset_s(switch), since, until)
        found.append(SwitchHarm(home.number, switch, lost, gained))
    return found


def after_migration(cell: Cell, days: float, only: frozenset[int] | None = None) -> list[SwitchHarm]:
    """What the first `days` days after its migration did to every migrated five-terminal home of a cell."""
    found: list[SwitchHarm] = []
    finished = cell.rows.column("finished")
    for number in cell.rows.numbers("verdict", Verdict.MIGRATED):
        if only is not None and number not in only:
            continue
        home = cell.estate.installation(number)
        if home.wiring is not None:
            since = int(finished[number - cell.rows.first])
            found += of_home(cell, home, since, since + round(days * DAY))
            cell.sleep(number)
    return found


def report(harms: Sequence[SwitchHarm], cold_h: float = COLD_H) -> HarmReport:
    """Sums over any number of switches and homes."""
    by_home: dict[int, list[SwitchHarm]] = {}
    for harm in harms:
        by_home.setdefault(harm.installation, []).append(harm)
    made = HarmReport(homes=len(by_home), switches=len(harms), cold_h=cold_h)
    names = ["none", *(f"up to {most:g} h" for most in BUCKETS_H[1:]), f"over {BUCKETS_H[-1]:g} h"]
    made.distribution = dict.fromkeys(names, 0)
    told = []
    for number, each in sorted(by_home.items()):
        lost = max(harm.lost_us for harm in each) / HOUR
        gained = max(harm.gained_us for harm in each) / HOUR
        made.harmed += max(lost, gained) > HARMED_H
        made.cold += lost >= cold_h
        place = next((at for at, most in enumerate(BUCKETS_H) if lost <= most), len(BUCKETS_H))
        made.distribution[names[place]] += 1
        if max(lost, gained) > HARMED_H:
            told.append((number, round(lost, 3), round(gained, 3)))
    made.lost_h = sum(harm.lost_us for harm in harms) / HOUR
    made.gained_h = sum(harm.gained_us for harm in harms) / HOUR
    made.worst = sorted(told, key=lambda row: (-row[1], -row[2], row[0]))[:WORST]
    return made
