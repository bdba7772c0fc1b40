"""Secrets of a run, as lines for Wireshark's tables (`ikev2_decryption_table` and `esp_sa`).

Only whoever asks for it has a `KeyLog`; nothing else of this package lets a secret out. The lines decrypt everything
that was sent, which for a simulated estate is what they are for.
"""

from emulator.link.ike.effects import Keys, Negotiated
from emulator.link.ike.keys import IkeKeys
from emulator.link.ike.suites import Suite

_NO_INTEGRITY = "NONE [RFC4306]"
_ESP = {
    ("gcm", 16): "AES-GCM with 16 octet ICV [RFC4106]",
    ("gcm", 8): "AES-GCM with 8 octet ICV [RFC4106]",
    ("cbc", 0): "AES-CBC [RFC3602]",
    ("chacha", 16): "ChaCha20 with Poly1305 [RFC7634]",
}
_ESP_INTEGRITY = {
    "sha256": "HMAC-SHA-256-128 [RFC4868]",
    "sha384": "HMAC-SHA-384-192 [RFC4868]",
    "sha512": "HMAC-SHA-512-256 [RFC4868]",
}


class KeyLog:
    """Lines in the order in which keys were made; each SA once, whichever end tells of it."""

    def __init__(self) -> None:
        self.ike_lines: list[str] = []
        self.esp_lines: list[str] = []

    def ike(self, spi_i: int, spi_r: int, suite: Suite, keys: IkeKeys) -> None:
        line = ikev2_line(spi_i, spi_r, suite, keys)
        if line not in self.ike_lines:
            self.ike_lines.append(line)

    def child(self, child: Negotiated) -> None:
        for line in esp_lines(child):
            if line not in self.esp_lines:
                self.esp_lines.append(line)

    @property
    def options(self) -> list[str]:
        """The preferences as arguments of tshark: `-o`, `uat:...`, and so on."""
        found = ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        for line in self.ike_lines:
            found += ["-o", f"uat:ikev2_decryption_table:{line}"]
        for line in self.esp_lines:
            found += ["-o", f"uat:esp_sa:{line}"]
        return found


def ikev2_line(spi_i: int, spi_r: int, suite: Suite, keys: IkeKeys) -> str:
    """One line of `ikev2_decryption_table`."""
    integrity = suite.integrity.title if suite.integrity else _NO_INTEGRITY
    return (
        f"{spi_i:016x},{spi_r:016x},{keys.ei.hex()},{keys.er.hex()},"
        f'"{suite.encryption.title}",{keys.ai.hex()},{keys.ar.hex()},"{integrity}"'
    )


def esp_lines(child: Negotiated) -> tuple[str, str]:
    """Two lines of `esp_sa`, in and out."""
    return _esp(child, child.spi_in, child.inbound), _esp(child, child.spi_out, child.outbound)


def _esp(child: Negotiated, spi: int, keys: Keys) -> str:
    cipher = child.suite.encryption
    name = _ESP[cipher.mode or "cbc", cipher.icv]
    integrity = _ESP_INTEGRITY[child.suite.integrity.digest] if child.suite.integrity else "NULL"
    key = f"0x{keys.integrity.hex()}" if keys.integrity else ""
    return f'"IPv4","*","*","0x{spi:08x}","{name}","0x{(keys.encryption + keys.salt).hex()}","{integrity}","{key}"'
