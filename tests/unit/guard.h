/*
 * Bytes whose end is the end of readable memory: whoever reads one byte more dies of it, in a
 * library that was not built with a sanitizer too.
 */
#ifndef ETCDFLOCK_TESTS_GUARD_H
#define ETCDFLOCK_TESTS_GUARD_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_ROOM (1 << 20)
#define GUARD_PAGE (1 << 16) /* at least a page on every architecture */

/* A copy, good until the next call. Ends the program if there is no room. */
static inline char *guard_copy(const void *bytes, size_t len)
{
    static char *room;

    if (!room) {
        room = mmap(NULL, GUARD_ROOM + GUARD_PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED || mprotect(room + GUARD_ROOM, GUARD_PAGE, PROT_NONE))
            abort();
    }
    if (len > GUARD_ROOM)
        abort();
    char *copy = room + GUARD_ROOM - len;
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

#endif
