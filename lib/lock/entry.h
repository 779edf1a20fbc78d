/*
 * Entries of a lock's queue in etcd: their names and their values.
 *
 * A name is KEY/LEASE-N: sixteen hexadecimal digits of the lease, a dash, and a number that its
 * agent never uses again. A value is a small JSON object. A key below KEY/ that is not of this
 * form, or whose value cannot be read, is somebody else's (etcdctl lock, a Go program): it counts
 * as exclusive.
 */
#ifndef ETCDFLOCK_LOCK_ENTRY_H
#define ETCDFLOCK_LOCK_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENTRY_NAME_MAX 1100
#define ENTRY_TEXT_MAX 64 /* of host and command */
#define ENTRY_PATH_MAX 4096

enum entry_mode { ENTRY_NONE, ENTRY_SH, ENTRY_EX };

/* What an entry's value says. */
struct entry_value {
    enum entry_mode mode;
    bool joined;       /* placed beside holders, past those who wait: held from the start */
    int64_t token;     /* fencing token if it is not the create revision; else 0 */
    int64_t since;     /* ms of wall-clock time, for people only */
    uint64_t dev, ino; /* of the file, on its host */
    int pid;
    char host[ENTRY_TEXT_MAX];
    char command[ENTRY_TEXT_MAX];
    char path[ENTRY_PATH_MAX];
};

/* KEY/LEASE-N into `out`, ENTRY_NAME_MAX bytes. */
void entry_name(const char *key, uint64_t lease, uint64_t number, char *out);

/* Takes LEASE and N from the part of a name behind KEY/. False if it is not of our form. */
bool entry_parse_name(const char *rest, uint64_t *lease, uint64_t *number);

/* The value as text on the heap, or NULL without memory. */
char *entry_print(const struct entry_value *value);

/* 0, or -EBADMSG if it is not one of ours. */
int entry_parse(const char *text, size_t len, struct entry_value *out);

const char *entry_mode_name(enum entry_mode mode);

/* Two modes that cannot be held together? */
static inline bool entry_conflict(enum entry_mode a, enum entry_mode b)
{
    return a == ENTRY_EX || b == ENTRY_EX;
}

#endif
