/* Reads from the cluster, one after the other, each waited for. Nothing here ever writes. */
#ifndef ETCDFLOCK_CLI_CLUSTER_H
#define ETCDFLOCK_CLI_CLUSTER_H

#include <stddef.h>

#include "conf/conf.h"
#include "etcd/reply.h"

struct cluster;

/* The configuration must outlive it. From now on CLI_CLUSTER_MS run, for all reads together. Returns 0, or a
 * negative errno and why. */
int cluster_open(const struct conf *conf, struct cluster **out, char *why, size_t why_size);
void cluster_close(struct cluster *cluster);

/* All keys that begin with `prefix` (which may be empty), by create revision: a linearizable read, tried on every
 * endpoint. Calls `take` once and returns 0; or returns -EIO and a reason that names the endpoints. */
int cluster_read(struct cluster *cluster, const char *prefix,
                 void (*take)(void *owner, const struct etcd_range *range), void *owner, char *why,
                 size_t why_size);

#endif
