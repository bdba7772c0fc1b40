"""What C refuses, and that nothing was written when it did.

What a person or a program can do wrong through Python is in tests/crypto/test_bad_input.py, for both stores. Here are
the calls themselves: lengths nothing has, buffers that are short or lie across each other, handles that are none.
Each must give its status, leave every output byte as it was and every context as it stood.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

from proof.batch import Row
from proof.core import NO_KEY, OK, TAG, USAGE, Core, Keys
from proof.oracle import sealed
from proof.setting import Counts, Setting
from proof.workshop import demand

ROOM: Final = 4096
_LONG: Final = (1 << 24) + 1


def refusals(setting: Setting) -> Counts:
    """Every row of the tables on every tier."""
    core, counts = setting.core, {"refusals": 0}
    for tier in core.tiers:
        with core.on(tier):
            counts["refusals"] += _calls(core) + _overlaps(core) + _short_batches(core)
    return counts


def _refused(core: Core, store: Any, out: Any, what: str, wanted: int, call: Callable[[], int]) -> int:
    before = core.plain(80)
    after = core.plain(80)
    core.put(out, b"\xee" * ROOM)
    core.lib.sm_context_export(store, 0, before)
    came = call()
    core.lib.sm_context_export(store, 0, after)
    demand(came == -wanted, f"{what} gave {came} and not {-wanted}")
    demand(core.take(out, ROOM) == b"\xee" * ROOM, f"{what} was refused and wrote all the same")
    demand(core.take(before, 80) == core.take(after, 80), f"{what} was refused and changed a context")
    return 1


def _calls(core: Core) -> int:
    lib, null, chance = core.lib, core.ffi.NULL, Random(8)
    keys, key, text, iv = Keys.by(chance), bytes(16), bytes(64), bytes(12)
    out, count = core.plain(ROOM), 0
    sa = lib.sm_sa_new(7, key, 16, bytes(4), 1, 0, 0)
    with core.store(keys) as store:
        table: dict[str, tuple[int, Callable[[], int]]] = {
            "sealing with no store": (USAGE, lambda: lib.sm_seal_one(null, 0, 0x30, text, 4, out, 16)),
            "opening with no store": (USAGE, lambda: lib.sm_open_one(null, 0, 0x30, 0, text, 12, out, 12)),
            "a tag with no store": (USAGE, lambda: lib.sm_gmac_one(null, 0, text, 4, out)),
            "a short output": (USAGE, lambda: lib.sm_seal_one(store, 0, 0x30, text, 4, out, 15)),
            "a short plaintext": (USAGE, lambda: lib.sm_open_one(store, 0, 0x30, 0, text, 20, out, 7)),
            "a long text": (USAGE, lambda: lib.sm_seal_one(store, 0, 0x30, text, _LONG, out, 1 << 30)),
            "a text of all memory": (USAGE, lambda: lib.sm_seal_one(store, 0, 0x30, text, (1 << 64) - 1, out, 1 << 30)),
            "a long challenge": (USAGE, lambda: lib.sm_gmac_one(store, 0, text, _LONG, out)),
            "an empty context": (NO_KEY, lambda: lib.sm_seal_one(store, 1, 0x30, text, 4, out, 16)),
            "a place outside": (USAGE, lambda: lib.sm_seal_one(store, 2, 0x30, text, 4, out, 16)),
            "a master outside": (USAGE, lambda: lib.sm_wrap_one(store, 2, text, 16, out)),
            "a wrong wrapped key": (TAG, lambda: lib.sm_unwrap_one(store, 0, text, 23, out)),
            "a key of 17 to wrap": (USAGE, lambda: lib.sm_wrap_one(store, 0, text, 17, out)),
            "packets of no association": (USAGE, lambda: lib.sm_esp_seal(null, text, 4, 4, out, 100)),
            "next header 256": (USAGE, lambda: lib.sm_esp_seal(sa, text, 4, 256, out, 100)),
            "a short packet buffer": (USAGE, lambda: lib.sm_esp_seal(sa, text, 64, 4, out, 64 + 36)),
            "an inner packet of 65,536": (USAGE, lambda: lib.sm_esp_seal(sa, text, 65536, 4, out, 1 << 20)),
        }
        for n in (0, 15, 17, 24, 33):
            seal = partial(lib.sm_gcm_seal, key, n, iv, text, 4, text, 4, out, 12)
            table |= {f"an AES key of {n}": (USAGE, seal)}
            table |= {f"a KEK of {n}": (USAGE, partial(lib.sm_key_wrap, key, n, text, 16, out))}
        for n in (0, 4, 11, 13, 15, 17, 64):
            table |= {f"a tag of {n}": (USAGE, partial(lib.sm_gcm_open, key, 16, iv, text, 4, text, 64, out, n))}
        for n in (0, 8, 15, 17, 72):
            table |= {f"wrapping {n}": (USAGE, partial(lib.sm_key_wrap, key, 16, text, n, out))}
            table |= {f"unwrapping {n + 8}": (TAG, partial(lib.sm_key_unwrap, key, 16, text, n + 8, out))}
        for what, (wanted, call) in table.items():
            count += _refused(core, store, out, what, wanted, call)
        for size, tag in ((0, 12), (11, 12), (15, 16)):
            came = lib.sm_gcm_open(key, 16, iv, text, 4, text, size, out, tag)
            demand(came == -TAG, f"{size} bytes with a tag of {tag} gave {came}")
    lib.sm_sa_free(sa)
    for capacity in (0, (1 << 24) + 1):
        demand(lib.sm_store_new(capacity) == null, f"a store of {capacity} was made")
    for spi, size, sequence in ((0, 16, 1), (7, 24, 1), (7, 16, 0), (7, 16, (1 << 32) + 1)):
        demand(lib.sm_sa_new(spi, text, size, text, sequence, 0, 0) == null, "an association was made of nonsense")
    demand(lib.sm_select(b"abacus") == -USAGE or lib.sm_select(b"abacus") == USAGE, "a tier called abacus")
    return count + 10


def _overlaps(core: Core) -> int:
    """Input and output across each other, by one byte, by half, by all but one, either way round; and in one place."""
    lib, chance = core.lib, Random(9)
    keys, count = Keys.by(chance), 0
    whole, iv = core.plain(ROOM), bytes(12)
    sa = lib.sm_sa_new(7, keys.ek, 16, bytes(4), 1, 0, 0)
    with core.store(keys) as store:
        # name: (call of text, output and length, bytes of text, bytes of output, where the text may lie in the output)
        calls: dict[str, tuple[Callable[[Any, Any, int], int], int, int, int]] = {
            "seal": (lambda t, o, n: lib.sm_seal_one(store, 0, 0x30, t, n, o, n + 12), 0, 12, 0),
            "authenticate": (lambda t, o, n: lib.sm_seal_one(store, 0, 0x10, t, n, o, n + 12), 0, 12, 0),
            "open": (lambda t, o, n: lib.sm_open_one(store, 0, 0x30, 0, t, n + 12, o, n), 12, 0, 0),
            "gcm seal": (lambda t, o, n: lib.sm_gcm_seal(keys.ek, 16, iv, b"", 0, t, n, o, 12), 0, 12, 0),
            "gcm open": (lambda t, o, n: lib.sm_gcm_open(keys.ek, 16, iv, b"", 0, t, n + 12, o, 12), 12, 0, 0),
            "esp seal": (lambda t, o, n: lib.sm_esp_seal(sa, t, n, 4, o, n + 37), 0, 37, 16),
        }
        for what, (call, more_in, more_out, own) in calls.items():
            for length in (1, 16, 40, 200):
                near = range(-length - 40, length + 40)
                for shift in {*near[:: 7 if length > 40 else 1], 1, -1, own} & set(near):
                    start, at = whole + 1000, whole + 1000 - shift
                    apart = shift >= length + more_out or -shift >= length + more_in
                    if apart or shift in (0, own):
                        continue
                    step = partial(call, start, at, length)
                    count += _refused(core, store, whole, f"{what}: {length} bytes, {shift} behind", USAGE, step)
        count += _batches_across(core, store, whole)
    lib.sm_sa_free(sa)
    return count


def _batches_across(core: Core, store: Any, whole: Any) -> int:
    ffi, count = core.ffi, 0
    index, size, counter = ffi.new("uint32_t[]", [0]), ffi.new("uint32_t[]", [40]), ffi.new("uint32_t[1]")
    control, status = ffi.new("uint8_t[]", b"\x30"), ffi.new("uint8_t[1]")
    for shift in (1, 16, 39, -1, -16, -63):
        place = (whole + 1000, 40, ffi.NULL, size, whole + 1000 + shift, 64, ffi.NULL)
        for name in ("seal", "open", "gmac", "wrap", "unwrap"):
            before = (control,) if name in ("seal", "open") else ()
            after = (status,) if name in ("wrap", "unwrap") else (counter, status)
            step = partial(getattr(core.lib, f"sm_{name}_batch"), store, 1, index, *before, *place, *after)
            count += _refused(core, store, whole, f"a batch to {name} across {shift}", USAGE, step)
    return count


def _short_batches(core: Core) -> int:
    """A byte too few in either buffer: the last message is refused, the others are sealed, not a byte beside them."""
    lib, ffi, chance, count = core.lib, core.ffi, Random(10), 0
    keys = Keys.by(chance)
    for size in (1, 8, 9, 20):
        for short_in, short_out in ((1, 0), (0, 1), (1, 1)):
            with core.store(keys) as store:
                rows = [Row(0, chance.randbytes(30)) for _ in range(size)]
                index, length, counter = (ffi.new("uint32_t[]", size) for _ in range(3))
                status = ffi.new("uint8_t[]", size)
                for k in range(size):
                    length[k] = 30
                text, out = core.plain(30 * size), core.plain(48 * size)
                core.put(text, b"".join(row.text for row in rows))
                core.put(out, b"\xee" * 48 * size)
                good = lib.sm_seal_batch(
                    store, size, index, ffi.new("uint8_t[]", b"\x30" * size), text, 30 * size - short_in, ffi.NULL,
                    length, out, 48 * size - short_out, ffi.NULL, counter, status,
                )  # fmt: skip
                demand(good == size - 1 and status[size - 1] == USAGE, f"{good} of {size} sealed into a short buffer")
                demand(core.counters(store, 0)[0] == size - 1, "a counter was spent on a refused message")
                for k in range(size - 1):
                    found = core.take(out + 48 * k, 42)
                    demand(status[k] == OK and found == sealed(keys, keys.title, k, 0x30, rows[k].text), "not sealed")
                left = core.take(out + 48 * (size - 1), 48)
                demand(left == b"\xee" * 48, "a refused message wrote into the end of a short buffer")
                count += 1
    return count
