"""ESP packets from `cryptography`; rules as in `emulator.crypto.esp_sa`."""

from emulator.crypto.esp_general import GeneralSa
from emulator.crypto.esp_sa_base import SaState, check
from emulator.crypto.esp_suites import suite
from emulator.crypto.store import Key


class Sa(GeneralSa):
    """One security association, used in one direction."""

    __slots__ = ()

    def __init__(self, spi: int, key: Key, salt: bytes, *, state: SaState | None = None) -> None:
        check(spi, key, salt, state)
        super().__init__(suite(f"aes{len(key) * 8}gcm16"), spi, key, salt, state=state)
