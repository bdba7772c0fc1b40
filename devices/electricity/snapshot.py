"""What an electricity meter's physics keeps in a row: the moments at which a law changed, and the laws.

A calendar that the meter was found with is kept as nothing, one that was written as the four attributes it was made
from (A-XDR), each once however many regimes used it. A meter on which nothing happened keeps nothing.
"""

from collections.abc import Sequence
from typing import Any, Final

from devices.common.ledger import FOREVER, Hold, Ledger, Regime
from devices.common.tariff import Calendar, calendar
from emulator.codecs.axdr import DATA

_OPEN: Final = None
"""Stands for `FOREVER`, the longest number of all and in every row. Not 0: a regime may last no time."""


def pack(ledger: Ledger, found: Calendar) -> list[Any] | None:
    """The regimes of a ledger whose home was found with `found`; None when nothing happened."""
    if ledger.natural and not ledger.regimes[0].follows:
        return None
    tables: list[list[bytes]] = []
    rows = []
    for regime in ledger.regimes:
        place = 0
        if regime.calendar is not found:
            written = [DATA.build(part) for part in regime.calendar.source]
            if written not in tables:
                tables.append(written)
            place = tables.index(written) + 1
        rows.append(
            [
                regime.since,
                _OPEN if regime.until == FOREVER else regime.until - regime.since,
                [part for item in sorted((regime.register or {}).items()) for part in item],
                place,
                regime.flowing,
                [[hold.switch, hold.on, _OPEN if hold.until == FOREVER else hold.until] for hold in regime.holds],
                [sorted(rates) for rates in regime.follows],
            ]
        )
    return [rows, tables]


def unpack(kept: Sequence[Any], found: Calendar) -> list[Regime]:
    """The regimes back."""
    rows, tables = kept
    calendars = [found, *(calendar(*(DATA.parse(part) for part in written)) for written in tables)]
    return [
        Regime(
            since,
            FOREVER if lasted is _OPEN else since + lasted,
            dict(zip(register[::2], register[1::2], strict=True)) if number == 0 else None,
            calendars[place],
            flowing,
            tuple(Hold(switch, on, FOREVER if until is _OPEN else until) for switch, on, until in holds),
            tuple(frozenset(rates) for rates in follows),
        )
        for number, (since, lasted, register, place, flowing, holds, follows) in enumerate(rows)
    ]
