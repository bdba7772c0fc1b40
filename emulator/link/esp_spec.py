"""What one direction of a child SA is made of, and how much room it leaves in a packet.

The specification comes from IKE (`of_negotiated`) or from a table; the association made from it (`associate`) keeps the
sequence number and the window. Wireshark reads the same facts as a line of its table `esp_sa`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from emulator.crypto.esp_sa import SaBase, SaState, associate
from emulator.crypto.esp_suites import EspSuite, suite

if TYPE_CHECKING:
    from emulator.link.ike.effects import Keys, Negotiated
    from emulator.link.ike.suites import Suite

_IPV4: Final = 20
_UDP: Final = 8
_HEADER: Final = 8
_TRAILER: Final = 2


@dataclass(frozen=True, slots=True)
class SaSpec:
    """One direction. `suite` is a name of `crypto.esp_suites`; `integrity` is empty with an AEAD, `salt` with CBC."""

    spi: int
    suite: str
    key: bytes = field(repr=False)
    salt: bytes = field(default=b"", repr=False)
    integrity: bytes = field(default=b"", repr=False)
    esn: bool = False

    def associate(self, window: int = 64, strict_padding: bool = True, state: SaState | None = None) -> SaBase:
        """A fresh association, or one that goes on from a state. Raises InputError and UsageError."""
        return associate(
            self.suite, self.spi, self.key, self.salt, self.integrity,
            esn=self.esn, window=window, strict_padding=strict_padding, state=state,
        )  # fmt: skip


def of_negotiated(child: "Negotiated") -> tuple[SaSpec, SaSpec]:
    """What IKE agreed on: (outbound, inbound)."""
    return spec_of(child.spi_out, child.suite, child.outbound), spec_of(child.spi_in, child.suite, child.inbound)


def spec_of(spi: int, agreed: "Suite", keys: "Keys") -> SaSpec:
    """One direction, of an ESP suite as IKE names it and its keys."""
    name = agreed.encryption.name
    if agreed.integrity is not None:
        name += f"-{agreed.integrity.name}"
    return SaSpec(spi, name, keys.encryption, keys.salt, keys.integrity, agreed.esn)


def inner_mtu(name: str, mtu: int, *, encap: bool = False, tunnel: bool = True) -> int:
    """Bytes of the largest inner packet whose ESP packet fits `mtu`: 1446 for AES-GCM-16 and 1500, 1438 in UDP.

    The kernel's own figure. In transport mode the inner packet has the one IP header there is.
    """
    used: EspSuite = suite(name)
    text = mtu - _IPV4 - (_UDP if encap else 0) - _HEADER - used.iv - used.icv
    room = text // used.grain * used.grain - _TRAILER
    return room if tunnel else room + _IPV4


def wireshark_line(spec: SaSpec, source: str = "*", destination: str = "*") -> str | None:
    """One line of Wireshark's table `esp_sa`; addresses as people write them, `*` for any. None for a suite that
    Wireshark 4.0 does not open (ChaCha20-Poly1305): a line it cannot read would cost it the whole table.

    It has no room for the upper half of an extended sequence number: with ESN the ICV shows as bad.
    """
    used = suite(spec.suite)
    if not used.cipher_title:
        return None
    integrity = f"0x{spec.integrity.hex()}" if spec.integrity else ""
    fields = (
        "IPv4", source, destination, f"0x{spec.spi:08x}", used.cipher_title, f"0x{(spec.key + spec.salt).hex()}",
        used.integrity_title, integrity,
    )  # fmt: skip
    return ",".join(f'"{one}"' for one in fields)
