"""Commands, and what each does to a state: the rules of a device and of a head end, once more and much smaller.

These rules are a second writing of what `emulator.dlms` and `devices` do; `prove` drives the real machines through
every sequence and compares, and where the two differ this module is wrong.

What a command comes to is one of four: accepted; refused (the device said no, or an exception came); silence; unsent
(the keepers cannot make the keys for it now). A refusal of a transfer may hide that it was carried out: a device
whose answering counter is spent takes the keys and cannot say so.

Costs in counters: an association takes three messages each way (AARQ; the GMAC of pass 3 and the request that carries
it), everything else one. What changes nothing is asked `READ_TRIES` times where nobody answers, as the session does.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from emulator.headend.session import READ_TRIES
from emulator.oracle.state import BOTH, NEW, PLENTY, Habits, Keeper, Position, Reaction, State


class Verb(StrEnum):
    """What can be done. Every one is a conversation of `emulator.oracle.steps`, but waiting."""

    ASK_COUNTER = "ask-counter"
    ASSOCIATE = "associate"
    READ = "read"
    RESTART = "restart-counter"
    PROBE_MASTER = "probe-master"
    TRANSFER_DATA = "transfer-data"
    TRANSFER_EK = "transfer-ek"
    TRANSFER_AK = "transfer-ak"
    TRANSFER_MASTER = "transfer-master"
    ACTIVATE = "activate-policy"
    WAIT = "wait-for-keeper"


class Result(StrEnum):
    """How it came out, as the head end sees it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    SILENCE = "silence"
    UNSENT = "unsent"


class Command(NamedTuple):
    """One command. `under`: the master key that wraps a transfer; `ek`, `ak`, `kek`: the keys it is about; `keeper`:
    whom to wait for. What a verb does not use is 0.

    ASSOCIATE: open an association under (ek, ak). READ: within it, read a name under (ek, ak); what was transferred is
    proven by it. RESTART: read so, with our send counter set back to 0 first, which is sound under a new EK only.
    PROBE_MASTER: transfer the pair (ek, ak) that the session stands under once more, wrapped under `under`. TRANSFER_*:
    send keys. ACTIVATE: ask for the policy the head end meets.
    """

    verb: Verb
    under: Position = 0
    ek: Position = 0
    ak: Position = 0
    kek: Position = 0
    keeper: int = 0


_OPENING: Final = 3
"""Messages of an association, each way."""

OPENINGS: Final = frozenset({Verb.ASSOCIATE, Verb.READ, Verb.RESTART})
"""What is answered under keys, and so proves them."""

TRANSFERS: Final = frozenset(
    {Verb.PROBE_MASTER, Verb.TRANSFER_DATA, Verb.TRANSFER_EK, Verb.TRANSFER_AK, Verb.TRANSFER_MASTER}
)


def commands(state: State) -> Iterator[Command]:
    """Every command worth trying in a state, cheapest kinds first. All keys that both keepers know take part."""
    if state.up != BOTH:
        yield from (Command(Verb.WAIT, keeper=keeper) for keeper in Keeper if not state.up & keeper)
        return
    if state.ahead:
        yield Command(Verb.ASK_COUNTER)
    data, masters = state.data_positions(), state.master_positions()
    yield from (Command(Verb.ASSOCIATE, ek=ek, ak=ak) for ek in data for ak in data)
    if not state.associated:
        return
    yield from (Command(Verb.READ, ek=ek, ak=ak) for ek in data for ak in data)
    if state.restarts and NEW in data and state.under[0] != NEW:
        # Our counter only falls together with a change of EK: no store of keys lets it, else.
        yield from (Command(Verb.RESTART, ek=NEW, ak=ak) for ak in data)
    ek, ak = state.under
    for under in masters:
        yield Command(Verb.PROBE_MASTER, under, ek, ak)
        for each in _sendable(data, state.data_doubt):
            yield Command(Verb.TRANSFER_DATA, under, each, each)
            yield Command(Verb.TRANSFER_EK, under, ek=each)
            yield Command(Verb.TRANSFER_AK, under, ak=each)
        for each in _sendable(masters, state.master_doubt):
            yield Command(Verb.TRANSFER_MASTER, under, kek=each)
    yield Command(Verb.ACTIVATE)


def _sendable(known: list[Position], doubt: bool) -> list[Position]:
    """What may be sent, the most prudent first: a candidate in doubt once more, else a new generation."""
    if NEW in known:
        return known
    return [*known[1:2], NEW, *known[:1], *known[2:]] if doubt else [NEW, *known]


def step(state: State, command: Command, habits: Habits) -> tuple[Result, State]:
    """What comes of a command: how the head end sees it, and the state after it."""
    if not sendable(state, command):
        return Result.UNSENT, state
    result, state = _done(recorded(state, command), command, habits)
    return result, learned(state, command) if result is Result.ACCEPTED else state


# The keepers' side: what can be sent, what is written down before, what an acceptance proves


def sendable(state: State, command: Command) -> bool:
    """Whether the keepers can make every key that a command needs now."""
    verb = command.verb
    if verb is Verb.WAIT:
        return True
    if verb in OPENINGS:
        return state.knows_data(command.ek) and state.knows_data(command.ak)
    if verb not in TRANSFERS:
        return state.up == BOTH
    return state.knows_master(command.under) and all(_can_send(state, *item) for item in _items(command))


def _can_send(state: State, name: str, key: Position) -> bool:
    if key == NEW:
        return state.up == BOTH  # both acknowledge it before it is sent
    return state.knows_master(key) if name == "kek" else state.knows_data(key)


def recorded(state: State, command: Command) -> State:
    """What both keepers write down before a byte of a command leaves."""
    bit = 1 << NEW
    if command.verb is Verb.TRANSFER_MASTER:
        state = state._replace(master_doubt=True)
        if command.kek == NEW:
            state = state._replace(s1sp_master=state.s1sp_master | bit, dco_master=state.dco_master | bit)
    elif command.verb in TRANSFERS and command.verb is not Verb.PROBE_MASTER:
        state = state._replace(data_doubt=True)
        if NEW in (command.ek, command.ak):
            state = state._replace(s1sp_data=state.s1sp_data | bit, dco_data=state.dco_data | bit)
    return state


def learned(state: State, command: Command) -> State:
    """What the keepers believe after a device has accepted a command.

    An answer under a pair of one generation proves it live; a mixture proves neither. A transfer that was accepted was
    wrapped under the live master key; what it carried is not proven by it.
    """
    verb = command.verb
    if verb in OPENINGS and command.ek == command.ak:
        return state._replace(data_live=command.ek, data_doubt=False)
    if verb in TRANSFERS and verb is not Verb.TRANSFER_MASTER:
        return state._replace(master_live=command.under, master_doubt=False)
    if verb is Verb.WAIT:
        return state._replace(up=state.up | command.keeper)
    return state


# The device's side


def _done(state: State, command: Command, habits: Habits) -> tuple[Result, State]:
    verb = command.verb
    if verb is Verb.WAIT:
        return Result.ACCEPTED, state
    if verb is Verb.ASK_COUNTER:
        return (Result.ACCEPTED, state._replace(ahead=False)) if state.room_in else (Result.REFUSED, state)
    if verb is Verb.ASSOCIATE:
        return _associate(state, command, habits)
    if verb in OPENINGS:
        return _read(state, command, habits)
    if verb is Verb.ACTIVATE:
        _, result, state = _message(state, habits)
        return result, state
    return _transfer(state, command, habits)


# Messages


def _spend(room: int, messages: int = 1) -> int:
    return room if room >= PLENTY else max(0, room - messages)


def _opens(state: State) -> bool:
    """Whether the device opens what our session seals, counters aside."""
    return (state.ek, state.ak) == state.under and state.ek >= 0


def _no(reaction: Reaction) -> Result:
    return Result.SILENCE if reaction.silent else Result.REFUSED


def _unheard(state: State, habits: Habits, tries: int) -> tuple[Result, State]:
    """A message was sent that the device does not take; where silence follows, `tries` times."""
    if not state.met:
        return Result.REFUSED, _paid(state, 1)
    reaction = habits.bad_counter if state.ahead else habits.bad_tag
    if not reaction.silent:
        return Result.REFUSED, _paid(state, 1)
    return Result.SILENCE, _paid(state, tries)


def _paid(state: State, messages: int) -> State:
    """Our counter has risen. One that the device is ahead of has far to go, and loses no room by it."""
    return state if state.ahead else state._replace(room_in=_spend(state.room_in, messages))


def _message(state: State, habits: Habits, tries: int = 1) -> tuple[bool, Result, State]:
    """One request within an association: (whether the device carried it out, result, state after)."""
    if not state.associated or not state.room_in:
        return False, Result.REFUSED, _paid(state, 1)
    if not state.met or state.ahead or not _opens(state):
        result, after = _unheard(state, habits, tries)
        closes = (habits.bad_counter if state.ahead else habits.bad_tag) is Reaction.CLOSE
        if result is Result.SILENCE and closes:
            after = after._replace(associated=False)
            if tries > 1:  # the repeat meets no association, and is told so
                return False, Result.REFUSED, _paid(state, 2)._replace(associated=False)
        return False, result, after
    answered = state.room_out > 0
    # Whatever counts anew counts on from the counter it has heard last.
    state = state._replace(room_in=_spend(state.room_in), room_out=_spend(state.room_out), restarts=False)
    return True, Result.ACCEPTED if answered else Result.REFUSED, state


def _associate(state: State, command: Command, habits: Habits) -> tuple[Result, State]:
    state = state._replace(under=(command.ek, command.ak))
    if not state.room_in:
        return Result.REFUSED, state
    if not state.met or state.ahead or not _opens(state):
        closes = (habits.bad_counter if state.ahead else habits.bad_tag) is Reaction.CLOSE
        result, state = _unheard(state, habits, READ_TRIES)
        return result, state._replace(associated=False) if closes and result is Result.SILENCE else state
    state = state._replace(restarts=False)
    if state.room_in < _OPENING:
        # It begins, and we cannot go on: the device waits for a proof, and what stood before is gone.
        return Result.REFUSED, state._replace(
            room_in=0, room_out=_spend(state.room_out), associated=state.associated and not state.room_out
        )
    if not state.room_out:  # it takes the question and has no counter to answer with
        return _no(habits.bad_tag), state._replace(
            room_in=_spend(state.room_in, READ_TRIES if habits.bad_tag.silent else 1),
            associated=state.associated and habits.bad_tag is not Reaction.CLOSE,
        )
    if state.room_out < _OPENING:
        # With two left it proves itself and cannot say so; with one, it cannot prove itself.
        return Result.REFUSED, state._replace(
            room_in=_spend(state.room_in, _OPENING), room_out=0, associated=state.room_out == _OPENING - 1
        )
    state = state._replace(
        room_in=_spend(state.room_in, _OPENING), room_out=_spend(state.room_out, _OPENING), associated=True
    )
    return Result.ACCEPTED, state


def _read(state: State, command: Command, habits: Habits) -> tuple[Result, State]:
    before, room = state.under, state.room_in
    state = state._replace(under=(command.ek, command.ak))
    restart = command.verb is Verb.RESTART
    if restart:
        state = state._replace(room_in=PLENTY)
    _, result, state = _message(state, habits, READ_TRIES)
    if result is Result.ACCEPTED:
        return result, state
    # A restart that failed goes back to the counter from before, and one on: none is ever used twice.
    return result, state._replace(under=before, room_in=_spend(room) if restart else state.room_in)


# Transfers


def _transfer(state: State, command: Command, habits: Habits) -> tuple[Result, State]:
    carried_out, result, state = _message(state, habits)
    if not carried_out:
        return result, state
    if state.kek != command.under or (command.verb is Verb.TRANSFER_MASTER and not habits.master_changes):
        return Result.REFUSED, state
    return result, _taken(state, _items(command), habits)


def _items(command: Command) -> list[tuple[str, Position]]:
    verb = command.verb
    if verb is Verb.TRANSFER_MASTER:
        return [("kek", command.kek)]
    if verb is Verb.TRANSFER_EK:
        return [("ek", command.ek)]
    if verb is Verb.TRANSFER_AK:
        return [("ak", command.ak)]
    return [("ek", command.ek), ("ak", command.ak)]


def _taken(state: State, items: list[tuple[str, Position]], habits: Habits) -> State:
    """The keys a device has after a transfer that it took."""
    for name, key in items:
        if name == "ek":
            if key != state.ek and habits.counter_reset:
                # Where ours has far to go, it may go on as it is.
                state = state._replace(room_out=PLENTY, restarts=state.room_in < PLENTY)
            state = state._replace(ek=key)
        elif name == "ak":
            state = state._replace(ak=key)
        else:
            state = state._replace(kek=key)
    return state
