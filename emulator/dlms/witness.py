"""Who may look over a server's shoulder: every request as it comes, what was opened of it, and what was answered.

A witness changes nothing and is asked nothing. It exists because only the server sees both sides of the protection: the
bytes on the wire and the request inside. Whoever wants to know what a client does wrong (`emulator.watch`) is one; a
device has none unless somebody gave it one, and then its server looks once and goes its own way.
"""

from typing import Protocol

from emulator.dlms.association import Association
from emulator.dlms.cosem import Device
from emulator.kernel.effects import Instant


class Witness(Protocol):
    """Told in this order for every APDU: `hears`, then for a service that was let in `serves` and `served`, then
    `answers`. Nothing may be raised."""

    def forget(self, installation: int) -> None:
        """A home was put back to how it was found, or to how it stood earlier: its counters may begin anew."""

    def hears(
        self, device: Device, association: Association | None, client_sap: int, apdu: bytes, now: Instant
    ) -> None:
        """An APDU has come, nothing was done yet. `association` is the client's, open or being opened; None: none."""

    def serves(self, device: Device, association: Association, request: bytes, now: Instant) -> None:
        """A plain GET, SET or ACTION is about to be carried out."""

    def served(
        self, device: Device, association: Association, request: bytes, answer: bytes | None, now: Instant
    ) -> None:
        """It was; `answer` is plain too. Keys that it transferred are not in use yet."""

    def answers(self, device: Device, client_sap: int, apdu: bytes, answer: bytes | None, now: Instant) -> None:
        """The answer is about to leave, as it goes onto the wire (None: there is none); new keys are in use."""
