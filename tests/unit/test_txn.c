/*
 * Transactions as text: each row of the design's table of transactions, with the session's compare
 * and its read of the session key in front, as session.c sends them. Keys and values are shown
 * plain here; that they travel in base64 is tested once, and base64 by itself.
 */
#include "etcd/txn.h"

#include "etcd/base64.h"
#include "unit.h"

#include <stdlib.h>

#define S     "/r/session/00000000000000aa"
#define ASK   "/r/ask/00000000000000bb/00000000000000aa-5"
#define K     "/k/00000000000000aa-1"
#define NEXT  "/k/00000000000000aa-2"
#define H     "/k/00000000000000bb-9"
#define LEASE 9159031905846275917

/* The value of a string field whose text begins at `at`, decoded, or NULL if it is not base64. */
static const char *decoded(const char *at, size_t len)
{
    static char out[200];
    char text[300];
    size_t got = 0;

    snprintf(text, sizeof text, "%.*s", (int)len, at);
    char *bytes = base64_decode(text, &got);
    if (!bytes || got >= sizeof out) {
        free(bytes);
        return NULL;
    }
    memcpy(out, bytes, got + 1);
    free(bytes);
    return out;
}

/* The same JSON with keys, values and range ends decoded, and ' for ". */
static const char *plain(const char *json)
{
    static const char *const fields[] = {"\"key\":\"", "\"value\":\"", "\"range_end\":\""};
    static char out[4000];
    size_t at = 0;

    while (*json && at + 300 < sizeof out) {
        size_t taken = 0;

        for (size_t i = 0; i < 3 && !taken; i++) {
            size_t name = strlen(fields[i]);

            if (strncmp(json, fields[i], name) != 0)
                continue;
            size_t len = strcspn(json + name, "\"");
            const char *text = decoded(json + name, len);
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", fields[i],
                                   text ? text : "(not base64)");
            taken = name + len;
        }
        if (taken)
            json += taken;
        else
            out[at++] = *json++;
    }
    out[at] = '\0';
    for (char *c = out; *c; c++)
        *c = *c == '"' ? '\'' : *c;
    return out;
}

static void check_text(const char *name, char *text, const char *wanted)
{
    CHECK_STR(name, text ? plain(text) : NULL, wanted);
    free(text);
}

static void check_txn(const char *name, struct txn *txn, const char *wanted)
{
    check_text(name, txn_text(txn), wanted);
    txn_free(txn);
}

/* What session.c puts in front of every transaction. */
static void begin(struct txn *txn)
{
    txn_init(txn);
    txn_if_value(txn, S, "nonce");
    txn_get(txn, TXN_ELSE, S);
}

#define IF_S     "{'key':'" S "','target':'VALUE','result':'EQUAL','value':'nonce'}"
#define GET(key) "{'request_range':{'key':'" key "'}}"
#define PUT(key, val)                                                                              \
    "{'request_put':{'key':'" key "','value':'" val "','lease':'9159031905846275917'}}"
#define DEL(key) "{'request_delete_range':{'key':'" key "'}}"
#define Q                                                                                          \
    "{'request_range':{'key':'/k/','range_end':'/"                                                 \
    "k0','sort_target':'CREATE','sort_order':'ASCEND'}}"
#define IF_CREATE(key, rev)                                                                        \
    "{'key':'" key "','target':'CREATE','result':'EQUAL','create_revision':'" rev "'}"
#define IF_MOD(key, rev)                                                                           \
    "{'key':'" key "','target':'MOD','result':'EQUAL','mod_revision':'" rev "'}"
#define IF_QUIET(rev_and_one)                                                                      \
    "{'key':'/k/','target':'MOD','result':'LESS','mod_revision':'" rev_and_one                     \
    "','range_end':'/k0'}"
#define IF_NONE                                                                                    \
    "{'key':'/k/','target':'CREATE','result':'EQUAL','create_revision':'0','range_end':'/k0'}"
#define TXN(compare, then, otherwise)                                                              \
    "{'compare':[" compare "],'success':[" then "],'failure':[" otherwise "]}"

static void test_session(void)
{
    struct txn txn;

    txn_init(&txn);
    txn_if_create(&txn, S, 0);
    txn_put(&txn, TXN_THEN, S, "nonce", LEASE);
    txn_get(&txn, TXN_ELSE, S);
    check_txn("session", &txn, TXN(IF_CREATE(S, "0"), PUT(S, "nonce"), GET(S)));

    txn_init(&txn);
    txn_if_value(&txn, S, "nonce");
    txn_put(&txn, TXN_THEN, S, "another", LEASE);
    txn_get(&txn, TXN_ELSE, S);
    check_txn("a new nonce, adopt", &txn, TXN(IF_S, PUT(S, "another"), GET(S)));
}

static void test_queue(void)
{
    struct txn txn;

    begin(&txn);
    txn_if_create(&txn, K, 0);
    txn_put(&txn, TXN_THEN, K, "ex", LEASE);
    txn_get_below(&txn, TXN_THEN, "/k/");
    txn_get_below(&txn, TXN_ELSE, "/k/");
    check_txn("enqueue", &txn, TXN(IF_S "," IF_CREATE(K, "0"), PUT(K, "ex") "," Q, GET(S) "," Q));

    begin(&txn);
    txn_if_create(&txn, K, 17);
    txn_get_below(&txn, TXN_THEN, "/k/");
    txn_get(&txn, TXN_THEN, "/r/session/00000000000000bb");
    check_txn("grant", &txn,
              TXN(IF_S "," IF_CREATE(K, "17"), Q "," GET("/r/session/00000000000000bb"), GET(S)));

    begin(&txn);
    txn_if_create(&txn, K, 17);
    txn_get_below(&txn, TXN_THEN, "/k/");
    txn_get_at(&txn, TXN_THEN, "/r/session/00000000000000bb", 16);
    check_txn("grant, with the session as it was", &txn,
              TXN(IF_S "," IF_CREATE(K, "17"),
                  Q ",{'request_range':{'key':'/r/session/00000000000000bb','revision':'16'}}",
                  GET(S)));
}

static void test_try(void)
{
    struct txn txn;

    begin(&txn);
    txn_if_none_below(&txn, "/k/");
    txn_if_create(&txn, K, 0);
    txn_put(&txn, TXN_THEN, K, "ex", LEASE);
    txn_get_below(&txn, TXN_ELSE, "/k/");
    check_txn("try, empty", &txn,
              TXN(IF_S "," IF_NONE "," IF_CREATE(K, "0"), PUT(K, "ex"), GET(S) "," Q));

    begin(&txn);
    txn_if_quiet(&txn, "/k/", 41);
    txn_if_create(&txn, H, 17);
    txn_if_create(&txn, K, 0);
    txn_put(&txn, TXN_THEN, K, "sh joined", LEASE);
    txn_get_below(&txn, TXN_ELSE, "/k/");
    check_txn("try SH beside SH", &txn,
              TXN(IF_S "," IF_QUIET("42") "," IF_CREATE(H, "17") "," IF_CREATE(K, "0"),
                  PUT(K, "sh joined"), GET(S) "," Q));

    begin(&txn);
    txn_if_create(&txn, H, 17);
    txn_put(&txn, TXN_THEN, ASK, "ask", LEASE);
    txn_get_below(&txn, TXN_ELSE, "/k/");
    check_txn("try, ours ahead", &txn,
              TXN(IF_S "," IF_CREATE(H, "17"), PUT(ASK, "ask"), GET(S) "," Q));

    begin(&txn);
    txn_if_create(&txn, ASK, 23);
    txn_put(&txn, TXN_THEN, ASK, "busy", LEASE);
    check_txn("answer busy", &txn, TXN(IF_S "," IF_CREATE(ASK, "23"), PUT(ASK, "busy"), GET(S)));

    begin(&txn);
    txn_get(&txn, TXN_THEN, ASK);
    txn_get(&txn, TXN_THEN, H);
    check_txn("look for the answer", &txn, TXN(IF_S, GET(ASK) "," GET(H), GET(S)));
}

static void test_release(void)
{
    struct txn txn;

    begin(&txn);
    txn_if_create(&txn, K, 17);
    txn_delete(&txn, TXN_THEN, K);
    check_txn("release, cancel", &txn, TXN(IF_S "," IF_CREATE(K, "17"), DEL(K), GET(S)));
}

static void test_change(void)
{
    struct txn txn;

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_put(&txn, TXN_THEN, K, "sh", LEASE);
    txn_get(&txn, TXN_ELSE, K);
    check_txn("downgrade, shrink, split", &txn,
              TXN(IF_S "," IF_MOD(K, "18"), PUT(K, "sh"), GET(S) "," GET(K)));

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_if_quiet(&txn, "/k/", 41);
    txn_put(&txn, TXN_THEN, K, "ex", LEASE);
    txn_get(&txn, TXN_ELSE, K);
    check_txn("upgrade, nobody else in possession", &txn,
              TXN(IF_S "," IF_MOD(K, "18") "," IF_QUIET("42"), PUT(K, "ex"), GET(S) "," GET(K)));

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_put(&txn, TXN_THEN, NEXT, "ex", LEASE);
    txn_delete(&txn, TXN_THEN, K);
    check_txn("upgrade of flock, not alone", &txn,
              TXN(IF_S "," IF_MOD(K, "18"), PUT(NEXT, "ex") "," DEL(K), GET(S)));

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_if_quiet(&txn, "/k/", 41);
    txn_if_create(&txn, H, 17);
    txn_put(&txn, TXN_THEN, K, "sh joined", LEASE);
    check_txn("a waiting reader joins", &txn,
              TXN(IF_S "," IF_MOD(K, "18") "," IF_QUIET("42") "," IF_CREATE(H, "17"),
                  PUT(K, "sh joined"), GET(S)));
}

static void test_growth(void)
{
    struct txn txn;

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_if_quiet(&txn, "/k/", 41);
    txn_if_create(&txn, H, 17);
    txn_put(&txn, TXN_THEN, K, "grown", LEASE);
    check_txn("growth, free", &txn,
              TXN(IF_S "," IF_MOD(K, "18") "," IF_QUIET("42") "," IF_CREATE(H, "17"),
                  PUT(K, "grown"), GET(S)));

    begin(&txn);
    txn_if_mod(&txn, K, 18);
    txn_if_create(&txn, NEXT, 30);
    txn_if_quiet(&txn, "/k/", 41);
    txn_if_create(&txn, H, 17);
    txn_put(&txn, TXN_THEN, K, "merged", LEASE);
    txn_delete(&txn, TXN_THEN, NEXT);
    check_txn("token granted", &txn,
              TXN(IF_S "," IF_MOD(K, "18") "," IF_CREATE(NEXT, "30") "," IF_QUIET(
                      "42") "," IF_CREATE(H, "17"),
                  PUT(K, "merged") "," DEL(NEXT), GET(S)));
}

/* ---- the parts ---- */

static void test_numbers(void)
{
    struct txn txn;

    txn_init(&txn);
    txn_if_create(&txn, "k", INT64_MAX);
    txn_if_mod(&txn, "k", 9007199254740993);
    txn_put(&txn, TXN_ELSE, "k", "", 0);
    check_txn("64-bit numbers keep their digits, and are strings", &txn,
              TXN(IF_CREATE("k", "9223372036854775807") "," IF_MOD("k", "9007199254740993"), "",
                  "{'request_put':{'key':'k','value':'','lease':'0'}}"));
}

/* As it goes to etcd, byte by byte. */
static void test_raw(void)
{
    struct txn txn;
    char *text;

    txn_init(&txn);
    txn_if_none_below(&txn, "/locks/a/");
    txn_put(&txn, TXN_THEN, "/locks/a/7f1b9e1d2c3b4a0d-1", "\"\xff\"", 17);
    text = txn_text(&txn);
    CHECK_STR("raw", text,
              "{\"compare\":[{\"key\":\"L2xvY2tzL2Ev\",\"target\":\"CREATE\",\"result\":\"EQUAL\","
              "\"create_revision\":\"0\",\"range_end\":\"L2xvY2tzL2Ew\"}],\"success\":[{"
              "\"request_put\":{\"key\":\"L2xvY2tzL2EvN2YxYjllMWQyYzNiNGEwZC0x\",\"value\":"
              "\"Iv8i\",\"lease\":\"17\"}}],\"failure\":[]}");
    free(text);
    txn_free(&txn);
}

static void test_empty(void)
{
    struct txn txn;

    txn_init(&txn);
    check_txn("nothing", &txn, TXN("", "", ""));
    CHECK("freed", txn.root == NULL);
    txn_free(&txn);
}

static void test_bodies(void)
{
    char *body = NULL;

    check_text("range", txn_range_text("/k/", false),
               "{'key':'/k/','range_end':'/k0','sort_target':'CREATE','sort_order':'ASCEND'}");
    check_text("range, keys only", txn_range_text("/k/", true),
               "{'key':'/k/','range_end':'/k0','sort_target':'CREATE','sort_order':'ASCEND',"
               "'keys_only':true}");
    CHECK_INT("watch of a key", txn_watch_text(&body, S, false), 0);
    CHECK_STR("watch of a key", plain(body), "{'create_request':{'key':'" S "'}}");
    CHECK_INT("and of a prefix", txn_watch_text(&body, "/k/", true), 0);
    check_text("both, one after the other", body,
               "{'create_request':{'key':'" S "'}}"
               "{'create_request':{'key':'/k/','range_end':'/k0'}}");
}

int main(void)
{
    test_session();
    test_queue();
    test_try();
    test_release();
    test_change();
    test_growth();
    test_numbers();
    test_raw();
    test_empty();
    test_bodies();
    return unit_end();
}
