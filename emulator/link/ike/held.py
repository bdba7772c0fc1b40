"""What an IKE SA holds: its state, its children, the request it waits on an answer to."""

from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Literal, TypeAlias

from emulator.kernel.effects import Instant
from emulator.link.ike.effects import Address, Negotiated
from emulator.link.ike.settings import Child

if TYPE_CHECKING:
    from emulator.link.ike.tasks import Task

State: TypeAlias = Literal["init", "auth", "half-open", "up", "replaced", "closing", "down"]
"""init, auth: we wait for the answer to IKE_SA_INIT, IKE_AUTH. half-open: the peer has yet to prove itself. replaced:
rekeyed, its children gone to another. closing: we have asked for its end."""
ChildState: TypeAlias = Literal["up", "rekeying", "replaced", "closing"]


@dataclass(slots=True, eq=False)
class ChildSa:
    """A child as its IKE SA keeps it. Times are instants; `expire_at` is when it is closed if no rekey replaced it."""

    config: Child
    negotiated: Negotiated
    rekey_at: Instant
    expire_at: Instant
    state: ChildState = "up"

    @property
    def spi_in(self) -> int:
        return self.negotiated.spi_in

    @property
    def spi_out(self) -> int:
        return self.negotiated.spi_out


@dataclass(slots=True)
class Outstanding:
    """Our request on its way. `due`: when to send it again, or give up."""

    task: "Task"
    exchange: int
    message_id: int
    datagrams: list[bytes]
    due: Instant
    sent: int = 1


def nat_hash(spis: bytes, address: Address) -> bytes:
    """SHA1(SPIi | SPIr | address | port)."""
    words = spis + address.ip.to_bytes(4, "big") + address.port.to_bytes(2, "big")
    return sha1(words, usedforsecurity=False).digest()
