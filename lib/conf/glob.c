/*
 * Matching without memory. It is enough to remember the latest `*` and the latest `**`: whatever
 * an earlier one could take, a later one can take too, so going back further never helps.
 */
#include "conf/glob.h"

#include <string.h>

#define ANYWHERE 1u /* the pattern may begin after any slash of the path */
#define BEGINS   2u /* it is enough that a beginning of the path matches */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Reads one member of a bracket expression, a byte or a range. False: the text ends first. */
static bool take_member(const char **at, const char *end, unsigned char *low, unsigned char *high)
{
    const char *p = *at;

    if (p < end && *p == '\\')
        p++;
    if (p >= end || *p == '/')
        return false;
    *low = *high = (unsigned char)*p++;
    if (end - p >= 2 && p[0] == '-' && p[1] != ']') {
        p++;
        if (*p == '\\')
            p++;
        if (p >= end || *p == '/')
            return false;
        *high = (unsigned char)*p++;
    }
    *at = p;
    return true;
}

static const char *skip_negation(const char *p, const char *end, bool *negated)
{
    *negated = p < end && (*p == '!' || *p == '^');
    return *negated ? p + 1 : p;
}

/* Looks for `c` in the bracket expression that opens at `p`. Returns what follows the closing
 * bracket, NULL if there is none. */
static const char *match_bracket(const char *p, const char *end, unsigned char c, bool *hit)
{
    unsigned char low, high;
    bool negated, found = false;

    p = skip_negation(p + 1, end, &negated);
    do {
        if (!take_member(&p, end, &low, &high))
            return NULL;
        if (low <= c && c <= high)
            found = true;
    } while (p < end && *p != ']');
    if (p == end)
        return NULL;
    *hit = found != negated && c != '/';
    return p + 1;
}

/* Does the single-character token at *at (anything but a star) match `c`? Steps over it if so. */
static bool match_one(const char **at, const char *end, char c)
{
    const char *p = *at;
    bool hit = false;

    switch (*p) {
    case '?':
        hit = c != '/';
        p++;
        break;
    case '[':
        p = match_bracket(p, end, (unsigned char)c, &hit);
        break;
    case '\\':
        if (end - p < 2)
            return false;
        hit = p[1] == c;
        p += 2;
        break;
    default:
        hit = *p == c;
        p++;
    }
    if (hit)
        *at = p;
    return hit;
}

struct star {
    const char *pattern; /* what follows the star; NULL: there is none */
    const char *text;    /* the end of what the star has taken */
    bool parts;          /* for `**` between slashes: takes nothing, or up to and with a slash */
};

/* Lets the latest `**` take more text. `first` is where the first `*` behind it began, or NULL.
 *
 * That `*` has seen all of its part of the path and the rest of the pattern fitted nowhere, so it
 * must begin in a later part next time: the `**` may skip what lies between. Without this skip a
 * pattern such as `**a*b` takes cubic time. */
static bool extend_deep(struct star *deep, const char *first, const char *end)
{
    const char *slash;

    if (!deep->pattern)
        return false;
    if (first) {
        slash = memchr(first, '/', (size_t)(end - first));
        if (!slash)
            return false;
        deep->text += slash - first;
    }
    if (deep->parts) {
        slash = memchr(deep->text, '/', (size_t)(end - deep->text));
        if (!slash)
            return false;
        deep->text = slash;
    }
    if (deep->text == end)
        return false;
    deep->text++;
    return true;
}

/* Steps over the run of stars at `p`, which becomes the latest `*` or `**`. */
static const char *take_stars(const char *pattern, const char *p, const char *end, const char *text,
                              struct star *star, struct star *deep)
{
    const char *run = p;

    while (p < end && *p == '*')
        p++;
    if (p - run == 1) {
        *star = (struct star){.pattern = p, .text = text};
        return p;
    }
    bool parts = run > pattern && run[-1] == '/' && p < end && *p == '/';
    if (parts)
        p++;
    *deep = (struct star){.pattern = p, .text = text, .parts = parts};
    *star = (struct star){.pattern = NULL};
    return p;
}

static bool match(const char *pattern, size_t pattern_len, const char *path, size_t path_len,
                  unsigned flags)
{
    const char *p = pattern, *p_end = pattern + pattern_len;
    const char *t = path, *t_end = path + path_len;
    const char *first = NULL; /* where the first `*` since the latest `**` began */
    struct star star = {.pattern = NULL}, deep = {.pattern = NULL};

    if (flags & ANYWHERE) {
        if (path_len == 0)
            return false;
        deep = (struct star){.pattern = p, .text = ++t, .parts = true};
    }
    for (;;) {
        if (p == p_end && (t == t_end || (flags & BEGINS)))
            return true;
        if (p < p_end && *p == '*') {
            p = take_stars(pattern, p, p_end, t, &star, &deep);
            if (!star.pattern)
                first = NULL;
            else if (!first)
                first = t;
        } else if (p < p_end && t < t_end && match_one(&p, p_end, *t)) {
            t++;
        } else if (star.pattern && star.text < t_end && *star.text != '/') {
            p = star.pattern;
            t = ++star.text;
        } else if (extend_deep(&deep, first, t_end)) {
            p = deep.pattern;
            t = deep.text;
            star.pattern = first = NULL;
        } else {
            return false;
        }
    }
}

bool conf_glob_match(const char *pattern, size_t pattern_len, const char *path, size_t path_len)
{
    return match(pattern, pattern_len, path, path_len, 0);
}

/* Steps over the bracket expression that opens at *at, or says what is wrong with it. */
static const char *bracket_fault(const char **at, const char *end)
{
    const char *p;
    unsigned char low, high;
    bool negated;

    p = skip_negation(*at + 1, end, &negated);
    do {
        if (end - p >= 2 && p[0] == '[' && (p[1] == ':' || p[1] == '=' || p[1] == '.'))
            return "character classes such as [:alpha:] are not known; write a range such as [a-z]";
        if (!take_member(&p, end, &low, &high))
            p = end;
        else if (low > high)
            return "the range in brackets runs backwards; write the lower character first";
    } while (p < end && *p != ']');
    if (p == end)
        return "the bracket '[' is not closed before the next slash; close it with ']', or write "
               "\\[ for a bracket that belongs to a name";
    *at = p + 1;
    return NULL;
}

/* `p` is at a slash: what is wrong with the part of the path that begins after it? */
static const char *part_fault(const char *p, const char *end)
{
    size_t left = (size_t)(end - p) - 1;

    if (left >= 1 && p[1] == '/')
        return "there are two slashes in a row, which no path has; write one";
    if (left >= 1 && p[1] == '.' &&
        (left == 1 || p[2] == '/' || (p[2] == '.' && (left == 2 || p[3] == '/'))))
        return "there is a part '.' or '..', which no resolved path has; write the path without it";
    return NULL;
}

/* Is `p` at something that looks like the end of one pattern in a list of several? */
static bool ends_list_item(const char *p, const char *end)
{
    bool comma = false;

    if (*p != ',' && *p != ';' && !is_blank(*p))
        return false;
    for (; p < end && (*p == ',' || *p == ';' || is_blank(*p)); p++)
        comma = comma || !is_blank(*p);
    return p == end ? comma : *p == '/';
}

const char *conf_glob_fault(const char *pattern, size_t len, size_t *offset)
{
    const char *p = pattern, *end = pattern + len, *fault = NULL;

    while (p < end) {
        *offset = (size_t)(p - pattern);
        switch (*p) {
        case '\\':
            if (end - p < 2)
                return "it ends in a backslash with nothing to take literally; write \\\\ for a "
                       "backslash";
            p += 2;
            continue;
        case '[':
            fault = bracket_fault(&p, end);
            if (fault)
                return fault;
            continue;
        case '/':
            if (len > 1 && end - p == 1)
                return "it ends in a slash, which no path does; write DIR/** for what is in a "
                       "directory, DIR for the directory itself";
            ++*offset;
            fault = part_fault(p, end);
            break;
        default:
            if (ends_list_item(p, end))
                fault = "this looks like more than one pattern; write one 'path' line for each, "
                        "and a backslash before a comma or blank that belongs to a name";
        }
        if (fault)
            return fault;
        p++;
    }
    return NULL;
}

/* Drops what people put around or before a path: quotes, `./`, `~/`, `$HOME/`, extra slashes. */
static void strip_dressing(const char **at, const char **end)
{
    const char *p = *at, *e = *end, *slash;

    while (p < e && (*p == '"' || *p == '\''))
        p++;
    if (p > *at)
        while (e > p && (e[-1] == '"' || e[-1] == '\'' || e[-1] == ',' || e[-1] == ';'))
            e--;
    while (p < e && (*p == '.' || *p == '~' || *p == '$')) {
        slash = memchr(p, '/', (size_t)(e - p));
        if (!slash || (*p == '.' && slash - p > 1 && (p[1] != '.' || slash - p > 2)))
            break;
        p = slash + 1;
    }
    while (e - p >= 2 && p[0] == '/' && p[1] == '/')
        p++;
    *at = p;
    *end = e;
}

bool conf_glob_might(const char *pattern, size_t len, const char *path, size_t path_len)
{
    const char *end = pattern + len;
    unsigned flags = 0;
    size_t sound;

    strip_dressing(&pattern, &end);
    len = (size_t)(end - pattern);
    if (len == 0)
        return false;
    if (*pattern != '/')
        flags |= ANYWHERE;
    if (conf_glob_fault(pattern, len, &sound)) {
        len = sound;
        flags |= BEGINS;
    }
    return match(pattern, len, path, path_len, flags);
}
