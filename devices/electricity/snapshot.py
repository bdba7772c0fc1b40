"""What an electricity meter's physics keeps in a row: the moments at which a law changed, and the laws.

A calendar that the meter was found with is kept as nothing, one that was written as the four attributes it was made
from (A-XDR), each once however many regimes used it. A meter on which nothing happened keeps nothing. What only few
meters have (switches with a written calendar, offsets, relays that do not obey, hours without mains) stands behind the
rest of a law where there is any of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from devices.common.circuits import Contact, SwitchCalendar
from devices.common.ledger import FOREVER, Hold, Ledger, Regime
from devices.common.profile import Auxiliary
from devices.common.tariff import Calendar, calendar
from devices.electricity import switch_calendar
from emulator.codecs.axdr import DATA

_OPEN: Final = None
"""Stands for `FOREVER`, the longest number of all and in every row. Not 0: a regime may last no time."""


_SMETS1: Final = Auxiliary()


def pack(ledger: Ledger, found: Calendar) -> list[Any] | None:
    """The regimes of a ledger whose home was found with `found`; None when nothing happened."""
    if ledger.natural and not ledger.regimes[0].follows:
        return None
    tables: list[list[bytes]] = []
    rows = []
    for regime in ledger.regimes:
        place = 0
        if regime.calendar is not found:
            place = _place(tables, [DATA.build(part) for part in regime.calendar.source])
        row: list[Any] = [
            regime.since,
            _OPEN if regime.until == FOREVER else regime.until - regime.since,
            [part for item in sorted((regime.register or {}).items()) for part in item],
            place,
            regime.flowing,
            [[hold.switch, hold.on, _OPEN if hold.until == FOREVER else hold.until] for hold in regime.holds],
            [sorted(rates) for rates in regime.follows],
        ]
        if regime.own is not None or regime.offsets or regime.contacts or regime.dark:
            own = 0 if regime.own is None else _place(tables, [DATA.build(part) for part in regime.own.source])
            row.append([own, list(regime.offsets), [int(contact) for contact in regime.contacts], regime.dark])
        rows.append(row)
    return [rows, tables]


def _place(tables: list[list[bytes]], written: list[bytes]) -> int:
    """Where these attributes stand among those kept, from 1."""
    if written not in tables:
        tables.append(written)
    return tables.index(written) + 1


def unpack(kept: Sequence[Any], found: Calendar, habits: Auxiliary = _SMETS1) -> list[Regime]:
    """The regimes back."""
    rows, tables = kept
    own = {
        row[7][0]: switch_calendar.compiled(habits, *(DATA.parse(part) for part in tables[row[7][0] - 1]))
        for row in rows
        if len(row) > 7 and row[7][0]
    }
    calendars = {
        row[3]: calendar(*(DATA.parse(part) for part in tables[row[3] - 1])) if row[3] else found for row in rows
    }
    return [_regime(number, row, calendars, own) for number, row in enumerate(rows)]


def _regime(
    number: int, row: Sequence[Any], calendars: Mapping[int, Calendar], own: Mapping[int, SwitchCalendar]
) -> Regime:
    since, lasted, register, place, flowing, holds, follows, *more = row
    written, offsets, contacts, dark = more[0] if more else (0, (), (), False)
    return Regime(
        since,
        FOREVER if lasted is _OPEN else since + lasted,
        dict(zip(register[::2], register[1::2], strict=True)) if number == 0 else None,
        calendars[place],
        flowing,
        tuple(Hold(switch, on, FOREVER if until is _OPEN else until) for switch, on, until in holds),
        tuple(frozenset(rates) for rates in follows),
        own.get(written),
        tuple(offsets),
        tuple(map(Contact, contacts)),
        dark,
    )
