/* Written by native/layout.py from the definitions in emulator/codecs; do not edit. Offsets are bytes. */
#ifndef SM_LAYOUT_H
#define SM_LAYOUT_H

enum {
    SM_IPV4_CONSTANT_AT = 0,
    SM_IPV4_CONSTANT = 69,
    SM_IPV4_SERVICE_AT = 1,
    SM_IPV4_LENGTH_AT = 2,
    SM_IPV4_IDENTIFICATION_AT = 4,
    SM_IPV4_BITS_AT = 6,
    SM_IPV4_FLAGS_SHIFT = 13,
    SM_IPV4_FLAGS_MASK = 7,
    SM_IPV4_FRAGMENT_OFFSET_SHIFT = 0,
    SM_IPV4_FRAGMENT_OFFSET_MASK = 8191,
    SM_IPV4_TTL_AT = 8,
    SM_IPV4_PROTOCOL_AT = 9,
    SM_IPV4_SOURCE_AT = 12,
    SM_IPV4_DESTINATION_AT = 16,
    SM_IPV4_CHECKSUM_AT = 10,
    SM_IPV4_HEADER = 20
};

enum {
    SM_UDP_SOURCE_PORT_AT = 0,
    SM_UDP_DESTINATION_PORT_AT = 2,
    SM_UDP_LENGTH_AT = 4,
    SM_UDP_CHECKSUM_AT = 6,
    SM_UDP_HEADER = 8,
    SM_UDP_PROTOCOL = 17
};

enum {
    SM_ESP_SPI_AT = 0,
    SM_ESP_SEQUENCE_AT = 4,
    SM_ESP_IV_AT = 8,
    SM_ESP_HEADER = 16,
    SM_ESP_PROTOCOL = 50
};

#endif
