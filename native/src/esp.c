/* ESP with AES-GCM-16: one association, one direction, one call per packet. RFC 4303, RFC 4106.
 *
 * Packet: SPI 4 | sequence 4 | IV 8 | text | ICV 16, text = inner | 1, 2, 3, ... | pad length | next header, a multiple
 * of four. Nonce = salt 4 | IV 8, and the IV is the sequence number: both ends of a pair count from 1, so
 * an association that has sealed never opens and the other way round.
 */
#include "sm_esp.h"

#include <stdlib.h>
#include <string.h>

#include "sm_bytes.h"

enum { HEADER = SM_ESP_IV_AT, ESP_IV = SM_ESP_HEADER - SM_ESP_IV_AT, FRONT = SM_ESP_HEADER, WINDOW = 64, SHORT = 512 };
enum { INNER_MAX = 65535, PACKET_MAX = INNER_MAX + 64 };
enum { UNUSED = 0, SEALS = 1, OPENS = 2 };
#define SEQUENCE_MAX 0xFFFFFFFFULL

_Static_assert(_Alignof(sm_association) <= SM_ARENA_ALIGN, "the arena aligns enough");

sm_sa *sm_sa_new(uint32_t spi, const uint8_t *key, size_t key_length, const uint8_t *salt, uint64_t sequence,
                 uint32_t top, uint64_t window)
{
    if (spi == 0 || (key_length != 16 && key_length != 32) || sequence == 0 || sequence > SEQUENCE_MAX + 1)
        return NULL;
    sm_sa *sa = malloc(sizeof *sa);
    if (sa == NULL)
        return NULL;
    if (!sm_arena_open(&sa->arena, sizeof(sm_association))) {
        free(sa);
        return NULL;
    }
    sa->inside = (sm_association *)sa->arena.memory;
    sm_gcm_key_kept(&sa->inside->key, key, key_length);
    memcpy(sa->inside->salt, salt, SM_ESP_SALT);
    sa->inside->spi = spi;
    sa->inside->sequence = sequence;
    sa->inside->top = top;
    sa->inside->window = window;
    return sa;
}

void sm_sa_free(sm_sa *sa)
{
    if (sa == NULL)
        return;
    sm_arena_close(&sa->arena);
    free(sa);
}

/* SM_OK when this association may go this way in this process. */
static int direction_fault(sm_sa *sa, int direction)
{
    if (sa == NULL)
        return SM_USAGE;
    if (sm_arena_foreign(&sa->arena))
        return SM_FOREIGN;
    if (sa->inside->direction != direction) {
        if (sa->inside->direction != UNUSED)
            return SM_USAGE;
        sa->inside->direction = direction;
    }
    return SM_OK;
}

int64_t sm_esp_seal(sm_sa *sa, const uint8_t *inner, size_t length, uint32_t next_header, uint8_t *out, size_t room)
{
    int fault = direction_fault(sa, SEALS);
    if (fault != SM_OK)
        return -fault;
    if (next_header > 0xFF || length > INNER_MAX || room < length + SM_ESP_MORE ||
        (inner != out + FRONT && sm_across(inner, length, out, length + SM_ESP_MORE)))
        return -SM_USAGE;
    sm_association *a = sa->inside;
    if (a->sequence > SEQUENCE_MAX)
        return -SM_EXHAUSTED;
    const uint64_t sequence = a->sequence++;
    const size_t pads = ((size_t)0 - (length + SM_ESP_TRAILER)) & (SM_ESP_GRAIN - 1);
    const size_t text_length = length + pads + SM_ESP_TRAILER;
    uint8_t *text = out + FRONT;

    sm_put_be32(out + SM_ESP_SPI_AT, a->spi);
    sm_put_be32(out + SM_ESP_SEQUENCE_AT, (uint32_t)sequence);
    sm_put_be64(out + HEADER, sequence);
    if (length <= SHORT && inner != text) {
        memcpy(text, inner, length); /* long ones are read where they are, and written once */
        inner = text;
    }
    for (size_t i = 0; i < pads; i++)
        text[length + i] = (uint8_t)(i + 1);
    text[text_length - 2] = (uint8_t)pads;
    text[text_length - 1] = (uint8_t)next_header;

    uint8_t iv[SM_IV];
    memcpy(iv, a->salt, SM_ESP_SALT);
    memcpy(iv + SM_ESP_SALT, out + HEADER, ESP_IV);
    const sm_gcm_message message = {.iv = iv, .aad = out, .aad_length = HEADER, .in = inner, .out = text,
                                    .length = text_length, .ready = inner == text ? 0 : text_length - length};
    sm_gcm_encrypt(&a->key, &message, text + text_length);
    return (int64_t)(FRONT + text_length + SM_TAG_BYTES);
}

/* RFC 4303 3.4.3: 1 when the number is old or has come already. */
static int seen(const sm_association *a, uint32_t sequence)
{
    if (sequence == 0)
        return 1;
    if (sequence > a->top)
        return 0;
    const uint32_t behind = a->top - sequence;
    return behind >= WINDOW || a->window >> behind & 1;
}

static void remember(sm_association *a, uint32_t sequence)
{
    if (sequence <= a->top) {
        a->window |= 1ULL << (a->top - sequence);
        return;
    }
    const uint32_t ahead = sequence - a->top;
    a->window = (ahead < WINDOW ? a->window << ahead : 0) | 1;
    a->top = sequence;
}

int64_t sm_esp_peek(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room)
{
    int fault = direction_fault(sa, OPENS);
    if (fault != SM_OK)
        return -fault;
    if (length < FRONT + SM_ESP_GRAIN + SM_TAG_BYTES || length % SM_ESP_GRAIN != 0 || length > PACKET_MAX ||
        room < length || sm_across(packet + FRONT, length - FRONT, out, length - FRONT - SM_TAG_BYTES))
        return -SM_USAGE;
    sm_association *a = sa->inside;
    const uint32_t sequence = sm_be32(packet + SM_ESP_SEQUENCE_AT);
    if (sm_be32(packet + SM_ESP_SPI_AT) != a->spi)
        return -SM_USAGE;
    if (seen(a, sequence))
        return -SM_REPLAY;

    const size_t text_length = length - FRONT - SM_TAG_BYTES;
    uint8_t iv[SM_IV], tag[SM_TAG_BYTES];
    memcpy(iv, a->salt, SM_ESP_SALT);
    memcpy(iv + SM_ESP_SALT, packet + HEADER, ESP_IV);
    const sm_gcm_message message = {.iv = iv, .aad = packet, .aad_length = HEADER, .in = packet + FRONT, .out = out,
                                    .length = text_length};
    sm_gcm_decrypt(&a->key, &message, tag);
    if (!sm_equal(tag, packet + FRONT + text_length, SM_TAG_BYTES)) {
        sm_wipe(out, text_length);
        return -SM_TAG;
    }

    sm_shown(out + text_length - SM_ESP_TRAILER, SM_ESP_TRAILER);
    const size_t pads = out[text_length - 2];
    int padded = pads + SM_ESP_TRAILER <= text_length;
    if (padded)
        sm_shown(out + text_length - SM_ESP_TRAILER - pads, pads);
    for (size_t i = 0; padded && i < pads; i++)
        padded = out[text_length - SM_ESP_TRAILER - pads + i] == i + 1;
    if (!padded) {
        sm_wipe(out, text_length);
        return -SM_FRAME;
    }
    return (int64_t)out[text_length - 1] << 32 | (int64_t)(text_length - SM_ESP_TRAILER - pads);
}

void sm_esp_remember(sm_sa *sa, const uint8_t *packet)
{
    remember(sa->inside, sm_be32(packet + SM_ESP_SEQUENCE_AT));
}

int64_t sm_esp_open(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room)
{
    const int64_t answer = sm_esp_peek(sa, packet, length, out, room);
    if (answer >= 0 || answer == -SM_FRAME)
        sm_esp_remember(sa, packet);
    return answer;
}

int sm_sa_state(const sm_sa *sa, uint64_t *out)
{
    if (sa == NULL)
        return -SM_USAGE;
    if (sm_arena_foreign(&sa->arena))
        return -SM_FOREIGN;
    out[0] = sa->inside->sequence;
    out[1] = sa->inside->top;
    out[2] = sa->inside->window;
    return SM_OK;
}
