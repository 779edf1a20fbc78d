/*
 * The lease's time line. Every constant of it is here, and all of them follow from the TTL.
 *
 * With the default TTL of 15 s, second by second, counted from the moment the last successful
 * keep-alive was SENT (etcd's clock for it starts later, when the request arrives, so we are always
 * on the early side):
 *
 *      0.00  keep-alive sent; etcd answers "15 s"
 *      5.00  the next keep-alive is due; if it fails it is sent again and again, to every endpoint
 *     11.25  nothing has succeeded: the processes that hold a lock get SIGTERM (on_lost)
 *     13.50  those that are left get SIGKILL
 *     14.25  the lease is dead for us, for ever, whatever a later answer says
 *     15.00  the earliest moment at which etcd gives the locks to others
 *
 * All of it is measured on CLOCK_BOOTTIME, which goes on during suspend and knows nothing of the
 * wall clock. A lease that is revoked or an entry that is deleted by somebody gives no such time:
 * then the holders get LEASE_GRACE_MS in all, which is what waiters of ours grant to the holders of
 * a lost lease.
 */
#ifndef ETCDFLOCK_LOCK_LEASE_TIME_H
#define ETCDFLOCK_LOCK_LEASE_TIME_H

#include <stdint.h>

/* All in milliseconds; `ttl` is what etcd granted. */
static inline int64_t lease_renew_after(int64_t ttl)
{
    return ttl / 3;
}

static inline int64_t lease_term_after(int64_t ttl)
{
    return ttl * 3 / 4;
}

static inline int64_t lease_kill_after(int64_t ttl)
{
    return ttl * 9 / 10;
}

static inline int64_t lease_dead_after(int64_t ttl)
{
    return ttl * 19 / 20;
}

/* How long a waiter whose predecessor vanished together with its session stays away from the lock.
 */
#define LEASE_GRACE_MS 2000

/* Of the grace, how long the holders have between SIGTERM and SIGKILL. */
#define LEASE_LOST_KILL_MS 1000

/* A keep-alive that has no answer by then is given up and sent again. */
static inline int lease_renew_timeout(int64_t ttl)
{
    int64_t third = ttl / 6;
    return (int)(third < 300 ? 300 : third > 2000 ? 2000 : third);
}

#endif
