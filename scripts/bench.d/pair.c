/*
 * A lock and an unlock that nobody contests, by turns with two bare transactions (put, delete) on a
 * warm connection. Runs under the library, which sees nothing of the latter.
 *   pair LOCKFILE ENDPOINT ROUNDS BLOCK
 * In each round BLOCK pairs of one kind, then BLOCK of the other; then the same with a pause in front of
 * each, long enough for the release before to be done, where the clock runs for the lock (the put)
 * alone. Prints per round the ns of: library's pair, bare pair, library's lock, bare put.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>

#include "clock.h"
#include "gateway.h"

#define PAUSE_NS 10000000

static struct gateway gateway;
static char put[512], gone[512];
static int fd;

static void library_lock(void)
{
    if (flock(fd, LOCK_EX) < 0)
        fail("flock");
}

static void library_unlock(void)
{
    if (flock(fd, LOCK_UN) < 0)
        fail("unlock");
}

static void bare_put(void)
{
    gateway_post(&gateway, "/v3/kv/txn", put);
}

static void bare_delete(void)
{
    gateway_post(&gateway, "/v3/kv/txn", gone);
}

static void rest(void)
{
    clock_wait_until(clock_ns() + PAUSE_NS);
}

/* ns of one pair */
static int64_t time_pairs(void (*first)(void), void (*second)(void), long block)
{
    rest();
    int64_t begin = clock_ns();
    for (long i = 0; i < block; i++) {
        first();
        second();
    }
    return (clock_ns() - begin) / block;
}

/* ns of one first half */
static int64_t time_first(void (*first)(void), void (*second)(void), long block)
{
    int64_t sum = 0;
    for (long i = 0; i < block; i++) {
        rest();
        int64_t begin = clock_ns();
        first();
        sum += clock_ns() - begin;
        second();
    }
    return sum / block;
}

int main(int argc, char **argv)
{
    char key[64];
    if (argc != 5)
        return 100;
    fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        fail(argv[1]);
    gateway_connect(&gateway, argv[2]);
    gateway_base64("/bench/bare", key);
    snprintf(put, sizeof put,
             "{\"success\":[{\"request_put\":{\"key\":\"%s\",\"value\":\"eA==\"}}]}", key);
    snprintf(gone, sizeof gone, "{\"success\":[{\"request_delete_range\":{\"key\":\"%s\"}}]}", key);
    long rounds = strtol(argv[3], NULL, 10), block = strtol(argv[4], NULL, 10);
    for (long round = -1; round < rounds; round++) { /* the first warms up */
        int64_t library = time_pairs(library_lock, library_unlock, block);
        int64_t bare = time_pairs(bare_put, bare_delete, block);
        int64_t lock = time_first(library_lock, library_unlock, block / 4);
        int64_t single = time_first(bare_put, bare_delete, block / 4);
        if (round >= 0)
            printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", library, bare, lock,
                   single);
    }
    return 0;
}
