/*
 * What follows from one read of a queue: read from keys and values, compared with the rules' text
 * on every small queue, and how many wake-ups it takes to drain a long one.
 */
#include "lock/queue.h"

#include "unit.h"

#include <stdlib.h>

/* ---- reading ---- */

#define OURS(mode) "{\"v\":1,\"mode\":\"" mode "\"}"

static struct etcd_kv key_value(const char *key, const char *value, int64_t create)
{
    return (struct etcd_kv){.key = (char *)key,
                            .value = (char *)value,
                            .value_len = strlen(value),
                            .create = create,
                            .mod = create + 100,
                            .lease = create + 200};
}

static void test_read(void)
{
    static const struct {
        const char *key, *value;
        bool foreign, joined;
        enum entry_mode mode;
        uint64_t agent;
    } cases[] = {
        {"/k/00000000000000aa-1", OURS("sh"), false, false, ENTRY_SH, 0xaa},
        {"/k/ffffffffffffffff-2", OURS("ex"), false, false, ENTRY_EX, UINT64_MAX},
        {"/k/00000000000000aa-3", "{\"v\":1,\"mode\":\"sh\",\"joined\":true}", false, true,
         ENTRY_SH, 0xaa},
        /* etcdctl lock, the v3 Lock RPC, Go's Mutex */
        {"/k/694d7a0d5c4a2d0b", "", true, false, ENTRY_EX, 0},
        {"/k/694d7a0d5c4a2d0c", OURS("sh"), true, false, ENTRY_EX, 0},
        /* whatever else */
        {"/k/", "", true, false, ENTRY_EX, 0},
        {"/k/by hand", "x", true, false, ENTRY_EX, 0},
        {"/k/deeper/00000000000000aa-1", OURS("sh"), true, false, ENTRY_EX, 0},
        {"/k/00000000000000aa-4", "", true, false, ENTRY_EX, 0},
        {"/k/00000000000000aa-5", "{\"v\":2,\"mode\":\"sh\"}", true, false, ENTRY_EX, 0},
        {"/k/00000000000000aa-6", "{\"v\":1,\"mode\":\"sh\"", true, false, ENTRY_EX, 0},
        {"", OURS("sh"), true, false, ENTRY_EX, 0},
        {"/k", OURS("sh"), true, false, ENTRY_EX, 0},
    };
    enum { N = sizeof cases / sizeof cases[0] };
    struct etcd_kv kvs[N];
    struct queue queue;

    for (size_t i = 0; i < N; i++)
        kvs[i] = key_value(cases[i].key, cases[i].value, (int64_t)i + 1);
    CHECK_INT("read", queue_read(&(struct etcd_range){.kvs = kvs, .n = N}, "/k", &queue), 0);
    CHECK_INT("all of it", (long long)queue.n, N);
    for (size_t i = 0; i < N && i < queue.n; i++) {
        const struct queue_entry *entry = &queue.entries[i];
        int64_t create = (int64_t)i + 1;

        CHECK_STR("name", entry->name, cases[i].key);
        CHECK(cases[i].key, entry->foreign == cases[i].foreign);
        CHECK(cases[i].key, entry->joined == cases[i].joined);
        CHECK(cases[i].key, entry->mode == cases[i].mode);
        CHECK(cases[i].key, entry->agent == cases[i].agent);
        CHECK(cases[i].key, entry->create == create && entry->mod == create + 100 &&
                                entry->lease == create + 200);
        CHECK_INT("found", (long long)queue_find(&queue, cases[i].key), (long long)i);
    }
    CHECK("not found", queue_find(&queue, "/k/00000000000000aa-99") == QUEUE_NONE);
    queue_free(&queue);
    CHECK_INT("freed", (long long)queue.n, 0);
    queue_free(&queue);
}

/* By create revision, in whatever order a server lists them. */
static void test_order(void)
{
    static const int64_t creates[] = {3, INT64_MAX / 2, 1, 4294967297, 2};
    static const char *const names[] = {"/k/c", "/k/e", "/k/a", "/k/d", "/k/b"};
    struct etcd_kv kvs[5];
    struct queue queue;

    for (size_t i = 0; i < 5; i++)
        kvs[i] = key_value(names[i], "", creates[i]);
    CHECK_INT("read", queue_read(&(struct etcd_range){.kvs = kvs, .n = 5}, "/k", &queue), 0);
    for (size_t i = 0; i < 5; i++)
        CHECK_INT("place", queue.entries[i].name[3], "abcde"[i]);
    queue_free(&queue);
    CHECK_INT("none", queue_read(&(struct etcd_range){0}, "/k", &queue), 0);
    CHECK("none", queue.n == 0 && queue_find(&queue, "/k/a") == QUEUE_NONE);
    queue_free(&queue);
}

/* ---- the rules, word for word ---- */

#define KINDS   5 /* sh, ex, sh joined, ex joined, foreign */
#define LONGEST 5

static const char *const names[LONGEST] = {"/k/a", "/k/b", "/k/c", "/k/d", "/k/e"};
static struct queue_entry entries[LONGEST];
static struct queue queue = {.entries = entries};

static const char *shown(void)
{
    static char out[40];

    out[0] = '\0';
    for (size_t i = 0; i < queue.n; i++) {
        const struct queue_entry *e = &entries[i];

        strcat(out, e->foreign ? " F" : e->mode == ENTRY_EX ? " ex" : " sh");
        strcat(out, e->joined ? "+" : "");
    }
    return out;
}

/* The nth queue of `len` entries. */
static void make(size_t len, size_t nth)
{
    queue.n = len;
    for (size_t i = 0; i < len; i++, nth /= KINDS) {
        size_t kind = nth % KINDS;

        entries[i] = (struct queue_entry){.name = names[i],
                                          .create = (int64_t)i + 1,
                                          .mode = kind == 0 || kind == 2 ? ENTRY_SH : ENTRY_EX,
                                          .joined = kind == 2 || kind == 3,
                                          .foreign = kind == 4};
    }
}

static bool conflict(size_t i, size_t j)
{
    return entries[i].mode == ENTRY_EX || entries[j].mode == ENTRY_EX;
}

/* Does i have to wait for j? For all that conflict and are earlier, and for those that have joined
 * wherever they stand; but who has joined waits for nobody. */
static bool waits_for(size_t i, size_t j)
{
    return i != j && !entries[i].joined && conflict(i, j) && (j < i || entries[j].joined);
}

static bool possesses(size_t i)
{
    for (size_t j = 0; j < queue.n; j++)
        if (waits_for(i, j))
            return false;
    return true;
}

static bool shared_and_held(size_t i)
{
    return entries[i].mode == ENTRY_SH && !entries[i].foreign && possesses(i);
}

/* The latest earlier one; if there is none, any other. */
static bool is_right_blocker(size_t i, size_t blocker, size_t but)
{
    size_t latest = QUEUE_NONE, later = 0;

    for (size_t j = 0; j < queue.n; j++) {
        if (j == but || !waits_for(i, j))
            continue;
        if (j < i)
            latest = j;
        else
            later++;
    }
    if (latest != QUEUE_NONE)
        return blocker == latest;
    return later ? blocker != QUEUE_NONE && blocker > i && waits_for(i, blocker) && blocker != but
                 : blocker == QUEUE_NONE;
}

static bool is_right_try(enum entry_mode mode, enum queue_try got, size_t at)
{
    bool foreign_holds = false, foreign_waits = false, in_the_way = false;

    for (size_t i = 0; i < queue.n; i++) {
        foreign_holds |= entries[i].foreign && possesses(i);
        foreign_waits |= entries[i].foreign && !possesses(i);
        in_the_way |= possesses(i) && entry_conflict(mode, entries[i].mode);
    }
    if (queue.n == 0)
        return got == QUEUE_FREE;
    if (foreign_holds)
        return got == QUEUE_FOREIGN;
    if (in_the_way) /* a waiting entry alone is never in the way */
        return got == QUEUE_ASK && at < queue.n && possesses(at) && !entries[at].foreign &&
               entry_conflict(mode, entries[at].mode);
    if (foreign_waits)
        return got == QUEUE_FOREIGN;
    return got == QUEUE_JOIN && mode == ENTRY_SH && at < queue.n && shared_and_held(at);
}

static bool possesses_alone(size_t at)
{
    for (size_t i = 0; i < queue.n; i++)
        if (i != at && possesses(i))
            return false;
    return possesses(at);
}

/* Does a writer wait for the shared holder `at` to end? */
static bool is_waited_for(size_t at, size_t but)
{
    for (size_t i = 0; i < queue.n; i++)
        if (i != but && entries[i].mode == ENTRY_EX && waits_for(i, at))
            return true;
    return false;
}

static size_t faults[6];

static void note(int rule, bool good, const char *name, size_t at)
{
    if (!good && faults[rule]++ == 0)
        CHECK_FAIL(name, "entry %zu of%s", at, shown());
}

static void compare_one(size_t at)
{
    note(0, queue_in_possession(&queue, at) == possesses(at), "in possession", at);
    for (size_t but = 0; but <= queue.n; but++) {
        const char *name = but < queue.n ? names[but] : NULL;

        note(1, is_right_blocker(at, queue_blocker(&queue, at, name), but), "blocker", at);
        if (shared_and_held(at))
            note(2, queue_contested(&queue, at, name) == is_waited_for(at, but), "contested", at);
    }
    if (!shared_and_held(at))
        return;
    size_t behind;
    bool may = queue_may_upgrade(&queue, at, &behind);
    if (may)
        note(3, behind == (queue.n == 1 ? QUEUE_NONE : at == 0), "who must still be there", at);
    note(3, may == possesses_alone(at), "may upgrade", at);
    entries[at].mode = ENTRY_EX;
    note(4, !may || possesses_alone(at), "what the upgrade makes of it", at);
    entries[at].mode = ENTRY_SH;
}

static void test_all_small_queues(void)
{
    size_t queues = 0;

    for (size_t len = 0, many = 1; len <= LONGEST; len++, many *= KINDS)
        for (size_t nth = 0; nth < many; nth++, queues++) {
            make(len, nth);
            for (size_t at = 0; at < len; at++)
                compare_one(at);
            for (enum entry_mode mode = ENTRY_SH; mode <= ENTRY_EX; mode++) {
                size_t at = QUEUE_NONE;
                enum queue_try got = queue_try(&queue, mode, &at);

                note(5, is_right_try(mode, got, at), "try", at);
            }
        }
    CHECK_INT("every queue of up to five", (long long)queues, 3906);
    CHECK_INT("in possession", (long long)faults[0], 0);
    CHECK_INT("blocker", (long long)faults[1], 0);
    CHECK_INT("contested", (long long)faults[2], 0);
    CHECK_INT("may upgrade", (long long)faults[3], 0);
    CHECK_INT("after the upgrade", (long long)faults[4], 0);
    CHECK_INT("try", (long long)faults[5], 0);
}

/* ---- draining ---- */

#define MANY 100

/* Lets the queue run empty, those in possession first to last, and counts how often a waiter is
 * woken: when the entry that it waits for goes. */
static size_t drain(struct queue *q)
{
    size_t wakeups = 0;

    while (q->n) {
        size_t goes = 0;

        while (goes < q->n && !queue_in_possession(q, goes))
            goes++;
        if (goes == q->n)
            return QUEUE_NONE; /* nobody holds: nobody would ever be woken */
        for (size_t i = 0; i < q->n; i++)
            wakeups += i != goes && queue_blocker(q, i, NULL) == goes;
        memmove(q->entries + goes, q->entries + goes + 1, (q->n - goes - 1) * sizeof *q->entries);
        q->n--;
    }
    return wakeups;
}

static size_t drain_pattern(const char *modes, size_t n)
{
    static struct queue_entry many[MANY];
    struct queue q = {.entries = many, .n = n};

    for (size_t i = 0; i < n; i++)
        many[i] = (struct queue_entry){
            .name = "/k/x",
            .create = (int64_t)i + 1,
            .mode = modes[i % strlen(modes)] == 's' ? ENTRY_SH : ENTRY_EX,
        };
    return drain(&q);
}

static void test_draining(void)
{
    for (size_t n = 1; n <= MANY; n++)
        CHECK_INT("n writers, n - 1 wake-ups", (long long)drain_pattern("x", n), (long long)n - 1);
    CHECK_INT("readers wake nobody", (long long)drain_pattern("s", MANY), 0);
    /* Each waits for the one before it only. */
    CHECK_INT("taking turns", (long long)drain_pattern("sx", MANY), MANY - 1);
    /* A reader waits for the writer ahead; a writer for the last of four readers, which goes last
     * here. */
    CHECK_INT("four readers to a writer", (long long)drain_pattern("xssss", 10), 4 + 1 + 4);
}

/* Who gives up waiting wakes the one behind it, and nobody else. */
static void test_cancel_in_the_middle(void)
{
    make(5, 1 + 5 + 25 + 125 + 625); /* five writers */
    size_t woken = 0;

    for (size_t i = 0; i < 5; i++)
        woken += queue_blocker(&queue, i, NULL) == 2;
    CHECK_INT("one waits for the third", (long long)woken, 1);
    CHECK_INT("and without it for the second", (long long)queue_blocker(&queue, 3, names[2]), 1);
}

int main(void)
{
    test_read();
    test_order();
    test_all_small_queues();
    test_draining();
    test_cancel_in_the_middle();
    return unit_end();
}
