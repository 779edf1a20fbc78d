/* What conf_glob_match must answer, written to be read and not to be fast: every choice of every
 * star is tried. For patterns without a fault and of at most GLOB_REFERENCE_MAX bytes. */
#ifndef ETCDFLOCK_TESTS_GLOB_REFERENCE_H
#define ETCDFLOCK_TESTS_GLOB_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define GLOB_REFERENCE_MAX 64

struct glob_reference {
    const char *pattern, *path;
    size_t pattern_len, path_len;
    /* 0: not known yet, 1: no, 2: yes; for the rest of the pattern and the rest of the path */
    unsigned char known[GLOB_REFERENCE_MAX + 1][GLOB_REFERENCE_MAX + 1];
};

static bool glob_reference_at(struct glob_reference *g, size_t p, size_t t);

/* One byte of a bracket expression, after any backslash. */
static size_t glob_reference_byte(const struct glob_reference *g, size_t p, unsigned char *c)
{
    if (g->pattern[p] == '\\')
        p++;
    *c = (unsigned char)g->pattern[p];
    return p + 1;
}

static bool glob_reference_bracket(const struct glob_reference *g, size_t *p, unsigned char c)
{
    size_t at = *p + 1, first;
    bool negated = g->pattern[at] == '!' || g->pattern[at] == '^', found = false;

    first = at += negated;
    while (at == first || g->pattern[at] != ']') {
        unsigned char low, high;

        at = glob_reference_byte(g, at, &low);
        high = low;
        if (g->pattern[at] == '-' && g->pattern[at + 1] != ']')
            at = glob_reference_byte(g, at + 1, &high);
        if (low <= c && c <= high)
            found = true;
    }
    *p = at + 1;
    return found != negated && c != '/';
}

static bool glob_reference_star(struct glob_reference *g, size_t p, size_t t)
{
    size_t stars = 0;

    while (p + stars < g->pattern_len && g->pattern[p + stars] == '*')
        stars++;
    if (stars > 1 && p > 0 && g->pattern[p - 1] == '/' && p + stars < g->pattern_len &&
        g->pattern[p + stars] == '/' && glob_reference_at(g, p + stars + 1, t))
        return true;
    for (;; t++) {
        if (glob_reference_at(g, p + stars, t))
            return true;
        if (t == g->path_len || (stars == 1 && g->path[t] == '/'))
            return false;
    }
}

static bool glob_reference_one(struct glob_reference *g, size_t p, size_t t)
{
    char c;

    if (p == g->pattern_len)
        return t == g->path_len;
    if (g->pattern[p] == '*')
        return glob_reference_star(g, p, t);
    if (t == g->path_len)
        return false;
    c = g->path[t];
    switch (g->pattern[p]) {
    case '?':
        return c != '/' && glob_reference_at(g, p + 1, t + 1);
    case '[':
        return glob_reference_bracket(g, &p, (unsigned char)c) && glob_reference_at(g, p, t + 1);
    case '\\':
        return g->pattern[p + 1] == c && glob_reference_at(g, p + 2, t + 1);
    default:
        return g->pattern[p] == c && glob_reference_at(g, p + 1, t + 1);
    }
}

static bool glob_reference_at(struct glob_reference *g, size_t p, size_t t)
{
    if (g->known[p][t] == 0)
        g->known[p][t] = glob_reference_one(g, p, t) ? 2 : 1;
    return g->known[p][t] == 2;
}

static bool glob_reference(const char *pattern, size_t pattern_len, const char *path,
                           size_t path_len)
{
    struct glob_reference g = {.pattern = pattern, .path = path};

    g.pattern_len = pattern_len;
    g.path_len = path_len;
    return glob_reference_at(&g, 0, 0);
}

#endif
