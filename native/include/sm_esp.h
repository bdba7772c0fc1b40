/* An association, for the calls that work on it: esp.c (a packet) and tunnel.c (a packet with all its headers). */
#ifndef SM_ESP_H
#define SM_ESP_H

#include "sm_api.h"
#include "sm_arena.h"
#include "sm_gcm.h"
#include "sm_layout.h"

enum { SM_ESP_SALT = 4, SM_ESP_TRAILER = 2, SM_ESP_GRAIN = 4 };
/* Most bytes that a sealed packet has more than what it carries. */
enum { SM_ESP_MORE = SM_ESP_HEADER + SM_ESP_GRAIN - 1 + SM_ESP_TRAILER + SM_TAG_BYTES };

/* What all packets of a tunnel have in common: their headers around nothing, lengths and checksums nought, and the sum
 * of what stands there. */
typedef struct {
    int known;
    uint32_t outer_sum;
    uint32_t inner_sum;
    uint8_t outer[SM_IPV4_HEADER];
    uint8_t inner[SM_IPV4_HEADER + SM_UDP_HEADER];
} sm_tunnel_headers;

/* In the arena: gone in a forked child, sequence number included. */
typedef struct {
    sm_gcm_key key;
    uint8_t salt[SM_ESP_SALT];
    uint32_t spi;
    int direction;
    uint64_t sequence; /* next to be sent */
    uint64_t window;   /* bit k: top - k has come */
    uint32_t top;      /* highest received */
    sm_tunnel_headers headers;
} sm_association;

struct sm_sa {
    sm_arena arena;
    sm_association *inside;
};

/* As sm_esp_open, but nothing is remembered: a packet that is taken after all goes to sm_esp_remember, once. -SM_FRAME
 * (badly padded) is authentic too. */
int64_t sm_esp_peek(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room);
void sm_esp_remember(sm_sa *sa, const uint8_t *packet);

#endif
