/*
 * One worker of the stress test: takes the lock again and again, shared and exclusive, blocking and
 * not, and records when it held it. The records lie in a shared mapping, so that they outlive a
 * SIGKILL. Beginnings are read after flock returned and endings before the unlock: what is recorded
 * lies inside what was held, and an overlap of two records is an overlap of two holders.
 *
 *   interval LOCKFILE COUNTER RECORDS MAX SEED     until RECORDS is full or SIGTERM
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef LINGER_ONE_IN
#define LINGER_ONE_IN 4000
#endif

/* The checker reads these as little-endian 64-bit words: begin, end, mode, value. */
struct record {
    uint64_t begin; /* ns, CLOCK_MONOTONIC */
    uint64_t end;   /* 0: still held */
    uint64_t mode;  /* 1 shared, 2 exclusive */
    uint64_t value; /* exclusive: what it writes into the counter */
};

struct records {
    uint64_t count;   /* begun */
    uint64_t refused; /* EWOULDBLOCK of tries */
    uint64_t interrupted;
    uint64_t spare;
    struct record record[];
};

static volatile sig_atomic_t stopping;

static void on_term(int number)
{
    (void)number;
    stopping = 1;
}

static void on_alarm(int number)
{
    (void)number;
}

static void fail(const char *what)
{
    fprintf(stderr, "interval: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void spin(uint64_t ns)
{
    uint64_t until = now() + ns;

    while (now() < until)
        ;
}

static struct records *map_records(const char *path, uint64_t max)
{
    size_t size = sizeof(struct records) + max * sizeof(struct record);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    void *at;

    if (fd < 0 || posix_fallocate(fd, 0, (off_t)size) != 0)
        fail(path);
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    close(fd);
    return at;
}

/* While the lock is held exclusively: what the record promises is written before the counter is. */
static void count_one(int counter, struct record *record)
{
    uint64_t value = 0;

    if (pread(counter, &value, sizeof(value), 0) < 0)
        fail("read");
    value++;
    record->value = value;
    if (pwrite(counter, &value, sizeof(value), 0) != (ssize_t)sizeof(value))
        fail("write");
}

/* True if the lock is held now. */
static int take(int lock, int op, struct records *all)
{
    if (flock(lock, op) == 0)
        return 1;
    if (errno == EWOULDBLOCK && (op & LOCK_NB))
        all->refused++;
    else if (errno == EINTR)
        all->interrupted++;
    else
        fail("flock");
    return 0;
}

/* Now and then long enough for every regular clean-up of the agents to come by. */
static void linger(void)
{
    struct timespec rest = {.tv_sec = 2, .tv_nsec = 500000000};

    if (random() % LINGER_ONE_IN == 0)
        nanosleep(&rest, NULL);
}

static void hold(int counter, int exclusive, struct records *all)
{
    struct record *record = &all->record[all->count];

    record->begin = now();
    record->mode = exclusive ? 2 : 1;
    __atomic_store_n(&all->count, all->count + 1, __ATOMIC_RELEASE);
    if (exclusive)
        count_one(counter, record);
    else
        spin((uint64_t)(random() % 200) * 1000);
    linger();
    record->end = now();
}

/* Unlocks, or closes and opens again: both are releases. */
static int release(int lock, const char *path)
{
    if (random() % 4 != 0) {
        if (flock(lock, LOCK_UN) != 0)
            fail("unlock");
        return lock;
    }
    close(lock);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        fail(path);
    return lock;
}

int main(int argc, char **argv)
{
    struct sigaction term = {.sa_handler = on_term}, alarmed = {.sa_handler = on_alarm};
    struct records *all;
    uint64_t max;
    int lock, counter;

    if (argc != 6) {
        fprintf(stderr, "usage: interval LOCKFILE COUNTER RECORDS MAX SEED\n");
        return 2;
    }
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGALRM, &alarmed, NULL);
    max = strtoull(argv[4], NULL, 10);
    srandom((unsigned)atoi(argv[5]));
    all = map_records(argv[3], max);
    lock = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    counter = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0 || counter < 0)
        fail("open");
    while (!stopping && all->count < max) {
        int exclusive = random() % 3 != 0;
        int op = (exclusive ? LOCK_EX : LOCK_SH) | (random() % 5 == 0 ? LOCK_NB : 0);

        if (take(lock, op, all)) {
            hold(counter, exclusive, all);
            lock = release(lock, argv[1]);
        } else if (op & LOCK_NB) {
            spin(20000);
        }
    }
    return 0;
}
