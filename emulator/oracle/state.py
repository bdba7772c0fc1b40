"""What matters of a device, its keepers and the head end that talks for them: small, abstract and hashable.

A key is a *position* among the generations somebody ever issued for the device: 0 is the one the keepers believe to be
live, 1 onwards are the others they may still know (a candidate first, then earlier ones), `NEW` is one that is issued
while healing. A key in the device that is none of them is `FOREIGN`; one that its memory has lost is `CORRUPT`.

Counters are *rooms*: how many more messages the device takes from us, or can answer, under the EK it has. From `PLENTY`
on they are not counted. A room may be small for the device's counter or for ours: both count towards the same end.

Keepers: a message under a key of ours is built by the S1SP with the DCO's share, so both must know the generation and
both must be up (domain.md 6, ASSUMED). Who knows what is a mask of positions for each of the two and each hierarchy.
The SMSO's knowledge is what it handed over: it stands in both masks where it was taken over.
"""

from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, TypeAlias

Position: TypeAlias = int

LIVE: Final[Position] = 0
NEW: Final[Position] = 7
FOREIGN: Final[Position] = -1
CORRUPT: Final[Position] = -2

POSITIONS_MOST: Final = 7
"""Generations besides `NEW` that are told apart."""

PLENTY: Final = 16
"""Messages from which on a room is not counted: more than any way back takes."""


class Keeper(IntEnum):
    """Who holds a share, as a bit of `State.up`."""

    S1SP = 1
    DCO = 2


BOTH: Final = Keeper.S1SP | Keeper.DCO


class Reaction(StrEnum):
    """What a device does with a request that does not open (devices.md 6)."""

    EXCEPTION = "exception"
    SILENCE = "silence"
    CLOSE = "close"
    PLAIN_EXCEPTION = "plain-exception"

    @property
    def silent(self) -> bool:
        """Whether nothing is heard."""
        return self in (Reaction.SILENCE, Reaction.CLOSE)


class Habits(NamedTuple):
    """What of a device's make decides which way back there is. Defaults as a profile's.

    `master_changes`: the master key can be changed over the air. `counter_reset`: a new EK sets both counters back to
    0. `bad_counter`, `bad_tag`: what becomes of a message that does not open.
    """

    master_changes: bool = True
    counter_reset: bool = False
    bad_counter: Reaction = Reaction.EXCEPTION
    bad_tag: Reaction = Reaction.EXCEPTION


class State(NamedTuple):
    """One state of (device, keepers, head end). The default is a healthy device that nobody is talking to.

    `ek`, `ak`, `kek`: the keys in the device. `room_in`: messages it takes from us before either counter is spent;
    `room_out`: answers it can give. `ahead`: it wants a higher counter than we stand at. `restarts`: it has begun to
    count anew under a new EK, and we have not. `met`: we can meet its security policy. `associated`: it holds an
    association of ours; `under`: the pair (EK, AK) that our session seals with.

    `data_live`, `master_live`: what the keepers believe; `data_doubt`, `master_doubt`: whether they wait for proof of
    another. `s1sp_*`, `dco_*`: masks of positions each can give its share for; `up`: which of them answer.
    """

    ek: Position = LIVE
    ak: Position = LIVE
    kek: Position = LIVE
    room_in: int = PLENTY
    room_out: int = PLENTY
    ahead: bool = False
    restarts: bool = False
    met: bool = True
    associated: bool = False
    under: tuple[Position, Position] = (LIVE, LIVE)
    data_live: Position = LIVE
    master_live: Position = LIVE
    data_doubt: bool = False
    master_doubt: bool = False
    s1sp_data: int = 1
    dco_data: int = 1
    s1sp_master: int = 1
    dco_master: int = 1
    up: int = BOTH

    def knows_data(self, position: Position) -> bool:
        """Whether data keys of this position can be made now."""
        return self.up == BOTH and position >= 0 and bool(self.s1sp_data & self.dco_data & 1 << position)

    def knows_master(self, position: Position) -> bool:
        """Whether the master key of this position can be used now."""
        return self.up == BOTH and position >= 0 and bool(self.s1sp_master & self.dco_master & 1 << position)

    def data_positions(self) -> list[Position]:
        """Positions whose data keys both keepers know, up or not."""
        return positions(self.s1sp_data & self.dco_data)

    def master_positions(self) -> list[Position]:
        """Positions whose master key both keepers know, up or not."""
        return positions(self.s1sp_master & self.dco_master)

    def agrees(self) -> bool:
        """R1: device and keepers hold the same keys, nobody is in doubt, and messages go on for as long as one likes.

        Who is down at the moment changes no key and so does not count."""
        return (
            self.ek == self.ak == self.data_live
            and self.kek == self.master_live
            and not self.data_doubt
            and not self.master_doubt
            and not self.ahead
            and not self.restarts
            and self.met
            and min(self.room_in, self.room_out) >= PLENTY
            and bool(self.s1sp_data & self.dco_data & 1 << self.data_live)
            and bool(self.s1sp_master & self.dco_master & 1 << self.master_live)
        )


def positions(mask: int) -> list[Position]:
    """The positions in a mask, lowest first."""
    return [position for position in range(NEW + 1) if mask >> position & 1]
