"""The book of the SMETS1 service provider: what it keeps of a device that the device itself does not hold.

Four notified certificate ids, the floor of their counters, the device's status in the inventory and the image most
recently verified (FACT that these exist for a SMETS1 device; that they are kept here and not in the meter: INFERENCE).
A device of which nothing was ever written stands as found: its status is a setting, its certificates are its supplier's
and its network operator's, drawn from their names. Only what changed takes memory.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from emulator.fleet.installation import Installation
from emulator.headend.steps.papers import Prenotified
from emulator.kernel.machine import Party

Status: TypeAlias = Literal[
    "Pending", "Whitelisted", "InstalledNotCommissioned", "Commissioned", "Decommissioned", "Withdrawn", "Suspended"
]
Owner: TypeAlias = Literal["supplier", "network-operator"]

ISSUER: Final = "Z1"
"""Common name that stands for the issuing authority in a drawn certificate id. ASSUMED."""


@dataclass(slots=True)
class Entry:
    """One device in the book. `certificates` is (owner, critical) -> "serial/issuer"; `floors` owner -> the lowest
    counter that counts."""

    status: Status
    certificates: dict[tuple[Owner, bool], str]
    floors: dict[Owner, int] = field(default_factory=dict)
    image: str = ""
    """What the last image called itself that the device found good."""


class Book:
    """The book for one estate."""

    def __init__(self, status_as_found: Status) -> None:
        self._as_found = status_as_found
        self._entries: dict[tuple[int, Party], Entry] = {}
        self.prenotified: dict[str, Prenotified] = {}
        """By EUI-64 in hex: devices that are to come."""

    def entry(self, home: Installation, party: Party) -> Entry:
        """What is kept of a device, to be read or changed."""
        found = self._entries.get((home.number, party))
        if found is None:
            found = self._entries[home.number, party] = Entry(self._as_found, as_found(home))
        return found

    def forget(self, installation: int | None = None) -> None:
        """What was written of an installation, or of all, is as if it had never been."""
        if installation is None:
            self._entries.clear()
            self.prenotified.clear()
        for key in [key for key in self._entries if key[0] == installation]:
            del self._entries[key]


def as_found(home: Installation) -> dict[tuple[Owner, bool], str]:
    """The four notified certificate ids of a home's meters, one set a party and not a set a home."""
    found: dict[tuple[Owner, bool], str] = {}
    parties: tuple[tuple[Owner, str], ...] = (("supplier", home.supplier), ("network-operator", home.region))
    for owner, name in parties:
        for critical in (True, False):
            found[owner, critical] = certificate_id(name, critical)
    return found


def certificate_id(name: str, critical: bool) -> str:
    """The certificate id that a party of this name has, unless told otherwise."""
    digest = blake2b(f"certificate|{name}|{critical}".encode(), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big')}/{ISSUER}"
