"""Verdicts and causes: how a migration of one installation ends, and the table of why.

Every installation ends in exactly one verdict. Causes are the published failure families (MF1 to MF13) with a detail of
our own behind a colon; the families' names are public, their numbering and these codes are this project's, as the
official error codes are not public (only GT01 is).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Verdict(IntEnum):
    """PENDING is not an end: a run that leaves one pending has failed."""

    PENDING = 0
    MIGRATED = 1
    FAILED = 2
    UNRECOVERABLE = 3


CAUSES: Final[dict[str, str]] = {
    "": "as planned",
    "MF1:no-master-key": "the old operator holds no master key for a device",
    "MF2:no-wan": "no WAN contact since before the migration; never prepared",
    "MF3:wan-lost": "WAN contact was lost during the migration",
    "MF5:GT01": "the gas meter's HAN link is lost (GT01); migrated electricity only",
    "MF9:unknown-device": "validation: a device is not in the inventory",
    "MF9:mpxn-mismatch": "validation: MPAN or MPRN differ between the file and the inventory",
    "MF9:not-on-epcl": "validation: the device combination is not on the list of eligible products",
    "MF9:inventory-conflict": "validation: the inventory has a device at another installation or status",
    "MF10:wrong-key": "viability: a device refuses the keys handed over",
    "MF10:counter": "viability: a device refuses every invocation counter",
    "MF10:firmware": "viability: a device runs firmware that is not approved",
    "MF10:configuration": "viability: a device is not configured as recorded",
    "MF10:refused": "viability: a device refused a service it must offer",
    "MF13:keys-lost": "no keeper holds a key the device accepts",
    "AUX:behaviour": "an auxiliary switch did not follow its switching times after the migration",
    "ALERT:silent": "no alert arrived at the new destination",
    "MF1:smso-closed": "the old operator's record was closed before it was taken over",
    "MF1:master-key-refused": "a device works under the keys handed over and takes no master key that is known",
    "MF13:master-lost": "no keeper holds the master key of a device: it is read, and can never be re-keyed",
    "CUSTODY:refused": "a keeper of keys was silent or refused to countersign: nothing was sent",
    "CUSTODY:locked": "another head end was changing a device's keys",
}
"""Cause to its text. The position in this table is the code kept in the ledger's column."""

CAUSE_CODES: Final = {cause: code for code, cause in enumerate(CAUSES)}
CAUSE_NAMES: Final = tuple(CAUSES)


@dataclass(slots=True)
class Outcome:
    """How one attempt, or in the end one installation, came out. `switches` is how many auxiliary switches were seen to
    follow their times across a real switching time, under the new keys."""

    verdict: Verdict
    cause: str
    switches: int = 0

    def __post_init__(self) -> None:
        assert self.cause in CAUSE_CODES, f"{self.cause!r} is not in the table of causes"
