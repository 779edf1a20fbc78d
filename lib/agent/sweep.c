/*
 * The regular look at the keys on our own lease: an entry of ours that is gone was deleted by somebody and is a loss; a key that
 * nobody here knows blocks others for nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define SWEEP_MS      500 /* an entry that was deleted is noticed well within the grace of 2 s */
#define SWEEP_TIMEOUT 900

struct etcd_request *agent_list_keys(struct agent *agent, etcd_done *done)
{
    char *body = malloc(128);
    if (body)
        snprintf(body, 128, "{\"ID\":\"%" PRId64 "\",\"keys\":true}",
                 session_lease(agent->session));
    return etcd_post(agent->client, "/v3/lease/timetolive", body, SWEEP_TIMEOUT, done, agent);
}

static bool has_key(const struct etcd_range *keys, const char *name)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (strcmp(keys->kvs[i].key, name) == 0)
            return true;
    }
    return false;
}

static void look_for_deleted(struct agent *agent, const struct etcd_reply *reply)
{
    for (struct file *file = agent->files; file; file = file->next) {
        file_check_name(file);
        owner_check(file);
        if (file->cur.state == ENTRY_HELD && !session_pending(&file->cur_txn) &&
            file->cur.create <= reply->revision && !has_key(&reply->keys, file->cur.name))
            loss_of_entry(file, "its entry in etcd was deleted by somebody");
    }
}

struct stray {
    struct session_txn txn;
    char key[ENTRY_NAME_MAX];
};

static void stray_build(struct session_txn *self, struct txn *txn)
{
    struct stray *stray = self->owner;
    session_delete(stray->txn.session, txn, stray->key);
}

static void stray_done(struct session_txn *self, enum session_result result,
                       const struct etcd_reply *reply, const char *why)
{
    (void)result;
    (void)reply;
    (void)why;
    free(self->owner);
}

static bool is_known(struct agent *agent, const char *key)
{
    const char *root = agent->conf->root;
    return strncmp(key, root, strlen(root)) == 0 || file_find_entry(agent, key);
}

void agent_delete_stray(struct agent *agent, const char *key)
{
    struct stray *stray = calloc(1, sizeof *stray);
    if (!stray)
        return;
    log_line("%s: an entry on our lease that nobody needs: deleted", key);
    snprintf(stray->key, sizeof stray->key, "%s", key);
    stray->txn = (struct session_txn){.build = stray_build, .done = stray_done, .owner = stray};
    session_send(agent->session, &stray->txn);
}

/* A key on our lease that we know nothing of blocks others for nothing. It is one only if the next look
 * shows it again: the list may be older than a release that has just been answered. */
static void delete_strays(struct agent *agent, const struct etcd_range *keys)
{
    size_t n = 0;
    for (size_t i = 0; i < keys->n && n < SUSPECTS; i++) {
        const char *key = keys->kvs[i].key;
        if (is_known(agent, key))
            continue;
        bool again = false;
        for (size_t j = 0; j < SUSPECTS && !again; j++)
            again = agent->suspects[j] == wire_hash(key, strlen(key));
        if (again)
            agent_delete_stray(agent, key);
        agent->fresh_suspects[n++] = wire_hash(key, strlen(key));
    }
    memcpy(agent->suspects, agent->fresh_suspects, sizeof agent->suspects);
    memset(agent->fresh_suspects, 0, sizeof agent->fresh_suspects);
}

static void swept(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                  const char *why)
{
    struct agent *agent = owner;
    (void)why;
    agent->sweep_request = NULL;
    loop_in(agent->loop, &agent->sweep, SWEEP_MS);
    if (outcome != ETCD_OK || !session_is_up(agent->session))
        return;
    if (reply->lease_ttl < 0) { /* 0 is also less than a second */
        session_gone(agent->session, "etcd says that the lease is gone");
        return;
    }
    look_for_deleted(agent, reply);
    delete_strays(agent, &reply->keys);
}

void agent_sweep_due(struct loop_timer *timer)
{
    struct agent *agent = timer->owner;
    if (agent->sweep_request || agent->adopting || !agent->files || !session_is_up(agent->session))
        loop_in(agent->loop, &agent->sweep, SWEEP_MS);
    else
        agent->sweep_request = agent_list_keys(agent, swept);
}

void agent_sweep_soon(struct agent *agent)
{
    loop_in(agent->loop, &agent->sweep, SWEEP_MS);
}
