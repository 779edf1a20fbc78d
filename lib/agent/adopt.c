/*
 * What an agent that was killed has left: entries on the lease that we have taken up. Those whose
 * lock is held in the kernel are kept, if the queue says that they are granted; all others are
 * deleted: the programs that waited for them have asked again by now, or will.
 *
 * Each entry is put where a waiting entry stands, with nobody who needs it. The ordinary steps do
 * the rest: granted → promoted → the line finds the lock free, or waits; not granted → cancelled.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

#define GETS_AT_ONCE 100 /* etcd takes 128 operations in a transaction */

struct adopted {
    struct etcd_range keys; /* on the lease */
    size_t at;              /* the next to be read */
};

static void take_entry(struct agent *agent, const struct etcd_kv *kv)
{
    struct entry_value value;
    char key[ENTRY_NAME_MAX];
    uint64_t lease;
    uint64_t number;
    snprintf(key, sizeof key, "%s", kv->key);
    char *slash = strrchr(key, '/');
    if (!slash || !entry_parse_name(slash + 1, &lease, &number) ||
        entry_parse(kv->value, kv->value_len, &value))
        return; /* the sweep deletes what nobody knows */
    *slash = '\0';
    struct file *file = file_get_named(agent, conf_find(agent->rules, value.path), key, value.path,
                                       value.dev, value.ino);
    if (file->next_entry.state != ENTRY_ABSENT)
        return;
    struct entry *entry = &file->next_entry;
    *entry = (struct entry){.state = ENTRY_QUEUED,
                            .mode = value.mode,
                            .joined = value.joined,
                            .placed = true,
                            .create = kv->create,
                            .mod = kv->mod,
                            .token = value.token,
                            .since = value.since,
                            .pid = value.pid};
    snprintf(entry->command, sizeof entry->command, "%s", value.command);
    snprintf(entry->name, sizeof entry->name, "%s", kv->key);
    entries_check(file);
}

static void finish(struct agent *agent)
{
    struct adopted *adopted = agent->adopted;
    agent->adopted = NULL;
    agent->adopting = false;
    for (size_t i = 0; adopted && i < adopted->keys.n; i++)
        free(adopted->keys.kvs[i].key);
    if (adopted)
        free(adopted->keys.kvs);
    free(adopted);
    for (struct file *file = agent->files; file; file = file->next)
        file_poke(file);
}

static void build(struct session_txn *self, struct txn *txn)
{
    struct agent *agent = self->owner;
    const struct adopted *adopted = agent->adopted;
    for (size_t i = adopted->at; i < adopted->keys.n && i < adopted->at + GETS_AT_ONCE; i++)
        txn_get(txn, TXN_THEN, adopted->keys.kvs[i].key);
}

static int by_create(const void *a, const void *b)
{
    const struct etcd_kv *const *x = a;
    const struct etcd_kv *const *y = b;
    return ((*x)->create > (*y)->create) - ((*x)->create < (*y)->create);
}

static void done(struct session_txn *self, enum session_result result,
                 const struct etcd_reply *reply, const char *why)
{
    struct agent *agent = self->owner;
    struct adopted *adopted = agent->adopted;
    (void)why;
    if (result != SESSION_DONE) {
        finish(agent);
        return;
    }
    /* The oldest first: of a file's two entries it is the one that may be granted. */
    const struct etcd_kv *found[GETS_AT_ONCE];
    size_t n = 0;
    for (size_t i = 0; i < GETS_AT_ONCE; i++) {
        const struct etcd_range *range = session_range(reply, i);
        if (range->n == 1)
            found[n++] = &range->kvs[0];
    }
    qsort(found, n, sizeof *found, by_create);
    for (size_t i = 0; i < n; i++)
        take_entry(agent, found[i]);
    adopted->at += GETS_AT_ONCE;
    if (adopted->at < adopted->keys.n)
        session_send(agent->session, &agent->adopt_txn);
    else
        finish(agent);
}

static void listed(void *owner, enum etcd_outcome outcome, const struct etcd_reply *reply,
                   const char *why)
{
    struct agent *agent = owner;
    agent->sweep_request = NULL;
    if (!agent->adopting || !session_is_up(agent->session)) {
        finish(agent);
        return;
    }
    if (outcome != ETCD_OK) {
        log_line("reading what the agent before this one left: %s", why);
        adopt_start(agent);
        return;
    }
    agent->adopted = calloc(1, sizeof *agent->adopted);
    if (!agent->adopted)
        abort(); /* out of memory; see loop_at */
    agent->adopted->keys.kvs = calloc(reply->keys.n + 1, sizeof *reply->keys.kvs);
    for (size_t i = 0; i < reply->keys.n && agent->adopted->keys.kvs; i++)
        agent->adopted->keys.kvs[agent->adopted->keys.n++].key = strdup(reply->keys.kvs[i].key);
    log_line("took up the session of the agent before this one, with %zu key(s)", reply->keys.n);
    agent->adopt_txn =
        (struct session_txn){.build = build, .done = done, .owner = agent, .read_only = true};
    session_send(agent->session, &agent->adopt_txn);
}

void adopt_start(struct agent *agent)
{
    agent->adopting = true;
    agent->sweep_request = agent_list_keys(agent, listed);
}
