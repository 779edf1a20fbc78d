/*
 * Reading etcdflock.conf line by line, without heap or stdio: the part of the configuration that is
 * shared with the preload library.
 */
#ifndef ETCDFLOCK_CONF_SCAN_H
#define ETCDFLOCK_CONF_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_LINE_MAX 4096 /* bytes of a line, without its end */

/* A piece of the caller's text; not terminated, never owned. */
struct conf_span {
    const char *at;
    size_t len;
};

enum conf_kind {
    CONF_END,       /* no more lines */
    CONF_SECTION,   /* [name] */
    CONF_OPTION,    /* name = value */
    CONF_MALFORMED, /* neither; `value` is the whole line, trimmed */
};

struct conf_item {
    enum conf_kind kind;
    unsigned line;         /* counted from 1; at the end: the last line of the text */
    struct conf_span name; /* section or option name, trimmed; the latter is one word */
    struct conf_span value;
};

struct conf_cursor {
    const char *at, *end;
    unsigned line;
};

/* A byte order mark (UTF-8) at the start is passed over. */
struct conf_cursor conf_start(const char *text, size_t len);

/* Steps to the next item; comments and empty lines are passed over. A value runs to the end of
 * the line, trimmed; `#` starts a comment only at the start of a line or after white space. */
void conf_next(struct conf_cursor *cursor, struct conf_item *item);

/* Takes white space off both ends. */
struct conf_span conf_trim(struct conf_span span);

/* Could this absolute path be mapped by this configuration text, be it well formed or not?
 *
 * True if any `path` line of a user's section matches; for a well-formed text that is the whole
 * rule, and the answer is that of conf_find. So that a slip of the pen never turns a cluster lock
 * into a lock on one host only, lines that are not well formed count too: the value of any option
 * that is no known word and every word of a malformed line are taken for patterns, and patterns
 * that are not sound are read generously (conf_glob_might). A text with a zero byte or with an
 * item longer than CONF_LINE_MAX is no configuration at all and might have mapped anything.
 *
 * The agent has the last word; this only decides whether to ask it. */
bool conf_may_map(const char *text, size_t len, const char *path);

#endif
