/*
 * The agent's lease and session key, and transactions under them.
 *
 * The session key ROOT/session/LEASE lives on the lease; its value is a nonce. Every transaction
 * compares it, so that replacing the nonce kills every request that is still on its way. That is
 * done whenever the outcome of a write is unknown: first the new nonce, then the same question
 * again. What a caller asks must therefore be safe to ask twice; the answer of the else branch
 * tells it what is there.
 */
#ifndef ETCDFLOCK_ETCD_SESSION_H
#define ETCDFLOCK_ETCD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "etcd/client.h"
#include "etcd/txn.h"

#define SESSION_KEY_MAX   1100
#define SESSION_NONCE_LEN 32

struct session;

/* What a later agent needs to take the session up again after this one was killed. */
struct session_state {
    int64_t lease; /* 0: none */
    int64_t ttl_ms;
    char nonce[2][SESSION_NONCE_LEN +
                  1]; /* the one in force, and the one that may replace it (or "") */
};

struct session_calls {
    /* The session is there (`adopted`: taken over from the state given); transactions run from now
     * on. */
    void (*up)(void *owner, bool adopted);
    /* The time line of lease_time.h has come to a point where holders are told (`last` false) or
     * killed (true). */
    void (*stop_holders)(void *owner, bool last);
    /* The lease is lost. Every transaction under way has ended with SESSION_LOST. A new session is
     * opened by itself. */
    void (*lost)(void *owner, const char *why);
    /* etcd turned down the request for a session (rights, a full disk); it is asked again after a
     * while. */
    void (*refused)(void *owner, const char *why);
    /* To be stored before this returns. */
    void (*changed)(void *owner, const struct session_state *state);
    /* A put of the session key was carried out at this revision: every watch of it must show that
     * within a second. */
    void (*heartbeat)(void *owner, int64_t revision);
};

struct session *session_new(struct loop *loop, struct etcd_client *client, const struct conf *conf,
                            const struct session_calls *calls, void *owner);

/* Opens a session; takes up the one in `state` if it is still there (NULL: none to take up). */
void session_open(struct session *session, const struct session_state *state);

/* Somebody has seen that the lease or the session key is gone: it is lost now. */
void session_gone(struct session *session, const char *why);

/* Revokes the lease, at best within `timeout_ms`, then calls `closed`. No transaction may be under
 * way. */
void session_close(struct session *session, int timeout_ms, void (*closed)(void *owner));
void session_free(struct session *session);

/* May a grant be given or confirmed now? True between `up` and a good while before the deadline. */
bool session_valid(const struct session *session);
bool session_is_up(const struct session *session);
int64_t session_lease(const struct session *session);
int64_t session_ttl(const struct session *session); /* ms */
const char *session_key(const struct session *session);
/* Of any agent; SESSION_KEY_MAX bytes. */
void session_key_of(const struct conf *conf, uint64_t lease, char *out);

/* ROOT/left/LEASE, on the lease: put in every transaction in which an agent deletes an entry of its own, so that whoever waits can tell
 * that from a deletion by somebody else. SESSION_KEY_MAX bytes. */
void session_left_key_of(const struct conf *conf, uint64_t lease, char *out);

/* Deletes an entry of ours in the then branch, with the mark. */
void session_delete(struct session *session, struct txn *txn, const char *entry);

enum session_result {
    SESSION_DONE,    /* `reply` is there; reply->succeeded tells the branch */
    SESSION_REFUSED, /* etcd turned it down; `why` says why */
    SESSION_LOST,    /* nothing is known but that the lease is gone */
};

/* One transaction; embedded in its owner, all zero but for the first four before it is sent. */
struct session_txn {
    /* Adds compares and operations; the session's own compare, and a read of the session key as
     * first operation of the else branch, are there already. Called again for each time that it is
     * sent. */
    void (*build)(struct session_txn *self, struct txn *txn);
    void (*done)(struct session_txn *self, enum session_result result,
                 const struct etcd_reply *reply, const char *why);
    void *owner;
    bool read_only; /* an unknown outcome does no harm */

    struct session *session;
    struct session_txn *next, *previous;
    struct etcd_request *request; /* under way */
    struct loop_timer later;
    unsigned attempts;
    bool queued;
};

void session_send(struct session *session, struct session_txn *txn);
bool session_pending(const struct session_txn *txn);
/* Only for read-only transactions, and for all at the end. */
void session_forget(struct session_txn *txn);

/* The result of the caller's operation `at`, in the branch that ran. */
const struct etcd_range *session_range(const struct etcd_reply *reply, size_t at);

#endif
