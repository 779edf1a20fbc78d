/* Who holds and who waits, on all hosts: what etcd says, without any agent. */
#ifndef ETCDFLOCK_CLI_HOLDERS_H
#define ETCDFLOCK_CLI_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "lock/entry.h"

/* One entry of a lock's queue. */
struct holder {
    const char *section; /* the first that makes such a key; belongs to the configuration */
    char *key;           /* of the lock */
    char *entry;         /* the whole key in etcd */
    enum entry_mode mode;
    bool held;    /* else it waits */
    bool foreign; /* etcdctl lock and the like: the next four are "", 0, "", "" */
    char *host;
    int pid; /* on its host, of the program that asked first */
    char *command, *path;
    int64_t since;  /* ms of wall-clock time; 0: unknown */
    int64_t token;  /* fencing token */
    int64_t lease;  /* of etcd; 0: none */
    int64_t create; /* revision: the place in the queue */
};

/* All zero at first. */
struct holders {
    struct holder *list; /* by key, then in the order of the queue */
    size_t n, room;
};

/* Reads the queues of all rules, one linearizable read for each prefix of keys. Returns 0, or a negative errno
 * and a reason that names the endpoint. */
int holders_read(const struct conf *conf, struct holders *out, char *why, size_t why_size);
void holders_free(struct holders *holders);

/* Length of the lock's key that a key in etcd lies below, and the first rule that makes it; 0 and
 * NULL if no rule does. */
size_t holders_lock_key(const struct conf *conf, const char *entry, const struct conf_rule **rule);

#endif
