"""Arithmetic on secrets: security contexts, AES-GCM, key wrap, ESP, derivation.

Thin and typed over the compiled core `emulator._native`; where that is missing, over `cryptography`, with the same
answers and the same refusals (tests hold the two together). `native/` and `fallback/` are the two backends, with the
same module names; the modules beside them are what the rest of the emulator imports. This room knows keys, counters and
titles; it does not know COSEM, policies or who may do what.
"""

from emulator.crypto.choice import Backend, backend

__all__ = ["Backend", "backend"]
