/* Contexts: keys in, state out. Every entry point asks first whose memory this is, then enters (sm_gate.h). */
#include "sm_store.h"

#include <stdlib.h>
#include <string.h>

#include "sm_bytes.h"

enum { SET_TX = 1, SET_RX = 2, CAPACITY_MAX = 1 << 24, STATE_SUITE_SHIFT = 8 };

sm_store *sm_store_new(uint32_t capacity)
{
    if (capacity == 0 || capacity > CAPACITY_MAX)
        return NULL;
    sm_store *store = malloc(sizeof *store);
    sm_gate *gate = calloc(1, sizeof *gate);
    if (store == NULL || gate == NULL || !sm_arena_open(&store->arena, (size_t)capacity * SM_EXPORT)) {
        free(gate);
        free(store);
        return NULL;
    }
    store->gate = gate;
    store->capacity = capacity;
    store->lines = (sm_line *)store->arena.memory;
    store->keks = store->arena.memory + (size_t)capacity * SM_LINE;
    return store;
}

void sm_store_free(sm_store *store)
{
    if (store == NULL)
        return;
    if (!sm_arena_foreign(&store->arena)) /* in a forked child nobody is left to leave */
        sm_gate_enter_alone(store->gate);
    sm_arena_close(&store->arena);
    free(store->gate);
    free(store);
}

int sm_store_locked(const sm_store *store)
{
    return store != NULL && store->arena.locked;
}

static uint8_t *kek_of(const sm_store *store, uint32_t index)
{
    return store->keks + (size_t)index * SM_KEY;
}

/* Alone in the store, at a context's line; SM_NO_KEY for an empty context unless `empty` will do. Whoever is let in leaves. */
static int enter_alone(sm_store *store, uint32_t index, int empty)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    sm_gate_enter_alone(store->gate);
    if (store->lines[index].flags & SM_SECOND && empty)
        fault = SM_USAGE; /* half of another context */
    else if (!(store->lines[index].flags & SM_LOADED) && !empty)
        fault = SM_NO_KEY;
    if (fault != SM_OK)
        sm_gate_leave_alone(store->gate);
    return fault;
}

static int leave_alone(sm_store *store, int status)
{
    sm_gate_leave_alone(store->gate);
    return -status;
}

/* The lock on counters, to look at a context that holds keys. */
static int count(const sm_store *store, uint32_t index)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    sm_gate_enter(store->gate);
    sm_gate_count(store->gate);
    return SM_OK;
}

static int counted(const sm_store *store, int status)
{
    sm_gate_counted(store->gate);
    sm_gate_leave(store->gate);
    return status;
}

static void put_key(sm_line *line, size_t at, const uint8_t *key)
{
    memcpy((uint8_t *)line + at, key, SM_KEY);
    if (sm_line_long(line))
        memcpy((uint8_t *)(line + 1) + at, key + SM_KEY, SM_KEY);
}

static void put_kek(sm_store *store, uint32_t index, const uint8_t *kek)
{
    sm_line *line = &store->lines[index];
    const size_t length = SM_KEY * (size_t)sm_line_count(line);
    if (kek == NULL) {
        sm_wipe(kek_of(store, index), length);
        line->flags &= (uint8_t)~SM_MASTER;
        return;
    }
    memcpy(kek_of(store, index), kek, length);
    line->flags |= SM_MASTER;
}

/* Nothing is left of the context that begins at this line. */
static void clear(sm_store *store, uint32_t index)
{
    const uint32_t lines = sm_line_count(&store->lines[index]);
    sm_wipe(&store->lines[index], (size_t)lines * SM_LINE);
    sm_wipe(kek_of(store, index), (size_t)lines * SM_KEY);
}

/* Whether a context of this suite has room here: a long one takes the next line too, which must be free or its own. */
static int has_room(const sm_store *store, uint32_t index, uint32_t suite)
{
    if (suite != SM_SUITE_LONG)
        return 1;
    return index + 1 < store->capacity && !(store->lines[index + 1].flags & SM_LOADED);
}

int sm_context_load_suite(sm_store *store, uint32_t index, uint32_t suite, const uint8_t *ek, const uint8_t *ak,
                          const uint8_t *title, const uint8_t *peer, uint32_t tx, uint32_t rx, const uint8_t *kek)
{
    if (suite > SM_SUITE_LONG)
        return -SM_USAGE;
    const int fault = enter_alone(store, index, 1);
    if (fault != SM_OK)
        return -fault;
    if (!has_room(store, index, suite))
        return leave_alone(store, SM_USAGE);
    sm_line *line = &store->lines[index];
    clear(store, index);
    line->suite = (uint8_t)suite;
    put_key(line, offsetof(sm_line, ek), ek);
    put_key(line, offsetof(sm_line, ak), ak);
    memcpy(line->title, title, SM_TITLE);
    memcpy(line->peer, peer, SM_TITLE);
    sm_put_le32(line->tx, tx);
    sm_put_le32(line->rx, rx);
    line->flags = SM_LOADED;
    if (sm_line_long(line))
        line[1].flags = SM_SECOND;
    put_kek(store, index, kek);
    return leave_alone(store, SM_OK);
}

int sm_context_load(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, const uint8_t *title,
                    const uint8_t *peer, uint32_t tx, uint32_t rx, const uint8_t *kek)
{
    return sm_context_load_suite(store, index, 0, ek, ak, title, peer, tx, rx, kek);
}

int sm_context_suite(const sm_store *store, uint32_t index)
{
    int fault = count(store, index);
    if (fault != SM_OK)
        return -fault;
    const sm_line *line = &store->lines[index];
    return counted(store, line->flags & SM_LOADED ? line->suite : -SM_NO_KEY);
}

int sm_context_install(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, int reset)
{
    uint8_t whole[2 * SM_KEY];
    const int fault = enter_alone(store, index, 0);
    if (fault != SM_OK)
        return -fault;
    if ((ek == NULL && ak == NULL) || (reset && ek == NULL))
        return leave_alone(store, SM_USAGE);
    sm_line *line = &store->lines[index];
    if (ak != NULL)
        put_key(line, offsetof(sm_line, ak), ak);
    if (ek != NULL && !sm_equal(ek, sm_line_key(line, offsetof(sm_line, ek), whole), SM_KEY * sm_line_count(line))) {
        put_key(line, offsetof(sm_line, ek), ek);
        line->flags |= SM_FRESH;
        if (reset) {
            sm_put_le32(line->tx, 0);
            sm_put_le32(line->rx, 0);
        }
    }
    sm_wipe(whole, sizeof whole);
    sm_put_le32(line->epoch, sm_le32(line->epoch) + 1);
    return leave_alone(store, SM_OK);
}

int sm_context_set_master(sm_store *store, uint32_t index, const uint8_t *kek)
{
    const int fault = enter_alone(store, index, 0);
    if (fault != SM_OK)
        return -fault;
    put_kek(store, index, kek);
    return leave_alone(store, SM_OK);
}

int sm_context_set_peer(sm_store *store, uint32_t index, const uint8_t *title)
{
    const int fault = enter_alone(store, index, 0);
    if (fault != SM_OK)
        return -fault;
    memcpy(store->lines[index].peer, title, SM_TITLE);
    return leave_alone(store, SM_OK);
}

int sm_context_set_counters(sm_store *store, uint32_t index, uint32_t mask, uint32_t tx, uint32_t rx)
{
    const int fault = enter_alone(store, index, 0);
    if (fault != SM_OK)
        return -fault;
    sm_line *line = &store->lines[index];
    if (mask & SET_TX) {
        if (tx < sm_le32(line->tx) && !(line->flags & SM_FRESH))
            return leave_alone(store, SM_USAGE);
        sm_put_le32(line->tx, tx);
    }
    if (mask & SET_RX)
        sm_put_le32(line->rx, rx);
    return leave_alone(store, SM_OK);
}

int sm_context_loaded(const sm_store *store, uint32_t index)
{
    int fault = count(store, index);
    return fault == SM_OK ? counted(store, store->lines[index].flags & SM_LOADED) : -fault;
}

int sm_context_state(const sm_store *store, uint32_t index, uint8_t *out)
{
    int fault = count(store, index);
    if (fault != SM_OK)
        return -fault;
    const sm_line *line = &store->lines[index];
    if (!(line->flags & SM_LOADED))
        return counted(store, -SM_NO_KEY);
    memcpy(out, line->title, SM_TITLE);
    memcpy(out + 8, line->peer, SM_TITLE);
    memcpy(out + 16, line->tx, 4);
    memcpy(out + 20, line->rx, 4);
    memcpy(out + 24, line->epoch, 4);
    sm_put_le32(out + 28, line->flags | (uint32_t)line->suite << STATE_SUITE_SHIFT);
    return counted(store, SM_OK);
}

int sm_context_erase(sm_store *store, uint32_t index)
{
    const int fault = enter_alone(store, index, 1);
    if (fault != SM_OK)
        return -fault;
    clear(store, index);
    return leave_alone(store, SM_OK);
}

int sm_context_export(const sm_store *store, uint32_t index, uint8_t *out)
{
    int fault = count(store, index);
    if (fault != SM_OK)
        return -fault;
    const sm_line *line = &store->lines[index];
    if (!(line->flags & SM_LOADED))
        return counted(store, -SM_NO_KEY);
    const uint32_t lines = sm_line_count(line);
    memcpy(out, line, (size_t)lines * SM_LINE);
    memcpy(out + (size_t)lines * SM_LINE, kek_of(store, index), (size_t)lines * SM_KEY);
    return counted(store, SM_OK);
}

/* Whether these are the lines of a context. */
static int known(const sm_line *line)
{
    if (!(line->flags & SM_LOADED) || line->flags & ~(SM_LOADED | SM_FRESH | SM_MASTER) || line->more_flags != 0 ||
        line->suite > SM_SUITE_LONG || line->control != 0)
        return 0;
    if (!sm_line_long(line))
        return 1;
    const sm_line nothing = {.flags = SM_SECOND};
    sm_line second = line[1];
    sm_wipe(second.ek, SM_KEY);
    sm_wipe(second.ak, SM_KEY);
    return memcmp(&second, &nothing, sizeof nothing) == 0;
}

int sm_context_restore(sm_store *store, uint32_t index, const uint8_t *blob)
{
    sm_line lines[2];
    int fault = enter_alone(store, index, 1);
    if (fault != SM_OK)
        return -fault;
    const uint32_t many = blob[offsetof(sm_line, suite)] == SM_SUITE_LONG ? 2 : 1;
    memcpy(lines, blob, (size_t)many * SM_LINE);
    if (known(lines) && has_room(store, index, lines[0].suite)) {
        clear(store, index);
        memcpy(&store->lines[index], lines, (size_t)many * SM_LINE);
        memcpy(kek_of(store, index), blob + (size_t)many * SM_LINE, (size_t)many * SM_KEY);
    } else {
        fault = SM_USAGE;
    }
    sm_wipe(lines, sizeof lines);
    return leave_alone(store, fault);
}
