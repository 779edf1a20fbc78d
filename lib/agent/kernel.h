/*
 * The agent's kernel side: all system calls on users' files, in threads of their own, so that a
 * hung file system stops nobody's lease. Results come back through the event loop.
 *
 * The agent learns of a release by asking the kernel: on its own open file description of the inode
 * it stands in line for an exclusive flock. When it gets it, nobody on this host holds the lock any
 * more, however that came about; it unlocks at once and says so.
 */
#ifndef ETCDFLOCK_AGENT_KERNEL_H
#define ETCDFLOCK_AGENT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/loop.h"
#include "lock/entry.h"

struct kernel;      /* the threads */
struct kernel_file; /* one inode's open file description of ours */

int kernel_new(struct loop *loop, struct kernel **out);

struct kernel_calls {
    /* The file is open and its lock can be tested (err 0), or not (negative errno). */
    void (*opened)(void *owner, int err);
    /* From the line: nobody here held the lock at a moment since kernel_line was called. On error
     * (negative errno) the line was left. */
    void (*freed)(void *owner, int err);
    /* From kernel_test: 1: somebody here holds a lock that conflicts with `mode`; 0: nobody; or a
     * negative errno. */
    void (*tested)(void *owner, enum entry_mode mode, int held);
};

/* Opens the file behind an O_PATH descriptor, which is taken over. Exactly one `opened` follows. */
struct kernel_file *kernel_open(struct kernel *kernel, int path_fd, dev_t dev, ino_t ino,
                                const struct kernel_calls *calls, void *owner);

/* The same for an inode known by the path it had (which must live until `opened`): if that names
 * another inode by now, it is looked for among the open files of all processes. -ENOENT: nobody has
 * it. */
struct kernel_file *kernel_open_named(struct kernel *kernel, const char *path, dev_t dev, ino_t ino,
                                      const struct kernel_calls *calls, void *owner);

/* Stands in line; exactly one `freed` follows. Not while a line is on. */
void kernel_line(struct kernel_file *file);

/* Tests the lock without waiting; exactly one `tested` follows. It is asked on the same description
 * as the line stands on, so that a lock which the line has just been given does not look like
 * somebody's. */
void kernel_test(struct kernel_file *file, enum entry_mode mode);

/* The owner goes away: nothing is called any more. Whatever a thread still does with the file comes
 * to its end there. */
void kernel_close(struct kernel_file *file);

/* The path of the inode as it is now: 0 or a negative errno; " (deleted)" is kept. Does not block.
 */
int kernel_path(const struct kernel_file *file, char *out, size_t size);

/* On a network file system, where other hosts' agents' tests can be seen? Known once the file is
 * open. */
bool kernel_is_network(const struct kernel_file *file);

/* Sends a signal to every process that has a description with a flock of this inode open, and
 * reports what it did with `signalled` (n pids, at most `room`). Signal 0 only finds them. */
struct kernel_scan {
    dev_t dev;
    ino_t ino;
    int signal;
    pid_t pids[32]; /* the first of them */
    int n;          /* how many there are in all */
    void (*done)(struct kernel_scan *self);
    void *owner;
};
void kernel_scan(struct kernel *kernel, struct kernel_scan *scan);

#endif
