/* A frame's whole way through a tunnel: UDP, IPv4, ESP, IPv4 put on or taken off in one call. RFC 791, 768, 1071, 4303.
 *
 * The definitions are in emulator/codecs, and sm_layout.h has the offsets from there; the headers are copies of what
 * the codecs built, with what differs from packet to packet filled in. This file only ever says yes. Why a packet is
 * refused is known in one place, the stages of emulator/link, and they are asked with everything as it was: sequence
 * number and window move here with success alone.
 */
#include <string.h>

#include "sm_bytes.h"
#include "sm_esp.h"

enum {
    IPV4_IN_IP = 4, /* ESP's next header */
    HEADERS = SM_IPV4_HEADER + SM_UDP_HEADER,
    TOTAL_MAX = 65535,
    FRAME_MAX = TOTAL_MAX - SM_IPV4_HEADER - SM_ESP_MORE - HEADERS,
    SIXTEEN = 0xFFFF,
    MORE_FRAGMENTS = 1 << SM_IPV4_FLAGS_SHIFT,
    FRAGMENT = MORE_FRAGMENTS | SM_IPV4_FRAGMENT_OFFSET_MASK << SM_IPV4_FRAGMENT_OFFSET_SHIFT,
};

/* Ones'-complement sums (RFC 1071) of 16-bit words, which is also what 32-bit words add up to. An odd byte at the end
 * is the upper half of a word. */
static uint64_t sum(const uint8_t *bytes, size_t length)
{
    uint64_t total = 0;
    for (; length >= 4; bytes += 4, length -= 4)
        total += sm_be32(bytes);
    if (length >= 2)
        total += sm_be16(bytes);
    if (length & 1)
        total += (uint64_t)bytes[length & 2] << 8;
    return total;
}

/* The same sum in 16 bits, for totals below 2^47, more than a packet adds up to; nought only when there was nothing but
 * noughts. No branch: it may come from a secret. */
static uint32_t folded(uint64_t total)
{
    total = (total & 0xFFFFFFFF) + (total >> 32);
    total = (total & SIXTEEN) + (total >> 16);
    total = (total & SIXTEEN) + (total >> 16);
    return (uint32_t)total;
}

static uint32_t pseudo_header(uint32_t source, uint32_t destination)
{
    return folded((uint64_t)source + destination + SM_UDP_PROTOCOL);
}

int sm_tunnel_set(sm_sa *sa, const uint8_t *outer, const uint8_t *inner)
{
    if (sa == NULL)
        return -SM_USAGE;
    if (sm_arena_foreign(&sa->arena))
        return -SM_FOREIGN;
    if (outer[SM_IPV4_CONSTANT_AT] != SM_IPV4_CONSTANT || outer[SM_IPV4_PROTOCOL_AT] != SM_ESP_PROTOCOL ||
        inner[SM_IPV4_CONSTANT_AT] != SM_IPV4_CONSTANT || inner[SM_IPV4_PROTOCOL_AT] != SM_UDP_PROTOCOL)
        return -SM_USAGE;
    sm_tunnel_headers *h = &sa->inside->headers;
    memcpy(h->outer, outer, sizeof h->outer);
    memcpy(h->inner, inner, sizeof h->inner);
    sm_put_be16(h->outer + SM_IPV4_LENGTH_AT, 0);
    sm_put_be16(h->outer + SM_IPV4_CHECKSUM_AT, 0);
    sm_put_be16(h->inner + SM_IPV4_LENGTH_AT, 0);
    sm_put_be16(h->inner + SM_IPV4_CHECKSUM_AT, 0);
    sm_put_be16(h->inner + SM_IPV4_IDENTIFICATION_AT, 0);
    sm_put_be32(h->inner + SM_IPV4_SOURCE_AT, 0);
    sm_put_be32(h->inner + SM_IPV4_DESTINATION_AT, 0);
    h->outer_sum = folded(sum(h->outer, SM_IPV4_HEADER));
    h->inner_sum = folded(sum(h->inner, SM_IPV4_HEADER));
    h->known = 1;
    return SM_OK;
}

/* The outer header in front of a packet that is `total` bytes with it. */
static void put_outer(const sm_tunnel_headers *h, size_t total, uint8_t *out)
{
    memcpy(out, h->outer, SM_IPV4_HEADER);
    sm_put_be16(out + SM_IPV4_LENGTH_AT, (uint32_t)total);
    sm_put_be16(out + SM_IPV4_CHECKSUM_AT, SIXTEEN - folded((uint64_t)h->outer_sum + total));
}

int64_t sm_tunnel_seal(sm_sa *sa, uint32_t source, uint32_t destination, uint32_t source_port,
                       uint32_t destination_port, uint32_t identification, const uint8_t *frame, size_t length,
                       uint8_t *out, size_t room)
{
    if (sa == NULL)
        return -SM_USAGE;
    const sm_tunnel_headers *h = &sa->inside->headers;
    if (!h->known || source_port > SIXTEEN || destination_port > SIXTEEN || identification > SIXTEEN ||
        length > FRAME_MAX || room < SM_IPV4_HEADER + SM_ESP_MORE + HEADERS + length)
        return -SM_USAGE;

    uint8_t *sealed = out + SM_IPV4_HEADER, *ip = sealed + SM_ESP_HEADER, *udp = ip + SM_IPV4_HEADER;
    const size_t total = HEADERS + length;
    const uint32_t datagram = (uint32_t)(SM_UDP_HEADER + length);
    memcpy(ip, h->inner, HEADERS);
    sm_put_be16(ip + SM_IPV4_LENGTH_AT, (uint32_t)total);
    sm_put_be16(ip + SM_IPV4_IDENTIFICATION_AT, identification);
    sm_put_be32(ip + SM_IPV4_SOURCE_AT, source);
    sm_put_be32(ip + SM_IPV4_DESTINATION_AT, destination);
    const uint64_t header = (uint64_t)h->inner_sum + total + identification + source + destination;
    sm_put_be16(ip + SM_IPV4_CHECKSUM_AT, SIXTEEN - folded(header));
    sm_put_be16(udp + SM_UDP_SOURCE_PORT_AT, source_port);
    sm_put_be16(udp + SM_UDP_DESTINATION_PORT_AT, destination_port);
    sm_put_be16(udp + SM_UDP_LENGTH_AT, datagram);
    if (length > 0)
        memcpy(udp + SM_UDP_HEADER, frame, length);
    const uint64_t whole = (uint64_t)pseudo_header(source, destination) + datagram + source_port + destination_port +
                           datagram + sum(frame, length);
    const uint32_t checksum = SIXTEEN - folded(whole);
    sm_put_be16(udp + SM_UDP_CHECKSUM_AT, checksum | (checksum - 1) >> 16); /* nought is sent as all ones */

    const int64_t size = sm_esp_seal(sa, ip, total, IPV4_IN_IP, sealed, room - SM_IPV4_HEADER);
    if (size < 0)
        return size;
    put_outer(h, SM_IPV4_HEADER + (size_t)size, out);
    return SM_IPV4_HEADER + size;
}

/* An ordinary, whole and correct UDP datagram in an IPv4 packet that is no fragment. One without a UDP checksum may be in
 * order too, but is not ordinary. */
static int good_datagram(const uint8_t *ip, size_t total)
{
    const uint8_t *udp = ip + SM_IPV4_HEADER;
    sm_shown(ip, total < HEADERS ? total : HEADERS);
    if (total < HEADERS || ip[SM_IPV4_CONSTANT_AT] != SM_IPV4_CONSTANT || sm_be16(ip + SM_IPV4_LENGTH_AT) != total ||
        ip[SM_IPV4_PROTOCOL_AT] != SM_UDP_PROTOCOL || (sm_be16(ip + SM_IPV4_BITS_AT) & FRAGMENT) != 0)
        return 0;
    const size_t datagram = total - SM_IPV4_HEADER;
    if (sm_be16(udp + SM_UDP_LENGTH_AT) != datagram)
        return 0;
    const uint32_t ends = pseudo_header(sm_be32(ip + SM_IPV4_SOURCE_AT), sm_be32(ip + SM_IPV4_DESTINATION_AT));
    return folded(sum(ip, SM_IPV4_HEADER)) == SIXTEEN &&
           sm_verdict(folded(ends + datagram + sum(udp, datagram)) == SIXTEEN);
}

int64_t sm_tunnel_open(sm_sa *sa, const uint8_t *packet, size_t length, uint8_t *out, size_t room)
{
    uint8_t expected[SM_IPV4_HEADER];
    if (sa == NULL)
        return -SM_USAGE;
    const sm_tunnel_headers *h = &sa->inside->headers;
    const uint8_t *sealed = packet + SM_IPV4_HEADER;
    if (!h->known || length < SM_IPV4_HEADER + SM_ESP_HEADER || length > TOTAL_MAX)
        return -SM_USAGE;
    put_outer(h, length, expected);
    if (memcmp(packet, expected, sizeof expected) != 0 || sm_be32(sealed + SM_ESP_SPI_AT) != sa->inside->spi)
        return -SM_USAGE;
    const int64_t answer = sm_esp_peek(sa, sealed, length - SM_IPV4_HEADER, out, room);
    if (answer < 0)
        return answer;
    const size_t total = (size_t)(answer & 0xFFFFFFFF);
    if (answer >> 32 != IPV4_IN_IP || !good_datagram(out, total)) {
        sm_wipe(out, total);
        return -SM_FRAME;
    }
    sm_esp_remember(sa, sealed);
    return (int64_t)total;
}
