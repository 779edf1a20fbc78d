/*
 * The runtime directory, and the little that an agent leaves there for its successor: the session.
 * Everything else is in the kernel and in etcd.
 */
#ifndef ETCDFLOCK_AGENT_STATE_H
#define ETCDFLOCK_AGENT_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "etcd/session.h"

/* Makes BASE and DIR (mode 0700) where they are missing and checks that they are ours and not on a
 * network file system. 0, or a negative errno and *why. */
int state_make_dir(const char *base, const char *dir, char *why, size_t why_size);

/* A file system that other hosts see too? */
struct statfs;
bool state_is_network(const struct statfs *fs);

/* Takes the lock that makes one agent of many. Returns its descriptor, or -EWOULDBLOCK if another
 * has it, or a negative errno. */
int state_lock(const char *dir);

/* Opens the state file; *found and *state are what an agent of the same boot left there. A
 * descriptor or a negative errno. */
int state_open(const char *dir, bool *found, struct session_state *state);

/* Overwrites it in one write: a kill finds the old or the new. */
void state_write(int fd, const struct session_state *state);

#endif
