/* One loop for all engines: the compiled core, two libcryptos and ipsec-mb, on the same messages, keys and clock.
 *
 * Compiled where it runs (emulator/measure/driver.py), because no peer is a dependency of the emulator: libraries come by
 * dlopen, and ipsec-mb also needs its header at compile time, without which it counts as absent. The core comes as function
 * addresses of the extension in use, so it pays the same indirect call as everyone.
 *
 * A sample: `prepare` draws contexts and lengths and, for opening, has a store nobody is timed on seal the messages; `timed`
 * runs one engine over them and gives thread CPU time a message. Contexts are drawn anew for each sample, so no engine finds
 * the lines the one before it has fetched. Peers read EK, AK, title and KEK from one 64-byte record a meter on huge pages,
 * which is the best they can be given.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__has_include)
#if __has_include(<intel-ipsec-mb.h>)
#include <intel-ipsec-mb.h>
#define WITH_IPSEC_MB 1
#endif
#endif

enum { MESSAGES = 4096, TEXT_MAX = 1024, TAG = 12, ICV = 16, KEY = 16, WRAPPED = 24, SLACK = 64, AHEAD = 24 };
enum { SLOT_MAX = TEXT_MAX + 64, CONTROL = 0x30, SPI = 0x1234, NEXT_HEADER = 4 };
enum op { SEAL, OPEN, WRAP, UNWRAP, ESP_SEAL, ESP_OPEN };
enum engine { CORE, OPENSSL_A, OPENSSL_B, EXPAND, EXPAND_FETCH, KEPT_A, KEPT_B, PRECOMPUTED };

/* The core, as native/include/sm_api.h declares it; driver.py compares the declarations before it hands these in. */
typedef struct sm_store sm_store;
typedef struct sm_sa sm_sa;
typedef struct {
    sm_store *(*store_new)(uint32_t);
    void (*store_free)(sm_store *);
    int (*load)(sm_store *, uint32_t, const uint8_t *, const uint8_t *, const uint8_t *, const uint8_t *, uint32_t,
                uint32_t, const uint8_t *);
    int64_t (*seal)(sm_store *, size_t, const uint32_t *, const uint8_t *, const uint8_t *, size_t, const uint32_t *,
                    const uint32_t *, uint8_t *, size_t, const uint32_t *, uint32_t *, uint8_t *);
    int64_t (*open)(sm_store *, size_t, const uint32_t *, const uint8_t *, const uint8_t *, size_t, const uint32_t *,
                    const uint32_t *, uint8_t *, size_t, const uint32_t *, const uint32_t *, uint8_t *);
    int64_t (*wrap)(sm_store *, size_t, const uint32_t *, const uint8_t *, size_t, const uint32_t *, const uint32_t *,
                    uint8_t *, size_t, const uint32_t *, uint8_t *);
    int64_t (*unwrap)(sm_store *, size_t, const uint32_t *, const uint8_t *, size_t, const uint32_t *,
                      const uint32_t *, uint8_t *, size_t, const uint32_t *, uint8_t *);
    sm_sa *(*sa_new)(uint32_t, const uint8_t *, size_t, const uint8_t *, uint64_t, uint32_t, uint64_t);
    void (*sa_free)(sm_sa *);
    int64_t (*esp_seal)(sm_sa *, const uint8_t *, size_t, uint32_t, uint8_t *, size_t);
    int64_t (*esp_open)(sm_sa *, const uint8_t *, size_t, uint8_t *, size_t);
} core_calls;

/* libcrypto, as far as it is used. */
enum { SET_IVLEN = 0x9, GET_TAG = 0x10, SET_TAG = 0x11 };
typedef struct {
    int there, wraps;
    void *(*ctx_new)(void);
    void (*ctx_free)(void *);
    const void *(*aes_128_gcm)(void);
    int (*seal_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*seal_update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*seal_final)(void *, uint8_t *, int *);
    int (*open_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*open_update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*open_final)(void *, uint8_t *, int *);
    int (*ctrl)(void *, int, int, void *);
    int (*set_encrypt_key)(const uint8_t *, int, void *);
    int (*set_decrypt_key)(const uint8_t *, int, void *);
    int (*wrap)(void *, const uint8_t *, uint8_t *, const uint8_t *, unsigned);
    int (*unwrap)(void *, const uint8_t *, uint8_t *, const uint8_t *, unsigned);
    const char *(*version)(int);
    void *sealing, *opening;
} openssl;

/* What a peer knows of a meter: one cache line. */
typedef struct {
    uint8_t ek[KEY], ak[KEY], kek[KEY], title[8], spare[8];
} record;

typedef struct {
    core_calls core;
    openssl ssl[2];
    uint32_t keys;
    record *table;
    size_t table_size;
    sm_store *reference, *sealer, *opener;
    sm_sa *sa;
    enum op op;
    size_t count;
    uint64_t chance;
    uint32_t index[MESSAGES], length[MESSAGES], plain_at[MESSAGES], out_at[MESSAGES], sealed_at[MESSAGES];
    uint32_t sealed_length[MESSAGES], counter[MESSAGES], taken[MESSAGES];
    uint8_t control[MESSAGES], status[MESSAGES];
    size_t out_size;
    int64_t good;
    uint8_t *plain, *sealed, *out; /* MESSAGES slots each */
#ifdef WITH_IPSEC_MB
    IMB_MGR *mb;
    void (*mb_free)(IMB_MGR *);
    struct gcm_key_data expanded;
#endif
} bench;

static const size_t AREA = (size_t)MESSAGES * SLOT_MAX + SLACK;

static uint64_t draw(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void draw_bytes(uint64_t *state, uint8_t *to, size_t size)
{
    for (size_t at = 0; at < size; at += 8) {
        const uint64_t word = draw(state);
        memcpy(to + at, &word, size - at < 8 ? size - at : 8);
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t slot(uint32_t length)
{
    return (length + 15u) / 16u * 16u + 16u;
}

/* making and ending */

static int find(void *library, void *into, const char *name)
{
    void *found = dlsym(library, name);
    memcpy(into, &found, sizeof found);
    return found != NULL;
}

static void load_openssl(openssl *s, const char *path)
{
    void *library = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL; /* stays: it has exit handlers */
    if (library == NULL)
        return;
    s->there = find(library, &s->ctx_new, "EVP_CIPHER_CTX_new") & find(library, &s->ctx_free, "EVP_CIPHER_CTX_free") &
               find(library, &s->aes_128_gcm, "EVP_aes_128_gcm") & find(library, &s->seal_init, "EVP_EncryptInit_ex") &
               find(library, &s->seal_update, "EVP_EncryptUpdate") &
               find(library, &s->seal_final, "EVP_EncryptFinal_ex") &
               find(library, &s->open_init, "EVP_DecryptInit_ex") &
               find(library, &s->open_update, "EVP_DecryptUpdate") &
               find(library, &s->open_final, "EVP_DecryptFinal_ex") & find(library, &s->ctrl, "EVP_CIPHER_CTX_ctrl") &
               find(library, &s->version, "OpenSSL_version");
    s->wraps = s->there & find(library, &s->set_encrypt_key, "AES_set_encrypt_key") &
               find(library, &s->set_decrypt_key, "AES_set_decrypt_key") & find(library, &s->wrap, "AES_wrap_key") &
               find(library, &s->unwrap, "AES_unwrap_key");
    if (!s->there)
        return;
    s->sealing = s->ctx_new();
    s->opening = s->ctx_new();
    s->there = s->sealing && s->opening && s->seal_init(s->sealing, s->aes_128_gcm(), NULL, NULL, NULL) == 1 &&
               s->open_init(s->opening, s->aes_128_gcm(), NULL, NULL, NULL) == 1;
}

static void load_ipsec_mb(bench *b, const char *path)
{
#ifdef WITH_IPSEC_MB
    IMB_MGR *(*make)(uint64_t);
    void (*start)(IMB_MGR *, IMB_ARCH *);
    void *library = path && *path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library && find(library, &make, "alloc_mb_mgr") && find(library, &start, "init_mb_mgr_auto") &&
        find(library, &b->mb_free, "free_mb_mgr") && (b->mb = make(0)) != NULL)
        start(b->mb, NULL);
#else
    (void)b;
    (void)path;
#endif
}

static void *huge(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void bench_free(bench *b)
{
    if (b == NULL)
        return;
    sm_store *stores[] = {b->reference, b->sealer, b->opener};
    for (size_t i = 0; i < 3; i++)
        if (stores[i])
            b->core.store_free(stores[i]);
    if (b->sa)
        b->core.sa_free(b->sa);
    for (int i = 0; i < 2; i++)
        if (b->ssl[i].there) {
            b->ssl[i].ctx_free(b->ssl[i].sealing);
            b->ssl[i].ctx_free(b->ssl[i].opening);
        }
#ifdef WITH_IPSEC_MB
    if (b->mb)
        b->mb_free(b->mb);
#endif
    if (b->table)
        munmap(b->table, b->table_size);
    if (b->plain)
        munmap(b->plain, 3 * AREA);
    free(b);
}

/* NULL: no memory, or the core refuses. */
bench *bench_new(const core_calls *core, const char *libcrypto_a, const char *libcrypto_b, const char *ipsec_mb,
                 uint32_t keys, uint64_t seed)
{
    static const uint8_t client[8] = "BENCHMRK";
    void *made = NULL;
    if (posix_memalign(&made, 64, (sizeof(bench) + 63) / 64 * 64) != 0)
        return NULL;
    bench *b = memset(made, 0, sizeof(bench));
    b->core = *core;
    b->keys = keys;
    b->table_size = (size_t)keys * sizeof(record);
    b->table = huge(b->table_size);
    b->reference = core->store_new(keys);
    b->sealer = core->store_new(keys);
    b->opener = core->store_new(keys);
    b->plain = huge(3 * AREA);
    if (!b->table || !b->reference || !b->sealer || !b->opener || !b->plain) {
        bench_free(b);
        return NULL;
    }
    b->sealed = b->plain + AREA;
    b->out = b->sealed + AREA;
    draw_bytes(&seed, b->plain, AREA);
    memset(b->control, CONTROL, sizeof b->control);
    for (uint32_t i = 0; i < keys; i++) {
        record *r = &b->table[i];
        draw_bytes(&seed, (uint8_t *)r, sizeof *r);
        if (core->load(b->reference, i, r->ek, r->ak, r->title, client, 0, 0, r->kek) ||
            core->load(b->sealer, i, r->ek, r->ak, r->title, client, 0, 0, r->kek) ||
            core->load(b->opener, i, r->ek, r->ak, client, r->title, 0, 0, r->kek)) {
            bench_free(b);
            return NULL;
        }
    }
    load_openssl(&b->ssl[0], libcrypto_a);
    load_openssl(&b->ssl[1], libcrypto_b);
    load_ipsec_mb(b, ipsec_mb);
    return b;
}

/* Whether an engine is here for an operation. */
int bench_has(const bench *b, int engine, int op)
{
    const int keys_alone = op == WRAP || op == UNWRAP;
    switch (engine) {
    case CORE:
        return 1;
    case OPENSSL_A:
    case OPENSSL_B:
        if (op == ESP_SEAL || op == ESP_OPEN)
            return 0;
        return keys_alone ? b->ssl[engine - OPENSSL_A].wraps : b->ssl[engine - OPENSSL_A].there;
    case KEPT_A:
    case KEPT_B:
        return !keys_alone && b->ssl[engine - KEPT_A].there;
#ifdef WITH_IPSEC_MB
    case EXPAND:
    case EXPAND_FETCH:
        return (op == SEAL || op == OPEN) && b->mb != NULL;
    case PRECOMPUTED:
        return !keys_alone && b->mb != NULL;
#endif
    default:
        return 0;
    }
}

const char *bench_openssl_version(const bench *b, int which)
{
    return b->ssl[which].there ? b->ssl[which].version(0) : "";
}

const char *bench_ipsec_mb_version(const bench *b)
{
#ifdef WITH_IPSEC_MB
    if (b->mb)
        return IMB_VERSION_STR;
#else
    (void)b;
#endif
    return "";
}

/* one packet of ESP as RFC 4106 has it: SPI, sequence, IV (the sequence), text and trailer, ICV */

static uint32_t esp_text(uint32_t length) /* with padding, pad length and next header */
{
    return (length + 2 + 3) / 4 * 4;
}

static void esp_header(uint8_t *packet, uint32_t sequence)
{
    const uint32_t spi = __builtin_bswap32(SPI), number = __builtin_bswap32(sequence);
    memcpy(packet, &spi, 4);
    memcpy(packet + 4, &number, 4);
    memset(packet + 8, 0, 4);
    memcpy(packet + 12, &number, 4);
}

static void nonce(uint8_t iv[12], const uint8_t *title, uint32_t counter)
{
    const uint32_t number = __builtin_bswap32(counter);
    memcpy(iv, title, 8);
    memcpy(iv + 8, &number, 4);
}

static sm_sa *new_sa(const bench *b)
{
    return b->core.sa_new(SPI, b->table[0].ek, KEY, b->table[0].ak, 1, 0, 0);
}

/* Draw `count` messages of `size` bytes (0: 16 to 128, uniform) under one context (`one`) or random ones. 0: done. */
int bench_prepare(bench *b, int op, uint32_t size, int one, uint64_t seed, uint32_t count)
{
    uint64_t chance = seed;
    uint32_t in = 0, out = 0, sealed = 0;
    const int esp = op == ESP_SEAL || op == ESP_OPEN;
    if (count > MESSAGES || size > TEXT_MAX)
        return -1;
    b->op = (enum op)op;
    b->count = count;
    for (uint32_t k = 0; k < count; k++) {
        const uint64_t drawn = draw(&chance);
        b->index[k] = one ? (uint32_t)(seed % b->keys) : (uint32_t)((drawn >> 32) * b->keys >> 32);
        b->length[k] = op == WRAP || op == UNWRAP ? KEY : size ? size : 16 + (uint32_t)drawn % 113;
        b->counter[k] = k;
        b->plain_at[k] = in;
        in += b->length[k];
        if (esp) {
            uint8_t *trailer = b->plain + in;
            const uint32_t padding = esp_text(b->length[k]) - 2 - b->length[k];
            for (uint32_t i = 0; i < padding; i++)
                trailer[i] = (uint8_t)(i + 1);
            trailer[padding] = (uint8_t)padding;
            trailer[padding + 1] = NEXT_HEADER;
            in += padding + 2;
        }
        b->sealed_length[k] = esp ? 16 + esp_text(b->length[k]) + ICV : b->length[k] + (op == UNWRAP ? 8 : TAG);
        b->sealed_at[k] = sealed;
        sealed += slot(b->sealed_length[k]);
        b->out_at[k] = out;
        out += slot(b->sealed_length[k]);
    }
    b->out_size = out;
    memset(b->out, 0, out);
    if (esp) {
        sm_sa *sealer = new_sa(b);
        if (b->sa)
            b->core.sa_free(b->sa);
        b->sa = new_sa(b); /* anew: a schedule made on one tier means nothing to another */
        if (sealer == NULL || b->sa == NULL)
            return -1;
        for (uint32_t k = 0; k < count; k++)
            if (b->core.esp_seal(sealer, b->plain + b->plain_at[k], b->length[k], NEXT_HEADER, b->sealed + b->sealed_at[k],
                                 slot(b->sealed_length[k])) != b->sealed_length[k])
                return -1;
        b->core.sa_free(sealer);
    } else if (op == OPEN) {
        if (b->core.seal(b->reference, count, b->index, b->control, b->plain, AREA, b->plain_at, b->length, b->sealed,
                         AREA, b->sealed_at, b->counter, b->status) != count)
            return -1;
    } else if (op == UNWRAP) {
        if (b->core.wrap(b->reference, count, b->index, b->plain, AREA, b->plain_at, b->length, b->sealed, AREA,
                         b->sealed_at, b->status) != count)
            return -1;
    }
    return 0;
}

/* the engines; each gives how many messages were good */

static int64_t run_core(bench *b)
{
    const core_calls *c = &b->core;
    int64_t good = 0;
    switch (b->op) {
    case SEAL:
        return c->seal(b->sealer, b->count, b->index, b->control, b->plain, AREA, b->plain_at, b->length, b->out, AREA,
                       b->out_at, b->taken, b->status);
    case OPEN:
        return c->open(b->opener, b->count, b->index, b->control, b->sealed, AREA, b->sealed_at, b->sealed_length, b->out,
                       AREA, b->out_at, b->counter, b->status);
    case WRAP:
        return c->wrap(b->sealer, b->count, b->index, b->plain, AREA, b->plain_at, b->length, b->out, AREA, b->out_at,
                       b->status);
    case UNWRAP:
        return c->unwrap(b->opener, b->count, b->index, b->sealed, AREA, b->sealed_at, b->sealed_length, b->out, AREA,
                         b->out_at, b->status);
    case ESP_SEAL:
        for (size_t k = 0; k < b->count; k++)
            good += c->esp_seal(b->sa, b->plain + b->plain_at[k], b->length[k], NEXT_HEADER, b->out + b->out_at[k],
                                slot(b->sealed_length[k])) > 0;
        return good;
    case ESP_OPEN:
        for (size_t k = 0; k < b->count; k++)
            good += c->esp_open(b->sa, b->sealed + b->sealed_at[k], b->sealed_length[k], b->out + b->out_at[k],
                                slot(b->sealed_length[k])) >= 0;
        return good;
    }
    return 0;
}

static int64_t run_openssl(bench *b, const openssl *s, int kept)
{
    int64_t good = 0;
    uint8_t aad[1 + KEY] = {CONTROL}, iv[12], last[16];
    int n = 0;
    for (size_t k = 0; k < b->count; k++) {
        const record *r = &b->table[b->index[k]];
        const int length = (int)b->length[k];
        uint8_t *out = b->out + b->out_at[k], *sealed = b->sealed + b->sealed_at[k];
        memcpy(aad + 1, r->ak, KEY);
        nonce(iv, r->title, b->counter[k]);
        if (b->op == SEAL) {
            good += s->seal_init(s->sealing, NULL, NULL, kept ? NULL : r->ek, iv) == 1 &&
                    s->seal_update(s->sealing, NULL, &n, aad, sizeof aad) == 1 &&
                    s->seal_update(s->sealing, out, &n, b->plain + b->plain_at[k], length) == 1 &&
                    s->seal_final(s->sealing, out + length, &n) == 1 &&
                    s->ctrl(s->sealing, GET_TAG, TAG, out + length) == 1;
        } else {
            b->status[k] = s->open_init(s->opening, NULL, NULL, kept ? NULL : r->ek, iv) == 1 &&
                           s->open_update(s->opening, NULL, &n, aad, sizeof aad) == 1 &&
                           s->open_update(s->opening, out, &n, sealed, length) == 1 &&
                           s->ctrl(s->opening, SET_TAG, TAG, sealed + length) == 1 &&
                           s->open_final(s->opening, last, &n) == 1;
            good += b->status[k];
        }
    }
    return good;
}

static int64_t wrap_openssl(bench *b, const openssl *s)
{
    _Alignas(16) uint8_t schedule[512]; /* an AES_KEY has 244 bytes */
    int64_t good = 0;
    for (size_t k = 0; k < b->count; k++) {
        const uint8_t *kek = b->table[b->index[k]].kek;
        if (b->op == WRAP)
            good += s->set_encrypt_key(kek, 128, schedule) == 0 &&
                    s->wrap(schedule, NULL, b->out + b->out_at[k], b->plain + b->plain_at[k], KEY) == WRAPPED;
        else
            good += s->set_decrypt_key(kek, 128, schedule) == 0 &&
                    s->unwrap(schedule, NULL, b->out + b->out_at[k], b->sealed + b->sealed_at[k], WRAPPED) == KEY;
    }
    return good;
}

static int64_t esp_openssl(bench *b, const openssl *s)
{
    int64_t good = 0;
    uint8_t iv[12], last[16];
    int n = 0;
    memcpy(iv, b->table[0].ak, 4);
    for (size_t k = 0; k < b->count; k++) {
        uint8_t *out = b->out + b->out_at[k], *sealed = b->sealed + b->sealed_at[k];
        const int length = (int)esp_text(b->length[k]);
        if (b->op == ESP_SEAL) {
            esp_header(out, (uint32_t)k + 1);
            memcpy(iv + 4, out + 8, 8);
            good += s->seal_init(s->sealing, NULL, NULL, NULL, iv) == 1 &&
                    s->seal_update(s->sealing, NULL, &n, out, 8) == 1 &&
                    s->seal_update(s->sealing, out + 16, &n, b->plain + b->plain_at[k], length) == 1 &&
                    s->seal_final(s->sealing, last, &n) == 1 &&
                    s->ctrl(s->sealing, GET_TAG, ICV, out + 16 + length) == 1;
        } else {
            memcpy(iv + 4, sealed + 8, 8);
            good += s->open_init(s->opening, NULL, NULL, NULL, iv) == 1 &&
                    s->open_update(s->opening, NULL, &n, sealed, 8) == 1 &&
                    s->open_update(s->opening, out, &n, sealed + 16, length) == 1 &&
                    s->ctrl(s->opening, SET_TAG, ICV, sealed + 16 + length) == 1 &&
                    s->open_final(s->opening, last, &n) == 1;
        }
    }
    return good;
}

#ifdef WITH_IPSEC_MB
static int64_t run_ipsec_mb(bench *b, int kept, int fetch)
{
    struct gcm_context_data context;
    struct gcm_key_data *key = &b->expanded;
    uint8_t aad[1 + KEY] = {CONTROL}, iv[12], tag[16];
    int64_t good = 0;
    for (size_t k = 0; k < b->count; k++) {
        const record *r = &b->table[b->index[k]];
        uint8_t *out = b->out + b->out_at[k], *sealed = b->sealed + b->sealed_at[k];
        if (fetch && k + AHEAD < b->count)
            __builtin_prefetch(&b->table[b->index[k + AHEAD]]);
        memcpy(aad + 1, r->ak, KEY);
        nonce(iv, r->title, b->counter[k]);
        if (!kept)
            IMB_AES128_GCM_PRE(b->mb, r->ek, key);
        if (b->op == SEAL) {
            IMB_AES128_GCM_ENC(b->mb, key, &context, out, b->plain + b->plain_at[k], b->length[k], iv, aad, sizeof aad,
                               out + b->length[k], TAG);
            good++;
        } else {
            IMB_AES128_GCM_DEC(b->mb, key, &context, out, sealed, b->length[k], iv, aad, sizeof aad, tag, TAG);
            b->status[k] = memcmp(tag, sealed + b->length[k], TAG) == 0;
            good += b->status[k];
        }
    }
    return good;
}

static int64_t esp_ipsec_mb(bench *b)
{
    struct gcm_context_data context;
    const struct gcm_key_data *key = &b->expanded;
    uint8_t iv[12], tag[ICV];
    int64_t good = 0;
    memcpy(iv, b->table[0].ak, 4);
    for (size_t k = 0; k < b->count; k++) {
        uint8_t *out = b->out + b->out_at[k], *sealed = b->sealed + b->sealed_at[k];
        const uint32_t length = esp_text(b->length[k]);
        if (b->op == ESP_SEAL) {
            esp_header(out, (uint32_t)k + 1);
            memcpy(iv + 4, out + 8, 8);
            IMB_AES128_GCM_ENC(b->mb, key, &context, out + 16, b->plain + b->plain_at[k], length, iv, out, 8,
                               out + 16 + length, ICV);
            good++;
        } else {
            memcpy(iv + 4, sealed + 8, 8);
            IMB_AES128_GCM_DEC(b->mb, key, &context, out, sealed + 16, length, iv, sealed, 8, tag, ICV);
            good += memcmp(tag, sealed + 16 + length, ICV) == 0;
        }
    }
    return good;
}
#endif

/* What the engines that keep a key do before the clock runs. */
static void ready(bench *b, int engine)
{
    const uint8_t *ek = b->table[b->op == ESP_SEAL || b->op == ESP_OPEN ? 0 : b->index[0]].ek;
    static const uint8_t iv[12];
    if (engine == KEPT_A || engine == KEPT_B) {
        const openssl *s = &b->ssl[engine - KEPT_A];
        (void)s->seal_init(s->sealing, NULL, NULL, ek, iv);
        (void)s->open_init(s->opening, NULL, NULL, ek, iv);
    }
#ifdef WITH_IPSEC_MB
    if (engine == PRECOMPUTED)
        IMB_AES128_GCM_PRE(b->mb, ek, &b->expanded);
#endif
}

static int64_t run(bench *b, int engine)
{
    const int esp = b->op == ESP_SEAL || b->op == ESP_OPEN;
    switch (engine) {
    case CORE:
        return run_core(b);
    case OPENSSL_A:
    case OPENSSL_B: {
        const openssl *s = &b->ssl[engine - OPENSSL_A];
        return b->op == WRAP || b->op == UNWRAP ? wrap_openssl(b, s) : run_openssl(b, s, 0);
    }
    case KEPT_A:
    case KEPT_B: {
        const openssl *s = &b->ssl[engine - KEPT_A];
        return esp ? esp_openssl(b, s) : run_openssl(b, s, 1);
    }
#ifdef WITH_IPSEC_MB
    case EXPAND:
    case EXPAND_FETCH:
        return run_ipsec_mb(b, 0, engine == EXPAND_FETCH);
    case PRECOMPUTED:
        return esp ? esp_ipsec_mb(b) : run_ipsec_mb(b, 1, 0);
#endif
    default:
        return -1;
    }
}

/* Thread CPU time in ns a message; below 0 where not every message went well. */
double bench_timed(bench *b, int engine)
{
    ready(b, engine);
    const double began = now_ns();
    b->good = run(b, engine);
    const double ended = now_ns();
    return b->good == (int64_t)b->count ? (ended - began) / (double)b->count : -1;
}

/* equal answers first */

static int equal(const bench *b, const uint8_t *want, const uint32_t *want_at)
{
    for (size_t k = 0; k < b->count; k++)
        if (memcmp(b->out + b->out_at[k], want + want_at[k],
                   want == b->sealed ? b->sealed_length[k] : b->length[k]) != 0)
            return 0;
    return 1;
}

/* How many messages the engine takes with a bit changed in each, in the text or in the tag behind it. */
static int64_t bent(bench *b, int engine, int behind)
{
    for (int turn = 0;; turn++) {
        for (size_t k = 0; k < b->count; k++) {
            const uint32_t text = (b->op == ESP_OPEN ? 16 : 0) + (uint32_t)k % 16;
            const uint32_t at = behind ? b->sealed_length[k] - 1 - (uint32_t)k % 12 : text;
            b->sealed[b->sealed_at[k] + at] ^= (uint8_t)(1 << k % 8);
        }
        if (turn)
            return b->good;
        ready(b, engine);
        b->good = run(b, engine);
    }
}

/* 0: the engine seals as the core does, opens what the core sealed, and refuses whatever was changed. Else which of these
 * fails: 1 sealing, 2 opening, 3 a changed text is taken, 4 a changed tag is taken, 5 the messages could not be made. */
int bench_check(bench *b, int engine, int opening, uint32_t size, int one, uint64_t seed, uint32_t count)
{
    const int sealing = opening == OPEN ? SEAL : opening == UNWRAP ? WRAP : ESP_SEAL;
    if (bench_prepare(b, opening, size, one, seed, count) != 0)
        return 5;
    if (bent(b, engine, 0) != 0)
        return 3;
    if (bent(b, engine, 1) != 0)
        return 4;
    ready(b, engine);
    if (run(b, engine) != (int64_t)count || !equal(b, b->plain, b->plain_at))
        return 2;
    if (engine == CORE) /* the reference is its own work */
        return 0;
    b->op = (enum op)sealing;
    memset(b->out, 0, b->out_size);
    ready(b, engine);
    if (run(b, engine) != (int64_t)count || !equal(b, b->sealed, b->sealed_at))
        return 1;
    return 0;
}

/* the state of the machine */

/* One line after another out of the records, each named by the one before it. */
static double time_memory(const bench *b, int lines)
{
    uint64_t chance = (uint64_t)now_ns(), at = 0;
    const double began = now_ns();
    for (int t = 0; t < lines; t++) {
        uint64_t found;
        memcpy(&found, b->table[at].ek, sizeof found);
        found ^= draw(&chance);
        at = (found >> 32) * b->keys >> 32;
    }
    __asm__ volatile("" : : "r"(at));
    return (now_ns() - began) / lines;
}

/* ns of thread CPU time: one of four independent integer operations; aesenc one after another; eight side by side (below
 * 0: not on this CPU); a line of memory, one after another. */
#if defined(__x86_64__)
__attribute__((target("aes,sse4.1"))) static void time_aes(double *latency, double *throughput)
{
    enum { TURNS = 20000 };
    const __m128i key = _mm_set1_epi32(0x1234567);
    __m128i x0 = key, x1 = key, x2 = key, x3 = key, x4 = key, x5 = key, x6 = key, x7 = key;
    double began = now_ns();
    for (int t = 0; t < TURNS; t++) {
        x0 = _mm_aesenc_si128(x0, key);
        __asm__ volatile("" : "+x"(x0));
    }
    *latency = (now_ns() - began) / TURNS;
    began = now_ns();
    for (int t = 0; t < TURNS; t++) {
        x0 = _mm_aesenc_si128(x0, key);
        x1 = _mm_aesenc_si128(x1, key);
        x2 = _mm_aesenc_si128(x2, key);
        x3 = _mm_aesenc_si128(x3, key);
        x4 = _mm_aesenc_si128(x4, key);
        x5 = _mm_aesenc_si128(x5, key);
        x6 = _mm_aesenc_si128(x6, key);
        x7 = _mm_aesenc_si128(x7, key);
        __asm__ volatile("" : "+x"(x0), "+x"(x1), "+x"(x2), "+x"(x3), "+x"(x4), "+x"(x5), "+x"(x6), "+x"(x7));
    }
    *throughput = (now_ns() - began) / (8.0 * TURNS);
}
#endif

void bench_calibrate(const bench *of, double *integer, double *latency, double *throughput, double *memory)
{
    enum { TURNS = 40000, LINES = 2000 };
    uint64_t a = 1, b = 2, c = 3, d = 4;
    const double began = now_ns();
    for (int t = 0; t < TURNS; t++) {
        a += 7;
        b ^= 0x55;
        c += 11;
        d ^= 0x33;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    *integer = (now_ns() - began) / (4.0 * TURNS);
    *memory = time_memory(of, LINES);
    *latency = *throughput = -1;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("aes"))
        time_aes(latency, throughput);
#endif
}
