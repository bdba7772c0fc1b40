"""The verdict in words: which class, which rows of the table, why, what to send, and what a field engineer must do.

The classes and rows are those of devices.md 7.3 and domain.md 8. Rows say what is the matter, and there may be several
at once; the class says what can be done about all of it together.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from emulator.oracle.search import Found
from emulator.oracle.state import BOTH, CORRUPT, FOREIGN, LIVE, NEW, PLENTY, Keeper, Position, State
from emulator.oracle.transitions import Command, Verb


class Class(StrEnum):
    """What can be done."""

    HEALTHY = "healthy"
    """Device and keepers agree."""
    RECOVERABLE = "recoverable"
    """There is a sequence of commands after which they agree."""
    READS_ONLY = "reads-only"
    """It answers reads under keys, and nothing makes it a meter that can be handed over."""
    UNRECOVERABLE = "unrecoverable"
    """Nothing sent to it under keys is ever answered; only an engineer helps."""


ROWS: Final[dict[str, str]] = {
    "R1": "EK, AK and master key all match",
    "R2": "the data keys differ from those believed live, and the keepers know the pair",
    "R3": "EK and AK are of two generations",
    "R4": "the master key differs from the one believed live, and the keepers know it",
    "R5": "the keepers do not know the master key; the data keys they do",
    "R6": "the keepers do not know the data keys",
    "R7": "an invocation counter is spent, or about to be",
    "R8": "the security policy asks for more than the head end can do",
    "R9": "a key slot has lost its key, and there is no other",
    "counter": "the device wants a higher counter than the head end's",
    "keeper": "a keeper does not answer",
}
"""What may be the matter: the rows of the table, and two that heal by asking or waiting."""

_ADVICE: Final[dict[str, str]] = {
    "R5": "Leave it with whoever still reads it, and plan an exchange: it can be read, and never again be given keys. "
    "If another party changed its master key, ask for that key first.",
    "R6": "Exchange the meter. Nothing that can be sent to it will open. If another party changed its keys, ask for "
    "them first; the optical port with the maker's own secret may still help.",
    "R7": "Exchange the meter: its counter does not start anew, and no message can be sealed any more. Read its "
    "registers on the display before it goes.",
    "R8": "Exchange the meter: no head end meets the policy it asks for, and a policy is never lowered.",
    "R9": "Exchange the meter: its memory has lost a key. Keep it for the maker, with the log of the power cut.",
    "keeper": "Restore the keeper's record from its own copies first; without its share no key can be made.",
}

_NAMES: Final = {Keeper.S1SP: "S1SP", Keeper.DCO: "DCO"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class; the rows that apply; one sentence why; what the engineer must do ("" when nobody has to go)."""

    kind: Class
    rows: tuple[str, ...]
    reason: str
    advice: str


def judge(state: State, found: Found) -> Verdict:
    """The verdict on a state, from what a search from there has found."""
    rows = matters(state)
    if found.way is not None:
        if not found.way:
            return Verdict(Class.HEALTHY, rows, ROWS["R1"], "")
        count = len(found.way)
        why = "; ".join(ROWS[row] for row in rows if row != "R1")
        return Verdict(
            Class.RECOVERABLE, rows, f"{why}; {count} {'command heals' if count == 1 else 'commands heal'} it", ""
        )
    kind = Class.READS_ONLY if found.reading is not None else Class.UNRECOVERABLE
    decisive = _decisive(rows)
    return Verdict(kind, rows, "; ".join(ROWS[row] for row in decisive), " ".join(_advice(decisive)))


def matters(state: State) -> tuple[str, ...]:
    """The rows that apply to a state."""
    found = []
    data, masters = state.data_positions(), state.master_positions()
    if CORRUPT in (state.ek, state.ak, state.kek):
        found.append("R9")
    lost = {key for key in (state.ek, state.ak) if key not in data}
    if lost - {CORRUPT}:
        found.append("R6")
    elif not lost:
        if state.ek != state.ak:
            found.append("R3")
        elif state.ek != state.data_live or state.data_doubt:
            found.append("R2")
    if state.kek not in masters:
        if state.kek != CORRUPT and not lost:
            found.append("R5")
    elif state.kek != state.master_live or state.master_doubt:
        found.append("R4")
    if min(state.room_in, state.room_out) < PLENTY:
        found.append("R7")
    if not state.met:
        found.append("R8")
    if state.ahead:
        found.append("counter")
    if state.up != BOTH:
        found.append("keeper")
    return tuple(found) or ("R1",)


def _decisive(rows: tuple[str, ...]) -> list[str]:
    """The rows that leave no way back: those that commands cannot mend."""
    return [row for row in rows if row in ("R5", "R6", "R7", "R8", "R9")] or list(rows)


def _advice(rows: list[str]) -> list[str]:
    order = ("R9", "R6", "R8", "R7", "R5", "keeper")
    return [_ADVICE[row] for row in order if row in rows][:1]


def keepers_at_odds(state: State) -> list[str]:
    """What one keeper knows and the other does not, in words: why a key may be lost that somebody still has."""
    found = []
    for what, one, other in (
        ("data keys", state.s1sp_data, state.dco_data),
        ("master key", state.s1sp_master, state.dco_master),
    ):
        for name, mask in (("S1SP", one & ~other), ("DCO", other & ~one)):
            if mask:
                found.append(f"only the {name} knows a generation of the {what}")
    return found


def in_words(command: Command, data: tuple[int, ...] = (), master: tuple[int, ...] = ()) -> str:
    """A command as a person would say it. `data` and `master` are the generations at each position."""
    verb = command.verb
    under = _generation(command.under, master)
    if verb is Verb.WAIT:
        return f"wait until the {_NAMES[Keeper(command.keeper)]} answers again"
    if verb is Verb.ASK_COUNTER:
        return "ask the device, without security, which counter it wants, and go on from there"
    if verb is Verb.ACTIVATE:
        return "activate the security policy that the head end meets"
    ek, ak = _generation(command.ek, data), _generation(command.ak, data)
    pair = f"EK and AK {ek}" if command.ek == command.ak else f"EK {ek} with AK {ak}"
    if verb is Verb.ASSOCIATE:
        return f"associate under {pair}"
    if verb is Verb.READ:
        return f"read the device's name under {pair}, which proves them"
    if verb is Verb.RESTART:
        return f"read the device's name under {pair}, counting from 0"
    if verb is Verb.PROBE_MASTER:
        return f"send {pair} once more, wrapped under master key {under}, which proves that key"
    if verb is Verb.TRANSFER_MASTER:
        return f"transfer master key {_generation(command.kek, master)} under master key {under}"
    what = {Verb.TRANSFER_EK: f"EK {ek}", Verb.TRANSFER_AK: f"AK {ak}"}.get(verb, pair)
    return f"transfer {what} under master key {under}"


def _generation(position: Position, generations: tuple[int, ...]) -> str:
    if position == NEW:
        return "of a new generation"
    if 0 <= position < len(generations):
        return f"of generation {generations[position]}"
    return {LIVE: "believed live", FOREIGN: "that nobody knows"}.get(position, f"number {position}")
