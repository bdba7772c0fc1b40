"""One changed bit anywhere is a refusal that leaves nothing: no plaintext, no moved counter, no harm to a neighbour.

Each byte of a message is changed by itself, in every operation that checks something, on every tier. In a batch the
changed message takes each lane in turn between good ones, which must be opened all the same, and its slot must be zero
(`batch.run` looks).
"""

from random import Random
from typing import Any

from proof.batch import MANNERS, Row, run
from proof.core import OK, REPLAY, TAG, Core, Keys, places
from proof.oracle import gcm, sealed
from proof.setting import Counts, Setting
from proof.workshop import demand

LANES = 8


def bent(text: bytes, at: int, bit: int = 0) -> bytes:
    """`text` with one bit of one byte turned over."""
    return text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]


def tampering(setting: Setting) -> Counts:
    """Messages in lanes and alone, tags, wrapped keys, given keys, packets."""
    core, counts = setting.core, {"changed messages": 0}
    sizes = (0, 17, 64) if setting.quick else (*range(18), 31, 32, 33, 64, 127, 128, 300)
    for tier in core.tiers:
        with core.on(tier):
            chance = Random(4)
            for size in sizes:
                counts["changed messages"] += _in_lanes(core, chance, size, 0) + _in_lanes(core, chance, size, 2)
                for control in (0x30, 0x10, 0x32, 0x12):
                    counts["changed messages"] += _alone(core, chance, size, control)
                counts["changed messages"] += _given(core, chance, size) + _packet(core, chance, size)
            counts["changed messages"] += _tag(core, chance)
            counts["changed messages"] += _wrapped(core, chance, 0) + _wrapped(core, chance, 2)
    return counts


def _in_lanes(core: Core, chance: Random, size: int, suite: int) -> int:
    keys = [Keys.by(chance, suite) for _ in range(LANES)]
    text, control, where = chance.randbytes(size), 0x30 | suite, places(keys)

    def row(n: int, counter: int) -> Row:
        return Row(where[n], sealed(keys[n], keys[n].peer, counter, control, text), control, counter)

    with core.store(*keys) as store:
        for at in range(size + 12):
            lane = at % LANES
            counter = at + 1
            rows = [row(n, counter) for n in range(LANES)]
            rows[lane].text = bent(rows[lane].text, at, at % 7)
            answer = run(core, store, "open", rows, manner=MANNERS[at % 3], chance=chance)
            wanted = [TAG if n == lane else OK for n in range(LANES)]
            demand(answer.statuses == wanted, f"byte {at} of {size} + 12 changed in lane {lane}:", answer.statuses)
            good = [found[:size] for n, found in enumerate(answer.slots) if n != lane]
            demand(set(good) <= {text}, f"byte {at} changed in lane {lane} spoils a neighbour")
            rx = core.counters(store, where[lane])[1]
            demand(rx == (at + 1 if at else 0), f"a refused message moved the counter to {rx}")
        stale = run(core, store, "open", [row(n, 0) for n in range(LANES)])
        demand(stale.statuses == [REPLAY] * LANES, "old counters were taken:", stale.statuses)
    return size + 12


def _alone(core: Core, chance: Random, size: int, control: int) -> int:
    keys, text = Keys.by(chance, control & 0x0F), chance.randbytes(size)
    whole = sealed(keys, keys.peer, 5, control, text)
    out = core.plain(len(whole))
    with core.store(keys) as store:

        def refused(change: bytes, counter: int = 5, mode: int = control) -> None:
            core.put(out, b"\xee" * len(whole))
            done = core.lib.sm_open_one(store, 0, mode, counter, change, len(change), out, len(whole))
            demand(done == -TAG, f"a changed message of {size} bytes under SC {mode:02X}h gave {done}")
            left = core.take(out, size)
            demand(left in (bytes(size), b"\xee" * size), "a refused message left", left.hex())
            demand(core.counters(store, 0) == (0, 0), "a refused message moved a counter")

        for at in range(len(whole)):
            refused(bent(whole, at, at % 8))
        for cut in range(12):
            refused(whole[:cut])
        for bit in range(32):
            refused(whole, 5 ^ 1 << bit)
        refused(whole, 5, control ^ 0x20)
        done = core.lib.sm_open_one(store, 0, control, 5, whole, len(whole), out, len(whole))
        demand(done == size and core.take(out, size) == text, "the unchanged message is refused:", done)
    return len(whole) + 45


def _given(core: Core, chance: Random, size: int) -> int:
    """Key, IV, AAD, text and tag, each byte of each."""
    count = 0
    for key_size, tag in ((16, 12), (32, 16)):
        parts = [chance.randbytes(n) for n in (key_size, 12, 17, size)]
        parts[3] = gcm(parts[0], parts[1], parts[2], parts[3], tag)
        out = core.plain(size + tag)
        for which, part in enumerate(parts):
            for at in range(len(part)):
                key, iv, aad, text = (bent(p, at, at % 8) if n == which else p for n, p in enumerate(parts))
                done = core.lib.sm_gcm_open(key, key_size, iv, aad, len(aad), text, len(text), out, tag)
                demand(done == -TAG and not any(core.take(out, size)), f"part {which}, byte {at} changed gave {done}")
                count += 1
    return count


def _tag(core: Core, chance: Random) -> int:
    """HLS tags: each bit of the tag, each byte of the challenge."""
    keys, challenge = Keys.by(chance), chance.randbytes(40)
    whole = sealed(keys, keys.peer, 9, 0x10, challenge)
    with core.store(keys) as store:
        for at in range(len(whole)):
            change = bent(whole, at, at % 8)
            done = core.lib.sm_gmac_check(store, 0, 9, change[40:], 12, change[:40], 40)
            demand(done == -TAG and core.counters(store, 0) == (0, 0), f"a tag with byte {at} changed gave {done}")
        for size in (0, 11, 13, 16):
            done = core.lib.sm_gmac_check(store, 0, 9, (whole[40:] * 2)[:size], size, challenge, 40)
            demand(done == -TAG, f"a tag of {size} bytes gave {done}")
        demand(core.lib.sm_gmac_check(store, 0, 9, whole[40:], 12, challenge, 40) == OK, "the true tag is refused")
    return len(whole) + 4


def _wrapped(core: Core, chance: Random, suite: int) -> int:
    """A wrapped key among good ones in each lane, and alone; every bit of it."""
    keys = [Keys.by(chance, suite) for _ in range(LANES)]
    where, size = places(keys), len(keys[0].kek)
    key = chance.randbytes(size)
    out, back = core.plain(size + 8), core.plain(size)
    with core.store(*keys) as store:
        whole = []
        for index in where:
            demand(core.lib.sm_wrap_one(store, index, key, size, out) == OK, "not wrapped")
            whole.append(core.take(out, size + 8))
        bits = 8 * (size + 8)
        for bit in range(bits):
            lane = bit % LANES
            change = bent(whole[lane], bit // 8, bit % 8)
            core.put(back, b"\xee" * size)
            done = core.lib.sm_unwrap_one(store, where[lane], change, size + 8, back)
            demand(done == -TAG and not any(core.take(back, size)), f"bit {bit} of a wrapped key changed gave {done}")
            rows = [Row(where[n], change if n == lane else whole[n]) for n in range(LANES)]
            answer = run(core, store, "unwrap", rows, manner=MANNERS[bit % 3], chance=chance)
            wanted = [TAG if n == lane else OK for n in range(LANES)]
            demand(answer.statuses == wanted, f"bit {bit} of a wrapped key changed in lane {lane}:", answer.statuses)
            demand({s[:size] for n, s in enumerate(answer.slots) if n != lane} == {key}, "a neighbour is spoilt")
    return 2 * bits


def _packet(core: Core, chance: Random, size: int) -> int:
    """ESP: each byte of SPI, sequence number, IV, text and ICV; the window stands."""
    lib, ffi, inner = core.lib, core.ffi, chance.randbytes(size)
    key, salt = chance.randbytes(32), chance.randbytes(4)
    room = size + 64
    packet, out, state = core.plain(room), core.plain(room), ffi.new("uint64_t[3]")
    ours, theirs = (lib.sm_sa_new(0x01020304, key, 32, salt, 1, 0, 0) for _ in range(2))
    try:
        length = lib.sm_esp_seal(ours, inner, size, 4, packet, room)
        whole = core.take(packet, length)
        for at in range(length):
            core.put(out, b"\xee" * room)
            done = lib.sm_esp_open(theirs, bent(whole, at, at % 8), length, out, room)
            demand(done < 0, f"a packet with byte {at} changed gave {done}")
            left = core.take(out, length - 32)
            demand(len(set(left)) == 1 and left[0] in (0, 0xEE), "a refused packet left", left.hex())
            demand(lib.sm_sa_state(theirs, state) == OK and _window(state) == (0, 0), "a refused packet was remembered")
        demand(lib.sm_esp_open(theirs, whole, length, out, room) == 4 << 32 | size, "the unchanged packet is refused")
        demand(core.take(out, size) == inner, "the unchanged packet holds something else")
    finally:
        lib.sm_sa_free(ours)
        lib.sm_sa_free(theirs)
    return int(length)


def _window(state: Any) -> tuple[int, int]:
    """(highest received, bits)."""
    return state[1], state[2]
