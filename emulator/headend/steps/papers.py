"""What is asked by the services that no SMETS1 device ever sees: 6.15.1, 6.23 and 12.2.

The credentials of a SMETS1 device are four notified certificate ids, serial number and issuer, kept by the S1SP and
not in the meter (FACT that there are four; that the meter has none: INFERENCE). So their replacement is an entry in a
book, and so is the pre-notification of a device; `emulator/dcc/s1sp.py` keeps the book.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

CertificateId = Annotated[
    str, Meta(pattern="^[0-9]{1,40}/.{1,100}$", description="serial number/issuer common name: 4711/Z1")
]
Floor = Annotated[int, Meta(ge=0, le=2**63 - 1, description="floor sequence number")]


@dataclass(frozen=True, slots=True)
class Credentials:
    """6.15.1: a party's certificates are replaced by others of its own. `floor`: counters below it count no more;
    null leaves it."""

    owner: Literal["supplier", "network-operator"]
    critical: CertificateId
    non_critical: CertificateId
    floor: Floor | None = None


@dataclass(frozen=True, slots=True)
class ChangeOfSupplier:
    """6.23: the new supplier's certificates take the old one's place. `mpxn` is the import meter point the new supplier
    is registered for."""

    mpxn: Annotated[str, Meta(pattern="^[0-9]{1,13}$", description="1 to 13 digits")]
    critical: CertificateId
    non_critical: CertificateId
    floor: Floor


@dataclass(frozen=True, slots=True)
class Prenotified:
    """12.2: a device that is to come."""

    eui64: Annotated[str, Meta(pattern="^[0-9a-fA-F]{16}$", description="16 hex digits")]
    kind: Literal["ESME", "GSME", "CHF", "IHD", "PPMID"]
    manufacturer: Annotated[str, Meta(min_length=1, max_length=30)]
    model: Annotated[str, Meta(min_length=1, max_length=30)]
    firmware: Annotated[str, Meta(min_length=1, max_length=8)]
