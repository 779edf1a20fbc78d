/* What the files of the session share: transactions (session.c), its life (session_life.c). */
#ifndef ETCDFLOCK_ETCD_SESSION_PRIVATE_H
#define ETCDFLOCK_ETCD_SESSION_PRIVATE_H

#include "etcd/session.h"

enum session_phase {
    PHASE_DOWN,       /* no lease; one is being asked for */
    PHASE_UP,         /* transactions are sent */
    PHASE_RECOVERING, /* a write of unknown outcome: the nonce is being replaced, transactions wait
                       */
};

struct session {
    struct loop *loop;
    struct etcd_client *client;
    const struct conf *conf;
    struct session_calls calls;
    void *owner;
    enum session_phase phase;
    struct session_state state;
    char key[SESSION_KEY_MAX];
    int64_t dead_at;              /* loop_now; grants end then, before etcd's own deadline */
    int64_t asked_at;             /* when the keep-alive under way was sent */
    struct etcd_request *request; /* of opening or recovering */
    struct etcd_request *keepalive;
    struct loop_timer retry; /* of opening or recovering */
    struct loop_timer renew;
    struct loop_timer term, kill, dead;
    struct session_txn beat; /* re-puts the session key */
    unsigned attempts, renew_attempts;
    struct session_txn *first;
    unsigned writes; /* under way */
    bool adopting;
    void (*closed)(void *owner);
};

void session_random(void *out, size_t len);
void session_new_nonce(char out[SESSION_NONCE_LEN + 1]);
void session_lose(struct session *session, const char *why);
void session_fail_all(struct session *session);
void session_resume(struct session *session);
void session_recover(struct session *session);
/* The answer to session_replace_nonce: takes the new nonce over and stores it. False: the session is not ours any more. */
bool session_take_nonce(struct session *session, const struct etcd_reply *reply);
void session_replace_nonce(struct session *session, etcd_done *done);

#endif
