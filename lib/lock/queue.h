/*
 * A lock's queue as one read of etcd shows it, and what follows from it. Pure functions.
 *
 * Order is by create revision, the lowest first; that is the protocol of etcd's concurrency.Mutex.
 * An entry waits for every earlier entry that conflicts with it. The one exception is an entry that
 * has joined holders past those who wait: it is in possession wherever it stands.
 */
#ifndef ETCDFLOCK_LOCK_QUEUE_H
#define ETCDFLOCK_LOCK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "etcd/reply.h"
#include "lock/entry.h"

struct queue_entry {
    const char *name; /* the whole key; belongs to the range it was read from */
    int64_t create, mod;
    int64_t lease;  /* that etcd attaches it to */
    uint64_t agent; /* lease in the name; 0 for a foreign entry */
    bool foreign;
    bool joined;
    enum entry_mode mode; /* EX for a foreign entry */
};

struct queue {
    struct queue_entry *entries;
    size_t n;
};

/* Reads a range of the keys below KEY/, in create order. 0 or -ENOMEM. Free with queue_free; the
 * range must live as long. */
int queue_read(const struct etcd_range *range, const char *key, struct queue *out);
void queue_free(struct queue *queue);

#define QUEUE_NONE ((size_t)-1)

size_t queue_find(const struct queue *queue, const char *name);

/* The entry that the one at `at` has to wait for: the latest earlier one that conflicts, else a
 * later one that has joined and conflicts. QUEUE_NONE: it holds. Entries named `but` do not count
 * (NULL: all count). */
size_t queue_blocker(const struct queue *queue, size_t at, const char *but);

/* Does the entry hold, by this read? */
bool queue_in_possession(const struct queue *queue, size_t at);

/* What a try for `mode` meets. */
enum queue_try {
    QUEUE_FREE,    /* the queue is empty: put an entry */
    QUEUE_JOIN,    /* only shared holders: join beside `at` */
    QUEUE_ASK,     /* ask the agent of entry `at`, which holds or is about to */
    QUEUE_FOREIGN, /* somebody else's entry holds or would be overtaken, and nobody can be asked */
};
enum queue_try queue_try(const struct queue *queue, enum entry_mode mode, size_t *at);

/* May the shared entry at `at` become exclusive in place? Only if nobody else is in possession; those
 * who wait behind it go on waiting. Valid only together with the quiet compare at the revision of this read, and
 * only as long as the entry at *behind is there (QUEUE_NONE: there is no other): all who are behind that one, a writer, wait for
 * it too, and if it gave up they would be in possession without a put that the quiet compare could see. */
bool queue_may_upgrade(const struct queue *queue, size_t at, size_t *behind);

/* May the waiting shared entry at `at` join the readers in possession, past the writers ahead of it? *reader is one of those readers.
 * Not past somebody else's waiter, who would not see it. */
bool queue_may_join(const struct queue *queue, size_t at, size_t *reader);

/* Does anybody who conflicts with a shared holder wait for entry `at`? */
bool queue_contested(const struct queue *queue, size_t at, const char *but);

#endif
