/*
 * Asks: another agent wants to know, for a try of one of its programs, whether the lock of an entry
 * of ours is really held. The kernel decides: held → "busy" is put on the ask; free → the entry
 * goes, which the asker sees.
 *
 * Asks live outside the queue, as ROOT/ask/OUR LEASE/THEIR LEASE-N on the asker's lease. One watch
 * on ROOT/ask/OUR LEASE/ is our inbox.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"

static int parse(const struct etcd_kv *kv, char entry[ENTRY_NAME_MAX], enum entry_mode *mode)
{
    cJSON *root = cJSON_ParseWithLength(kv->value, kv->value_len);
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "entry");
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(root, "mode");
    int err = -1;
    if (cJSON_IsString(name) && cJSON_IsString(wanted) &&
        strlen(name->valuestring) < ENTRY_NAME_MAX) {
        snprintf(entry, ENTRY_NAME_MAX, "%s", name->valuestring);
        *mode = strcmp(wanted->valuestring, "sh") == 0 ? ENTRY_SH : ENTRY_EX;
        err = 0;
    }
    cJSON_Delete(root);
    return err;
}

/* Takes it out of its file's list; its memory stays until its answer has come back. */
static void unlink_ask(struct ask *ask)
{
    for (struct ask **at = &ask->file->asks; *at; at = &(*at)->next) {
        if (*at == ask) {
            *at = ask->next;
            break;
        }
    }
    ask->file = NULL;
}

static void drop(struct ask *ask)
{
    if (ask->file)
        unlink_ask(ask);
    if (!ask->answering)
        free(ask);
}

static void build(struct session_txn *self, struct txn *txn)
{
    struct ask *ask = self->owner;
    txn_if_create(txn, ask->name, ask->create);
    txn_put(txn, TXN_THEN, ask->name, ASK_BUSY, ask->lease);
}

static void done(struct session_txn *self, enum session_result result,
                 const struct etcd_reply *reply, const char *why)
{
    struct ask *ask = self->owner;
    (void)result;
    (void)reply;
    (void)why;
    ask->answering = false;
    if (!ask->file) {
        free(ask);
        return;
    }
    struct file *file = ask->file;
    if (ask->again)
        ask->again = false; /* asked once more meanwhile: answered once more */
    else
        drop(ask);
    file_poke(file);
}

static void answer_busy(struct ask *ask)
{
    ask->answering = true;
    ask->txn = (struct session_txn){.build = build, .done = done, .owner = ask};
    session_send(ask->file->agent->session, &ask->txn);
}

void asks_note(struct agent *agent, const struct etcd_kv *kv)
{
    char entry[ENTRY_NAME_MAX];
    enum entry_mode mode;
    if (parse(kv, entry, &mode))
        return; /* our own answer, or nothing we know */
    struct file *file = file_find_entry(agent, entry);
    if (!file)
        return; /* the entry has gone, which the asker sees by itself */
    for (struct ask *ask = file->asks; ask; ask = ask->next) {
        if (strcmp(ask->name, kv->key) == 0) {
            ask->again = ask->answering;
            return;
        }
    }
    size_t size = strlen(kv->key) + 1;
    struct ask *ask = calloc(1, sizeof *ask + size);
    if (!ask)
        return; /* the asker gets no answer within its time and says EWOULDBLOCK */
    ask->file = file;
    ask->mode = mode;
    ask->noted = loop_now();
    ask->create = kv->create;
    ask->lease = kv->lease;
    memcpy(ask->name, kv->key, size);
    snprintf(ask->entry, sizeof ask->entry, "%s", entry);
    ask->next = file->asks;
    file->asks = ask;
    file_poke(file);
}

static bool is_about_cur(const struct ask *ask)
{
    return ask->file->cur.state == ENTRY_HELD && strcmp(ask->entry, ask->file->cur.name) == 0;
}

void asks_step(struct file *file)
{
    struct ask *next;
    for (struct ask *ask = file->asks; ask; ask = next) {
        next = ask->next;
        bool current = file_find_entry(file->agent, ask->entry) == file;
        bool in_the_way = !is_about_cur(ask) || entry_conflict(ask->mode, file->cur.mode);
        if (!ask->answering && (!current || !in_the_way))
            drop(ask);
    }
}

bool asks_want_test(const struct file *file, enum entry_mode *mode)
{
    for (const struct ask *ask = file->asks; ask; ask = ask->next) {
        if (!ask->answering && is_about_cur(ask)) {
            *mode = ask->mode;
            return true;
        }
    }
    return false;
}

void asks_tested(struct file *file, enum entry_mode mode, bool held)
{
    bool readers_only = false;
    for (struct ask *ask = file->asks; ask; ask = ask->next) {
        if (ask->answering || !is_about_cur(ask) || (held && ask->noted >= file->test_at))
            continue;
        if (held && (mode == ENTRY_SH || ask->mode == ENTRY_EX))
            answer_busy(ask);
        else if (!held && mode == ENTRY_SH && ask->mode == ENTRY_SH)
            readers_only = true;
    }
    /* Converted to shared by somebody who could not tell us, or about to be released. */
    if (readers_only && !session_pending(&file->cur_txn))
        entries_downgrade(file);
}

void asks_forget(struct file *file)
{
    while (file->asks)
        /* NOLINTNEXTLINE(clang-analyzer-*): drop takes it out of the list */
        drop(file->asks);
}
