/* Threads in one store, for ThreadSanitizer: batches of all kinds in two, keys and counters changed by a third. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sm_api.h"

enum { CONTEXTS = 8, MESSAGES = 1500, LENGTH = 64, ROUNDS = 6, CHANGES = 150 };

static sm_store *store;

/* One message in fifty goes alone: authenticated only. */
static void *work(void *unused)
{
    static const size_t in_size = MESSAGES * LENGTH, out_size = MESSAGES * (LENGTH + 16);
    uint32_t index[MESSAGES], length[MESSAGES], counter[MESSAGES];
    uint8_t control[MESSAGES], status[MESSAGES], state[32];
    uint8_t *in = calloc(1, in_size), *out = calloc(1, out_size);
    (void)unused;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        index[i] = i % CONTEXTS;
        length[i] = LENGTH;
        control[i] = i % 50 ? 0x30 : 0x10;
    }
    for (int round = 0; in != NULL && out != NULL && round < ROUNDS; round++) {
        sm_seal_batch(store, MESSAGES, index, control, in, in_size, NULL, length, out, out_size, NULL, counter, status);
        sm_gmac_batch(store, MESSAGES, index, in, in_size, NULL, length, out, out_size, NULL, counter, status);
        sm_open_batch(store, MESSAGES, index, control, in, in_size, NULL, length, out, out_size, NULL, counter, status);
        sm_seal_one(store, 3, 0x30, in, LENGTH, out, out_size);
        sm_context_state(store, 2, state);
    }
    free(in);
    free(out);
    return NULL;
}

static void *change(void *unused)
{
    uint8_t key[16] = {0}, row[160];
    (void)unused;
    for (int k = 0; k < CHANGES; k++) {
        key[0] = (uint8_t)k;
        sm_context_install(store, 3, key, key, 1);
        sm_context_set_counters(store, 2, 2, 0, 0);
        sm_context_export(store, 1, row);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    const uint8_t key[16] = {1};
    pthread_t threads[3];
    if (count != 2 || sm_select(arguments[1]) != SM_OK)
        return 77;
    store = sm_store_new(CONTEXTS);
    for (uint32_t i = 0; i < CONTEXTS; i++)
        sm_context_load(store, i, key, key, key, key, 0, 0, key);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, i < 2 ? work : change, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sm_store_free(store);
    puts("done");
    return 0;
}
