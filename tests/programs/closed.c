/*
 * A program like many that cannot be changed: it counts in a file, under a lock file of its own.
 *   closed LOCKFILE COUNTER TURNS
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "closed: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void count_one(int fd)
{
    char text[32] = {0};
    int len;

    if (pread(fd, text, sizeof(text) - 1, 0) < 0)
        fail("read");
    len = snprintf(text, sizeof(text), "%ld\n", atol(text) + 1);
    if (pwrite(fd, text, (size_t)len, 0) != len || fsync(fd) != 0)
        fail("write");
}

int main(int argc, char **argv)
{
    int lock, counter;

    if (argc != 4) {
        fprintf(stderr, "usage: closed LOCKFILE COUNTER TURNS\n");
        return 2;
    }
    lock = open(argv[1], O_RDWR | O_CREAT, 0644);
    counter = open(argv[2], O_RDWR | O_CREAT, 0644);
    if (lock < 0 || counter < 0)
        fail("open");
    for (long turns = atol(argv[3]); turns > 0; turns--) {
        if (flock(lock, LOCK_EX) != 0)
            fail("flock");
        count_one(counter);
        if (flock(lock, LOCK_UN) != 0)
            fail("unlock");
    }
    return 0;
}
