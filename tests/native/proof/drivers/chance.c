/* A fuzz target without a fuzzer: `program SEED CASES [planted]` gives it cases of random bytes. */
#include "check.h"

int planted; /* then a target lies about a buffer by one byte, so that the sanitizer can show that it looks */
extern unsigned long statuses[SM_USAGE + 1] __attribute__((weak));

int main(int count, char **arguments)
{
    CHECK(count >= 3);
    uint64_t state = strtoull(arguments[1], NULL, 10) * 2 + 1;
    const long cases = strtol(arguments[2], NULL, 10);
    planted = count > 3;
    for (long k = 0; k < cases; k++) {
        uint8_t data[1024];
        for (size_t i = 0; i < sizeof data; i++) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            data[i] = (uint8_t)(state >> 56);
        }
        uint8_t *exact = copy(data, (size_t)(state >> 40) % sizeof data);
        LLVMFuzzerTestOneInput(exact, (size_t)(state >> 40) % sizeof data);
        free(exact);
    }
    printf("%ld cases", cases);
    for (int k = 0; statuses != NULL && k <= SM_USAGE; k++)
        printf(" %lu", statuses[k]);
    putchar('\n');
    return 0;
}
