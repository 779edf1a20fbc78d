/*
 * Takes a lock and gives it back, as often as it can, for a while:
 *   turns LOCKFILE GUARD START SECONDS      START in ns of CLOCK_MONOTONIC
 * GUARD is a file that all competitors share; a word in it shows whether two of them are ever inside
 * at once. Prints how often it had the lock and how often it was not alone with it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"

static _Atomic int *map_guard(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(_Atomic int)) < 0)
        fail(path);
    void *map = mmap(NULL, sizeof(_Atomic int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fail(path);
    return map;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 100;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        fail(argv[1]);
    _Atomic int *inside = map_guard(argv[2]);
    int64_t start = strtoll(argv[3], NULL, 10);
    int64_t end = start + (int64_t)(strtod(argv[4], NULL) * 1e9);
    long turns = 0, overlaps = 0;
    clock_wait_until(start);
    while (clock_ns() < end) {
        if (flock(fd, LOCK_EX) < 0)
            fail("flock");
        overlaps += atomic_fetch_add(inside, 1) != 0;
        atomic_fetch_sub(inside, 1);
        /* What is finished after the end does not count: all competitors are measured over one span. */
        turns += clock_ns() < end;
        if (flock(fd, LOCK_UN) < 0)
            fail("unlock");
    }
    printf("%ld %ld\n", turns, overlaps);
    return 0;
}
