/* Path patterns: what they match, what is a fault, and that no pattern is slow. */
#include "conf/glob.h"

#include "glob_reference.h"
#include "unit.h"

#include <time.h>

static bool matches(const char *pattern, const char *path)
{
    return conf_glob_match(pattern, strlen(pattern), path, strlen(path));
}

static void test_cases(void)
{
    static const struct {
        const char *pattern, *path;
        bool match;
    } cases[] = {
        {"/a", "/a", true},
        {"/a", "/b", false},
        {"/a", "/a/b", false},
        {"/a/*", "/a/b", true},
        {"/a/*", "/a/.b", true},
        {"/a/*", "/a/", true},
        {"/a/*", "/a/b/c", false},
        {"/a/*.lock", "/a/x.lock", true},
        {"/a/*.lock", "/a/.lock", true},
        {"/a/*.lock", "/a/x.lock.lock", true},
        {"/a/*.lock", "/a/x.lockx", false},
        {"/a/*/c", "/a/b/c", true},
        {"/a/*/c", "/a/c", false},
        {"/a/*/c", "/a/b/b/c", false},
        {"/a/?", "/a/b", true},
        {"/a/?", "/a/", false},
        {"/a?b", "/a/b", false},
        {"/a*b", "/a/b", false},
        {"/a/**", "/a", false},
        {"/a/**", "/a/b", true},
        {"/a/**", "/a/b/c/d", true},
        {"/a**", "/a", true},
        {"/a**", "/abc/d", true},
        {"/**", "/", true},
        {"/**", "/x/y", true},
        {"/a/**/b", "/a/b", true},
        {"/a/**/b", "/a/x/b", true},
        {"/a/**/b", "/a/x/y/b", true},
        {"/a/**/b", "/ab", false},
        {"/a/**/b", "/a/xb", false},
        {"/a/**b", "/a/xb", true},
        {"/a/**b", "/a/x/yb", true},
        {"/**/b", "/b", true},
        {"/**/b", "/a/b", true},
        {"/**/b", "/a/bb", false},
        {"/a/***/b", "/a/b", true},
        {"/**/*.db", "/x/y/z.db", true},
        {"/**/*.db", "/z.db", true},
        {"/**/*.db", "/z.db/x", false},
        {"/**/a/**/b", "/a/b", true},
        {"/**/a/**/b", "/b/a", false},
        {"/**/a/**/b", "/x/a/y/a/z/b", true},
        {"/[abc]", "/b", true},
        {"/[abc]", "/d", false},
        {"/[a-c]x", "/bx", true},
        {"/[a-cx-z]", "/y", true},
        {"/[!a]", "/b", true},
        {"/[^a]", "/a", false},
        {"/[!a]b", "//b", false},
        {"/[]a]", "/]", true},
        {"/[!]a]", "/]", false},
        {"/[!]a]", "/b", true},
        {"/[a-]", "/-", true},
        {"/[-a]", "/-", true},
        {"/[a\\]]", "/]", true},
        {"/[\\-a]", "/-", true},
        {"/[\\!a]", "/!", true},
        {"/[*]", "/*", true},
        {"/[*]", "/x", false},
        {"/\\*", "/*", true},
        {"/\\*", "/x", false},
        {"/\\**", "/*x", true},
        {"/\\**", "/x*", false},
        {"/\\[a]", "/[a]", true},
        {"/\\\\", "/\\", true},
        {"/\\a", "/a", true},
        {"/\xc3\xa4", "/\xc3\xa4", true},
        {"/?", "/\xc3\xa4", false},
        {"/[\x80-\xff]", "/\xc3", true},
        {"/[a", "/a", false},
        {"/[a", "/[a", false},
        {"/a\\", "/a\\", false},
        {"", "", true},
        {"", "/", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        unit_check(
            __FILE__, __LINE__, "match", matches(cases[i].pattern, cases[i].path) == cases[i].match,
            "pattern %s and path %s: wanted %d", cases[i].pattern, cases[i].path, cases[i].match);
}

static void test_faults(void)
{
    static const struct {
        const char *pattern, *fault; /* NULL: none */
        size_t offset;
    } cases[] = {
        {"/", NULL, 0},
        {"/a/[b-d]*/**/?\\*", NULL, 0},
        {"/a[]]", NULL, 0},
        {"/a b/c,d;e", NULL, 0},
        {"/a/.b/..c", NULL, 0},
        {"/a\\,/b", NULL, 0},
        {"/ab\\", "backslash", 3},
        {"/a[b", "not closed", 2},
        {"/a[b/c]", "not closed", 2},
        {"/a[", "not closed", 2},
        {"/a[]", "not closed", 2},
        {"/a[!]", "not closed", 2},
        {"/a[b\\", "not closed", 2},
        {"/a[b-", "not closed", 2},
        {"/a[b-\\", "not closed", 2},
        {"/a[b-/]", "not closed", 2},
        {"/a[z-a]", "backwards", 2},
        {"/a[[:alpha:]]", "classes", 2},
        {"/a/", "ends in a slash", 2},
        {"//a", "two slashes", 1},
        {"/a//b", "two slashes", 3},
        {"/a/./b", "'.'", 3},
        {"/a/.", "'.'", 3},
        {"/a/../b", "'..'", 3},
        {"/..", "'..'", 1},
        {"/a, /b", "more than one", 2},
        {"/a /b", "more than one", 2},
        {"/a;/b", "more than one", 2},
        {"/a,", "more than one", 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t offset = 0;
        const char *fault = conf_glob_fault(cases[i].pattern, strlen(cases[i].pattern), &offset);

        if (!cases[i].fault) {
            CHECK_STR(cases[i].pattern, fault, NULL);
            continue;
        }
        CHECK_HAS(cases[i].pattern, fault ? fault : "(no fault)", cases[i].fault);
        CHECK_HAS(cases[i].pattern, fault ? fault : "", "; ");
        CHECK_INT(cases[i].pattern, (long long)offset, (long long)cases[i].offset);
    }
}

static void test_might(void)
{
    static const struct {
        const char *pattern, *path;
        bool might;
    } cases[] = {
        {"/a/*", "/a/b", true},
        {"/a/*", "/a/b/c", false},
        {"srv/m/**", "/srv/m/x", true},
        {"m/**", "/srv/m/x", true},
        {"m/**", "/srv/mm/x", false},
        {"./m/*", "/srv/m/x", true},
        {"../m/*", "/srv/m/x", true},
        {"~/m/*", "/home/joe/m/x", true},
        {"$HOME/m/*", "/home/joe/m/x", true},
        {".m/*", "/home/joe/.m/x", true},
        {"\"/a/*\"", "/a/b", true},
        {"'/a/*',", "/a/b", true},
        {"//a/*", "/a/b", true},
        {"/a/[b/c", "/a/x/y", true},
        {"/a/[b/c", "/b/x", false},
        {"/a/b\\", "/a/bc", true},
        {"/a/*/[", "/a/x/y", true},
        {"/a/*/[", "/a/x", false},
        {"/a/, /b/", "/a/b", true},
        {"", "/a", false},
        {"\"\"", "/a", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        unit_check(__FILE__, __LINE__, "might",
                   conf_glob_might(cases[i].pattern, strlen(cases[i].pattern), cases[i].path,
                                   strlen(cases[i].path)) == cases[i].might,
                   "pattern %s and path %s: wanted %d", cases[i].pattern, cases[i].path,
                   cases[i].might);
}

/* The n-th string over an alphabet, shortest first. Returns its length. */
static size_t nth_string(size_t n, const char *alphabet, char *out)
{
    size_t base = strlen(alphabet), len = 0;

    for (; n > 0; n = (n - 1) / base)
        out[len++] = alphabet[(n - 1) % base];
    out[len] = '\0';
    return len;
}

/* All patterns of up to `longest` tokens against all paths of up to five characters. */
static void test_against_reference(const char *alphabet, size_t longest)
{
    size_t patterns = 1, paths = 1 + 3 + 9 + 27 + 81 + 243, wrong = 0, matched = 0, offset;
    char pattern[16], path[16];

    for (size_t i = 0, all = 1; i < longest; i++)
        patterns += all *= strlen(alphabet);
    for (size_t i = 0; i < patterns; i++) {
        size_t pattern_len = nth_string(i, alphabet, pattern);
        const char *fault = conf_glob_fault(pattern, pattern_len, &offset);

        /* Of the faults, the matcher stumbles only over what cannot be read. */
        if (fault && (strstr(fault, "backslash") || strstr(fault, "bracket")))
            continue;
        for (size_t j = 0; j < paths; j++) {
            size_t path_len = nth_string(j, "ab/", path);
            bool wanted = glob_reference(pattern, pattern_len, path, path_len);

            matched += wanted;
            if (conf_glob_match(pattern, pattern_len, path, path_len) != wanted && wrong++ == 0)
                CHECK_FAIL("reference", "pattern %s and path %s: wanted %d", pattern, path, wanted);
        }
    }
    CHECK("every small pattern and path: as the reference", wrong == 0);
    CHECK("some of them match", matched > 1000);
}

/* Longer random ones, poor in characters so that they match often. */
static void test_random(void)
{
    unsigned long long state = 88172645463325252ull;
    size_t wrong = 0;

    for (size_t i = 0; i < 300000; i++) {
        char pattern[24], path[24];
        size_t lens[2];

        for (size_t k = 0; k < 2; k++) {
            char *text = k ? path : pattern;

            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            unsigned long long bits = state;
            lens[k] = 4 + (bits >> 58) % 18;
            for (size_t j = 0; j < lens[k]; j++, bits = bits / 7 + state * (j + 3))
                text[j] = (k ? "aaab/a/" : "aa**?/b")[bits % 7];
            text[lens[k]] = '\0';
        }
        if (conf_glob_match(pattern, lens[0], path, lens[1]) !=
                glob_reference(pattern, lens[0], path, lens[1]) &&
            wrong++ == 0)
            CHECK_FAIL("random", "pattern %s and path %s", pattern, path);
    }
    CHECK("random patterns: as the reference", wrong == 0);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Backtracking without care takes exponential, or at least cubic, time for these. */
static void test_speed(void)
{
    static const struct {
        const char *repeat, *tail; /* the pattern: `repeat` up to 2000 bytes, then `tail` */
        const char *unit;          /* of the path */
    } cases[] = {
        {"*a", "b", "a"},       {"**a", "b", "a"},        {"**/*a", "b", "a/"}, {"?*", "b", "a"},
        {"*", "b", "a"},        {"[!b]*", "b", "a"},      {"a", "*b", "a"},     {"*/", "b", "a/"},
        {"**/a*a", "b", "aa/"}, {"**a*", "ab*c", "aab/"},
    };
    static char pattern[2100], path[4096];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t pattern_len = 1, path_len = 0, unit_len = strlen(cases[i].unit);
        double start = seconds();

        pattern[0] = '/';
        for (; pattern_len < 2000; pattern_len += strlen(cases[i].repeat))
            memcpy(pattern + pattern_len, cases[i].repeat, strlen(cases[i].repeat));
        memcpy(pattern + pattern_len, cases[i].tail, strlen(cases[i].tail));
        pattern_len += strlen(cases[i].tail);
        path[path_len++] = '/';
        for (; path_len + unit_len < sizeof path; path_len += unit_len)
            memcpy(path + path_len, cases[i].unit, unit_len);
        CHECK("no match", !conf_glob_match(pattern, pattern_len, path, path_len));
        CHECK("a pathological pattern takes less than 0.5 s", seconds() - start < 0.5);
    }
    /* One star behind `**`, and a long piece that almost fits everywhere: the cubic case. */
    memset(path, 'a', sizeof path);
    memcpy(pattern, "/**a*", 5);
    memset(pattern + 5, 'a', 1000);
    memcpy(pattern + 1005, "b", 1);
    path[0] = '/';
    for (size_t i = 1500; i < sizeof path; i += 1500)
        path[i] = '/';
    double start = seconds();
    CHECK("no match", !conf_glob_match(pattern, 1006, path, sizeof path));
    CHECK("the cubic case takes less than 0.5 s", seconds() - start < 0.5);
}

int main(void)
{
    test_cases();
    test_faults();
    test_might();
    test_against_reference("ab/*?", 6);
    test_against_reference("a[]-!\\*", 5);
    test_random();
    test_speed();
    return unit_end();
}
