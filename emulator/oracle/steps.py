"""Each command as a conversation: what a head end says to a device for it, over any session.

The same steps are driven on a bench, without a link, and over the real path. They know keys by position; which bytes
those are is a `Ring`, made where keys may be had and never shown.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from emulator.codecs.action import MethodRef
from emulator.codecs.axdr import Data, array, enum, octet_string, structure
from emulator.crypto import keywrap
from emulator.errors import UsageError
from emulator.fleet.installation import COUNTER_MAX, DeviceKeys
from emulator.headend.services import FIRST_READ, INVOCATION_COUNTER, KEY_TRANSFER
from emulator.headend.session import NoAnswerError, RefusedError, Session, Steps
from emulator.oracle.state import Position
from emulator.oracle.transitions import Command, Result, Verb

K = TypeVar("K")

ACTIVATE: Final = MethodRef(KEY_TRANSFER.class_id, KEY_TRANSFER.logical_name, 1)
POLICY_MET: Final = 3
"""Authenticated and encrypted: the most that suite 0 has, and what the head end's messages always are."""

_APART: Final = 16
"""Where our counter starts anew it starts so many times the messages that were left: another try, of which fewer are
left, starts elsewhere, and no counter comes twice under one EK."""

_EK, _AK, _KEK = 0, 2, 3


class Ring:
    """Keys by position: `data` pairs of EK and AK, `master` keys of 16 bytes."""

    __slots__ = ("_data", "_master")

    def __init__(self, data: Mapping[Position, DeviceKeys], master: Mapping[Position, bytes]) -> None:
        self._data = dict(data)
        self._master = dict(master)

    def __repr__(self) -> str:
        return f"Ring(data {sorted(self._data)}, master {sorted(self._master)})"

    def pair(self, ek: Position, ak: Position) -> DeviceKeys:
        """The EK of one position with the AK of another. Raises UsageError for a position nobody knows."""
        return DeviceKeys(_of(self._data, ek).ek, _of(self._data, ak).ak, None)

    def master(self, position: Position) -> bytes:
        """A master key. Raises UsageError for a position nobody knows."""
        return _of(self._master, position)


def _of(known: Mapping[Position, K], position: Position) -> K:
    try:
        return known[position]
    except KeyError:
        raise UsageError(f"no key of position {position} is on this ring") from None


def perform(command: Command, session: Session, public: Session, ring: Ring) -> Steps[Result]:
    """Carry a command out and say how it came out. Waiting is not a conversation: it is accepted at once."""
    try:
        yield from _do(command, session, public, ring)
    except NoAnswerError:
        return Result.SILENCE
    except RefusedError:
        return Result.REFUSED
    return Result.ACCEPTED


def _do(command: Command, session: Session, public: Session, ring: Ring) -> Steps[None]:
    verb = command.verb
    if verb is Verb.ASK_COUNTER:
        yield from ask_counter(session, public)
    elif verb is Verb.ASSOCIATE:
        session.begin_with(ring.pair(command.ek, command.ak))
        yield from session.open()
    elif verb in (Verb.READ, Verb.RESTART):
        yield from _read(session, ring.pair(command.ek, command.ak), restart=verb is Verb.RESTART)
    elif verb is Verb.ACTIVATE:
        yield from session.action(ACTIVATE, enum(POLICY_MET))
    elif verb is not Verb.WAIT:
        yield from session.action(KEY_TRANSFER, transfer(command, ring))


def ask_counter(session: Session, public: Session) -> Steps[None]:
    """Ask without security which counter the device wants, and go on from there. Raises RefusedError when there is
    none."""
    yield from public.open()
    counter = yield from public.get(INVOCATION_COUNTER)
    yield from public.close()
    wanted = int(counter.value)
    if wanted >= COUNTER_MAX or not session.raise_counter(wanted):
        raise RefusedError("counter", wanted)


def _read(session: Session, keys: DeviceKeys, *, restart: bool) -> Steps[None]:
    before = session.keys
    if before is None:
        raise UsageError("a read under other keys comes after an association")
    store, context = session.client.store, session.client.context
    assert store is not None
    assert context is not None
    tx, _ = store.counters(context)
    lowest = session.begin_with(keys)
    if restart:
        store.set_counters(context, tx=(COUNTER_MAX - tx) * _APART)
    try:
        yield from session.get(FIRST_READ)
    except (NoAnswerError, RefusedError):
        session.back_to(before, lowest)
        if restart:
            store.set_counters(context, tx=min(tx + 1, COUNTER_MAX))
        raise


def transfer(command: Command, ring: Ring) -> Data:
    """The parameter of key_transfer for a command."""
    verb, keys = command.verb, []
    if verb is Verb.TRANSFER_MASTER:
        keys.append((_KEK, ring.master(command.kek)))
    if verb in (Verb.PROBE_MASTER, Verb.TRANSFER_DATA, Verb.TRANSFER_EK):
        keys.append((_EK, ring.pair(command.ek, command.ek).ek))
    if verb in (Verb.PROBE_MASTER, Verb.TRANSFER_DATA, Verb.TRANSFER_AK):
        keys.append((_AK, ring.pair(command.ak, command.ak).ak))
    wrapping = ring.master(command.under)
    return array([structure([enum(key_id), octet_string(keywrap.wrap(wrapping, key))]) for key_id, key in keys])
