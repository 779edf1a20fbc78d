/* Checking and storing values, by the option's type. */
#include "conf/glob.h"
#include "conf/parse.h"
#include "conf/template.h"

#include <stdlib.h>
#include <string.h>

void *conf_holder(struct conf_parser *parser, enum conf_scope scope)
{
    struct conf *conf = parser->conf;

    return scope == CONF_IN_RULE ? (void *)&conf->rules[conf->n_rules - 1] : (void *)conf;
}

static void *field(struct conf_parser *parser, const struct conf_option *option)
{
    return (char *)conf_holder(parser, option->scope) + option->offset;
}

static int store_text(struct conf_parser *parser, const struct conf_option *option,
                      struct conf_span value)
{
    char **text = field(parser, option);

    *text = conf_span_copy(value);
    return *text ? 0 : conf_fail_memory(parser);
}

static int set_user(struct conf_parser *parser, const struct conf_option *option,
                    struct conf_span value)
{
    if (memchr(value.at, ':', value.len))
        return conf_fail(parser, parser->line,
                         "%s = '%.*s%s' has a colon in it; write only the name here, and put the "
                         "password into a file that 'password_file' names",
                         option->name, CONF_SHOW(value));
    return store_text(parser, option, value);
}

static int set_file(struct conf_parser *parser, const struct conf_option *option,
                    struct conf_span value)
{
    if (value.at[0] != '/')
        return conf_fail(parser, parser->line,
                         "%s = '%.*s%s' is not an absolute path; write it from the root on, "
                         "without quotes",
                         option->name, CONF_SHOW(value));
    return store_text(parser, option, value);
}

/* Adds the slash at the end where there is none. */
static int set_root(struct conf_parser *parser, const struct conf_option *option,
                    struct conf_span value)
{
    char **root = field(parser, option);
    const char *fault = NULL;
    bool complete = value.at[value.len - 1] == '/';

    if (value.at[0] != '/')
        fault = "does not begin with a slash; write a prefix such as /etcdflock/";
    else if (value.len == 1)
        fault = "is every key there is; write a prefix such as /etcdflock/";
    else if (value.len > CONF_KEY_MAX / 2)
        fault = "is longer than 512 bytes; write a shorter prefix";
    for (size_t i = 0; i < value.len && !fault; i++) {
        if (value.at[i] == ' ' || value.at[i] == '\t')
            fault = "has white space in it; write a prefix without blanks";
        else if (i > 0 && value.at[i] == '/' && value.at[i - 1] == '/')
            fault = "has an empty part ('//'); write one slash";
    }
    if (fault)
        return conf_fail(parser, parser->line, "%s = '%.*s%s' %s", option->name, CONF_SHOW(value),
                         fault);
    *root = malloc(value.len + 2);
    if (!*root)
        return conf_fail_memory(parser);
    memcpy(*root, value.at, value.len);
    memcpy(*root + value.len, "/", 2);
    if (complete)
        (*root)[value.len] = '\0';
    return 0;
}

static int fail_number(struct conf_parser *parser, const struct conf_option *option,
                       struct conf_span value, const char *what)
{
    return conf_fail(parser, parser->line,
                     "%s = '%.*s%s' is not %s; write %s from %u to %u, digits only", option->name,
                     CONF_SHOW(value), what, option->unit, option->min, option->max);
}

static int fail_range(struct conf_parser *parser, const struct conf_option *option,
                      struct conf_span value)
{
    return conf_fail(parser, parser->line, "%s = '%.*s%s' is out of range; write %s from %u to %u",
                     option->name, CONF_SHOW(value), option->unit, option->min, option->max);
}

/* Reads digits; stops adding up where the number is surely too large. */
static size_t read_digits(struct conf_span text, size_t at, unsigned long long *number)
{
    *number = 0;
    while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9') {
        if (*number < 1000000000000)
            *number = *number * 10 + (unsigned)(text.at[at] - '0');
        at++;
    }
    return at;
}

static int set_count(struct conf_parser *parser, const struct conf_option *option,
                     struct conf_span value)
{
    unsigned *count = field(parser, option);
    unsigned long long number;

    if (read_digits(value, 0, &number) < value.len)
        return fail_number(parser, option, value, "a whole number");
    if (number < option->min || number > option->max)
        return fail_range(parser, option, value);
    *count = (unsigned)number;
    return 0;
}

static int set_seconds(struct conf_parser *parser, const struct conf_option *option,
                       struct conf_span value)
{
    unsigned *ms = field(parser, option);
    unsigned long long whole, fraction = 0;
    size_t at = read_digits(value, 0, &whole), digits = 0;

    if (at > 0 && at < value.len && value.at[at] == '.') {
        digits = read_digits(value, at + 1, &fraction) - (at + 1);
        at += digits > 0 ? digits + 1 : 0;
    }
    if (at == 0 || at < value.len)
        return fail_number(parser, option, value, "a number");
    if (digits > 3)
        return conf_fail(parser, parser->line,
                         "%s = '%.*s%s' is finer than a millisecond; write at most three digits "
                         "after the point",
                         option->name, CONF_SHOW(value));
    for (; digits < 3; digits++)
        fraction *= 10;
    whole = whole * 1000 + fraction;
    if (whole < option->min * 1000ull || whole > option->max * 1000ull)
        return fail_range(parser, option, value);
    *ms = (unsigned)whole;
    return 0;
}

static int set_yes_no(struct conf_parser *parser, const struct conf_option *option,
                      struct conf_span value)
{
    bool *flag = field(parser, option);

    *flag = conf_span_is(value, "yes");
    if (!*flag && !conf_span_is(value, "no"))
        return conf_fail(parser, parser->line,
                         "%s = '%.*s%s' is neither yes nor no; write 'yes' or 'no'", option->name,
                         CONF_SHOW(value));
    return 0;
}

static int add_pattern(struct conf_parser *parser, struct conf_span value)
{
    struct conf_rule *rule = conf_holder(parser, CONF_IN_RULE);
    const char *fault;
    size_t offset, n = rule->n_paths;

    if (value.at[0] != '/')
        return conf_fail(parser, parser->line,
                         "path '%.*s%s' is not absolute; write it from the root on, without quotes",
                         CONF_SHOW(value));
    fault = conf_glob_fault(value.at, value.len, &offset);
    if (fault)
        return conf_fail(parser, parser->line, "path '%.*s%s', character %zu: %s", CONF_SHOW(value),
                         offset + 1, fault);
    if ((n & (n - 1)) == 0) { /* full: the room doubles */
        char **paths = realloc(rule->paths, (n ? 2 * n : 1) * sizeof *paths);

        if (!paths)
            return conf_fail_memory(parser);
        rule->paths = paths;
    }
    rule->paths[n] = conf_span_copy(value);
    if (!rule->paths[n])
        return conf_fail_memory(parser);
    rule->n_paths++;
    return 0;
}

static int set_template(struct conf_parser *parser, const struct conf_option *option,
                        struct conf_span value)
{
    char **text = field(parser, option);
    int result = store_text(parser, option, value);
    const char *fault;

    if (result < 0)
        return result;
    fault = conf_template_fault(*text);
    if (fault)
        return conf_fail(parser, parser->line, "key '%.*s%s': %s", CONF_SHOW(value), fault);
    return 0;
}

int conf_set(struct conf_parser *parser, const struct conf_option *option, struct conf_span value)
{
    if (value.len == 0)
        return conf_fail(parser, parser->line,
                         "'%s' has no value; write one after the '=', or take the line out",
                         option->name);
    switch (option->type) {
    case CONF_ENDPOINTS_TYPE:
        return conf_set_endpoints(parser, value);
    case CONF_USER_TYPE:
        return set_user(parser, option, value);
    case CONF_HOST_TYPE:
        return store_text(parser, option, value);
    case CONF_FILE_TYPE:
        return set_file(parser, option, value);
    case CONF_ROOT_TYPE:
        return set_root(parser, option, value);
    case CONF_COUNT_TYPE:
        return set_count(parser, option, value);
    case CONF_SECONDS_TYPE:
        return set_seconds(parser, option, value);
    case CONF_PATTERN_TYPE:
        return add_pattern(parser, value);
    case CONF_TEMPLATE_TYPE:
        return set_template(parser, option, value);
    case CONF_ON_LOST_TYPE:
        return conf_set_on_lost(parser, value);
    case CONF_YES_NO_TYPE:
        return set_yes_no(parser, option, value);
    }
    return conf_fail(parser, parser->line, "'%s' has no type; report this as a defect",
                     option->name);
}
