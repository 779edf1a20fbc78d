/*
 * Other agents' asks, in any order with what happens to the entry they ask about. The first line is
 * a list of events, a letter each (see `happen`); the rest is the value of an ask.
 *
 * The parts of the agent that asks.c calls are stood in for below.
 */
#include "agent/agent.h"

#include "require.h"

#include <string.h>

#define PENDING_MAX 64

static struct agent agent;
static struct file file;
static struct session_txn *pending[PENDING_MAX];
static size_t n_pending;
static bool cur_txn_pending;

/* What has been found out about the kernel lock when an answer is sent. */
static bool testing, test_held;
static enum entry_mode test_mode;

/* ---- stand-ins ---- */

struct file *file_find_entry(struct agent *whose, const char *entry)
{
    require(whose == &agent && strlen(entry) < ENTRY_NAME_MAX, "an entry's name");
    if (file.cur.state != ENTRY_ABSENT && strcmp(file.cur.name, entry) == 0)
        return &file;
    if (file.next_entry.state != ENTRY_ABSENT && strcmp(file.next_entry.name, entry) == 0)
        return &file;
    return NULL;
}

void file_poke(struct file *poked)
{
    require(poked == &file, "the file");
}

bool session_pending(const struct session_txn *txn)
{
    require(txn == &file.cur_txn, "the transaction of the entry");
    return cur_txn_pending;
}

void entries_downgrade(struct file *downgraded)
{
    require(downgraded == &file && !cur_txn_pending, "one change at a time");
    require(testing && !test_held && test_mode == ENTRY_SH, "a test that found no writer");
    file.cur.mode = ENTRY_SH;
}

void session_send(struct session *session, struct session_txn *txn)
{
    const struct ask *ask = txn->owner;
    struct txn made;
    char *text;

    (void)session;
    require(testing && test_held, "busy only after a test that says so");
    require(test_mode == ENTRY_SH || ask->mode == ENTRY_EX, "a reader is not refused for readers");
    require(file.cur.state == ENTRY_HELD && strcmp(file.cur.name, ask->entry) == 0,
            "busy only of what is held");
    for (size_t i = 0; i < n_pending; i++)
        require(pending[i] != txn, "one answer at a time");
    txn_init(&made);
    txn->build(txn, &made);
    text = txn_text(&made);
    require(text && strstr(text, "\"target\":\"CREATE\"") && strstr(text, "request_put"),
            "an answer");
    free(text);
    txn_free(&made);
    if (n_pending == PENDING_MAX) {
        require(false, "few asks");
        return;
    }
    pending[n_pending++] = txn;
}

/* ---- events ---- */

static void answered(enum session_result result)
{
    struct etcd_reply reply = {.succeeded = true};
    struct session_txn *txn = pending[0];

    if (!n_pending)
        return;
    memmove(pending, pending + 1, --n_pending * sizeof pending[0]);
    txn->done(txn, result, result == SESSION_DONE ? &reply : NULL, "");
}

static void tested(bool held)
{
    enum entry_mode mode;

    if (!asks_want_test(&file, &mode))
        return;
    require(file.cur.state == ENTRY_HELD, "a test of what is held");
    testing = true;
    test_held = held;
    test_mode = mode;
    asks_tested(&file, mode, held);
    testing = false;
}

static void note(unsigned which, const char *value, size_t len)
{
    char key[] = "/r/ask/00000000000000aa/00000000000000bb-0";
    struct etcd_kv kv = {.value = (char *)value, .value_len = len, .create = 7, .lease = 0xbb};

    key[sizeof key - 2] = (char)('0' + which % 8);
    kv.key = key;
    asks_note(&agent, &kv);
}

static void note_text(unsigned which, const char *value)
{
    note(which, value, strlen(value));
}

static void happen(char event, unsigned which, const char *value, size_t len)
{
    switch (event) {
    case 'n':
        note(which, value, len);
        break;
    case 'x':
        note_text(which, "{\"v\":1,\"entry\":\"/k/00000000000000aa-1\",\"mode\":\"ex\"}");
        break;
    case 's':
        note_text(which, "{\"v\":1,\"entry\":\"/k/00000000000000aa-1\",\"mode\":\"sh\"}");
        break;
    case 'q':
        note_text(which, "{\"v\":1,\"entry\":\"/k/00000000000000aa-2\",\"mode\":\"ex\"}");
        break;
    case 'b':
        note_text(which, ASK_BUSY);
        break;
    case 'E':
    case 'S':
        file.cur.state = ENTRY_HELD;
        file.cur.mode = event == 'E' ? ENTRY_EX : ENTRY_SH;
        break;
    case 'L':
        file.cur.state = ENTRY_LEAVING;
        break;
    case 'A':
        file.cur.state = ENTRY_ABSENT;
        break;
    case 'Q':
        file.next_entry.state = file.next_entry.state ? ENTRY_ABSENT : ENTRY_QUEUED;
        break;
    case 'C':
        cur_txn_pending = !cur_txn_pending;
        break;
    case '.':
        asks_step(&file);
        break;
    case 'h':
    case 'f':
        tested(event == 'h');
        break;
    case 'd':
        answered(SESSION_DONE);
        break;
    case 'l':
        answered(SESSION_LOST);
        break;
    case 'r':
        answered(SESSION_REFUSED);
        break;
    case 'F':
        asks_forget(&file);
        require(!file.asks, "no ask left");
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    size_t line;

    if (!text)
        return -1;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&file, 0, sizeof file);
    file.agent = &agent;
    snprintf(file.cur.name, sizeof file.cur.name, "/k/00000000000000aa-1");
    snprintf(file.next_entry.name, sizeof file.next_entry.name, "/k/00000000000000aa-2");
    cur_txn_pending = false;
    line = strcspn(text, "\n");
    line = line < 200 ? line : 200;
    for (size_t i = 0; i < line; i++)
        happen(text[i], (unsigned char)text[i + 1], text + line + (line < size),
               size - line - (line < size));
    asks_forget(&file);
    while (n_pending)
        answered(SESSION_LOST);
    free(text);
    return 0;
}
