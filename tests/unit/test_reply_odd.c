/* Answers of etcd that are not as they should be: missing, of the wrong type, cut, changed. */
#include "etcd/reply.h"

#include "replies.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

/* ---- numbers ---- */

static void test_numbers(void)
{
    static const struct {
        const char *json;
        int err;
        int64_t value;
    } cases[] = {
        {"\"0\"", 0, 0},
        {"\"7\"", 0, 7},
        {"\"-1\"", 0, -1},
        {"\"9007199254740993\"", 0, 9007199254740993},
        {"\"9223372036854775807\"", 0, INT64_MAX},
        {"\"-9223372036854775808\"", 0, INT64_MIN},
        {"0", 0, 0},
        {"7", 0, 7},
        {"-1", 0, -1},
        {"9007199254740992", 0, 9007199254740992},
        {"null", 0, 0},
        {"\"9223372036854775808\"", -EBADMSG, 0},
        {"\"\"", -EBADMSG, 0},
        {"\"x\"", -EBADMSG, 0},
        {"\"7x\"", -EBADMSG, 0},
        {"\"7 \"", -EBADMSG, 0},
        {"\"0x7\"", -EBADMSG, 0},
        {"\"7.0\"", -EBADMSG, 0},
        {"9007199254740994", -EBADMSG, 0},
        {"9223372036854775807", -EBADMSG, 0}, /* its last digits are lost */
        {"1e300", -EBADMSG, 0},
        {"-1e300", -EBADMSG, 0},
        {"1e999", -EBADMSG, 0},
        {"true", -EBADMSG, 0},
        {"[]", -EBADMSG, 0},
        {"{}", -EBADMSG, 0},
    };
    static const char *const places[] = {
        "{\"header\":{\"revision\":%s}}",
        "{\"TTL\":%s}",
        "{\"result\":{\"TTL\":%s}}",
        "{\"kvs\":[{\"key\":\"aw==\",\"create_revision\":%s}]}",
        "{\"kvs\":[{\"key\":\"aw==\",\"mod_revision\":%s}]}",
        "{\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":\"aw==\",\"lease\":%s}]}}]}",
    };
    char text[200];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            struct etcd_reply reply;

            snprintf(text, sizeof text, places[j], cases[i].json);
            int err = parse(text, &reply);
            const struct etcd_range *range = etcd_reply_range(&reply, 0);
            const struct etcd_kv *kv = range->n ? range->kvs : NULL;
            int64_t got = kv ? kv->create + kv->mod + kv->lease : reply.revision + reply.lease_ttl;

            unit_check(__FILE__, __LINE__, "number", err == cases[i].err && got == cases[i].value,
                       "%s: %d, %lld", text, err, (long long)got);
            etcd_reply_free(&reply);
        }
}

static void test_cluster_id(void)
{
    static const struct {
        const char *json;
        int err;
        uint64_t value;
    } cases[] = {
        {"\"18446744073709551615\"", 0, UINT64_MAX},
        {"\"9223372036854775808\"", 0, 9223372036854775808u},
        {"\"18446744073709551616\"", -EBADMSG, 0},
        {"\"-1\"", -EBADMSG, 0},
        {"\"\"", -EBADMSG, 0},
        {"\"x\"", -EBADMSG, 0},
        {"18446744073709551615", -EBADMSG, 0}, /* as a number it would be another cluster's */
        {"true", -EBADMSG, 0},
    };
    char text[100];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct etcd_reply reply;

        snprintf(text, sizeof text, "{\"header\":{\"cluster_id\":%s}}", cases[i].json);
        CHECK_INT(text, parse(text, &reply), cases[i].err);
        CHECK(text, reply.cluster_id == cases[i].value);
        etcd_reply_free(&reply);
    }
}

/* ---- what is missing, and what is wrong ---- */

static void test_missing(void)
{
    struct etcd_reply reply;
    const struct etcd_kv *kv;

    CHECK_INT("no header", parse("{\"succeeded\":true}", &reply), 0);
    CHECK("no revision, no cluster", reply.succeeded && !reply.revision && !reply.cluster_id);
    etcd_reply_free(&reply);
    CHECK_INT("an empty header", parse("{\"header\":{}}", &reply), 0);
    etcd_reply_free(&reply);
    CHECK_INT("no responses", parse("{" HEADER("4") ",\"responses\":[]}", &reply), 0);
    CHECK_INT("none", (long long)reply.n_results, 0);
    etcd_reply_free(&reply);
    CHECK_INT("a key alone", parse("{\"kvs\":[{\"key\":\"aw==\"}]}", &reply), 0);
    kv = etcd_reply_range(&reply, 0)->kvs;
    CHECK("all else is zero", !kv->create && !kv->mod && !kv->lease && !kv->value_len);
    CHECK_STR("an empty value", kv->value, "");
    etcd_reply_free(&reply);
    CHECK_INT("a zero byte in a key", parse("{\"kvs\":[{\"key\":\"YQBi\"}]}", &reply), 0);
    CHECK_STR("cuts it", etcd_reply_range(&reply, 0)->kvs[0].key, "a");
    etcd_reply_free(&reply);
}

static void test_no_json(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "\n",
        "null",
        "true",
        "17",
        "\"x\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{a:1}",
        "Not Found",
        "{\"a\":}",
        "{,}",
        "{\"a\":1,",
        "{\"a\":1",
        "\xff",
        "{\"a\":\"",
        "{\"",
        "<html></html>",
        "{\"a\":\"\\",
        "{\"a\":\"\\u12",
        "{\"a\":-",
        "{\"a\":tru",
        "\xef\xbb\xbf",
        "\xef\xbb",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct etcd_reply reply;
        struct etcd_watch_reply watch;

        CHECK_INT(texts[i], parse(texts[i], &reply), -EBADMSG);
        CHECK_INT(texts[i], parse_watch(texts[i], &watch), -EBADMSG);
    }
}

/* Parts of the wrong type, each of which would otherwise read as "nothing there". */
static void test_wrong_types(void)
{
    static const char *const texts[] = {
        "{\"header\":[]}",
        "{\"header\":\"x\"}",
        "{\"header\":17}",
        "{\"succeeded\":\"true\"}",
        "{\"succeeded\":1}",
        "{\"succeeded\":[]}",
        "{\"responses\":{}}",
        "{\"responses\":\"x\"}",
        "{\"responses\":[17]}",
        "{\"responses\":[\"x\"]}",
        "{\"responses\":[null]}",
        "{\"responses\":[[]]}",
        "{\"responses\":[{\"response_range\":17}]}",
        "{\"responses\":[{\"response_range\":\"x\"}]}",
        "{\"responses\":[{\"response_range\":[]}]}",
        "{\"responses\":[{\"response_range\":{\"kvs\":{}}}]}",
        "{\"responses\":[{\"response_range\":{\"kvs\":\"x\"}}]}",
        "{\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":\"aw==\"},17]}}]}",
        "{\"responses\":[{},{\"response_range\":{\"kvs\":17}}]}",
        "{\"kvs\":{}}",
        "{\"kvs\":\"x\"}",
        "{\"kvs\":17}",
        "{\"kvs\":[17]}",
        "{\"kvs\":[null]}",
        "{\"kvs\":[[]]}",
        "{\"kvs\":[{\"key\":17}]}",
        "{\"kvs\":[{\"key\":null}]}",
        "{\"kvs\":[{\"key\":\"aw\"}]}",
        "{\"kvs\":[{\"key\":\"a!==\"}]}",
        "{\"kvs\":[{\"key\":\"aw==\",\"value\":17}]}",
        "{\"kvs\":[{\"key\":\"aw==\",\"value\":\"a\"}]}",
        "{\"keys\":{}}",
        "{\"keys\":\"aw==\"}",
        "{\"keys\":[17]}",
        "{\"keys\":[\"aw==\",\"a\"]}",
        "{\"keys\":[null]}",
        "{\"result\":17}",
        "{\"result\":\"x\"}",
        "{\"result\":[]}",
        "{\"token\":17}",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct etcd_reply reply;

        CHECK_INT(texts[i], parse(texts[i], &reply), -EBADMSG);
        CHECK("nothing is left of it", !reply.results && !reply.n_results && !reply.keys.n);
        etcd_reply_free(&reply);
    }
}

/* No answer is both; whatever is made of one, nothing of it is lost (a sanitizer sees that). */
static void test_range_and_transaction(void)
{
    struct etcd_reply reply;
    int err = parse("{\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":\"aw==\"}]}},{}],"
                    "\"kvs\":[{\"key\":\"aw==\"}]}",
                    &reply);

    CHECK("an answer or none", err == 0 || err == -EBADMSG);
    etcd_reply_free(&reply);
}

/* Cut after every byte: an error, and nothing of the answer. */
static void test_pieces(void)
{
    struct etcd_reply reply;
    struct etcd_fault fault;
    size_t wrong = 0;

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        size_t whole = strlen(answers[i]);

        whole -= answers[i][whole - 1] == '\n';
        CHECK_INT("the whole", parse_part(answers[i], whole, &reply, &fault), 0);
        etcd_reply_free(&reply);
        for (size_t len = 0; len < whole; len++) {
            int err = parse_part(answers[i], len, &reply, &fault);

            wrong += err != -EBADMSG || fault.code || fault.message[0] || reply.n_results ||
                     reply.lease_ttl || reply.keys.n || reply.token || reply.succeeded;
            if (err == 0)
                etcd_reply_free(&reply);
        }
    }
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        for (size_t len = 0; len < strlen(faults[i].text); len++)
            wrong += parse_part(faults[i].text, len, &reply, &fault) != -EBADMSG || fault.code;
    CHECK_INT("pieces that are something", (long long)wrong, 0);
}

/* Every byte of every answer changed to a few others: whatever comes of it can be freed. */
static void test_mutations(void)
{
    static const char letters[] = "\"{}[]:,0-x=\\u\n\xff";
    static char text[4096];
    size_t accepted = 0, tried = 0;

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        size_t len = strlen(answers[i]);

        for (size_t at = 0; at < len; at++)
            for (size_t j = 0; j < sizeof letters; j++) {
                struct etcd_reply reply;

                memcpy(text, answers[i], len + 1);
                text[at] = letters[j];
                tried++;
                if (parse(text, &reply) == 0) {
                    accepted++;
                    etcd_reply_free(&reply);
                }
            }
    }
    CHECK("some are answers, most are not", accepted > 0 && accepted < tried);
}

static void test_watch_wrong_types(void)
{
    static const char *const texts[] = {
        "{}",
        "{\"result\":17}",
        "{\"result\":\"x\"}",
        "{\"result\":null}",
        "{\"result\":[]}",
        "{" HEADER("4") ",\"created\":true}",
        "{\"result\":{\"header\":17}}",
        "{\"result\":{\"created\":\"true\"}}",
        "{\"result\":{\"canceled\":1}}",
        "{\"result\":{\"watch_id\":\"x\"}}",
        "{\"result\":{\"compact_revision\":[]}}",
        "{\"result\":{\"events\":{}}}",
        "{\"result\":{\"events\":17}}",
        "{\"result\":{\"events\":[17]}}",
        "{\"result\":{\"events\":[{}]}}",
        "{\"result\":{\"events\":[{\"kv\":17}]}}",
        "{\"result\":{\"events\":[{\"type\":1,\"kv\":{\"key\":\"aw==\"}}]}}",
        "{\"result\":{\"events\":[{\"type\":\"DELETE\"}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"aw==\"}},{\"kv\":{\"key\":\"a\"}}]}}",
    };
    struct etcd_watch_reply watch;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_INT(texts[i], parse_watch(texts[i], &watch), -EBADMSG);
        CHECK("nothing is left of it", !watch.events && !watch.n_events && !watch.created);
        etcd_watch_reply_free(&watch);
    }
}

static void test_watch_pieces(void)
{
    struct etcd_watch_reply watch;
    struct etcd_fault fault;
    size_t wrong = 0;

    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        for (size_t len = 0; len < strlen(messages[i]); len++)
            wrong +=
                etcd_watch_parse(guard_copy(messages[i], len), len, &watch, &fault) != -EBADMSG ||
                watch.created || watch.canceled || watch.n_events;
    CHECK_INT("pieces that are something", (long long)wrong, 0);
}

int main(void)
{
    test_numbers();
    test_cluster_id();
    test_missing();
    test_no_json();
    test_wrong_types();
    test_range_and_transaction();
    test_watch_wrong_types();
    test_pieces();
    test_watch_pieces();
    test_mutations();
    return unit_end();
}
