"""ESP security associations: `Sa(spi, key, salt)` over the core this process has. The promise is in `esp_sa_base`."""

from typing import TYPE_CHECKING

from emulator.crypto.choice import backend
from emulator.crypto.esp_sa_base import SaBase, SaState, Whole

if TYPE_CHECKING or backend() == "native":
    from emulator.crypto.native.esp_sa import Sa
else:
    from emulator.crypto.fallback.esp_sa import Sa

__all__ = ["Sa", "SaBase", "SaState", "Whole"]
