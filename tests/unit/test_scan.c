/* The line scanner, and the guess of the library whether a path is mapped. */
#include "conf/scan.h"

#include "conf/conf.h"

#include "unit.h"

#define ETCD "[etcd]\nendpoints = http://h:2379\n" /* two lines */
#define JOBS "[jobs]\npath = /j\nkey = /k\n"       /* three lines */

static void check_item(struct conf_cursor *cursor, enum conf_kind kind, unsigned line,
                       const char *name, const char *value)
{
    struct conf_item item;
    char got[64];

    conf_next(cursor, &item);
    CHECK_INT("kind", item.kind, kind);
    CHECK_INT("line", item.line, line);
    snprintf(got, sizeof got, "%.*s", (int)item.name.len, item.name.at);
    CHECK_STR("name", got, name);
    snprintf(got, sizeof got, "%.*s", (int)item.value.len, item.value.at);
    CHECK_STR("value", got, value);
}

static void test_items(void)
{
    static const char text[] =
        "\xef\xbb\xbf[ a ] # c\r\n\n  # x = y\n\tb-_9 =c = d#e #f\r\n=\nx y = z\n"
        "[a\n[a] b\n[]\nk=\n/x=y\nlast";
    struct conf_cursor cursor = conf_start(text, sizeof text - 1);

    check_item(&cursor, CONF_SECTION, 1, "a", "");
    check_item(&cursor, CONF_OPTION, 4, "b-_9", "c = d#e");
    check_item(&cursor, CONF_MALFORMED, 5, "", "=");
    check_item(&cursor, CONF_MALFORMED, 6, "", "x y = z");
    check_item(&cursor, CONF_MALFORMED, 7, "", "[a");
    check_item(&cursor, CONF_MALFORMED, 8, "", "[a] b");
    check_item(&cursor, CONF_SECTION, 9, "", "");
    check_item(&cursor, CONF_OPTION, 10, "k", "");
    check_item(&cursor, CONF_MALFORMED, 11, "", "/x=y");
    check_item(&cursor, CONF_MALFORMED, 12, "", "last");
    check_item(&cursor, CONF_END, 12, "", "");
    check_item(&cursor, CONF_END, 12, "", "");
    cursor = conf_start(NULL, 0);
    check_item(&cursor, CONF_END, 1, "", "");
}

static void test_may_map(void)
{
    static const struct {
        const char *text, *path;
        bool may;
    } cases[] = {
        {"", "/j", false},
        {ETCD JOBS, "/j", true},
        {ETCD JOBS, "/k", false},
        {ETCD JOBS, "/j/x", false},
        {ETCD "#path = /j\n", "/j", false},
        {"\xef\xbb\xbfpath = /j", "/j", true},
        {ETCD JOBS "timeout = /x\ncert = /x\nlog = /x\n", "/x", false},
        {ETCD "[a]\npth = /x/*\n", "/x/y", true},
        {ETCD "[a]\nPATH = /x/*\n", "/x/y", true},
        {ETCD "[a]\npaths=/x/*\n", "/x/y", true},
        {ETCD "[a\npath = /x/*\n", "/x/y", true},
        {ETCD "path = /x/*\n", "/x/y", true},
        {"path = /x/*\n", "/x/y", true},
        {"[a]\npath /x/*\n", "/x/y", true},
        {"[a]\npath: /x/*\n", "/x/y", true},
        {"[a]\npath:/x/*\n", "/x/y", true},
        {"[a]\npath := /x/*\n", "/x/y", true},
        {"[a]\npath == /x/*\n", "/x/y", true},
        {"[a]\npath /x=1/*\n", "/x=1/y", true},
        {"[a]\n/x/*\n", "/x/y", true},
        {"[a] path = /x/*\n", "/x/y", true},
        {"[a]\npath = x/*\n", "/x/y", true},
        {"[a]\npath = ~/x/*\n", "/home/joe/x/y", true},
        {"[a]\npath = \"/x/*\"\n", "/x/y", true},
        {"[a]\npath = \"/x/*\", \"/z\"\n", "/z", true},
        {"[a]\npath = '/x/*';\n", "/x/y", true},
        {"[a]\npath = /w/*, /x/*\n", "/x/y", true},
        {"[a]\npath = /w/*,/x/*\n", "/x/y", true},
        {"[a]\npath = /w/* /x/*\n", "/w/y", true},
        {"[a]\npath = /x/[a\n", "/x/y", true},
        {"[a]\npath = /x/[a\n", "/z/y", false},
        {"[a]\npath = /x/*\\\n", "/x/y", true},
        {"[a]\npath = /x/\n", "/x/y", true},
        {"[a]\npath = //x/*\n", "/x/y", true},
        {"[a]\r\npath = /x/*\r\n", "/x/y", true},
        {"[a]\rpath = /x/*\r", "/x/y", true},
        {"* a list *\n- of [prose]\n", "/x/y", false},
        {ETCD JOBS "tiemout = 5\nendpoints http://a:1\n[b\n", "/x/y", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        unit_check(__FILE__, __LINE__, "may map",
                   conf_may_map(cases[i].text, strlen(cases[i].text), cases[i].path) ==
                       cases[i].may,
                   "%s and %s: wanted %d", cases[i].text, cases[i].path, cases[i].may);
    CHECK("zero bytes: not a text", conf_may_map("#\0", 2, "/x"));
    CHECK("no text at all", !conf_may_map(NULL, 0, "/x"));

    static char item[CONF_LINE_MAX + 2];
    memset(item, 'x', CONF_LINE_MAX + 1);
    CHECK("too long an item: not a text", conf_may_map(item, CONF_LINE_MAX + 1, "/y"));
    item[0] = '#';
    CHECK("a long comment is a comment", !conf_may_map(item, CONF_LINE_MAX + 1, "/y"));
}

/* For a text without mistakes the library's guess is the agent's answer. Every text from a few
 * lines, against a few paths. */
static void test_may_map_is_find(void)
{
    static const char *const lines[] = {
        "[a]\nkey = /a\n", "[b]\nkey = /b\n", "path = /x/*\n", "path = /x/**/y\n",
        "path = /**\n",    "path=/[!z]\n",    "# path = /z\n", "timeout = 3 # path = /z\n",
    };
    static const char *const paths[] = {"/", "/x", "/y", "/z", "/x/y", "/x/z", "/x/z/y", "/z/x"};
    size_t sound = 0, mapped = 0, wrong = 0, n = sizeof lines / sizeof lines[0];

    for (size_t i = 0; i < n * n * n * n * n; i++) {
        char text[512] = ETCD;
        struct conf *conf = NULL;

        for (size_t rest = i, k = 0; k < 5; k++, rest /= n)
            strcat(text, lines[rest % n]);
        if (conf_parse(text, strlen(text), "f", &conf, NULL) < 0)
            continue;
        sound++;
        for (size_t j = 0; j < sizeof paths / sizeof paths[0]; j++) {
            bool found = conf_find(conf, paths[j]) != NULL;

            mapped += found;
            if (conf_may_map(text, strlen(text), paths[j]) != found && wrong++ == 0)
                CHECK_FAIL("may map", "%s and %s: found %d", text, paths[j], found);
        }
        conf_free(conf);
    }
    CHECK("there are sound texts", sound > 500);
    CHECK("some paths are mapped", mapped > 500);
    CHECK("conf_may_map is conf_find", wrong == 0);
}

int main(void)
{
    test_items();
    test_may_map();
    test_may_map_is_find();
    return unit_end();
}
