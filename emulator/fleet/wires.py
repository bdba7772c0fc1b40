"""The wires of a cell: what lies behind each party's port, put together from the rooms that know.

    head end WAN    down the core link (chain), then through the air, to the hub's WAN
    hub WAN, ALERTS through the air, then up the core link, to the head end's WAN or alert port
    head end SMS    a short message through the air
    hub HAN.*       the radio link to one device, and back

Two legs each way on the WAN, because they are different things: the core link keeps order and carries tunnels with
replay windows, the air does neither. An alert leaves the hub with four bytes of IPv4 address and two of port in front,
as its destination is set in the device and not in the wiring.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from emulator.kernel.effects import ALERTS, HAN, SMS, WAN, Instant, Note, Port
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Party
from emulator.link.air import COVERED, Air, Coverage
from emulator.link.chain import Chain, Delivered, Refusal

COSEM_PORT: Final = 4059
ALERT_SOURCE_PORT: Final = 49_152
OVERHEARD: Final[Port] = "alerts.overheard"
"""The port at which a head end that stands for every operator hears what is addressed to the others."""

_HEADEND: Final = Party.HEADEND
_ALERT_PREFIX: Final = 6

PARTIES: Final = 8
"""Room for the parties of a home: a device's radio link is known by home * PARTIES + party."""

Coverages = dict[int, Coverage]
"""Installation -> its hub's radio coverage, for those that have gaps in it."""


class RadioLink(Protocol):
    """A home's radio link to one device: when a frame comes out at the other end; see `HanLink`."""

    def down(self, now: Instant, number: int) -> list[int]: ...

    def up(self, now: Instant, number: int) -> list[int]: ...


class WanDown:
    """Head end to hub."""

    stages: Final = 2
    hears: Final = (Party.HUB, WAN)
    __slots__ = ("_air", "_chain", "_coverages", "_journal")

    def __init__(self, chain: Chain, air: Air, coverages: Coverages, journal: Journal) -> None:
        self._chain = chain
        self._air = air
        self._coverages = coverages
        self._journal = journal

    def carry(self, stage: int, installation: int, payload: bytes, now: Instant, number: int) -> Any:
        if stage == 0:
            return self._chain.offer_down(installation, COSEM_PORT, COSEM_PORT, payload, now, number)
        heard = self._chain.deliver_down(payload, now)
        if type(heard) is not Delivered:
            if isinstance(heard, Refusal):
                self._journal.note(now, installation, Party.HUB, Note("link.refused", (heard.reason, heard.detail)))
            return ()
        frame = heard.frame
        delays = self._air.down(installation, now, number, self._coverages.get(installation, COVERED))
        # A comprehension is a call of its own, and almost always there is one delay.
        return [(delays[0], frame)] if len(delays) == 1 else [(delay, frame) for delay in delays]

    def arrive(self, installation: int, payload: bytes, now: Instant) -> tuple[int, Port, bytes] | None:
        return Party.HUB, WAN, payload


class WanUp:
    """Hub to head end; `alerts` wires take the destination from the frame's first six bytes. With `overhears` what goes
    to another operator's address is heard at `OVERHEARD`; else it is delivered there, and nobody here hears it."""

    stages: Final = 2
    hears: Final = None
    __slots__ = ("_air", "_alerts", "_chain", "_coverages", "_head_end", "_journal", "overhears")

    def __init__(self, chain: Chain, air: Air, coverages: Coverages, journal: Journal, *, alerts: bool) -> None:
        self._chain = chain
        self._air = air
        self._coverages = coverages
        self._journal = journal
        self._alerts = alerts
        self._head_end = chain.profile.head_end
        self.overhears = False

    def carry(self, stage: int, installation: int, payload: bytes, now: Instant, number: int) -> Any:
        if stage == 0:
            delays = self._air.up(installation, now, number, self._coverages.get(installation, COVERED))
            return [(delays[0], payload)] if len(delays) == 1 else [(delay, payload) for delay in delays]
        if not self._alerts:
            return self._chain.offer_up(installation, self._head_end, COSEM_PORT, COSEM_PORT, payload, now, number)
        address = int.from_bytes(payload[:4], "big")
        port = int.from_bytes(payload[4:_ALERT_PREFIX], "big")
        frame = payload[_ALERT_PREFIX:]
        return self._chain.offer_up(installation, address, ALERT_SOURCE_PORT, port, frame, now, number)

    def arrive(self, installation: int, payload: bytes, now: Instant) -> tuple[int, Port, bytes] | None:
        heard = self._chain.deliver_up(payload, now)
        if type(heard) is not Delivered:
            if isinstance(heard, Refusal):
                self._journal.note(now, installation, Party.HEADEND, Note("link.refused", (heard.reason, heard.detail)))
            return None
        if heard.destination_ip != self._head_end:
            self._journal.note(now, installation, Party.HEADEND, Note("link.elsewhere", (heard.destination_ip,)))
            return (Party.HEADEND, OVERHEARD, heard.frame) if self.overhears else None
        port = WAN if heard.destination_port == COSEM_PORT else ALERTS
        return _HEADEND, port, heard.frame


class ShortMessage:
    """Head end to hub, by SMS."""

    stages: Final = 1
    hears: Final = (Party.HUB, SMS)
    __slots__ = ("_air", "_coverages")

    def __init__(self, air: Air, coverages: Coverages) -> None:
        self._air = air
        self._coverages = coverages

    def carry(self, stage: int, installation: int, payload: bytes, now: Instant, number: int) -> Any:
        coverage = self._coverages.get(installation, COVERED)
        return [(delay, payload) for delay in self._air.sms(installation, now, number, coverage)]

    def arrive(self, installation: int, payload: bytes, now: Instant) -> tuple[int, Port, bytes] | None:
        return Party.HUB, SMS, payload


class Radio:
    """One way over the HAN between the hub and one device. `known` are the links there are, by home * PARTIES + party;
    `links` makes the one that is not among them."""

    stages: Final = 1
    __slots__ = ("_device", "_down", "_journal", "_known", "_links", "_party", "hears")

    def __init__(
        self,
        known: Mapping[int, RadioLink],
        links: Callable[[int, Party], RadioLink],
        party: Party,
        *,
        down: bool,
        hub_port: Port,
        journal: Journal,
    ) -> None:
        self._known = known
        self._links = links
        self._party = party
        self._device = int(party)
        self._down = down
        self.hears = (party, HAN) if down else (Party.HUB, hub_port)
        self._journal = journal

    def carry(self, stage: int, installation: int, payload: bytes, now: Instant, number: int) -> Any:
        link = self._known.get(installation * PARTIES + self._device)
        if link is None:
            link = self._links(installation, self._party)
        delays = link.down(now, number) if self._down else link.up(now, number)
        if not delays:
            self._journal.note(now, installation, self._party, Note("han.lost", (self._down,)))
        return [(delays[0], payload)] if len(delays) == 1 else [(delay, payload) for delay in delays]

    def arrive(self, installation: int, payload: bytes, now: Instant) -> tuple[int, Port, bytes] | None:
        return *self.hears, payload
