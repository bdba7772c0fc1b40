"""What a fault is: its name, its public settings, and the points at which it may strike.

A fault is data. The machines, wires and keepers ask the cell's `Mischief` at the points below; a fault that strikes
there decides what comes of it, from what it is told and from keyed luck, and touches nothing else. On a wire it turns a
frame into `[(delay, frame), ...]` (none is loss, two a duplicate); in a device it turns an intent into an outcome.

The fields here are common to all and say whom, when and how often; a subclass adds its own. Every field's annotation
carries its range and unit, so that lists, forms and schemas are made from the code.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from emulator.kernel.machine import Party


class Point(StrEnum):
    """Where a fault may strike, and what is asked there (see the module that asks)."""

    TOUCH = "touch"
    """A device is about to be used: change how it stands."""
    REQUEST = "request"
    """A device has received a request and not yet looked at it."""
    MISMATCH = "mismatch"
    """A request's counter or tag does not hold: how does the device react?"""
    KEY_TRANSFER = "key-transfer"
    """A device has unwrapped the keys of a transfer and is about to accept them."""
    KEY_WRITE = "key-write"
    """A device is about to write keys into its non-volatile memory."""
    ANSWER = "answer"
    """A device has carried out a request and is about to answer."""
    CLOCK = "clock"
    """A client is about to set a device's clock."""
    POWER_UP = "power-up"
    """The mains are back."""
    SWITCH = "switch"
    """An auxiliary switch is about to move, or is asked for its state."""
    HUB = "hub"
    """The hub hears a short message, attaches, takes a frame into its memory, or is asked for its mirror; the
    occasion is one of the words of `emulator.faults.hub`."""
    WAN_DOWN = "wan-down"
    WAN_UP = "wan-up"
    """A frame is put on the air, towards the hub or from it."""
    SMS = "sms"
    """A short message is put on the air."""
    HAN = "han"
    """How a device stands to the home network is asked, or its radio is used."""
    CORE = "core"
    """A frame is put on the core link between the data centre and the mobile operator."""
    LINK = "link"
    """A packet is on its way over the core link, the air, or as a short message (see `emulator.fleet.impaired`)."""
    STREAM = "stream"
    """A client has made a TCP connection to a home of a served estate."""
    HELD = "held"
    """A device's machine is made from its row: what it holds may be exchanged before anybody uses it."""
    KEEPER = "keeper"
    """A keeper of keys is asked to remember, to tell, or to countersign."""


DeviceName: TypeAlias = Literal["hub", "electricity", "gas", "ihd"]

PARTIES: dict[str, Party] = {
    "hub": Party.HUB,
    "electricity": Party.ELECTRICITY,
    "gas": Party.GAS,
    "ihd": Party.IHD,
}

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000, description="seconds of virtual time")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Root of all faults.

    `installation`: whom; none: every installation of which `share` (0 to 1, by the seed) is struck. `device`: which of
    its devices; none: any. `after_s`: seconds after it was put in force from which it may strike; `seconds`: for how
    long from then on; 0: until cleared. `skip`: how many occasions it lets pass first, `times`: how often it strikes
    then; 0: without limit; both counted for each installation. `chance`: with which probability it takes an occasion.
    """

    name: ClassVar[str] = ""
    """By which it is asked for everywhere: lower case, words joined by hyphens."""
    row: ClassVar[str] = ""
    """Its row in the table of faults: F1 to F20, or K1 onwards for the keepers'."""
    points: ClassVar[frozenset[Point]] = frozenset()
    files: ClassVar[frozenset[str]] = frozenset()
    """Fields that may name a file: whoever asks from afar may not, as it would be read on another machine than his."""
    example: ClassVar[dict[str, Any]] = {}
    """Settings that show what it is for."""

    installation: Annotated[int, Meta(ge=0, description="installation; none: see share")] | None = None
    share: Annotated[float, Meta(ge=0, le=1, description="share of installations, by the seed")] = 1.0
    device: DeviceName | None = None
    after_s: Seconds = 0
    seconds: Seconds = 0
    skip: Annotated[int, Meta(ge=0, le=1_000_000, description="occasions let pass first")] = 0
    times: Annotated[int, Meta(ge=0, le=1_000_000, description="strikes an installation; 0: no limit")] = 0
    chance: Annotated[float, Meta(ge=0, le=1, description="probability an occasion")] = 1.0

    def wants(self, point: Point, occasion: Any) -> bool:
        """Whether an occasion is of its kind: others are not counted. `occasion` is what the point tells."""
        return True
