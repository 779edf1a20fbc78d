/*
 * The queue's decisions over time: every history of a queue of up to four entries, of which one may
 * have read the queue and not yet acted on it. Whoever has been told that it holds must go on
 * holding, whatever the others do, and somebody can always go on.
 *
 * What a transaction compares beside the session is taken for granted here (txn.h); that each such
 * compare is needed is shown by leaving it out: then two must come to hold.
 */
#include "lock/queue.h"

#include "unit.h"

#include <stdlib.h>

#define ROOM 4
#define NONE 7 /* no place in the queue */
#define GONE 6 /* it had one when the queue was read */

/* Rules that can be left out. */
enum rule {
    RULE_JOIN_HOLDER,    /* joining compares that the holder it joins is still there */
    RULE_JOIN_QUIET,     /* and that nothing was put since the read */
    RULE_JOIN_FOREIGN,   /* nobody joins past a waiter that is foreign */
    RULE_UPGRADE_ALONE,  /* an upgrade in place wants nobody else in possession */
    RULE_UPGRADE_QUIET,  /* compares that nothing was put since the read */
    RULE_UPGRADE_FIRST,  /* and that the first of the others is still there: all behind it wait for
                            it, and if it goes, a reader among them may come to hold */
    RULE_UPGRADE_JOINED, /* what had joined stays marked so */
    RULES,
};

static const char *const rule_names[RULES] = {
    "join: holder there",         "join: quiet",    "join: no foreign waiter",
    "upgrade: nobody else holds", "upgrade: quiet", "upgrade: first",
    "upgrade: joined stays so",
};

static bool off[RULES];

struct one {
    enum entry_mode mode;
    bool joined, foreign;
    bool told; /* that it holds */
};

enum plan { PLAN_NONE, PLAN_JOIN, PLAN_JOIN_IN_PLACE, PLAN_UPGRADE };

struct world {
    size_t n;
    struct one one[ROOM];
    enum plan plan;    /* what somebody has read the queue for */
    size_t who, other; /* its entry; the one whose presence it compares */
    bool put;          /* something was put since that read */
};

/* ---- a world as a number, and all worlds seen ---- */

static uint32_t pack(const struct world *w)
{
    uint32_t bits = (uint32_t)w->n;

    for (size_t i = 0; i < ROOM; i++) {
        const struct one *o = &w->one[i];

        bits = bits << 4;
        if (i < w->n)
            bits |= (uint32_t)(o->mode == ENTRY_EX) << 3 | (uint32_t)o->joined << 2 |
                    (uint32_t)o->foreign << 1 | (uint32_t)o->told;
    }
    return bits << 9 | (uint32_t)w->plan << 7 | (uint32_t)w->who << 4 | (uint32_t)w->other << 1 |
           (uint32_t)w->put;
}

static struct world unpack(uint32_t bits)
{
    struct world w = {.put = bits & 1,
                      .other = bits >> 1 & 7,
                      .who = bits >> 4 & 7,
                      .plan = (enum plan)(bits >> 7 & 3)};

    bits >>= 9;
    for (size_t i = ROOM; i-- > 0; bits >>= 4)
        w.one[i] = (struct one){.mode = bits & 8 ? ENTRY_EX : ENTRY_SH,
                                .joined = bits & 4,
                                .foreign = bits & 2,
                                .told = bits & 1};
    w.n = bits;
    return w;
}

#define SEEN_MAX (1 << 20)
static uint32_t seen[SEEN_MAX], from[SEEN_MAX]; /* in order of discovery; the one before */
static uint32_t places[SEEN_MAX * 2];           /* hash table of 1 + index */
static size_t n_seen;

static void discover(const struct world *w, uint32_t before)
{
    uint32_t bits = pack(w);
    size_t at = (bits * 2654435761u) % (SEEN_MAX * 2);

    for (; places[at]; at = (at + 1) % (SEEN_MAX * 2))
        if (seen[places[at] - 1] == bits)
            return;
    if (n_seen == SEEN_MAX) {
        CHECK_FAIL("room", "more than %d worlds", SEEN_MAX);
        exit(unit_end());
    }
    seen[n_seen] = bits;
    from[n_seen] = before;
    places[at] = (uint32_t)++n_seen;
}

/* ---- the queue that a read of this world shows ---- */

static const char *const names[ROOM] = {"/k/a", "/k/b", "/k/c", "/k/d"};

static const struct queue *read_world(const struct world *w)
{
    static struct queue_entry entries[ROOM];
    static struct queue queue = {.entries = entries};

    queue.n = w->n;
    for (size_t i = 0; i < w->n; i++)
        entries[i] = (struct queue_entry){.name = names[i],
                                          .create = (int64_t)i + 1,
                                          .mode = w->one[i].mode,
                                          .joined = w->one[i].joined,
                                          .foreign = w->one[i].foreign};
    return &queue;
}

/* ---- what can happen ---- */

static uint32_t before; /* the world from which steps are taken */

static void put(struct world w)
{
    w.put = w.plan != PLAN_NONE;
    discover(&w, before);
}

static struct world with(const struct world *w, struct one one)
{
    struct world next = *w;

    next.one[next.n++] = one;
    return next;
}

static size_t moved(size_t place, size_t gone)
{
    return place == gone ? GONE : place < ROOM && place > gone ? place - 1 : place;
}

/* Released, cancelled, its lease run out, deleted by hand. */
static void leave(const struct world *w, size_t i)
{
    struct world next = *w;

    memmove(next.one + i, next.one + i + 1, (w->n - i - 1) * sizeof next.one[0]);
    next.n--;
    next.who = moved(w->who, i);
    next.other = moved(w->other, i);
    discover(&next, before);
}

static void come(const struct world *w)
{
    size_t at;

    if (w->n == ROOM)
        return;
    for (enum entry_mode mode = ENTRY_SH; mode <= ENTRY_EX; mode++) {
        put(with(w, (struct one){.mode = mode}));
        if (queue_try(read_world(w), mode, &at) == QUEUE_FREE)
            put(with(w, (struct one){.mode = mode, .told = true}));
    }
    put(with(w, (struct one){.mode = ENTRY_EX, .foreign = true}));
}

/* A look at the queue, or at what is before it in the case of a foreign entry. */
static void be_told(const struct world *w, size_t i)
{
    struct world next = *w;

    next.one[i].told = true;
    if (w->one[i].foreign ? i == 0 : queue_in_possession(read_world(w), i))
        discover(&next, before);
}

static void downgrade(const struct world *w, size_t i)
{
    struct world next = *w;

    next.one[i].mode = ENTRY_SH;
    if (w->one[i].told && w->one[i].mode == ENTRY_EX)
        put(next);
}

/* May a reader join, by this read? Then beside whom. */
static bool may_join(const struct world *w, size_t *at)
{
    enum queue_try kind = queue_try(read_world(w), ENTRY_SH, at);

    if (kind == QUEUE_FOREIGN && off[RULE_JOIN_FOREIGN] && !queue_in_possession(read_world(w), 0))
        return false;
    return kind == QUEUE_JOIN || (kind == QUEUE_FOREIGN && off[RULE_JOIN_FOREIGN] && *at < w->n &&
                                  w->one[*at].mode == ENTRY_SH);
}

static size_t first_other(const struct world *w, size_t i)
{
    size_t first = i == 0 ? 1 : 0;

    return first < w->n ? first : NONE;
}

static void plan(const struct world *w, enum plan what, size_t who, size_t other)
{
    struct world next = *w;

    next.plan = what;
    next.who = who;
    next.other = other;
    next.put = false;
    discover(&next, before);
}

static void make_plans(const struct world *w)
{
    size_t at;
    bool join = may_join(w, &at);

    if (join)
        plan(w, PLAN_JOIN, NONE, at);
    for (size_t i = 0; i < w->n; i++) {
        const struct one *o = &w->one[i];
        size_t behind;

        if (o->foreign || o->mode != ENTRY_SH)
            continue;
        if (join && !o->told)
            plan(w, PLAN_JOIN_IN_PLACE, i, at);
        if (o->told && (off[RULE_UPGRADE_ALONE] || queue_may_upgrade(read_world(w), i, &behind)))
            plan(w, PLAN_UPGRADE, i, first_other(w, i));
    }
}

static void carry_out(const struct world *w)
{
    struct world next = *w;
    bool joins = w->plan != PLAN_UPGRADE;
    bool quiet = !w->put || off[joins ? RULE_JOIN_QUIET : RULE_UPGRADE_QUIET];
    bool there = w->other != GONE || off[joins ? RULE_JOIN_HOLDER : RULE_UPGRADE_FIRST];

    next.plan = PLAN_NONE;
    next.who = next.other = NONE;
    next.put = false;
    if (quiet && there && w->who != GONE) {
        if (w->plan == PLAN_UPGRADE) {
            next.one[w->who].mode = ENTRY_EX;
            next.one[w->who].joined &= !off[RULE_UPGRADE_JOINED];
        } else if (w->plan == PLAN_JOIN_IN_PLACE) {
            next.one[w->who].joined = next.one[w->who].told = true;
        } else if (w->n < ROOM) {
            next = with(&next, (struct one){.mode = ENTRY_SH, .joined = true, .told = true});
        }
    }
    discover(&next, before); /* with a compare that failed: nothing but the plan's end */
}

static void step(const struct world *w)
{
    come(w);
    for (size_t i = 0; i < w->n; i++) {
        leave(w, i);
        downgrade(w, i);
        if (!w->one[i].told)
            be_told(w, i);
    }
    if (w->plan == PLAN_NONE)
        make_plans(w);
    else
        carry_out(w);
}

/* ---- what must hold ---- */

static bool two_hold(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = i + 1; j < w->n; j++)
            if (w->one[i].told && w->one[j].told && entry_conflict(w->one[i].mode, w->one[j].mode))
                return true;
    return false;
}

/* Somebody was told, and a read does not show it: others would decide without it. */
static bool hold_is_hidden(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->one[i].told && !queue_in_possession(read_world(w), i))
            return true;
    return false;
}

/* From each waiter to the one it waits for, and so on: that must end with one who holds or may. */
static bool is_stuck(const struct world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t at = i, steps = 0;

        while (at != QUEUE_NONE && steps++ <= w->n) {
            if (w->one[at].foreign)
                at = at ? at - 1 : QUEUE_NONE;
            else
                at = queue_blocker(read_world(w), at, NULL);
        }
        if (at != QUEUE_NONE)
            return true;
    }
    return false;
}

static void show(size_t at)
{
    static const char *const plans[] = {"", "a reader will join", "a reader in the queue will join",
                                        "an upgrade"};

    if (from[at] != at)
        show(from[at]);
    struct world w = unpack(seen[at]);
    printf("   ");
    for (size_t i = 0; i < w.n; i++)
        printf(" %s%s%s",
               w.one[i].foreign            ? "F"
               : w.one[i].mode == ENTRY_EX ? "ex"
                                           : "sh",
               w.one[i].joined ? "+" : "", w.one[i].told ? "!" : "");
    printf("%s%s\n", w.plan ? "   planned: " : "", plans[w.plan]);
}

/* Explores all worlds. NULL, or what went wrong first; *at is where. */
static const char *explore(bool holders_only, size_t *at)
{
    struct world w = {.who = NONE, .other = NONE};

    n_seen = 0;
    memset(places, 0, sizeof places);
    discover(&w, 0);
    for (*at = 0; *at < n_seen; ++*at) {
        w = unpack(seen[*at]);
        before = (uint32_t)*at;
        if (two_hold(&w))
            return "two hold";
        if (!holders_only && hold_is_hidden(&w))
            return "a holder does not show";
        if (!holders_only && is_stuck(&w))
            return "stuck";
        step(&w);
    }
    return NULL;
}

int main(void)
{
    size_t at;
    const char *fault = explore(false, &at);

    if (fault) {
        CHECK_FAIL("every history", "%s", fault);
        show(at);
    }
    CHECK("every history of four entries", !fault && n_seen > 1000);
    for (enum rule rule = 0; rule < RULES; rule++) {
        off[rule] = true;
        fault = explore(true, &at);
        CHECK_STR(rule_names[rule], fault, "two hold");
        off[rule] = false;
    }
    return unit_end();
}
