/* What the files behind conf_parse share. */
#ifndef ETCDFLOCK_CONF_PARSE_H
#define ETCDFLOCK_CONF_PARSE_H

#include "conf/conf.h"
#include "conf/options.h"
#include "conf/scan.h"

struct conf_parser {
    const char *file;
    struct conf_error *err;
    struct conf *conf;
    unsigned line;                         /* being read */
    enum conf_scope scope;                 /* of the section being read */
    unsigned section_line[CONF_SCOPES];    /* of its latest header; 0: none */
    unsigned seen_line[CONF_OPTION_COUNT]; /* where an option was given; 0: not (yet) */
    unsigned *key_line;                    /* of each rule's `key`, or its header's */
};

/* Writes the message and returns -EINVAL, or what else `result` is in the second. */
int conf_fail(struct conf_parser *parser, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int conf_fail_file(const char *file, struct conf_error *err, int result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int conf_fail_memory(struct conf_parser *parser);

/* A span in a message: the format is "'%.*s%s'", long ones are cut. */
#define CONF_SHOW(span)                                                                            \
    conf_shown(span), (span).at, (span).len > (size_t)conf_shown(span) ? "..." : ""
int conf_shown(struct conf_span span);

struct conf_span conf_span_of(const char *text);
bool conf_span_is(struct conf_span span, const char *text);
char *conf_span_copy(struct conf_span span);

/* What an option or a default belongs to: the latest rule for CONF_IN_RULE, else the whole. */
void *conf_holder(struct conf_parser *parser, enum conf_scope scope);

/* Checks a value and stores it. Returns 0, or a negative errno with the message written. */
int conf_set(struct conf_parser *parser, const struct conf_option *option, struct conf_span value);

/* The types that are a matter of their own; see enum conf_type. */
int conf_set_endpoints(struct conf_parser *parser, struct conf_span value);
int conf_set_on_lost(struct conf_parser *parser, struct conf_span value);

/* No byte that has no place in a text, no line too long. */
int conf_check_text(struct conf_parser *parser, const char *text, size_t len);

/* The section that ends here is complete; what was not given gets its default. */
int conf_finish_section(struct conf_parser *parser, enum conf_scope scope);

/* What can only be judged at the end: `last_line` is reported for what is missing altogether. */
int conf_check_whole(struct conf_parser *parser, unsigned last_line);

/* The reserved section that `name` is probably a misspelling of, or NULL. */
const char *conf_reserved_near(const char *name);

#endif
