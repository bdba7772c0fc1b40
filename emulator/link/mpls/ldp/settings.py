"""What can be set of an LDP speaker, and its timers with their standing."""

from dataclasses import dataclass

from emulator.errors import InputError
from emulator.link.mpls.habits import FIRST_FREE, HIGHEST


@dataclass(frozen=True, slots=True)
class Settings:
    """`router`: the identifier, an IPv4 address as an int; `transport`: where sessions end, None: the same.

    `hello_hold`: seconds a neighbour keeps us without a hello, 1 to 65,535 (65,535: for ever); RFC 5036 3.5.2 makes 15
    the default; hellos go out three times as often. `keepalive`: the same for a session; ASSUMED 180, as in FRR and
    most routers. `opening`: seconds a session may take to come up; ASSUMED, FRR's 15. `backoff`: seconds before the
    first and the longest wait before another try; RFC 5036 2.5.3 asks for at least 15 and 120. `max_pdu`: bytes, 256 to
    65,535 (RFC 5036 3.5.3: 4,096). `explicit_null`: own prefixes are advertised with the explicit null, so that the
    last router but one leaves a label on; else the implicit null, and it pops. `most`: labels and addresses kept of
    one peer; more are refused (no label resources). `first_label`: where our own begin.

    InputError: a number out of range.
    """

    router: int
    transport: int | None = None
    hello_hold: int = 15
    keepalive: int = 180
    opening: int = 15
    backoff: tuple[int, int] = (15, 120)
    max_pdu: int = 4096
    explicit_null: bool = False
    most: int = 100_000
    first_label: int = FIRST_FREE

    def __post_init__(self) -> None:
        ranges = (
            ("router", self.router, 1, (1 << 32) - 1),
            ("hello_hold", self.hello_hold, 1, 65_535),
            ("keepalive", self.keepalive, 1, 65_535),
            ("opening", self.opening, 1, 65_535),
            ("backoff", self.backoff[0], 1, self.backoff[1]),
            ("max_pdu", self.max_pdu, 256, 65_535),
            ("most", self.most, 1, 1 << 20),
            ("first_label", self.first_label, FIRST_FREE, HIGHEST),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:
                raise InputError(f"LDP: {name} is {value}; use {low} to {high}")

    @property
    def address(self) -> int:
        """Where sessions end."""
        return self.router if self.transport is None else self.transport
