/* Key templates: faults, filling in, and that keys never lie inside one another. */
#include "conf/template.h"

#include "conf/conf.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>

static void test_faults(void)
{
    static char longest[CONF_KEY_MAX + 2];
    static const struct {
        const char *text, *fault; /* NULL: none */
    } cases[] = {
        {"a", NULL},
        {"/a/{name}", NULL},
        {"{path}", NULL},
        {"{dir}{name}x", NULL},
        {"/{{a}}/{{{name}}}", NULL},
        {"/a%b", NULL},
        {"", "empty;"},
        {"/", "ends in a slash;"},
        {"/a/", "ends in a slash;"},
        {"/a//b", "empty part"},
        {"//a", "empty part"},
        {"/a b", "white space"},
        {"/{nme}", "unknown; write {path}, {name} or {dir}"},
        {"/{}", "unknown"},
        {"/{Name}", "unknown"},
        {"/{ name}", "white space"},
        {"/{name", "not closed"},
        {"/a{", "not closed"},
        {"/{name}}", "'}' without '{'"},
        {"/a}b", "'}' without '{'"},
        {"}", "'}' without '{'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *fault = conf_template_fault(cases[i].text);

        if (cases[i].fault)
            CHECK_HAS(cases[i].text, fault ? fault : "(no fault)", cases[i].fault);
        else
            CHECK_STR(cases[i].text, fault, NULL);
    }
    memset(longest, 'a', CONF_KEY_MAX);
    CHECK_STR("as long as may be", conf_template_fault(longest), NULL);
    longest[CONF_KEY_MAX] = 'a';
    CHECK_HAS("too long", conf_template_fault(longest), "longer than 1024");
}

static void test_fill(void)
{
    static const struct {
        const char *text, *path, *key;
    } cases[] = {
        {"/k", "/srv/x", "/k"},
        {"/k/{path}", "/srv/x", "/k/%2Fsrv%2Fx"},
        {"/k/{name}", "/srv/x.lock", "/k/x.lock"},
        {"/k/{dir}", "/srv/m/x", "/k/%2Fsrv%2Fm"},
        {"/k/{dir}/{name}-1", "/srv/x", "/k/%2Fsrv/x-1"},
        {"{name}{name}", "/a", "aa"},
        {"/{{{name}}}", "/a", "/{a}"},
        {"/{{name}}", "/a", "/{name}"},
        {"/k/{name}", "/a/50%", "/k/50%25"},
        {"/k/{name}", "/a/%2F", "/k/%252F"},
        {"/k/{name}", "/a/{path}", "/k/{path}"},
        {"/k/{name}", "/a/x y\n\t\x7f", "/k/x y%0A%09%7F"},
        {"/k/{name}", "/a/\xc3\xa4\xff", "/k/\xc3\xa4\xff"},
        {"/{dir}", "/x", "/%2F"},
        {"/{name}", "/", "/%2F"},
        {"/{dir}", "/", "/%2F"},
        {"/{path}", "/", "/%2F"},
    };
    struct conf_rule rule = {.key = (char *)"/p/{{x}}/{name}/y"};
    char out[CONF_KEY_MAX + 1], path[512];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(cases[i].text, conf_template_fill(cases[i].text, cases[i].path, out, sizeof out),
                  0);
        CHECK_STR(cases[i].text, out, cases[i].key);
    }
    CHECK_INT("it just fits", conf_template_fill("/k/{name}", "/abc", out, 7), 0);
    CHECK_INT("one byte short", conf_template_fill("/k/{name}", "/abc", out, 6), -ENAMETOOLONG);
    CHECK_INT("no room at all", conf_template_fill("/k", "/abc", NULL, 0), -ENAMETOOLONG);
    memset(path, '/', sizeof path);
    path[sizeof path - 1] = '\0';
    CHECK_INT("escapes make it too long", conf_template_fill("{path}", path, out, sizeof out),
              -ENAMETOOLONG);

    conf_key_prefix(&rule, out, sizeof out);
    CHECK_STR("prefix", out, "/p/{x}/");
    conf_key_prefix(&rule, out, 4);
    CHECK_STR("prefix, cut", out, "/p/");
    rule.key = (char *)"/whole";
    conf_key_prefix(&rule, out, sizeof out);
    CHECK_STR("prefix of a key without placeholder", out, "/whole");
    CHECK_INT("conf_key", conf_key(&rule, "/x", out, sizeof out), 0);
    CHECK_STR("conf_key", out, "/whole");
}

static void test_nests(void)
{
    static const struct {
        const char *outer, *inner;
        bool nests;
    } cases[] = {
        {"/a", "/a/b", true},
        {"/a/b", "/a", false},
        {"/a", "/a", false},
        {"/a", "/ab", false},
        {"/a", "/ab/c", false},
        {"/{name}", "/a/b", true},
        {"/a", "/{name}/b", true},
        {"/a/{name}", "/a/{path}", false},
        {"/a/{name}", "/a/b/{path}", true},
        {"/a/{name}.x", "/a/y{dir}/{name}", true},
        {"/a/{name}.x", "/a/{dir}.y/{name}", false},
        {"/a/x{name}", "/a/{dir}/{name}", true},
        {"/a/x{name}", "/a/x/{name}", false},
        {"/a/{name}{dir}", "/a/b/c", false},
        {"/a/{name}{dir}", "/a/bc/c", true},
        {"/{{a}}", "/{{a}}/b", true},
        {"a", "/a/b", false},
        {"{name}", "/a/b", false},
        {"{name}", "a/b", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        unit_check(__FILE__, __LINE__, "nests",
                   conf_template_nests(cases[i].outer, cases[i].inner) == cases[i].nests,
                   "%s around %s: wanted %d", cases[i].outer, cases[i].inner, cases[i].nests);
}

/* The small universe: templates of up to four of these pieces, and all strings of up to eight of
 * a, b and slash. */
#define PIECES 4
#define PIECE_TEXTS                                                                                \
    {                                                                                              \
        "a", "b", "/", "{name}"                                                                    \
    }
#define TEMPLATES     (1 + 4 + 16 + 64 + 256)
#define STRING_LENGTH 8
#define STRINGS       9841 /* 3^0 + ... + 3^8 */
#define WORDS         ((STRINGS + 63) / 64)

static char templates[TEMPLATES][32];
static unsigned template_pieces[TEMPLATES];         /* base 5, each 1 to 4 */
static unsigned long long made[TEMPLATES][WORDS];   /* the strings that are keys of it */
static unsigned long long around[TEMPLATES][WORDS]; /* the strings that begin with one and '/' */

static size_t nth_string(size_t n, char *out)
{
    size_t len = 0;

    for (; n > 0; n = (n - 1) / 3)
        out[len++] = "ab/"[(n - 1) % 3];
    out[len] = '\0';
    return len;
}

/* Is text[0..len) a key of the template? By trying every length of every placeholder. */
static bool makes(unsigned pieces, const char *text, size_t len)
{
    if (pieces == 0)
        return len == 0;
    unsigned piece = pieces % 5;
    if (piece < 4)
        return len > 0 && text[0] == "ab/"[piece - 1] && makes(pieces / 5, text + 1, len - 1);
    for (size_t run = 1; run <= len && text[run - 1] != '/'; run++)
        if (makes(pieces / 5, text + run, len - run))
            return true;
    return false;
}

static void make_universe(void)
{
    static const char *const texts[] = PIECE_TEXTS;
    char text[STRING_LENGTH + 1];

    for (size_t i = 0; i < TEMPLATES; i++) {
        unsigned scale = 1;

        for (size_t n = i; n > 0; n = (n - 1) / PIECES) {
            strcat(templates[i], texts[(n - 1) % PIECES]);
            template_pieces[i] += scale * (unsigned)((n - 1) % PIECES + 1);
            scale *= 5;
        }
        for (size_t s = 0; s < STRINGS; s++) {
            size_t len = nth_string(s, text);
            unsigned long long bit = 1ull << (s % 64);

            if (makes(template_pieces[i], text, len))
                made[i][s / 64] |= bit;
            for (size_t cut = 0; cut < len; cut++)
                if (text[cut] == '/' && makes(template_pieces[i], text, cut))
                    around[i][s / 64] |= bit;
        }
    }
}

static void test_nests_exhaustively(void)
{
    size_t wrong = 0, nesting = 0;

    make_universe();
    for (size_t outer = 0; outer < TEMPLATES; outer++)
        for (size_t inner = 0; inner < TEMPLATES; inner++) {
            bool wanted = false;

            for (size_t w = 0; w < WORDS && !wanted; w++)
                wanted = (around[outer][w] & made[inner][w]) != 0;
            nesting += wanted;
            if (conf_template_nests(templates[outer], templates[inner]) != wanted && wrong++ == 0)
                CHECK_FAIL("universe", "%s around %s: wanted %d", templates[outer],
                           templates[inner], wanted);
        }
    CHECK("every pair of small templates: as by trying all strings", wrong == 0);
    CHECK("some of them nest", nesting > 1000);
}

static bool lies_inside(const char *inner, const char *outer)
{
    size_t len = strlen(outer);

    return strncmp(inner, outer, len) == 0 && inner[len] == '/';
}

/* All paths of one to three parts of one or two nasty characters, through templates that do not
 * nest: no key may lie inside another, and {path} keeps all paths apart. */
#define PATH_PARTS 20 /* 4 + 4 * 4 */
#define PATHS      (PATH_PARTS + PATH_PARTS * PATH_PARTS)

static char paths[PATHS][8];

static void make_paths(void)
{
    static const char letters[] = "a%\n2";
    char parts[PATH_PARTS][3] = {{0}};

    for (size_t i = 0; i < PATH_PARTS; i++) {
        parts[i][0] = letters[i % 4];
        if (i >= 4)
            parts[i][1] = letters[i / 4 - 1];
    }
    for (size_t i = 0; i < PATHS; i++) {
        strcat(strcpy(paths[i], "/"), parts[i % PATH_PARTS]);
        if (i >= PATH_PARTS)
            strcat(strcat(paths[i], "/"), parts[i / PATH_PARTS - 1]);
    }
}

static void test_keys_apart(void)
{
    static const char *const texts[] = {"/{path}",         "/{dir}/{name}", "/k/{name}",
                                        "/x{name}",        "/k/a%{dir}",    "{path}{name}",
                                        "/{name}2/{dir}/a"};
    static char keys[2][PATHS][64];
    size_t inside = 0, same = 0, pairs = 0;

    make_paths();
    for (size_t a = 0; a < sizeof texts / sizeof texts[0]; a++)
        for (size_t b = 0; b < sizeof texts / sizeof texts[0]; b++) {
            if (conf_template_nests(texts[a], texts[b]))
                continue;
            pairs++;
            for (size_t i = 0; i < PATHS; i++) {
                conf_template_fill(texts[a], paths[i], keys[0][i], sizeof keys[0][i]);
                conf_template_fill(texts[b], paths[i], keys[1][i], sizeof keys[1][i]);
            }
            for (size_t i = 0; i < PATHS; i++)
                for (size_t j = 0; j < PATHS; j++) {
                    inside += lies_inside(keys[1][j], keys[0][i]);
                    same += a == 0 && b == 0 && i != j && strcmp(keys[0][i], keys[1][j]) == 0;
                }
        }
    CHECK("there are pairs to try", pairs > 20);
    CHECK_INT("no key lies inside another", (long long)inside, 0);
    CHECK_INT("no two paths have one {path} key", (long long)same, 0);
}

int main(void)
{
    test_faults();
    test_fill();
    test_nests();
    test_nests_exhaustively();
    test_keys_apart();
    return unit_end();
}
