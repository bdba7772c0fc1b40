/* The key schedule word by word, for tiers without an instruction for it. FIPS 197, 5.2. */
#ifndef SM_SCHEDULE_H
#define SM_SCHEDULE_H

#include "sm_bytes.h"

enum { SM_SCHEDULE_WORDS = 4 * 15 };

/* Fills `words` from a raw key of 16, 24 or 32 bytes, with the tier's own `sub_word`; the number of rounds. Its caller
 * wipes the words. */
static inline unsigned sm_schedule(uint32_t words[SM_SCHEDULE_WORDS], const uint8_t *raw, size_t key_length,
                                   uint32_t (*sub_word)(uint32_t))
{
    const unsigned own = (unsigned)key_length / 4, rounds = own + 6;
    uint32_t constant = 1;
    for (unsigned i = 0; i < own; i++)
        words[i] = sm_le32(raw + 4 * i);
    for (unsigned i = own; i < 4 * (rounds + 1); i++) {
        uint32_t word = words[i - 1];
        if (i % own == 0) {
            word = sub_word(word >> 8 | word << 24) ^ constant;
            constant = constant << 1 ^ (constant >> 7) * 0x11B;
        } else if (own == 8 && i % own == 4) {
            word = sub_word(word);
        }
        words[i] = words[i - own] ^ word;
    }
    return rounds;
}

#endif
