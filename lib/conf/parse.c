/* From text to struct conf: sections and options in the order of the file. */
#include "conf/parse.h"
#include "conf/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTION_NAME_MAX 64

static const char *const scope_names[] = {"[etcd]", "[agent]", "a section of your own"};

static const char *section_fault(struct conf_span name)
{
    if (name.len == 0)
        return "the section has no name; write one in the brackets, such as [jobs]";
    if (name.len > SECTION_NAME_MAX)
        return "the section's name is longer than 64 bytes; write a shorter one";
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && !strchr("_-.", c))
            return "a section's name is one word; use only letters, digits, '_', '-' and '.'";
    }
    return NULL;
}

/* Makes room for one more rule and clears it. */
static int add_rule(struct conf_parser *parser, struct conf_span name)
{
    struct conf *conf = parser->conf;
    size_t n = conf->n_rules;

    for (size_t i = 0; i < n; i++)
        if (conf_span_is(name, conf->rules[i].name))
            return conf_fail(parser, parser->line,
                             "section [%.*s%s] is already there in line %u; give this one another "
                             "name",
                             CONF_SHOW(name), conf->rules[i].line);
    if (n == CONF_RULES)
        return conf_fail(parser, parser->line,
                         "there are more than %d sections; use patterns and {name} or {path}, so "
                         "that one section serves many files",
                         CONF_RULES);
    if ((n & (n - 1)) == 0) { /* full: the room doubles */
        size_t room = n ? 2 * n : 1;
        struct conf_rule *rules = realloc(conf->rules, room * sizeof *rules);

        if (!rules)
            return conf_fail_memory(parser);
        conf->rules = rules;
        unsigned *lines = realloc(parser->key_line, room * sizeof *lines);
        if (!lines)
            return conf_fail_memory(parser);
        parser->key_line = lines;
    }
    conf->rules[n] = (struct conf_rule){.line = parser->line, .name = conf_span_copy(name)};
    if (!conf->rules[n].name)
        return conf_fail_memory(parser);
    conf->n_rules++;
    for (size_t i = 0; i < CONF_OPTION_COUNT; i++)
        if (conf_options[i].scope == CONF_IN_RULE)
            parser->seen_line[i] = 0;
    return 0;
}

static int open_section(struct conf_parser *parser, struct conf_span name)
{
    const char *fault = section_fault(name);
    int result = 0;

    if (fault)
        return conf_fail(parser, parser->line, "%s", fault);
    if (conf_span_is(name, "etcd"))
        parser->scope = CONF_IN_ETCD;
    else if (conf_span_is(name, "agent"))
        parser->scope = CONF_IN_AGENT;
    else
        parser->scope = CONF_IN_RULE;
    if (parser->scope == CONF_IN_RULE)
        result = add_rule(parser, name);
    else if (parser->section_line[parser->scope] > 0)
        return conf_fail(parser, parser->line,
                         "section %s is already there in line %u; put its options together",
                         scope_names[parser->scope], parser->section_line[parser->scope]);
    parser->section_line[parser->scope] = parser->line;
    return result;
}

static int fail_stray(struct conf_parser *parser, struct conf_span name)
{
    return conf_fail(parser, parser->line,
                     "'%.*s%s' stands before any section; put a line such as [etcd] or [jobs] "
                     "above it",
                     CONF_SHOW(name));
}

/* The options of a section, as a list for a message and as words to compare with. */
static size_t list_words(enum conf_scope scope, const char **words, char *list, size_t size)
{
    size_t n = 0, len = 0;

    for (size_t i = 0; i < CONF_OPTION_COUNT; i++) {
        if (conf_options[i].scope != scope)
            continue;
        words[n++] = conf_options[i].name;
        if (len < size)
            len += (size_t)snprintf(list + len, size - len, "%s%s", n > 1 ? ", " : "",
                                    conf_options[i].name);
    }
    return n;
}

/* The option belongs to another kind of section. */
static int fail_misplaced(struct conf_parser *parser, struct conf_span name, const char *here,
                          enum conf_scope other)
{
    const char *near = NULL;

    if (parser->scope == CONF_IN_RULE)
        near = conf_reserved_near(((struct conf_rule *)conf_holder(parser, CONF_IN_RULE))->name);
    if (near)
        return conf_fail(parser, parser->line,
                         "'%.*s%s' is no option of [%s]; did you mean the section [%s]?",
                         CONF_SHOW(name), here, near);
    return conf_fail(parser, parser->line, "'%.*s%s' is no option of [%s]; move it to %s",
                     CONF_SHOW(name), here, scope_names[other]);
}

static int fail_unknown(struct conf_parser *parser, struct conf_span name)
{
    static const enum conf_scope order[] = {CONF_IN_RULE, CONF_IN_ETCD, CONF_IN_AGENT};
    const char *words[CONF_OPTION_COUNT], *near;
    char list[256] = "", here[SECTION_NAME_MAX + 1] = "etcd";
    size_t n = list_words(parser->scope, words, list, sizeof list);

    if (parser->scope == CONF_IN_AGENT)
        snprintf(here, sizeof here, "agent");
    if (parser->scope == CONF_IN_RULE)
        snprintf(here, sizeof here, "%s",
                 ((struct conf_rule *)conf_holder(parser, CONF_IN_RULE))->name);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (conf_option_find(order[i], name))
            return fail_misplaced(parser, name, here, order[i]);
    near = conf_suggest(name, words, n);
    if (near)
        return conf_fail(parser, parser->line,
                         "there is no option '%.*s%s' in [%s]; did you mean '%s'?", CONF_SHOW(name),
                         here, near);
    return conf_fail(parser, parser->line,
                     "there is no option '%.*s%s' in [%s]; the options there are %s",
                     CONF_SHOW(name), here, list);
}

static int read_option(struct conf_parser *parser, const struct conf_item *item)
{
    const struct conf_option *option;
    unsigned *seen;

    if (parser->scope == CONF_SCOPES)
        return fail_stray(parser, item->name);
    option = conf_option_find(parser->scope, item->name);
    if (!option)
        return fail_unknown(parser, item->name);
    seen = &parser->seen_line[option - conf_options];
    if (*seen > 0 && option->type != CONF_PATTERN_TYPE)
        return conf_fail(parser, parser->line,
                         "'%s' is already given in line %u; keep one of the two", option->name,
                         *seen);
    *seen = parser->line;
    return conf_set(parser, option, item->value);
}

static int fail_malformed(struct conf_parser *parser, struct conf_span line)
{
    if (line.at[0] == '[')
        return conf_fail(parser, parser->line,
                         "'%.*s%s' is no section header; write [NAME] and nothing else in the line",
                         CONF_SHOW(line));
    if (line.at[0] == '=')
        return conf_fail(parser, parser->line,
                         "there is no option before the '='; write OPTION = VALUE");
    if (!memchr(line.at, '=', line.len))
        return conf_fail(parser, parser->line,
                         "'%.*s%s' is neither a section nor an option: there is no '='; write "
                         "[NAME] or OPTION = VALUE",
                         CONF_SHOW(line));
    return conf_fail(parser, parser->line,
                     "'%.*s%s' does not begin with an option's name and '='; write OPTION = VALUE",
                     CONF_SHOW(line));
}

static int read_items(struct conf_parser *parser, const char *text, size_t len)
{
    struct conf_cursor cursor = conf_start(text, len);
    struct conf_item item;
    int result = 0;

    while (result == 0) {
        conf_next(&cursor, &item);
        if ((item.kind == CONF_SECTION || item.kind == CONF_END) && parser->scope != CONF_SCOPES) {
            result = conf_finish_section(parser, parser->scope);
            if (result < 0)
                return result;
        }
        parser->line = item.line;
        switch (item.kind) {
        case CONF_SECTION:
            result = open_section(parser, item.name);
            break;
        case CONF_OPTION:
            result = read_option(parser, &item);
            break;
        case CONF_MALFORMED:
            result = fail_malformed(parser, item.value);
            break;
        case CONF_END:
            return conf_check_whole(parser, item.line);
        }
    }
    return result;
}

int conf_parse(const char *text, size_t len, const char *file, struct conf **out,
               struct conf_error *err)
{
    struct conf_parser parser = {.file = file, .err = err, .scope = CONF_SCOPES};
    int result;

    parser.conf = calloc(1, sizeof *parser.conf);
    if (!parser.conf)
        return conf_fail_memory(&parser);
    parser.conf->file = strdup(file);
    result = parser.conf->file ? 0 : conf_fail_memory(&parser);
    if (result == 0)
        result = conf_check_text(&parser, text, len);
    if (result == 0)
        result = read_items(&parser, text, len);
    free(parser.key_line);
    if (result < 0)
        conf_free(parser.conf);
    else
        *out = parser.conf;
    return result;
}
