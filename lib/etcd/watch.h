/*
 * Watches of single keys or prefixes, from "now" on.
 *
 * A watch that starts at a revision already past is served by a loop in etcd that runs every 100
 * ms; one without a start revision is not. So a watch here starts at "now", and `ready` tells its
 * owner to read once: what came before is in that read, what comes after is an event. After a lost
 * connection `ready` comes again.
 *
 * One request holds few keys: with bodies of 576 bytes and more some watches are silently not made.
 * Each stream watches the own session key too: when that is put and a stream does not show it
 * within a second, the stream is dead and is opened again.
 */
#ifndef ETCDFLOCK_ETCD_WATCH_H
#define ETCDFLOCK_ETCD_WATCH_H

#include "etcd/client.h"

#define WATCH_KEYS_MAX 2

struct watch_hub;
struct watch;

struct watch_calls {
    /* All keys are watched from store revision `revision` on: read what there is now, if it may
     * have changed before. */
    void (*ready)(void *owner, int64_t revision);
    void (*event)(void *owner, const struct etcd_event *event);
};

/* `deleted` is called, outside of any other call, when a stream shows that the session key is gone. */
struct watch_hub *watch_hub_new(struct loop *loop, struct etcd_client *client,
                                void (*deleted)(void *owner), void *owner);
void watch_hub_free(struct watch_hub *hub);

/* The session key that every stream also watches, from the next stream on; NULL: none. */
void watch_hub_session(struct watch_hub *hub, const char *session_key);

/* The session key was put at this revision. */
void watch_hub_heartbeat(struct watch_hub *hub, int64_t revision);

/* Up to WATCH_KEYS_MAX keys; `second` may be NULL. `prefix`: the first key is a prefix. */
struct watch *watch_open(struct watch_hub *hub, const char *first, bool prefix, const char *second,
                         const struct watch_calls *calls, void *owner);
void watch_close(struct watch *watch);

#endif
