/* The session's life: opening, taking up a killed agent's, keep-alive, and the end. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd/session_private.h"
#include "lock/lease_time.h"

#define OPEN_TIMEOUT_MS 1500

static void ask_lease(struct session *session);

static char *lease_body(int64_t lease, int64_t ttl_s, bool keys)
{
    char *text = malloc(128);
    if (!text)
        return NULL;
    if (ttl_s)
        snprintf(text, 128, "{\"TTL\":\"%" PRId64 "\",\"ID\":\"%" PRId64 "\"}", ttl_s, lease);
    else
        snprintf(text, 128, "{\"ID\":\"%" PRId64 "\"%s}", lease, keys ? ",\"keys\":true" : "");
    return text;
}

/* ---- deadline ---- */

static void set_deadline(struct session *session, int64_t sent_at, int64_t ttl_ms)
{
    session->state.ttl_ms = ttl_ms;
    session->dead_at = sent_at + lease_dead_after(ttl_ms);
    loop_at(session->loop, &session->term, sent_at + lease_term_after(ttl_ms));
    loop_at(session->loop, &session->kill, sent_at + lease_kill_after(ttl_ms));
    loop_at(session->loop, &session->dead, session->dead_at);
}

static void term_due(struct loop_timer *timer)
{
    struct session *session = timer->owner;
    session->calls.stop_holders(session->owner, false);
}

static void kill_due(struct loop_timer *timer)
{
    struct session *session = timer->owner;
    session->calls.stop_holders(session->owner, true);
}

static void dead_due(struct loop_timer *timer)
{
    struct session *session = timer->owner;
    const char *trouble = etcd_trouble(session->client);
    char why[600];
    snprintf(why, sizeof why, "no keep-alive succeeded in time%s%s", trouble ? "; " : "",
             trouble ? trouble : "");
    session_lose(session, why);
}

static void stop_everything(struct session *session)
{
    loop_cancel(session->loop, &session->retry);
    loop_cancel(session->loop, &session->renew);
    loop_cancel(session->loop, &session->term);
    loop_cancel(session->loop, &session->kill);
    loop_cancel(session->loop, &session->dead);
    if (session->request)
        etcd_cancel(session->request);
    if (session->keepalive)
        etcd_cancel(session->keepalive);
    session->request = session->keepalive = NULL;
}

void session_lose(struct session *session, const char *why)
{
    bool was_up = session_is_up(session);
    stop_everything(session);
    session->phase = PHASE_DOWN;
    session->dead_at = 0;
    session->adopting = false;
    session->attempts = session->renew_attempts = 0;
    /* The old lease stays where it is: it is not revoked, so that nobody gets the locks before the
     * deadline that the holders were promised. */
    memset(&session->state, 0, sizeof session->state);
    session->calls.changed(session->owner, &session->state);
    session_fail_all(session);
    if (was_up)
        session->calls.lost(session->owner, why);
    if (!session->closed)
        ask_lease(session);
}

void session_gone(struct session *session, const char *why)
{
    session_lose(session, why);
}

/* ---- keep-alive ---- */

static void beat_build(struct session_txn *self, struct txn *txn)
{
    struct session *session = self->session;
    txn_put(txn, TXN_THEN, session->key, session->state.nonce[0], session->state.lease);
}

static void beat_done(struct session_txn *self, enum session_result result,
                      const struct etcd_reply *reply, const char *why)
{
    (void)why;
    struct session *session = self->session;
    if (result == SESSION_DONE && reply->succeeded)
        session->calls.heartbeat(session->owner, reply->revision);
}

static void keepalive_answered(void *owner, enum etcd_outcome outcome,
                               const struct etcd_reply *reply, const char *why)
{
    struct session *session = owner;
    (void)why;
    session->keepalive = NULL;
    if (outcome != ETCD_OK) {
        loop_in(session->loop, &session->renew, etcd_backoff(session->renew_attempts++));
        return;
    }
    if (reply->lease_ttl <= 0) {
        session_lose(session, "etcd says that the lease is gone");
        return;
    }
    session->renew_attempts = 0;
    /* The timer `dead` has not fired, so the old deadline still stands; a dead lease is never
     * revived. */
    set_deadline(session, session->asked_at, reply->lease_ttl * 1000);
    loop_at(session->loop, &session->renew,
            session->asked_at + lease_renew_after(session->state.ttl_ms));
    if (!session_pending(&session->beat))
        session_send(session, &session->beat);
}

static void renew_due(struct loop_timer *timer)
{
    struct session *session = timer->owner;
    session->asked_at = loop_now();
    session->keepalive = etcd_post(
        session->client, "/v3/lease/keepalive", lease_body(session->state.lease, 0, false),
        lease_renew_timeout(session->state.ttl_ms), keepalive_answered, session);
}

/* ---- opening ---- */

static void come_up(struct session *session)
{
    bool adopted = session->adopting;
    session->adopting = false;
    session->attempts = 0;
    session->phase = PHASE_UP;
    set_deadline(session, session->asked_at, session->state.ttl_ms);
    loop_at(session->loop, &session->renew,
            session->asked_at + lease_renew_after(session->state.ttl_ms));
    session->calls.up(session->owner, adopted);
    session_resume(session);
}

static void start_over(struct session *session)
{
    memset(&session->state, 0, sizeof session->state);
    session->adopting = false;
    loop_in(session->loop, &session->retry, etcd_backoff(session->attempts++));
}

static void put_session(struct session *session);

static void session_put(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                        const char *why)
{
    struct session *session = owner;
    session->request = NULL;
    if (outcome == ETCD_REFUSED)
        session->calls.refused(session->owner, why);
    if (outcome == ETCD_UNSENT || outcome == ETCD_UNKNOWN) {
        if (loop_now() < session->dead_at) {
            loop_in(session->loop, &session->retry, etcd_backoff(session->attempts++));
            return;
        }
        start_over(session);
        return;
    }
    bool mine = outcome == ETCD_OK;
    if (mine && !reply->succeeded) {
        const struct etcd_range *there = etcd_reply_range(reply, 0);
        mine = there->n == 1 && strcmp(there->kvs[0].value, session->state.nonce[0]) == 0;
    }
    if (mine && loop_now() < session->dead_at)
        come_up(session);
    else
        start_over(session);
}

static void put_session(struct session *session)
{
    struct txn text;
    txn_init(&text);
    txn_if_create(&text, session->key, 0);
    txn_put(&text, TXN_THEN, session->key, session->state.nonce[0], session->state.lease);
    txn_get(&text, TXN_ELSE, session->key);
    session->request = etcd_post(session->client, "/v3/kv/txn", txn_text(&text), OPEN_TIMEOUT_MS,
                                 session_put, session);
    txn_free(&text);
}

static void lease_answered(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                           const char *why)
{
    struct session *session = owner;
    session->request = NULL;
    if (outcome == ETCD_REFUSED)
        session->calls.refused(session->owner, why);
    /* After an unknown outcome the next try takes another number; a lease that nobody knows runs
     * out by itself. */
    if (outcome != ETCD_OK || reply->lease_ttl <= 0) {
        start_over(session);
        return;
    }
    session->state.ttl_ms = reply->lease_ttl * 1000;
    session->dead_at = session->asked_at + lease_dead_after(session->state.ttl_ms);
    session_new_nonce(session->state.nonce[0]);
    session_key_of(session->conf, (uint64_t)session->state.lease, session->key);
    session->calls.changed(session->owner, &session->state);
    put_session(session);
}

static void ask_lease(struct session *session)
{
    uint64_t id;
    do {
        session_random(&id, sizeof id);
        id &= INT64_MAX;
    } while (!id);
    session->state.lease = (int64_t)id;
    session->asked_at = loop_now();
    session->request = etcd_post(session->client, "/v3/lease/grant",
                                 lease_body(session->state.lease, session->conf->ttl, false),
                                 OPEN_TIMEOUT_MS, lease_answered, session);
}

/* ---- taking up the session of an agent that was killed ---- */

static void adopt_keepalive_answered(void *owner, enum etcd_outcome outcome,
                                     const struct etcd_reply *reply, const char *why)
{
    struct session *session = owner;
    (void)why;
    session->request = NULL;
    if (outcome != ETCD_OK) {
        loop_in(session->loop, &session->retry, etcd_backoff(session->attempts++));
        return;
    }
    if (reply->lease_ttl <= 0) {
        session->phase = PHASE_UP; /* so that the loss is told */
        session_lose(session, "the lease of the agent before this one has run out");
        return;
    }
    session->state.ttl_ms = reply->lease_ttl * 1000;
    come_up(session);
}

static void adopt_answered(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                           const char *why)
{
    struct session *session = owner;
    (void)why;
    session->request = NULL;
    if (outcome != ETCD_OK) {
        loop_in(session->loop, &session->retry, etcd_backoff(session->attempts++));
        return;
    }
    if (!session_take_nonce(session, reply)) {
        session->phase = PHASE_UP;
        session_lose(session, "the session of the agent before this one is gone");
        return;
    }
    session->asked_at = loop_now();
    session->request = etcd_post(session->client, "/v3/lease/keepalive",
                                 lease_body(session->state.lease, 0, false), OPEN_TIMEOUT_MS,
                                 adopt_keepalive_answered, session);
}

static void retry_due(struct loop_timer *timer)
{
    struct session *session = timer->owner;
    if (session->phase == PHASE_RECOVERING)
        session_recover(session);
    else if (session->adopting)
        session_replace_nonce(session, adopt_answered);
    else if (session->state.lease && session->state.nonce[0][0])
        put_session(session);
    else
        ask_lease(session);
}

void session_open(struct session *session, const struct session_state *state)
{
    if (!state || !state->lease) {
        ask_lease(session);
        return;
    }
    session->state = *state;
    session->adopting = true;
    session_key_of(session->conf, (uint64_t)state->lease, session->key);
    if (session->state.nonce[1][0]) {
        /* The one before may or may not have replaced its nonce: the compare is tried with both. */
        session_replace_nonce(session, adopt_answered);
        return;
    }
    session_new_nonce(session->state.nonce[1]);
    session->calls.changed(session->owner, &session->state);
    session_replace_nonce(session, adopt_answered);
}

struct session *session_new(struct loop *loop, struct etcd_client *client, const struct conf *conf,
                            const struct session_calls *calls, void *owner)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->loop = loop;
    session->client = client;
    session->conf = conf;
    session->calls = *calls;
    session->owner = owner;
    session->retry = (struct loop_timer){.fire = retry_due, .owner = session};
    session->renew = (struct loop_timer){.fire = renew_due, .owner = session};
    session->term = (struct loop_timer){.fire = term_due, .owner = session};
    session->kill = (struct loop_timer){.fire = kill_due, .owner = session};
    session->dead = (struct loop_timer){.fire = dead_due, .owner = session};
    session->beat.build = beat_build;
    session->beat.done = beat_done;
    session->beat.owner = session;
    return session;
}

/* ---- the end ---- */

static void revoked(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                    const char *why)
{
    struct session *session = owner;
    (void)outcome;
    (void)reply;
    (void)why;
    session->request = NULL;
    memset(&session->state, 0, sizeof session->state);
    session->calls.changed(session->owner, &session->state);
    session->closed(session->owner);
}

void session_close(struct session *session, int timeout_ms, void (*closed)(void *owner))
{
    session->closed = closed;
    stop_everything(session);
    bool up = session_is_up(session);
    session->phase = PHASE_DOWN;
    session_fail_all(session);
    if (!up) {
        closed(session->owner);
        return;
    }
    session->request =
        etcd_post(session->client, "/v3/lease/revoke", lease_body(session->state.lease, 0, false),
                  timeout_ms, revoked, session);
}

void session_free(struct session *session)
{
    if (!session)
        return;
    stop_everything(session);
    session_fail_all(session);
    free(session);
}
