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

#define RETRY_MS     1000
#define GETS_AT_ONCE 100 /* etcd takes 128 operations in a transaction */

struct adopted {
    struct etcd_kv *entries; /* the keys on the lease; their values as far as they are read */
    size_t n;
    size_t at; /* the next to be read */
    struct loop_timer retry;
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
    if (adopted) {
        loop_cancel(agent->loop, &adopted->retry);
        for (size_t i = 0; i < adopted->n; i++) {
            free(adopted->entries[i].key);
            free(adopted->entries[i].value);
        }
        free(adopted->entries);
        free(adopted);
    }
    for (struct file *file = agent->files; file; file = file->next)
        file_poke(file);
    if (session_is_up(agent->session))
        agent_read_inbox(agent); /* asks about these entries meant nothing to us before */
}

static void build(struct session_txn *self, struct txn *txn)
{
    const struct agent *agent = self->owner;
    const struct adopted *adopted = agent->adopted;
    for (size_t i = adopted->at; i < adopted->n && i < adopted->at + GETS_AT_ONCE; i++)
        txn_get(txn, TXN_THEN, adopted->entries[i].key);
}

static int by_create(const void *a, const void *b)
{
    const struct etcd_kv *x = a;
    const struct etcd_kv *y = b;
    return (x->create > y->create) - (x->create < y->create);
}

/* The oldest first: of a file's two entries it is the one that may be granted. */
static void take_all(struct agent *agent)
{
    struct adopted *adopted = agent->adopted;
    qsort(adopted->entries, adopted->n, sizeof *adopted->entries, by_create);
    for (size_t i = 0; i < adopted->n; i++) {
        if (adopted->entries[i].value)
            take_entry(agent, &adopted->entries[i]);
    }
    finish(agent);
}

static void keep(struct etcd_kv *entry, const struct etcd_kv *read)
{
    entry->value = malloc(read->value_len + 1);
    if (!entry->value)
        abort(); /* out of memory; see loop_at */
    memcpy(entry->value, read->value, read->value_len + 1);
    entry->value_len = read->value_len;
    entry->create = read->create;
    entry->mod = read->mod;
    entry->lease = read->lease;
}

static void retry_due(struct loop_timer *timer)
{
    struct agent *agent = timer->owner;
    session_send(agent->session, &agent->adopt_txn);
}

static void done(struct session_txn *self, enum session_result result,
                 const struct etcd_reply *reply, const char *why)
{
    struct agent *agent = self->owner;
    struct adopted *adopted = agent->adopted;
    if (result == SESSION_LOST) {
        finish(agent);
        return;
    }
    if (result == SESSION_REFUSED) {
        log_line("reading what the agent before this one left: %s", why);
        adopted->retry = (struct loop_timer){.fire = retry_due, .owner = agent};
        loop_in(agent->loop, &adopted->retry, RETRY_MS);
        return;
    }
    for (size_t i = 0; i < GETS_AT_ONCE && adopted->at + i < adopted->n; i++) {
        const struct etcd_range *range = session_range(reply, i);
        if (range->n == 1)
            keep(&adopted->entries[adopted->at + i], &range->kvs[0]);
    }
    adopted->at += GETS_AT_ONCE;
    if (adopted->at < adopted->n)
        session_send(agent->session, &agent->adopt_txn);
    else
        take_all(agent);
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
    agent->adopted->entries = calloc(reply->keys.n + 1, sizeof *agent->adopted->entries);
    if (!agent->adopted->entries)
        abort(); /* out of memory; see loop_at */
    for (size_t i = 0; i < reply->keys.n; i++) {
        char *key = strdup(reply->keys.kvs[i].key);
        if (!key)
            abort(); /* out of memory; see loop_at */
        agent->adopted->entries[agent->adopted->n++].key = key;
    }
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
