/*
 * Where an agent and its clients meet: one function computes it for both sides.
 *
 * BASE/NAME/agent.sock, where BASE is $ETCDFLOCK_RUNDIR, or by user: /run/etcdflock for root, else
 * $XDG_RUNTIME_DIR/etcdflock, /run/user/UID/etcdflock or /tmp/etcdflock-UID, whichever exists
 * first. NAME is made of the configuration file's path and of the network, mount and pid
 * namespaces, because an agent in other namespaces sees other paths, pids and servers. No heap, no
 * stdio: the preload library uses it.
 */
#ifndef ETCDFLOCK_WIRE_PATHS_H
#define ETCDFLOCK_WIRE_PATHS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PATHS_MAX            512
#define PATHS_DEFAULT_CONFIG "/etc/etcdflock.conf"

/* Inode numbers of the caller's namespaces; 0 where /proc cannot be read. */
struct paths_namespaces {
    uint64_t net, mnt, pid;
};

void paths_namespaces(struct paths_namespaces *out);

/* The configuration file's path with links resolved and made absolute; as given if /proc or the
 * file cannot be read. Returns 0 or -ENAMETOOLONG. */
int paths_config(const char *given, char out[PATHS_MAX]);

/* The base directory. `rundir` and `xdg` are the values of the environment, or NULL. */
int paths_base(const char *rundir, const char *xdg, uid_t uid, char out[PATHS_MAX]);

/* BASE/NAME. Returns 0 or -ENAMETOOLONG. */
int paths_dir(const char *base, const char *config, const struct paths_namespaces *ns,
              char out[PATHS_MAX]);

/* Opens a runtime directory (O_PATH) after checking that it belongs to root or to `uid` and that
 * nobody else may write to it. Returns the descriptor; -EPERM if it is somebody else's, else
 * -errno. */
int paths_open_dir(const char *dir, uid_t uid);

/* Appends at most what fits; returns the new length, or `size` once something did not fit. */
size_t paths_append(char *out, size_t size, size_t len, const char *text);
size_t paths_append_number(char *out, size_t size, size_t len, uint64_t number, unsigned base);

#endif
