"""Other data keys in a device than it held, and its own back again: the fault `forced-wrong-key`, carried out."""

from dataclasses import dataclass, field

from emulator.crypto import derive
from emulator.crypto.keys import ContextStore
from emulator.faults.held_keys import ForcedWrongKey
from emulator.kernel.machine import Party


@dataclass(slots=True)
class Kept:
    """What a device held before; wiped when it is given back."""

    index: int
    epoch: int
    before: bytearray = field(repr=False)


def force(fault: ForcedWrongKey, store: ContextStore, index: int, seed: int, installation: int, party: Party) -> Kept:
    """Put foreign keys into a loaded context; a function of the home and of how often its keys were changed."""
    before = store.export(index)
    ek, ak = derive.keys(b"%d" % seed, 2, "forced", installation, int(party), store.state(index).epoch)
    store.install(index, ek=ek if fault.keys != "ak" else None, ak=ak if fault.keys != "ek" else None)
    return Kept(index, store.state(index).epoch, before)


def give_back(store: ContextStore, kept: Kept) -> bool:
    """The device's own keys again, its counters as they stand; whether that was done. Whoever was told the forced keys
    may have changed them since: then those are the device's own, and nothing is done."""
    index, done = kept.index, False
    if store.loaded(index) and store.state(index).epoch == kept.epoch:
        tx, rx = store.counters(index)
        store.restore(index, kept.before)
        store.set_counters(index, tx=tx, rx=rx)
        done = True
    kept.before[:] = bytes(len(kept.before))
    return done
