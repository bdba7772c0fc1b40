"""The ledger's sums, and the list of where three witnesses differ."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.dcc.campaign import Result
from emulator.dcc.ledger import Totals, line, totals
from emulator.dcc.verdict import CAUSE_CODES, CAUSE_NAMES, CAUSES, Outcome, Verdict
from emulator.fleet.rows import ROW


def columns(rows: list[dict[str, int]]) -> Any:
    """Rows by the names of their columns; what is not named is 0."""
    made = np.zeros(len(rows), ROW)
    for number, row in enumerate(rows):
        for name, value in row.items():
            made[number][name] = value
    return made


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "verdict": st.sampled_from([int(verdict) for verdict in Verdict]),
            "cause": st.integers(0, len(CAUSES) - 1),
            "attempts": st.integers(0, 5),
            "audited": st.integers(0, 2),
        }
    ),
    max_size=30,
)


@given(ROWS)
def test_sums_are_those_of_the_rows(rows: list[dict[str, int]]) -> None:
    """Counted one by one: verdicts, causes of those that have ended, audits, second attempts."""
    sums = totals(columns(rows))
    assert sums.installations == len(rows)
    for name, verdict in (
        ("migrated", Verdict.MIGRATED), ("failed", Verdict.FAILED), ("unrecoverable", Verdict.UNRECOVERABLE),
        ("pending", Verdict.PENDING),
    ):  # fmt: skip
        assert getattr(sums, name) == sum(row["verdict"] == verdict for row in rows)
    ended = [CAUSE_NAMES[row["cause"]] for row in rows if row["verdict"] != Verdict.PENDING]
    assert sums.by_cause == {cause: ended.count(cause) for cause in CAUSES if cause and cause in ended}
    assert sums.audited == sum(row["audited"] == 1 for row in rows)
    assert sums.astray == sum(row["audited"] == 2 for row in rows)
    assert sums.retried == sum(row["attempts"] > 1 for row in rows)


def test_a_line_is_one_home() -> None:
    """By its number, with words for codes."""
    made = columns(
        [{}, {"verdict": 2, "cause": CAUSE_CODES["MF2:no-wan"], "attempts": 5, "exchanges": 7, "audited": 1}]
    )
    entry = line(made, 4_096, 4_097)
    assert (entry.installation, entry.verdict, entry.cause) == (4_097, Verdict.FAILED, "MF2:no-wan")
    assert (entry.attempts, entry.exchanges, entry.audited) == (5, 7, True)


def test_an_outcome_needs_a_cause_of_the_table() -> None:
    """A cause nobody wrote down is a mistake of ours."""
    with pytest.raises(AssertionError, match="MF99"):
        Outcome(Verdict.FAILED, "MF99:because")
    assert set(CAUSE_CODES) == set(CAUSES)
    assert CAUSE_NAMES[0] == ""


def result(sums: dict[str, int], exchanges: tuple[int, int] = (9, 9)) -> Result:
    """A result with these sums and two counts of exchanges; everything else is empty."""
    own = {each.name: 0 for each in fields(Totals)} | {"by_cause": {}} | sums
    values: dict[str, Any] = dict.fromkeys(each.name for each in fields(Result))
    values |= {"totals": Totals(**own), "exchanges": exchanges[0], "logged_exchanges": exchanges[1]}
    return Result(**values)


GOOD = {"installations": 3, "migrated": 2, "failed": 1, "audited": 2}


@pytest.mark.parametrize(
    ("changed", "exchanges", "objections"),
    [
        ({}, (9, 9), []),
        ({"audited": 1}, (9, 9), ["the ledger says 2 migrated, the audit confirms 1"]),
        ({"audited": 3}, (9, 9), ["the ledger says 2 migrated, the audit confirms 3"]),
        ({"astray": 1}, (9, 9), ["the audit found 1 homes otherwise than the ledger says"]),
        ({"failed": 0, "pending": 1}, (9, 9), ["1 installations ended in no verdict"]),
        ({"failed": 2}, (9, 9), ["the verdicts do not add up to the installations"]),
        ({}, (9, 8), ["the head end counts 9 exchanges, the link's delivery log 8"]),
    ],
)
def test_every_difference_is_an_objection(
    changed: dict[str, int], exchanges: tuple[int, int], objections: list[str]
) -> None:
    """Agreement is an empty list; each disagreement is a sentence."""
    assert result(GOOD | changed, exchanges).objections == objections
