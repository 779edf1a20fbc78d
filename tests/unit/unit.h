/*
 * The smallest thing that can be called a test framework. A check has a name; one that fails prints
 * its place and the values. main ends with `return unit_end();`, whose last line is
 * "N passed, N failed".
 */
#ifndef ETCDFLOCK_TESTS_UNIT_H
#define ETCDFLOCK_TESTS_UNIT_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned unit_passed, unit_failed;

/* Is the condition true? */
#define CHECK(name, condition)                                                                     \
    unit_check(__FILE__, __LINE__, name, condition, "%s is false", #condition)

/* Are two integers (or two booleans) equal? */
#define CHECK_INT(name, got, wanted) unit_check_int(__FILE__, __LINE__, name, got, wanted)

/* Are two strings equal? Either may be NULL. */
#define CHECK_STR(name, got, wanted) unit_check_str(__FILE__, __LINE__, name, got, wanted)

/* Is `part` somewhere in `whole`? */
#define CHECK_HAS(name, whole, part) unit_check_has(__FILE__, __LINE__, name, whole, part)

/* Without a condition: for a loop that finds its faults itself. */
#define CHECK_FAIL(name, ...) unit_check(__FILE__, __LINE__, name, false, __VA_ARGS__)

#define unit_check(file, line, name, good, ...)                                                    \
    do {                                                                                           \
        if (good) {                                                                                \
            unit_passed++;                                                                         \
        } else {                                                                                   \
            unit_failed++;                                                                         \
            printf("%s:%d: %s: ", file, line, name);                                               \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static inline void unit_check_int(const char *file, int line, const char *name, long long got,
                                  long long wanted)
{
    unit_check(file, line, name, got == wanted, "got %lld, wanted %lld", got, wanted);
}

static inline void unit_check_str(const char *file, int line, const char *name, const char *got,
                                  const char *wanted)
{
    bool equal = got && wanted ? strcmp(got, wanted) == 0 : got == wanted;

    unit_check(file, line, name, equal, "got \"%s\", wanted \"%s\"", got ? got : "(null)",
               wanted ? wanted : "(null)");
}

static inline void unit_check_has(const char *file, int line, const char *name, const char *whole,
                                  const char *part)
{
    unit_check(file, line, name, strstr(whole, part) != NULL, "\"%s\" has no \"%s\"", whole, part);
}

static inline int unit_end(void)
{
    printf("%u passed, %u failed\n", unit_passed, unit_failed);
    return unit_failed > 0;
}

#endif
