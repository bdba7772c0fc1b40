/* Keyed chance: SplitMix64's finaliser over a folded key. Five times in an exchange, and in Python, where 64 bits do not
 * fit a small integer, five times the price of a call.
 */
#include "sm_api.h"

uint64_t sm_mix(uint64_t key, uint64_t installation, uint64_t number)
{
    uint64_t x = key + installation * UINT64_C(0x9E3779B97F4A7C15) + number * UINT64_C(0xD1B54A32D192ED03);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}
