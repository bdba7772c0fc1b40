"""The links of a cell with impairments on them: which are in force for a packet, and what they remember.

A fault of the catalogue says what is wanted (`faults.link_impairment`), a model of `link.impairments` does it; here the
one is made from the other, one model for each link and direction: the cell's core link, each home's bearer, each home's
short messages. What models remember is kept with the fault in force, so it ends with it, and a second one moves nothing
of the first's: chance is keyed by the fault's number, the link and the direction, and each counts its packets alone.

A fault meets the packets of the homes it is about, from its beginning to its end, those that its `chance` takes. A
strike is a packet that does not come out as it went in; one that is only late counts, but is not noted.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final, Literal, TypeAlias

from emulator.faults.fault import Point
from emulator.faults.link_impairment import LinkDelay, LinkImpairment, LinkNat, Where
from emulator.faults.link_presets import LinkPreset, preset
from emulator.faults.link_shaping import LinkDown
from emulator.faults.mischief import Armed, Mischief
from emulator.kernel.effects import Instant, Note
from emulator.kernel.journal import Journal
from emulator.kernel.machine import Party
from emulator.kernel.time import SECOND
from emulator.link.impairments.base import Carried, Impairment, Luck
from emulator.link.impairments.models import make
from emulator.link.impairments.modes import Mode, Modes
from emulator.link.impairments.pipeline import CHANGED, UNTOUCHED, Member, through
from emulator.link.impairments.translated import Translated
from emulator.link.nat import Nat, NatSettings
from emulator.link.profile import Direction

Fate: TypeAlias = tuple[Carried, list[bytes]]
"""What comes out at the other end, with delays from now; and what goes back to the sender."""

_CORE: Final = -1
"""Under this number a fault remembers what it knows of the cell's core link; homes have theirs."""

_WAYS: Final[tuple[Literal["down", "up"], ...]] = ("down", "up")
_KEYS: Final[dict[Where, tuple[str, str]]] = {
    "core": ("core down", "core up"),
    "air": ("air down", "air up"),
    "sms": ("sms down", "sms up"),
}
"""Under what a fault remembers the models of a link and direction."""


class Placed(Member):
    """An impairment of a fault in force. `instead`: its delay stands in place of the link's own."""

    __slots__ = ("armed", "instead")

    def __init__(self, model: Impairment, armed: Armed, instead: bool) -> None:
        super().__init__(model)
        self.armed = armed
        self.instead = instead


class Impaired:
    """All links of a cell. `cell` names its core link; `seed` is the estate's; `kept_us`: how often its gateways talk
    when there is nothing to carry (see `link.nat`)."""

    __slots__ = ("_cell", "_journal", "_kept_us", "_mischief", "_seed")

    def __init__(self, mischief: Mischief, journal: Journal, seed: int, cell: int, kept_us: int = 0) -> None:
        self._kept_us = kept_us
        self._mischief = mischief
        self._journal = journal
        self._seed = seed
        self._cell = cell

    def core(self, direction: Direction, installation: int, packet: bytes, now: Instant, usual: int) -> Fate | None:
        """What becomes of a packet on the core link that would be there after `usual` µs; None: nothing happens."""
        return self.cross("core", direction, installation, packet, now, usual)

    def cross(
        self, where: Where, direction: Direction, installation: int, packet: bytes, now: Instant, usual: int
    ) -> Fate | None:
        """As `core`, on any way: "air" and "sms" are the home's own."""
        members: list[Placed] = []
        for armed in self._mischief.at(Point.LINK):
            if self._mischief.meets(armed, installation, now):
                found = self._members(armed, where, direction, installation)
                members = members + found if members else found
        if not members:
            return None
        for member in members:
            if member.instead:
                usual = 0
        carried = through(members, packet, now + usual)
        returned: list[bytes] = []
        struck, did = members[0].armed, UNTOUCHED
        for member in members:  # those of one fault stand together
            if member.did:
                if member.armed is not struck:
                    self._strike(struck, did, installation, now)
                    struck, did = member.armed, UNTOUCHED
                if member.did > did:
                    did = member.did
                if did == CHANGED:
                    returned += member.model.returned()
        self._strike(struck, did, installation, now)
        return ([(usual + delay, each) for delay, each in carried] if usual else carried), returned

    def _strike(self, armed: Armed, did: int, installation: int, now: Instant) -> None:
        """Count what a fault did to a packet, and note what is more than a delay."""
        if did:
            self._mischief.struck(armed, installation)
        if did == CHANGED:
            self._journal.note(now, installation, Party.HUB, Note("fault.fired", (armed.number, armed.fault.name)))

    def _members(self, armed: Armed, where: Where, direction: Direction, installation: int) -> list[Placed]:
        memory = armed.recall(_CORE if where == "core" else installation)
        key = _KEYS[where][direction]
        found: list[Placed] | None = memory.get(key)
        if found is None:
            link = self._cell if where == "core" else installation
            found = memory[key] = self._placed(armed, where, direction, link)
        return found

    def _placed(self, armed: Armed, where: Where, direction: Direction, link: int) -> list[Placed]:
        """The models of a fault on one link, one way; new."""
        fault = armed.fault
        if isinstance(fault, LinkPreset):
            chosen = preset(fault.preset)
            found = self._several(armed, chosen.impairments, "", where, direction, link)
            modes = []
            for mode in chosen.modes:
                place = f".{mode.name}"
                inside = self._several(armed, mode.impairments, place, where, direction, link)
                models = [member.model for member in inside]
                modes.append(Mode(mode.name, mode.seconds, mode.spread, mode.following, models))
            if any(mode.impairments for mode in modes):
                # Both directions are in one mode: the stays are the link's.
                luck = Luck(self._seed, f"link.{where}.{armed.number}.modes", link)
                found.append(Placed(Modes(luck, modes=modes, since=armed.since), armed, instead=False))
            return found
        assert isinstance(fault, LinkImpairment)
        return self._several(armed, (fault,), "", where, direction, link)

    def _several(
        self,
        armed: Armed,
        faults: Sequence[LinkImpairment],
        place: str,
        where: Where,
        direction: Direction,
        link: int,
    ) -> list[Placed]:
        found = []
        for index, fault in enumerate(faults):
            if fault.where == where and fault.way in ("both", _WAYS[direction]):
                luck = Luck(self._seed, f"link.{where}.{_WAYS[direction]}.{armed.number}{place}.{index}", link)
                model = self._model(armed, fault, luck, direction)
                found.append(Placed(model, armed, isinstance(fault, LinkDelay) and fault.instead))
        return found

    def _model(self, armed: Armed, fault: LinkImpairment, luck: Luck, direction: Direction) -> Impairment:
        arguments = fault.arguments()
        if isinstance(fault, LinkDown):
            arguments["since"] = armed.since
        if isinstance(fault, LinkNat):
            memory = armed.recall(_CORE)
            nat = memory.get("nat")
            if nat is None:
                settings = NatSettings(
                    round(fault.mapping_s * SECOND),
                    fault.filtering,
                    keep_port=fault.keep_port,
                    esp=fault.esp,
                    kept_us=self._kept_us,
                )
                nat = memory["nat"] = Nat(self._seed, self._cell, int(IPv4Address(fault.public)), settings)
            outward = (direction is Direction.DOWN) == (fault.behind == "data-centre")
            return Translated(nat, outward=outward, rebind_s=fault.rebind_s)
        return make(fault.model, luck, arguments)
