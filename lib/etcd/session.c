#include "etcd/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "etcd/session_private.h"
#include "lock/lease_time.h"

#define TXN_TIMEOUT_MS 1500

/* ---- small things ---- */

void session_random(void *out, size_t len)
{
    char *at = out;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got <= 0)
            continue;
        at += got;
        len -= (size_t)got;
    }
}

void session_new_nonce(char out[SESSION_NONCE_LEN + 1])
{
    unsigned char bytes[SESSION_NONCE_LEN / 2];
    session_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void session_key_of(const struct conf *conf, uint64_t lease, char *out)
{
    snprintf(out, SESSION_KEY_MAX, "%ssession/%016" PRIx64, conf->root, lease);
}

void session_left_key_of(const struct conf *conf, uint64_t lease, char *out)
{
    snprintf(out, SESSION_KEY_MAX, "%sleft/%016" PRIx64, conf->root, lease);
}

void session_delete(struct session *session, struct txn *txn, const char *entry)
{
    char mark[SESSION_KEY_MAX];
    session_left_key_of(session->conf, (uint64_t)session->state.lease, mark);
    txn_delete(txn, TXN_THEN, entry);
    txn_put(txn, TXN_THEN, mark, "", session->state.lease);
}

bool session_is_up(const struct session *session)
{
    return session->phase == PHASE_UP || session->phase == PHASE_RECOVERING;
}

bool session_valid(const struct session *session)
{
    return session_is_up(session) && loop_now() < session->dead_at;
}

int64_t session_lease(const struct session *session)
{
    return session->state.lease;
}

int64_t session_ttl(const struct session *session)
{
    return session->state.ttl_ms;
}

const char *session_key(const struct session *session)
{
    return session->key;
}

const struct etcd_range *session_range(const struct etcd_reply *reply, size_t at)
{
    return etcd_reply_range(reply, reply->succeeded ? at : at + 1);
}

bool session_pending(const struct session_txn *txn)
{
    return txn->queued;
}

/* ---- transactions ---- */

static void unlink_txn(struct session_txn *txn)
{
    struct session *session = txn->session;
    if (txn->previous)
        txn->previous->next = txn->next;
    else
        session->first = txn->next;
    if (txn->next)
        txn->next->previous = txn->previous;
    txn->queued = false;
    txn->next = txn->previous = NULL;
    loop_cancel(session->loop, &txn->later);
}

static void finish(struct session_txn *txn, enum session_result result,
                   const struct etcd_reply *reply, const char *why)
{
    unlink_txn(txn);
    txn->done(txn, result, reply, why);
}

/* Does the else branch's first read show our nonce? Then another compare failed, not the session's.
 */
static bool still_mine(const struct session *session, const struct etcd_reply *reply)
{
    const struct etcd_range *range = etcd_reply_range(reply, 0);
    return range->n == 1 && strcmp(range->kvs[0].value, session->state.nonce[0]) == 0;
}

static void txn_answered(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                         const char *why)
{
    struct session_txn *txn = owner;
    struct session *session = txn->session;
    txn->request = NULL;
    if (!txn->read_only)
        session->writes--;
    switch (outcome) {
    case ETCD_OK:
        if (!reply->succeeded && !still_mine(session, reply)) {
            session_lose(session, "the session key was deleted or replaced");
            return;
        }
        finish(txn, SESSION_DONE, reply, "");
        break;
    case ETCD_REFUSED:
        if (strstr(why, "lease not found")) {
            session_lose(session, why);
            return;
        }
        finish(txn, SESSION_REFUSED, NULL, why);
        break;
    case ETCD_UNKNOWN:
        if (!txn->read_only) {
            session->phase = PHASE_RECOVERING;
            break;
        }
        /* fall through */
    case ETCD_UNSENT:
        loop_in(session->loop, &txn->later, etcd_backoff(txn->attempts++));
        break;
    }
    session_recover(session);
}

static void send_now(struct session_txn *txn)
{
    struct session *session = txn->session;
    struct txn text;
    txn_init(&text);
    txn_if_value(&text, session->key, session->state.nonce[0]);
    txn_get(&text, TXN_ELSE, session->key);
    txn->build(txn, &text);
    if (!txn->read_only)
        session->writes++;
    txn->request = etcd_post(session->client, "/v3/kv/txn", txn_text(&text), TXN_TIMEOUT_MS,
                             txn_answered, txn);
    txn_free(&text);
}

static void send_again(struct loop_timer *timer)
{
    struct session_txn *txn = timer->owner;
    if (txn->session->phase == PHASE_UP)
        send_now(txn);
    /* Else session_resume sends it. */
}

void session_send(struct session *session, struct session_txn *txn)
{
    txn->session = session;
    txn->next = session->first;
    txn->previous = NULL;
    if (txn->next)
        txn->next->previous = txn;
    session->first = txn;
    txn->queued = true;
    txn->attempts = 0;
    txn->request = NULL;
    txn->later = (struct loop_timer){.fire = send_again, .owner = txn};
    if (session->phase == PHASE_UP)
        send_now(txn);
}

void session_resume(struct session *session)
{
    struct session_txn *next;
    for (struct session_txn *txn = session->first; txn && session->phase == PHASE_UP; txn = next) {
        next = txn->next;
        if (txn->request || txn->later.place)
            continue;
        send_now(txn);
    }
}

void session_forget(struct session_txn *txn)
{
    if (!txn->queued)
        return;
    if (txn->request) {
        etcd_cancel(txn->request);
        if (!txn->read_only)
            txn->session->writes--;
        txn->request = NULL;
    }
    unlink_txn(txn);
}

void session_fail_all(struct session *session)
{
    while (session->first) {
        struct session_txn *txn = session->first;
        if (txn->request)
            etcd_cancel(txn->request);
        txn->request = NULL;
        finish(txn, SESSION_LOST, NULL, "the lease is lost");
    }
    session->writes = 0;
}

/* ---- the new nonce after a write of unknown outcome ---- */

bool session_take_nonce(struct session *session, const struct etcd_reply *reply)
{
    const struct etcd_range *there = etcd_reply_range(reply, 0);
    bool replaced = reply->succeeded ||
                    (there->n == 1 && strcmp(there->kvs[0].value, session->state.nonce[1]) == 0);
    if (!replaced)
        return false;
    memcpy(session->state.nonce[0], session->state.nonce[1], sizeof session->state.nonce[0]);
    session->state.nonce[1][0] = '\0';
    session->calls.changed(session->owner, &session->state);
    return true;
}

static void nonce_answered(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
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
        session_lose(session, "the session key was deleted or replaced");
        return;
    }
    session->attempts = 0;
    session->phase = PHASE_UP;
    session_resume(session);
}

/* Once every write under way has ended, so that none of them can be mistaken for a lost session. */
void session_recover(struct session *session)
{
    if (session->phase != PHASE_RECOVERING || session->writes || session->request ||
        session->retry.place)
        return;
    if (!session->state.nonce[1][0]) {
        session_new_nonce(session->state.nonce[1]);
        session->calls.changed(session->owner, &session->state);
    }
    session_replace_nonce(session, nonce_answered);
}

void session_replace_nonce(struct session *session, etcd_done *done)
{
    struct txn text;
    txn_init(&text);
    txn_if_value(&text, session->key, session->state.nonce[0]);
    txn_put(&text, TXN_THEN, session->key, session->state.nonce[1], session->state.lease);
    txn_get(&text, TXN_ELSE, session->key);
    session->request =
        etcd_post(session->client, "/v3/kv/txn", txn_text(&text), TXN_TIMEOUT_MS, done, session);
    txn_free(&text);
}
