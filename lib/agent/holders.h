/* Who holds a flock here, as the kernel tells it through /proc. Blocking: for the kernel side's
 * threads. */
#ifndef ETCDFLOCK_AGENT_HOLDERS_H
#define ETCDFLOCK_AGENT_HOLDERS_H

#include <sys/types.h>

#include "lock/entry.h"

struct kernel_scan;

/* By /proc/locks: 1 if a flock of the inode conflicts with `mode`, 0 if none does, or a negative
 * errno. */
int holders_in_proc_locks(dev_t dev, ino_t ino, enum entry_mode mode);

/* An O_PATH descriptor of the inode: by its path, else by any descriptor that a process has of it.
 * Negative: none. */
int holders_find_inode(const char *path, dev_t dev, ino_t ino);

/* See kernel_scan. Looks at every descriptor of every process for one with a flock of this inode,
 * so that children which share an open file description are found too. */
void holders_signal(struct kernel_scan *scan);

#endif
