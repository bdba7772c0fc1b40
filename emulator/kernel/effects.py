"""What a machine may say: three effects.

A machine never calls another one. It answers with effects and the world carries them out, so the same machine runs
in virtual time and on real sockets, and every byte between two machines passes one place.

Effects are structs: their constructor is C, 60 ns where a dataclass takes 175, and an exchange makes six of them.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00Z. Always an argument, never asked for."""

Port: TypeAlias = str
"""A machine's socket, by name. The constants below are the only ones used."""

WAN: Final = "wan"
SMS: Final = "sms"
ALERTS: Final = "alerts"
HAN: Final = "han"
HAN_ELECTRICITY: Final = "han.electricity"
HAN_GAS: Final = "han.gas"
HAN_IHD: Final = "han.ihd"


class Send(msgspec.Struct, gc=False):
    """Put `frame` on the wire behind `port`."""

    port: Port
    frame: bytes


class Wake(msgspec.Struct, gc=False):
    """Call `wake(at)` on this machine. An early or repeated wake is harmless: machines check their own deadlines."""

    at: Instant


class Note(msgspec.Struct, gc=False):
    """Something worth knowing: hashed and counted by the journal, kept only when a sink asks.

    `kind` is a dotted name such as "relay.opened"; `detail` holds plain ints, strings, bytes and tuples of them,
    so that its bytes in the journal's hash are the same on every Python. Never a key.
    """

    kind: str
    detail: tuple[Any, ...] = ()


Effect: TypeAlias = Send | Wake | Note
Effects: TypeAlias = Sequence[Effect]
