/* The first line as the name of a queue entry, the rest as its value, and as the bytes of one. */
#include "lock/entry.h"

#include "../unit/guard.h"
#include "lock/queue.h"
#include "require.h"

#include <errno.h>
#include <string.h>

static void fuzz_name(const char *rest)
{
    uint64_t lease, number;
    char name[ENTRY_NAME_MAX];

    if (!entry_parse_name(rest, &lease, &number))
        return;
    entry_name("/k", lease, number, name);
    require(strcmp(name + 3, rest) == 0, "one spelling of a name");
}

/* Numbers in JSON keep fifteen digits here, which as ms is beyond all calendars. */
#define SINCE_MAX 999999999999999

static bool same(const struct entry_value *a, const struct entry_value *b)
{
    return a->mode == b->mode && a->joined == b->joined && a->token == b->token &&
           (a->since == b->since || a->since > SINCE_MAX) && a->dev == b->dev && a->ino == b->ino &&
           a->pid == b->pid && strcmp(a->host, b->host) == 0 &&
           strcmp(a->command, b->command) == 0 && strcmp(a->path, b->path) == 0;
}

static void check_round_trip(const struct entry_value *value)
{
    struct entry_value again;
    char *text = entry_print(value);

    require(text != NULL, "a text");
    require(entry_parse(guard_copy(text, strlen(text)), strlen(text), &again) == 0, "is ours");
    require(same(value, &again), "a value that comes back as it was");
    free(text);
}

static void fuzz_value(const char *text, size_t len)
{
    struct entry_value value;
    int err;

    memset(&value, 0xff, sizeof value);
    err = entry_parse(guard_copy(text, len), len, &value);
    if (err) {
        require(err == -EBADMSG, "an error that is documented");
        return;
    }
    require(value.mode == ENTRY_SH || value.mode == ENTRY_EX, "a mode");
    require(value.token >= 0 && value.since >= 0, "numbers that are not negative");
    check_round_trip(&value);
}

static void fuzz_bytes(const char *text, size_t len)
{
    struct entry_value value = {.mode = len % 2 ? ENTRY_SH : ENTRY_EX, .joined = len % 3 == 0};

    snprintf(value.path, sizeof value.path, "%s", text);
    snprintf(value.host, sizeof value.host, "%s", text);
    snprintf(value.command, sizeof value.command, "%s", text);
    memcpy(&value.ino, text, len < sizeof value.ino ? len : sizeof value.ino);
    memcpy(&value.pid, text, len < sizeof value.pid ? len : sizeof value.pid);
    check_round_trip(&value);
}

/* What the queue makes of it: ours only with a name and a value of ours. */
static void fuzz_queue(const char *rest, const char *text, size_t len)
{
    char key[200];
    struct etcd_kv kv = {.key = key, .value = (char *)text, .value_len = len, .create = 1};
    struct etcd_range range = {.kvs = &kv, .n = 1};
    struct entry_value value;
    uint64_t lease, number;
    struct queue queue;

    snprintf(key, sizeof key, "/k/%s", rest);
    bool ours = entry_parse_name(key + 3, &lease, &number) && entry_parse(text, len, &value) == 0;
    require(queue_read(&range, "/k", &queue) == 0, "a queue");
    require(queue.entries[0].foreign == !ours, "foreign if it is not ours");
    require(ours || queue.entries[0].mode == ENTRY_EX, "whatever is foreign is exclusive");
    queue_free(&queue);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    size_t line;

    if (!text || size > GUARD_ROOM / 8) {
        free(text);
        return -1;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    fuzz_bytes(text, strlen(text));
    line = strcspn(text, "\n");
    if (line < strlen(text)) {
        text[line] = '\0';
        fuzz_name(text);
        fuzz_value(text + line + 1, size - line - 1);
        fuzz_queue(text, text + line + 1, size - line - 1);
    }
    free(text);
    return 0;
}
