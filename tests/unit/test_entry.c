/* Values of queue entries: round trips, what is not ours, and odd input. */
#include "lock/entry.h"

#include "guard.h"
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static struct entry_value example(void)
{
    struct entry_value value = {.mode = ENTRY_EX,
                                .since = 1732180000123,
                                .dev = 2049,
                                .ino = 131,
                                .pid = 4711,
                                .host = "a",
                                .command = "flock",
                                .path = "/srv/a.lock"};
    return value;
}

static void test_text(void)
{
    struct entry_value value = example();
    char *text = entry_print(&value);

    CHECK_STR("plain", text,
              "{\"v\":1,\"mode\":\"ex\",\"host\":\"a\",\"pid\":4711,\"cmd\":\"flock\","
              "\"path\":\"/srv/a.lock\",\"dev\":\"2049\",\"ino\":\"131\",\"since\":1732180000123}");
    free(text);
    value.mode = ENTRY_SH;
    value.joined = true;
    value.token = INT64_MAX;
    text = entry_print(&value);
    CHECK_STR("joined, with a token", text,
              "{\"v\":1,\"mode\":\"sh\",\"host\":\"a\",\"pid\":4711,\"cmd\":\"flock\","
              "\"path\":\"/srv/a.lock\",\"dev\":\"2049\",\"ino\":\"131\",\"since\":1732180000123,"
              "\"joined\":true,\"token\":\"9223372036854775807\"}");
    free(text);
}

static bool same(const struct entry_value *a, const struct entry_value *b)
{
    return a->mode == b->mode && a->joined == b->joined && a->token == b->token &&
           a->since == b->since && a->dev == b->dev && a->ino == b->ino && a->pid == b->pid &&
           strcmp(a->host, b->host) == 0 && strcmp(a->command, b->command) == 0 &&
           strcmp(a->path, b->path) == 0;
}

/* From memory that ends where the text does, and not terminated. */
static int parse(const char *text, size_t len, struct entry_value *out)
{
    return entry_parse(guard_copy(text, len), len, out);
}

static void check_round_trip(const char *name, const struct entry_value *value)
{
    struct entry_value again;
    char *text = entry_print(value);

    if (!text) {
        CHECK_FAIL(name, "no text");
        return;
    }
    CHECK_INT(name, parse(text, strlen(text), &again), 0);
    unit_check(__FILE__, __LINE__, name, same(value, &again), "came back changed: %s", text);
    free(text);
}

static void test_round_trips(void)
{
    static const char *const paths[] = {
        "",
        "/",
        "/srv/with space and \"quotes\" and \\backslash\\",
        "/srv/line\nfeed\ttab\r\b\f\x01\x1f\x7f",
        "/srv/\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x92",
        "/srv/latin1-\xe4\xf6\xfc",
        "/srv/\xff\xfe\x80\xc0\xaf\xed\xa0\x80",
        "/srv/cut-\xc3",
        "/srv/{}[]:,\"v\":2",
        "/srv/\\u0000\\u00e4",
    };
    static const int pids[] = {0, 1, -1, INT_MAX, INT_MIN};
    static const uint64_t numbers[] = {0, 1, 9007199254740993, INT64_MAX, UINT64_MAX};
    struct entry_value value;

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        value = example();
        snprintf(value.path, sizeof value.path, "%s", paths[i]);
        snprintf(value.host, sizeof value.host, "%s", paths[i]);
        snprintf(value.command, sizeof value.command, "%s", paths[i]);
        check_round_trip(paths[i], &value);
    }
    value = example();
    memset(value.path, '\x01', sizeof value.path - 1);
    memset(value.host, '\xff', sizeof value.host - 1);
    memset(value.command, '"', sizeof value.command - 1);
    check_round_trip("the longest texts", &value);
    for (size_t i = 0; i < 5; i++) {
        value = example();
        value.pid = pids[i];
        value.dev = numbers[i];
        value.ino = numbers[4 - i];
        value.token = (int64_t)(numbers[i] & INT64_MAX);
        value.joined = i % 2;
        value.mode = i % 2 ? ENTRY_SH : ENTRY_EX;
        check_round_trip("numbers", &value);
    }
    value = (struct entry_value){.mode = ENTRY_SH};
    check_round_trip("nothing but a mode", &value);
}

/* Every byte from 1 to 255 in a path, at its end too. */
static void test_all_bytes(void)
{
    struct entry_value value = example();
    size_t len = 1;

    for (unsigned byte = 1; byte < 256; byte++) {
        value.path[len++] = (char)byte;
        value.path[len] = '\0';
    }
    check_round_trip("all bytes", &value);
    for (unsigned byte = 1; byte < 256; byte++) {
        struct entry_value again;

        snprintf(value.path, sizeof value.path, "/a%c", (int)byte);
        char *text = entry_print(&value);
        if (!text || parse(text, strlen(text), &again) || !same(&value, &again))
            CHECK_FAIL("the last byte of a path", "%u", byte);
        free(text);
    }
}

static void test_not_ours(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "null",
        "1",
        "\"ex\"",
        "v=1",
        "{\"v\":1}",
        "{\"mode\":\"ex\"}",
        "{\"v\":2,\"mode\":\"ex\"}",
        "{\"v\":0,\"mode\":\"ex\"}",
        "{\"v\":\"1\",\"mode\":\"ex\"}",
        "{\"v\":true,\"mode\":\"ex\"}",
        "{\"V\":1,\"mode\":\"ex\"}",
        "{\"v\":1,\"Mode\":\"ex\"}",
        "{\"v\":1,\"mode\":\"EX\"}",
        "{\"v\":1,\"mode\":\"none\"}",
        "{\"v\":1,\"mode\":\"exclusive\"}",
        "{\"v\":1,\"mode\":\"\"}",
        "{\"v\":1,\"mode\":2}",
        "{\"v\":1,\"mode\":null}",
        "{\"v\":1,\"mode\":[\"ex\"]}",
        "{\"v\":1,\"mode\":\"ex\"",
        "{\"v\":1,\"mode\":\"ex\",}",
        "[{\"v\":1,\"mode\":\"ex\"}]",
    };
    struct entry_value value;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK_INT(texts[i], parse(texts[i], strlen(texts[i]), &value), -EBADMSG);
}

static void test_odd(void)
{
    static const struct {
        const char *text;
        struct entry_value value;
    } cases[] = {
        {"{\"v\":1,\"mode\":\"sh\"}", {.mode = ENTRY_SH}},
        {" {\n\"mode\" : \"ex\" , \"v\" : 1 } ", {.mode = ENTRY_EX}},
        {"{\"v\":1,\"mode\":\"sh\",\"unknown\":{\"a\":[1,2]}}", {.mode = ENTRY_SH}},
        /* fields of the wrong type are as if they were not there */
        {"{\"v\":1,\"mode\":\"sh\",\"host\":1,\"cmd\":[],\"path\":{},\"pid\":\"9\","
         "\"dev\":7,\"ino\":null,\"since\":\"x\",\"joined\":1,\"token\":5}",
         {.mode = ENTRY_SH}},
        {"{\"v\":1,\"mode\":\"sh\",\"joined\":\"true\"}", {.mode = ENTRY_SH}},
        {"{\"v\":1,\"mode\":\"sh\",\"joined\":false}", {.mode = ENTRY_SH}},
        {"{\"v\":1,\"mode\":\"sh\",\"joined\":true}", {.mode = ENTRY_SH, .joined = true}},
        {"{\"v\":1,\"mode\":\"ex\",\"pid\":1e30}", {.mode = ENTRY_EX, .pid = INT_MAX}},
        {"{\"v\":1,\"mode\":\"ex\",\"pid\":-1e30}", {.mode = ENTRY_EX, .pid = INT_MIN}},
        {"{\"v\":1,\"mode\":\"ex\",\"since\":1e30}", {.mode = ENTRY_EX}},
        {"{\"v\":1,\"mode\":\"ex\",\"since\":-5}", {.mode = ENTRY_EX}},
        {"{\"v\":1,\"mode\":\"ex\",\"token\":\"9223372036854775808\"}", {.mode = ENTRY_EX}},
        {"{\"v\":1,\"mode\":\"ex\",\"token\":\"-1\"}", {.mode = ENTRY_EX}},
        {"{\"v\":1,\"mode\":\"ex\",\"token\":\"\"}", {.mode = ENTRY_EX}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct entry_value value;

        CHECK_INT(cases[i].text, parse(cases[i].text, strlen(cases[i].text), &value), 0);
        CHECK(cases[i].text, same(&value, &cases[i].value));
    }
}

static void test_too_long(void)
{
    struct entry_value value;
    char *text = malloc(3 * ENTRY_PATH_MAX), letters[2 * ENTRY_PATH_MAX];

    if (!text)
        return;
    memset(letters, 'x', sizeof letters - 1);
    letters[sizeof letters - 1] = '\0';
    int len =
        snprintf(text, 3 * ENTRY_PATH_MAX,
                 "{\"v\":1,\"mode\":\"ex\",\"host\":\"%.100s\",\"path\":\"%s\"}", letters, letters);
    CHECK_INT("texts beyond their room", parse(text, (size_t)len, &value), 0);
    CHECK_INT("the host is cut", (long long)strlen(value.host), ENTRY_TEXT_MAX - 1);
    CHECK_INT("the path is cut", (long long)strlen(value.path), ENTRY_PATH_MAX - 1);
    free(text);
}

/* A value cut anywhere is not ours any more: it counts as exclusive, never as shared. */
static void test_pieces(void)
{
    struct entry_value value = example(), got;
    size_t accepted = 0;

    value.mode = ENTRY_SH;
    value.joined = true;
    char *text = entry_print(&value);
    for (size_t len = 0; text && len < strlen(text); len++)
        accepted += parse(text, len, &got) == 0;
    CHECK_INT("pieces of a value that are one", (long long)accepted, 0);
    free(text);
}

static void test_modes(void)
{
    CHECK_STR("shared", entry_mode_name(ENTRY_SH), "sh");
    CHECK_STR("exclusive", entry_mode_name(ENTRY_EX), "ex");
    CHECK("two readers", !entry_conflict(ENTRY_SH, ENTRY_SH));
    CHECK("reader and writer", entry_conflict(ENTRY_SH, ENTRY_EX));
    CHECK("writer and reader", entry_conflict(ENTRY_EX, ENTRY_SH));
    CHECK("two writers", entry_conflict(ENTRY_EX, ENTRY_EX));
}

int main(void)
{
    test_text();
    test_round_trips();
    test_all_bytes();
    test_not_ours();
    test_odd();
    test_too_long();
    test_pieces();
    test_modes();
    return unit_end();
}
