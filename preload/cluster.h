/* A lock call on a mapped file: the conversation with the agent, and the kernel lock. */
#ifndef ETCDFLOCK_CLUSTER_H
#define ETCDFLOCK_CLUSTER_H

#include <stdint.h>

/* flock(2) on a mapped file, for LOCK_SH or LOCK_EX, with or without LOCK_NB. `path` and its hash
 * come from mapping_of. Returns 0 or a negative errno as flock(2) has them; -ENOLCK comes with one
 * line on stderr. */
int cluster_flock(int fd, int operation, const char *path, uint64_t path_hash);

/* What flock(2) and the record locks answer where there is no configuration to read: -ENOLCK, with
 * one line on stderr. `err` is the positive errno of the configuration file. */
int cluster_no_config(const char *call, int err);

/* What a record lock on a mapped file answers: -ENOLCK, with one line on stderr. */
int cluster_no_record_locks(const char *call, const char *path);

#endif
