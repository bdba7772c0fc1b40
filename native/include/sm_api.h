/* The compiled core as Python sees it.
 *
 * The text between the two marks below is also the cffi declaration (native/build.py reads it from here), so it holds
 * plain C and no preprocessor. Lengths and offsets are bytes. Calls give a count, a counter or a length, or a negated
 * status; nothing is written where a call is refused, except that a refused slot of a batch is zeroed. A text and what
 * it becomes may lie in one place, but not across each other; the slots of a batch lie apart.
 */
#ifndef SM_API_H
#define SM_API_H

#include <stddef.h>
#include <stdint.h>

/* cdef begins */
enum sm_status {
    SM_OK = 0,        /* done */
    SM_TAG = 1,       /* the tag or the wrap's check does not hold */
    SM_REPLAY = 2,    /* a counter below the lowest acceptable one */
    SM_EXHAUSTED = 3, /* the send counter is spent */
    SM_NO_KEY = 4,    /* no key of the kind asked for */
    SM_USAGE = 5,     /* index, control byte, length or buffer against the contract */
    SM_FOREIGN = 6,   /* keys of another process */
    SM_FRAME = 7      /* authentic, but badly padded */
};

/* An integer that moves whenever these declarations or the line's layout do. */
int sm_interface(void);
/* Choose how blocks are computed: "" (best for this CPU), "vaes", "avx2", "aesni", "aarch64" or "portable". SM_USAGE: not
 * here. */
int sm_select(const char *name);
const char *sm_selected(void);

/* Contexts: one 64-byte line each, in wiped-on-fork memory; of suite 2, two (sm_store.h). A store may be used by many
 * threads at once (sm_gate.h); every call on one is whole before or after any other that changes the same keys. */
typedef struct sm_store sm_store;
sm_store *sm_store_new(uint32_t capacity);
void sm_store_free(sm_store *store);
int sm_store_locked(const sm_store *store);

int sm_context_load(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, const uint8_t *title,
                    const uint8_t *peer, uint32_t tx, uint32_t rx, const uint8_t *kek);
/* Suite 0 or 1: keys of 16 bytes; suite 2: of 32, and the context takes the next index too. */
int sm_context_load_suite(sm_store *store, uint32_t index, uint32_t suite, const uint8_t *ek, const uint8_t *ak,
                          const uint8_t *title, const uint8_t *peer, uint32_t tx, uint32_t rx, const uint8_t *kek);
/* 0, 1 or 2; a negated status where nothing is loaded. */
int sm_context_suite(const sm_store *store, uint32_t index);
int sm_context_install(sm_store *store, uint32_t index, const uint8_t *ek, const uint8_t *ak, int reset);
int sm_context_set_master(sm_store *store, uint32_t index, const uint8_t *kek);
int sm_context_set_peer(sm_store *store, uint32_t index, const uint8_t *title);
/* Bit 0 of mask: set tx; bit 1: set rx. */
int sm_context_set_counters(sm_store *store, uint32_t index, uint32_t mask, uint32_t tx, uint32_t rx);
/* 1 loaded, 0 empty. */
int sm_context_loaded(const sm_store *store, uint32_t index);
/* 32 bytes: title 8 | peer 8 | tx 4 | rx 4 | epoch 4 | flags 1, suite 1, 0 0; integers little-endian. */
int sm_context_state(const sm_store *store, uint32_t index, uint8_t *out);
int sm_context_erase(sm_store *store, uint32_t index);
/* 80 bytes, of suite 2 160: the lines and the master key. Byte 48 is the suite. */
int sm_context_export(const sm_store *store, uint32_t index, uint8_t *out);
int sm_context_restore(sm_store *store, uint32_t index, const uint8_t *blob);

/* One message. seal and gmac give the counter, open the plaintext's length, the others a status. `out` has room for
 * what comes out: a sealed text is 12 bytes longer than its plaintext where it is authenticated, else as long. */
int64_t sm_seal_one(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, size_t room);
int64_t sm_open_one(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t room);
int64_t sm_gmac_one(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag);
int64_t sm_gmac_check(sm_store *store, uint32_t index, uint32_t counter, const uint8_t *tag, size_t tag_length,
                      const uint8_t *challenge, size_t length);
int64_t sm_wrap_one(sm_store *store, uint32_t index, const uint8_t *key, size_t length, uint8_t *out);
int64_t sm_unwrap_one(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out);

/* Many messages; each call gives how many went well. Offsets may be NULL: messages (or slots) one after another.
 * A slot is the length rounded up to 16, plus 16. */
int64_t sm_seal_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status);
int64_t sm_open_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, const uint32_t *counter, uint8_t *status);
int64_t sm_gmac_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status);
int64_t sm_wrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint8_t *status);
int64_t sm_unwrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                        const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                        const uint32_t *out_offset, uint8_t *status);

/* ESP: one association, one direction, one call per packet. */
typedef struct sm_sa sm_sa;
sm_sa *sm_sa_new(uint32_t spi, const uint8_t *key, size_t key_length, const uint8_t *salt, uint64_t sequence,
                 uint32_t top, uint64_t window);
void sm_sa_free(sm_sa *sa);
/* The packet's length. */
int64_t sm_esp_seal(sm_sa *sa, const uint8_t *inner, size_t length, uint32_t next_header, uint8_t *out, size_t room);
/* Next header << 32 | inner length. The caller has looked at the SPI. */
int64_t sm_esp_open(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room);
/* sequence to be sent next, top, window. */
int sm_sa_state(const sm_sa *sa, uint64_t *out);

/* A tunnel's packet with all its headers, IPv4 | ESP | IPv4 | UDP | frame, one call each way. These calls only ever say
 * yes: whatever is not ordinary, whole and good is refused (any negated status) with neither counter nor window moved,
 * for the caller to find out why with the calls above. Addresses and ports are numbers. */
/* The headers all packets have in common, as they stand around nothing: outer IPv4 (20 bytes), inner IPv4 and UDP
 * (28, without addresses, identification and ports). */
int sm_tunnel_set(sm_sa *sa, const uint8_t *outer, const uint8_t *inner);
/* The packet's length. */
int64_t sm_tunnel_seal(sm_sa *sa, uint32_t source, uint32_t destination, uint32_t source_port,
                       uint32_t destination_port, uint32_t identification, const uint8_t *frame, size_t length,
                       uint8_t *out, size_t room);
/* The inner packet's length; it is in out, checked: its addresses at 12, its ports at 20, its frame at 28. */
int64_t sm_tunnel_open(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room);

/* Given keys: no context, no counter. */
int sm_gcm_seal(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                const uint8_t *text, size_t length, uint8_t *out, size_t tag_length);
int sm_gcm_open(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                const uint8_t *text, size_t length, uint8_t *out, size_t tag_length);
int sm_key_wrap(const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length, uint8_t *out);
int sm_key_unwrap(const uint8_t *kek, size_t kek_length, const uint8_t *wrapped, size_t length, uint8_t *out);
void sm_wipe_bytes(uint8_t *bytes, size_t length);

/* No secret: 64 even bits for a question of the emulator's chance, as emulator/kernel/chance.py mixes them. */
uint64_t sm_mix(uint64_t key, uint64_t installation, uint64_t number);
/* cdef ends */

#endif
