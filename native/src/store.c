/* Contexts: keys in, state out. Every entry point asks first whose memory this is. */
#include "sm_store.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "sm_bytes.h"

enum { SET_TX = 1, SET_RX = 2, CAPACITY_MAX = 1 << 24 };

sm_store *sm_store_new(uint32_t capacity)
{
    if (capacity == 0 || capacity > CAPACITY_MAX)
        return NULL;
    sm_store *store = malloc(sizeof *store);
    if (store == NULL)
        return NULL;
    if (!sm_arena_open(&store->arena, (size_t)capacity * SM_EXPORT)) {
        free(store);
        return NULL;
    }
    store->capacity = capacity;
    store->alone = store->shared = 0;
    store->lines = (sm_line *)store->arena.memory;
    store->keks = store->arena.memory + (size_t)capacity * SM_LINE;
    return store;
}

void sm_store_free(sm_store *store)
{
    if (store == NULL)
        return;
    sm_arena_close(&store->arena);
    free(store);
}

void sm_store_enter(sm_store *store)
{
    uint32_t nobody = 0;
    if (__atomic_load_n(&store->shared, __ATOMIC_ACQUIRE))
        return;
    if (__atomic_compare_exchange_n(&store->alone, &nobody, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
        /* Who comes after this look waits for us; who came before is seen by it, and by every step. */
        if (__atomic_load_n(&store->shared, __ATOMIC_SEQ_CST))
            sm_store_leave(store);
        return;
    }
    __atomic_store_n(&store->shared, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&store->alone, __ATOMIC_SEQ_CST))
        (void)sched_yield();
}

void sm_store_leave(sm_store *store)
{
    __atomic_store_n(&store->alone, 0, __ATOMIC_RELEASE);
}

int sm_line_take_shared(sm_line *line, uint32_t *counter)
{
    uint32_t *tx = (uint32_t *)(void *)line->tx; /* little-endian, whatever this machine is */
    uint32_t seen = __atomic_load_n(tx, __ATOMIC_RELAXED), next;
    if (!(line->flags & SM_LOADED))
        return SM_NO_KEY;
    if (line->flags & SM_FRESH)
        (void)__atomic_and_fetch(&line->flags, (uint8_t)~SM_FRESH, __ATOMIC_SEQ_CST);
    do {
        *counter = sm_le32((const uint8_t *)&seen);
        if (*counter == SM_COUNTER_MAX)
            return SM_EXHAUSTED;
        sm_put_le32((uint8_t *)&next, *counter + 1);
    } while (!__atomic_compare_exchange_n(tx, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return SM_OK;
}

int sm_store_locked(const sm_store *store)
{
    return store != NULL && store->arena.locked;
}

/* As sm_store_fault, and SM_NO_KEY for an empty context. */
static int fault_or_empty(const sm_store *store, uint32_t index)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    return store->lines[index].flags & SM_LOADED ? SM_OK : SM_NO_KEY;
}

static uint8_t *kek_of(const sm_store *store, uint32_t index)
{
    return store->keks + (size_t)index * SM_KEY;
}

static void put_kek(sm_store *store, uint32_t index, const uint8_t *kek)
{
    sm_line *line = &store->lines[index];
    if (kek == NULL) {
        sm_wipe(kek_of(store, index), SM_KEY);
        line->flags &= (uint8_t)~SM_MASTER;
        return;
    }
    memcpy(kek_of(store, index), kek, SM_KEY);
    line->flags |= SM_MASTER;
}

int sm_context_load(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, const uint8_t *title,
                    const uint8_t *peer, uint32_t tx, uint32_t rx, const uint8_t *kek)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_line *line = &store->lines[index];
    sm_wipe(line, sizeof *line);
    memcpy(line->ek, ek, SM_KEY);
    memcpy(line->ak, ak, SM_KEY);
    memcpy(line->title, title, SM_TITLE);
    memcpy(line->peer, peer, SM_TITLE);
    sm_put_le32(line->tx, tx);
    sm_put_le32(line->rx, rx);
    line->flags = SM_LOADED;
    put_kek(store, index, kek);
    return SM_OK;
}

int sm_context_install(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, int reset)
{
    int fault = fault_or_empty(store, index);
    if (fault != SM_OK)
        return -fault;
    if ((ek == NULL && ak == NULL) || (reset && ek == NULL))
        return -SM_USAGE;
    sm_line *line = &store->lines[index];
    if (ak != NULL)
        memcpy(line->ak, ak, SM_KEY);
    if (ek != NULL && !sm_equal(ek, line->ek, SM_KEY)) {
        memcpy(line->ek, ek, SM_KEY);
        line->flags |= SM_FRESH;
        if (reset) {
            sm_put_le32(line->tx, 0);
            sm_put_le32(line->rx, 0);
        }
    }
    sm_put_le32(line->epoch, sm_le32(line->epoch) + 1);
    return SM_OK;
}

int sm_context_set_master(sm_store *store, uint32_t index, const uint8_t *kek)
{
    int fault = fault_or_empty(store, index);
    if (fault == SM_OK)
        put_kek(store, index, kek);
    return -fault;
}

int sm_context_set_peer(sm_store *store, uint32_t index, const uint8_t *title)
{
    int fault = fault_or_empty(store, index);
    if (fault == SM_OK)
        memcpy(store->lines[index].peer, title, SM_TITLE);
    return -fault;
}

int sm_context_set_counters(sm_store *store, uint32_t index, uint32_t mask, uint32_t tx, uint32_t rx)
{
    int fault = fault_or_empty(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_line *line = &store->lines[index];
    if (mask & SET_TX) {
        if (tx < sm_le32(line->tx) && !(line->flags & SM_FRESH))
            return -SM_USAGE;
        sm_put_le32(line->tx, tx);
    }
    if (mask & SET_RX)
        sm_put_le32(line->rx, rx);
    return SM_OK;
}

int sm_context_loaded(const sm_store *store, uint32_t index)
{
    int fault = sm_store_fault(store, index);
    return fault == SM_OK ? store->lines[index].flags & SM_LOADED : -fault;
}

int sm_context_state(const sm_store *store, uint32_t index, uint8_t *out)
{
    int fault = fault_or_empty(store, index);
    if (fault != SM_OK)
        return -fault;
    const sm_line *line = &store->lines[index];
    memcpy(out, line->title, SM_TITLE);
    memcpy(out + 8, line->peer, SM_TITLE);
    memcpy(out + 16, line->tx, 4);
    memcpy(out + 20, line->rx, 4);
    memcpy(out + 24, line->epoch, 4);
    sm_put_le32(out + 28, line->flags);
    return SM_OK;
}

int sm_context_erase(sm_store *store, uint32_t index)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_wipe(&store->lines[index], SM_LINE);
    sm_wipe(kek_of(store, index), SM_KEY);
    return SM_OK;
}

int sm_context_export(const sm_store *store, uint32_t index, uint8_t *out)
{
    int fault = fault_or_empty(store, index);
    if (fault != SM_OK)
        return -fault;
    memcpy(out, &store->lines[index], SM_LINE);
    memcpy(out + SM_LINE, kek_of(store, index), SM_KEY);
    return SM_OK;
}

int sm_context_restore(sm_store *store, uint32_t index, const uint8_t *blob)
{
    sm_line line;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    memcpy(&line, blob, sizeof line);
    const int known = !(line.flags & ~(SM_LOADED | SM_FRESH | SM_MASTER)) && line.more_flags == 0;
    if (!(line.flags & SM_LOADED) || !known || line.suite != 0 || line.control != 0) {
        sm_wipe(&line, sizeof line);
        return -SM_USAGE;
    }
    store->lines[index] = line;
    memcpy(kek_of(store, index), blob + SM_LINE, SM_KEY);
    sm_wipe(&line, sizeof line);
    return SM_OK;
}
