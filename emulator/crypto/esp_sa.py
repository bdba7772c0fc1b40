"""ESP security associations over the core this process has. The promise is in `esp_sa_base`.

`Sa(spi, key, salt)` is AES-GCM-16 without extended sequence numbers and with a window of 64: one call of the compiled
core a packet. `associate` makes one of any suite, and that very one where it will do.
"""

from typing import TYPE_CHECKING

from emulator.crypto.choice import backend
from emulator.crypto.esp_general import GeneralSa
from emulator.crypto.esp_sa_base import WINDOW, SaBase, SaState, Whole
from emulator.crypto.esp_suites import suite as suite_named
from emulator.crypto.store import Key

if not TYPE_CHECKING and backend() == "native":
    from emulator.crypto.native.esp_sa import Sa
else:  # also what is compiled goes by, so that it counts on neither
    from emulator.crypto.fallback.esp_sa import Sa

__all__ = ["Sa", "SaBase", "SaState", "Whole", "associate"]

_FUSED = ("aes128gcm16", "aes256gcm16")


def associate(
    suite: str,
    spi: int,
    key: Key,
    salt: bytes = b"",
    integrity: Key = b"",
    *,
    esn: bool = False,
    window: int = WINDOW,
    strict_padding: bool = True,
    state: SaState | None = None,
) -> SaBase:
    """An association of one direction. `suite` is a name of `esp_suites.SUITES` (InputError: it is not).

    `esn`: extended sequence numbers. `window`: of anti-replay, 1 to 65,536, or 0 for none. `strict_padding`: whether an
    authentic packet whose padding is not 1, 2, 3, ... is refused. Raises UsageError for keys of other sizes than the
    suite's, or a state that is none.
    """
    chosen = suite_named(suite)
    if suite in _FUSED and not esn and window == WINDOW and strict_padding and len(key) == chosen.key:
        return Sa(spi, key, salt, state=state)
    return GeneralSa(
        chosen, spi, key, salt, integrity, esn=esn, window=window, strict_padding=strict_padding, state=state
    )
