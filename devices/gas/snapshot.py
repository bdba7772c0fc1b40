"""What a gas meter's physics keeps in a row: the moments at which the flow was stopped or the clock set."""

from collections.abc import Sequence
from typing import Any

from devices.common.ledger import FOREVER, Ledger, Regime
from devices.common.tariff import FLAT


def pack(ledger: Ledger) -> list[Any] | None:
    """The regimes; None when nothing happened."""
    if ledger.natural:
        return None
    return [
        [
            regime.since,
            None if regime.until == FOREVER else regime.until - regime.since,
            (regime.register or {}).get(1, 0),
            regime.flowing,
        ]
        for regime in ledger.regimes
    ]


def unpack(kept: Sequence[Any]) -> list[Regime]:
    """The regimes back."""
    return [
        Regime(
            since,
            FOREVER if lasted is None else since + lasted,  # 0 is a regime that lasted no time
            {1: held} if number == 0 else None,
            FLAT.calendar,
            flowing,
        )
        for number, (since, lasted, held, flowing) in enumerate(kept)
    ]
