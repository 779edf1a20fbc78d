#include "cli/holders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/cluster.h"
#include "conf/template.h"
#include "lock/queue.h"

#define PREFIX_MAX (CONF_KEY_MAX + 4) /* with "%2F" or a slash, and the zero */

/* ---- whose queue is a key in? ---- */

/* What all keys in the queues of a rule begin with, as far as it can be said. */
static void queue_prefix(const struct conf_rule *rule, char out[PREFIX_MAX])
{
    conf_key_prefix(rule, out, PREFIX_MAX);
    if (strpbrk(rule->key, "{}") == NULL)
        strcat(out, "/"); /* one key, no placeholder */
    else if (strncmp(rule->key, "{path}", 6) == 0 || strncmp(rule->key, "{dir}", 5) == 0)
        strcpy(out, "%2F"); /* an absolute path: no need to read all of etcd */
    /* The range's end is the prefix with its last byte counted up. */
    while (out[0] && (unsigned char)out[strlen(out) - 1] == 0xff)
        out[strlen(out) - 1] = '\0';
}

static size_t count_slashes(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '/';
    return n;
}

/* What a placeholder stands for has no slash, so that all keys of a rule have as many slashes as its template, and
 * the lock's key ends at the next one. */
static size_t key_length(const char *template, const char *entry)
{
    size_t slashes = count_slashes(template);
    const char *at = strchr(entry, '/');
    while (at && slashes-- > 0)
        at = strchr(at + 1, '/');
    return at ? (size_t)(at - entry) : 0;
}

/* Does the rule make this key? The question is put as one that the check for nesting answers: does KEY/x lie inside
 * some key of the template? */
static bool makes_key(const char *template, const char *key, size_t len)
{
    char inner[2 * CONF_KEY_MAX + 3];
    size_t n = 0;
    if (len > CONF_KEY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        inner[n++] = key[i];
        if (key[i] == '{' || key[i] == '}')
            inner[n++] = key[i];
    }
    memcpy(inner + n, "/x", sizeof "/x");
    return conf_template_nests(template, inner);
}

size_t holders_lock_key(const struct conf *conf, const char *entry, const struct conf_rule **rule)
{
    char prefix[PREFIX_MAX];
    for (size_t i = 0; i < conf->n_rules; i++) {
        const struct conf_rule *candidate = &conf->rules[i];
        queue_prefix(candidate, prefix);
        if (strncmp(entry, prefix, strlen(prefix)) != 0)
            continue;
        size_t len = key_length(candidate->key, entry);
        if (len > 0 && makes_key(candidate->key, entry, len)) {
            *rule = candidate;
            return len;
        }
    }
    *rule = NULL;
    return 0;
}

/* ---- from a range to holders ---- */

struct reading {
    const struct conf *conf;
    struct holders *out;
};

static struct holder *add(struct holders *holders)
{
    if (holders->n == holders->room) {
        holders->room = holders->room ? holders->room * 2 : 64;
        holders->list = cli_need(realloc(holders->list, holders->room * sizeof *holders->list));
    }
    return &holders->list[holders->n++];
}

static void add_holder(struct holders *holders, const struct conf_rule *rule, const char *key,
                       const struct queue *queue, size_t at, const struct etcd_kv *kv)
{
    const struct queue_entry *entry = &queue->entries[at];
    static struct entry_value value; /* large */
    if (entry->foreign || entry_parse(kv->value, kv->value_len, &value))
        memset(&value, 0, sizeof value);
    *add(holders) = (struct holder){
        .section = rule->name,
        .key = cli_need(strdup(key)),
        .entry = cli_need(strdup(entry->name)),
        .mode = entry->mode,
        .held = queue_in_possession(queue, at),
        .foreign = entry->foreign,
        .host = cli_need(strdup(value.host)),
        .pid = value.pid,
        .command = cli_need(strdup(value.command)),
        .path = cli_need(strdup(value.path)),
        .since = value.since,
        .token = value.token ? value.token : entry->create,
        .lease = entry->lease,
        .create = entry->create,
    };
}

static const struct etcd_kv *find_kv(const struct etcd_range *range, const char *name)
{
    for (size_t i = 0; i < range->n; i++) {
        if (strcmp(range->kvs[i].key, name) == 0)
            return &range->kvs[i];
    }
    return NULL;
}

/* One lock's whole queue. */
static void add_queue(struct holders *holders, const struct conf_rule *rule, const char *key,
                      const struct etcd_range *range)
{
    struct queue queue;
    if (queue_read(range, key, &queue) < 0)
        cli_need(NULL);
    for (size_t i = 0; i < queue.n; i++) {
        const struct etcd_kv *kv = find_kv(range, queue.entries[i].name);
        if (kv)
            add_holder(holders, rule, key, &queue, i, kv);
    }
    queue_free(&queue);
}

/* A key in etcd and the lock that it belongs to. */
struct member {
    struct etcd_kv kv; /* pointers into the range that was read */
    const struct conf_rule *rule;
    size_t key_len;
};

static int by_lock(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;
    size_t least = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->kv.key, y->kv.key, least);
    if (order == 0)
        order = (x->key_len > y->key_len) - (x->key_len < y->key_len);
    return order ? order : (x->kv.create > y->kv.create) - (x->kv.create < y->kv.create);
}

static bool same_lock(const struct member *a, const struct member *b)
{
    return a->key_len == b->key_len && memcmp(a->kv.key, b->kv.key, a->key_len) == 0;
}

static void take_range(void *owner, const struct etcd_range *range)
{
    struct reading *reading = owner;
    struct member *members = cli_need(calloc(range->n + 1, sizeof *members));
    struct etcd_kv *kvs = cli_need(calloc(range->n + 1, sizeof *kvs));
    size_t n = 0;
    for (size_t i = 0; i < range->n; i++) {
        struct member *member = &members[n];
        member->kv = range->kvs[i];
        member->key_len = holders_lock_key(reading->conf, member->kv.key, &member->rule);
        n += member->key_len > 0;
    }
    qsort(members, n, sizeof *members, by_lock);
    for (size_t i = 0; i < n; i++)
        kvs[i] = members[i].kv;
    for (size_t first = 0, next; first < n; first = next) {
        for (next = first + 1; next < n && same_lock(&members[first], &members[next]);)
            next++;
        struct etcd_range queue = {.kvs = kvs + first, .n = next - first};
        char *key = cli_need(strndup(kvs[first].key, members[first].key_len));
        add_queue(reading->out, members[first].rule, key, &queue);
        free(key);
    }
    free(kvs);
    free(members);
}

/* ---- which ranges to read ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int by_place(const void *a, const void *b)
{
    const struct holder *x = a;
    const struct holder *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->create > y->create) - (x->create < y->create);
}

int holders_read(const struct conf *conf, struct holders *out, char *why, size_t why_size)
{
    struct reading reading = {.conf = conf, .out = out};
    char(*prefixes)[PREFIX_MAX] = cli_need(calloc(conf->n_rules, sizeof *prefixes));
    struct cluster *cluster;
    int err = cluster_open(conf, &cluster, why, why_size);
    if (err)
        goto out;
    for (size_t i = 0; i < conf->n_rules; i++)
        queue_prefix(&conf->rules[i], prefixes[i]);
    /* In this order a prefix comes right before those that it covers: each key is read once. */
    qsort(prefixes, conf->n_rules, sizeof *prefixes, by_text);
    const char *last = NULL;
    for (size_t i = 0; i < conf->n_rules && !err; i++) {
        if (last && strncmp(prefixes[i], last, strlen(last)) == 0)
            continue;
        last = prefixes[i];
        err = cluster_read(cluster, last, take_range, &reading, why, why_size);
    }
    cluster_close(cluster);
    if (out->n > 0)
        qsort(out->list, out->n, sizeof *out->list, by_place);
out:
    free(prefixes);
    return err;
}

void holders_free(struct holders *holders)
{
    for (size_t i = 0; i < holders->n; i++) {
        free(holders->list[i].key);
        free(holders->list[i].entry);
        free(holders->list[i].host);
        free(holders->list[i].command);
        free(holders->list[i].path);
    }
    free(holders->list);
    *holders = (struct holders){.list = NULL};
}
