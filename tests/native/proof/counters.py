"""No nonce twice: the counter is taken in C, and nothing a caller does makes it come again under one key.

Four ways are tried: many messages of one context in a batch, whole or partly refused; threads on one store; a store
made again from an exported context; a counter at its end. What is not a way, and is not tried: an old export loaded
anew. The store cannot know that it is old, and who keeps rows must keep the newest.
"""

from random import Random
from threading import Barrier, Thread
from typing import Any

from proof.batch import MANNERS, Row, compare, run
from proof.core import EXHAUSTED, OK, TOP, USAGE, Core, Keys
from proof.oracle import Model, sealed
from proof.setting import Counts, Setting
from proof.workshop import demand

THREADS = 4


def counters(setting: Setting) -> Counts:
    """In a batch, among threads, over a restart, at the end."""
    core, counts = setting.core, {"nonces": 0}
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(7)
            counts["nonces"] += _in_a_batch(core, chance) + _restart(core, chance) + _the_end(core, chance)
            counts["nonces"] += _threads_apart(core, chance, 3 if setting.quick else 30)
            counts["nonces"] += _threads_together(core, chance, 30 if setting.quick else 100)
    return counts


def _in_a_batch(core: Core, chance: Random) -> int:
    """All of one context, of two in turn, with refused ones between: one after another in the order given."""
    count = 0
    for size in (2, 8, 9, 40, 1025, 3000):
        for manner in MANNERS:
            keys = [Keys.by(chance), Keys.by(chance)]
            start = chance.randrange(1 << 31)
            with core.store(*keys, tx=start) as store:
                rows = [Row(chance.choice((0, 0, 1, 2)), chance.randbytes(chance.randrange(70))) for _ in range(size)]
                for row in rows[:: chance.randrange(2, 9)]:
                    row.control = chance.choice((0x10, 0x20, 0x31))
                model = Model(*keys, tx=start)
                answer = compare(core, store, model, "seal", rows, manner=manner, chance=chance)
                pairs = [
                    (row.index, c) for row, c, s in zip(rows, answer.counters, answer.statuses, strict=True) if s == OK
                ]
                demand(len(set(pairs)) == len(pairs), "a counter came twice in one batch")
                for index in (0, 1):
                    mine = [counter for at, counter in pairs if at == index]
                    demand(mine == list(range(start, start + len(mine))), "counters do not follow one another")
                    demand(core.counters(store, index)[0] == start + len(mine), "the counter stands elsewhere")
                count += len(pairs)
    return count


def _restart(core: Core, chance: Random) -> int:
    """Export, restore in another store: it goes on. Under one EK the counter never falls, whatever is asked."""
    lib, keys, blob = core.lib, Keys.by(chance), core.plain(80)
    out = core.plain(16)
    with core.store(keys, tx=41) as first, core.store(spare=1) as second:
        demand(lib.sm_seal_one(first, 0, 0x30, b"text", 4, out, 16) == 41, "not 41")
        demand(lib.sm_context_export(first, 0, blob) == OK, "no export")
        demand(lib.sm_context_restore(second, 0, blob) == OK, "no restore")
        demand(lib.sm_seal_one(second, 0, 0x30, b"more", 4, out, 16) == 42, "a restored context does not go on")
        demand(core.take(out, 16) == sealed(keys, keys.title, 42, 0x30, b"more"), "it goes on under other keys")
        for lower in (0, 1, 42):
            demand(lib.sm_context_set_counters(second, 0, 1, lower, 0) == -USAGE, "the counter fell to", lower)
        demand(lib.sm_context_install(second, 0, keys.ek, core.ffi.NULL, 1) == OK, "not installed")
        demand(core.counters(second, 0)[0] == 43, "a reset under the same EK brought counters back")
        demand(lib.sm_context_install(second, 0, core.ffi.NULL, keys.ak, 1) == -USAGE, "a reset without EK was done")
        demand(lib.sm_context_install(second, 0, core.ffi.NULL, bytes(16), 0) == OK, "not installed")
        demand(lib.sm_context_set_counters(second, 0, 1, 42, 0) == -USAGE, "a new AK let the counter fall")
        demand(lib.sm_context_set_counters(second, 0, 1, 50, 0) == OK, "the counter cannot rise")
        demand(lib.sm_seal_one(second, 0, 0x10, b"", 0, out, 16) == 50, "not 50")
    return 3


def _the_end(core: Core, chance: Random) -> int:
    """FFFFFFFE is the last; then every way of sealing is refused, nothing is written and nothing wraps round."""
    lib, keys = core.lib, Keys.by(chance)
    count = 0
    for size in (1, 3, 8, 9, 30):
        for start in (TOP - 5, TOP - 1, TOP):
            with core.store(keys, Keys.by(chance), tx=start) as store:
                rows = [Row(0, chance.randbytes(20), chance.choice((0x30, 0x30, 0x10))) for _ in range(size)]
                answer = run(core, store, "seal", rows)
                left = min(size, TOP - start)
                wanted = [OK] * left + [EXHAUSTED] * (size - left)
                demand(answer.statuses == wanted, "statuses at the end:", answer.statuses)
                demand(
                    answer.counters[:left] == list(range(start, start + left)), "counters at the end:", answer.counters
                )
                demand(core.counters(store, 0)[0] == start + left, "the counter went past its end")
                if left == size:
                    continue
                demand(set(run(core, store, "gmac", rows).statuses) == {EXHAUSTED}, "a tag after the end")
                out = core.plain(40)
                core.put(out, b"\xee" * 40)
                demand(lib.sm_seal_one(store, 0, 0x30, rows[0].text, 20, out, 40) == -EXHAUSTED, "sealed after the end")
                demand(lib.sm_gmac_one(store, 0, rows[0].text, 20, out) == -EXHAUSTED, "a tag after the end")
                demand(core.take(out, 40) == b"\xee" * 40, "a refused call wrote")
                count += left + size
    return count


def _at_once(*work: Any) -> None:
    """Run these side by side, begun together."""
    start, faults = Barrier(len(work)), list[BaseException]()

    def one(task: Any) -> None:
        start.wait()
        try:
            task()
        except BaseException as fault:
            faults.append(fault)

    threads = [Thread(target=one, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def _threads_apart(core: Core, chance: Random, rounds: int) -> int:
    """Each thread its own contexts of one store, as a fleet in shards is sealed: every byte the model's."""
    keys = [Keys.by(chance) for _ in range(4 * THREADS)]
    model = Model(*keys, spare=0)
    with core.store(*keys, spare=0) as store:

        def shard(number: int) -> Any:
            own, mine = Random(number), Model(*keys, spare=0)

            def work() -> None:
                for _ in range(rounds):
                    rows = [
                        Row(number + THREADS * own.randrange(4), own.randbytes(own.randrange(90))) for _ in range(200)
                    ]
                    compare(core, store, mine, "seal", rows, chance=own)

            return work

        _at_once(*(shard(number) for number in range(THREADS)))
        spent = sum(core.counters(store, index)[0] for index in range(len(model.places)))
        demand(spent == THREADS * rounds * 200, "counters were lost or taken twice:", spent)
    return THREADS * rounds * 200


def _threads_together(core: Core, chance: Random, rounds: int) -> int:
    """All threads the same contexts, by every call that takes a counter: none comes twice."""
    lib, ffi, size = core.lib, core.ffi, 2000
    taken: list[tuple[int, int]] = []
    keys = [Keys.by(chance) for _ in range(2)]
    with core.store(*keys, spare=0) as store:

        def batches(call: Any, controls: bool) -> Any:
            index, length, counter = (ffi.new("uint32_t[]", size) for _ in range(3))
            control, status = ffi.new("uint8_t[]", b"\x30" * size), ffi.new("uint8_t[]", size)
            text, out = ffi.new("uint8_t[]", size * 16), ffi.new("uint8_t[]", size * 32)
            for k in range(size):
                index[k], length[k] = k % 2, 16

            def work() -> None:
                for _ in range(rounds):
                    done = call(
                        store, size, index, *([control] if controls else []), text, 16 * size, ffi.NULL, length, out,
                        32 * size, ffi.NULL, counter, status,
                    )  # fmt: skip
                    demand(done == size, "only", done, "of", size)
                    taken.extend((k % 2, counter[k]) for k in range(size))

            return work

        def ones() -> None:
            out = core.plain(16)
            for k in range(rounds * 100):
                taken.append((k % 2, lib.sm_seal_one(store, k % 2, 0x30, b"text", 4, out, 16)))

        _at_once(
            batches(lib.sm_seal_batch, True), batches(lib.sm_seal_batch, True), batches(lib.sm_gmac_batch, False), ones
        )
        spent = sum(core.counters(store, index)[0] for index in range(2))
    twice = len(taken) - len(set(taken))
    demand(twice == 0, f"{twice} of {len(taken)} counters came twice when threads seal under one context")
    demand(spent == len(taken), f"{len(taken)} counters were given out and the store counts {spent}")
    return len(taken)
