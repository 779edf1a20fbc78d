/* What a fuzzer demands beyond not crashing. */
#ifndef ETCDFLOCK_TESTS_REQUIRE_H
#define ETCDFLOCK_TESTS_REQUIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "required: %s\n", what);
    abort();
}

#endif
