"""Security contexts: `ContextStore(capacity)` over the core this process has.

The promise is written in `emulator.crypto.store.StoreBase`; the two keepers of it are in `native/` and `fallback/`.
"""

from typing import TYPE_CHECKING

from emulator.crypto.buffers import BatchBuffers
from emulator.crypto.choice import backend
from emulator.crypto.layout import AUTHENTICATED, COUNTER_MAX, ENCRYPTED, PROTECTED, ContextState
from emulator.crypto.store import Key, StoreBase

if not TYPE_CHECKING and backend() == "native":
    from emulator.crypto.native.store import ContextStore
else:  # also what is compiled goes by, so that it counts on neither
    from emulator.crypto.fallback.store import ContextStore

__all__ = [
    "AUTHENTICATED", "COUNTER_MAX", "ENCRYPTED", "PROTECTED", "BatchBuffers", "ContextState", "ContextStore", "Key",
    "StoreBase",
]  # fmt: skip
