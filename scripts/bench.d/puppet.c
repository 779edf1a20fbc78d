/*
 * A locker on strings: does what standard input says, a word a line, and tells when it was done.
 *   puppet LOCKFILE      lock | unlock  ->  the ns of CLOCK_MONOTONIC at which the call returned
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>

#include "clock.h"

int main(int argc, char **argv)
{
    char word[32];
    if (argc != 2)
        return 100;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        fail(argv[1]);
    while (fgets(word, sizeof word, stdin)) {
        if (flock(fd, strcmp(word, "lock\n") == 0 ? LOCK_EX : LOCK_UN) < 0)
            fail("flock");
        int64_t done = clock_ns();
        printf("%" PRId64 "\n", done);
        fflush(stdout);
    }
    return 0;
}
