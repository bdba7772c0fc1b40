"""Secrets of a run, as lines for Wireshark's tables (`ikev2_decryption_table` and `esp_sa`).

Only whoever asks for it has a `KeyLog`; nothing else of this package lets a secret out. The lines decrypt everything
that was sent, which for a simulated estate is what they are for. What Wireshark 4.0 has no name for
(ChaCha20-Poly1305) gets no line: one that it cannot read would cost it the whole table.
"""

from emulator.link.esp_spec import of_negotiated, wireshark_line
from emulator.link.ike.effects import Negotiated
from emulator.link.ike.keys import IkeKeys
from emulator.link.ike.suites import Suite

_NO_INTEGRITY = "NONE [RFC4306]"


class KeyLog:
    """Lines in the order in which keys were made; each SA once, whichever end tells of it."""

    def __init__(self) -> None:
        self._ike: dict[str, None] = {}
        self._esp: dict[str, None] = {}

    def ike(self, spi_i: int, spi_r: int, suite: Suite, keys: IkeKeys) -> None:
        line = ikev2_line(spi_i, spi_r, suite, keys)
        if line is not None:
            self._ike[line] = None

    def child(self, child: Negotiated) -> None:
        for spec in sorted(of_negotiated(child), key=lambda one: one.spi):
            line = wireshark_line(spec)
            if line is not None:
                self._esp[line] = None

    @property
    def ike_lines(self) -> list[str]:
        """Of `ikev2_decryption_table`."""
        return list(self._ike)

    @property
    def esp_lines(self) -> list[str]:
        """Of `esp_sa`."""
        return list(self._esp)

    @property
    def options(self) -> list[str]:
        """The preferences as arguments of tshark: `-o`, `uat:...`, and so on."""
        found = ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        for line in self._ike:
            found += ["-o", f"uat:ikev2_decryption_table:{line}"]
        for line in self._esp:
            found += ["-o", f"uat:esp_sa:{line}"]
        return found


def ikev2_line(spi_i: int, spi_r: int, suite: Suite, keys: IkeKeys) -> str | None:
    """One line of `ikev2_decryption_table`; None for a cipher it does not know."""
    if not suite.encryption.title:
        return None
    integrity = suite.integrity.title if suite.integrity else _NO_INTEGRITY
    return (
        f"{spi_i:016x},{spi_r:016x},{keys.ei.hex()},{keys.er.hex()},"
        f'"{suite.encryption.title}",{keys.ai.hex()},{keys.ar.hex()},"{integrity}"'
    )
