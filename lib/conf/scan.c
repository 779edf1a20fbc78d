/* The line scanner, and the guess whether a path is mapped. Heap-free: see scan.h. */
#include "conf/scan.h"

#include "conf/glob.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

struct conf_span conf_trim(struct conf_span span)
{
    while (span.len > 0 && is_space(span.at[0])) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && is_space(span.at[span.len - 1]))
        span.len--;
    return span;
}

static struct conf_span cut_comment(struct conf_span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '#' && (i == 0 || is_space(line.at[i - 1])))
            line.len = i;
    return line;
}

static struct conf_span between(const char *start, const char *end)
{
    return (struct conf_span){.at = start, .len = (size_t)(end - start)};
}

/* Splits a line that is neither empty nor a comment. */
static void classify(struct conf_span line, struct conf_item *item)
{
    const char *end = line.at + line.len;
    const char *mark;
    size_t i = 0;

    item->kind = CONF_MALFORMED;
    item->name = between(line.at, line.at);
    item->value = line;
    if (line.at[0] == '[') {
        mark = memchr(line.at, ']', line.len);
        if (mark && mark + 1 == end) {
            item->kind = CONF_SECTION;
            item->name = conf_trim(between(line.at + 1, mark));
            item->value = between(end, end);
        }
        return;
    }
    mark = memchr(line.at, '=', line.len);
    if (!mark)
        return;
    struct conf_span name = conf_trim(between(line.at, mark));
    while (i < name.len && is_word(name.at[i]))
        i++;
    if (name.len == 0 || i < name.len)
        return;
    item->kind = CONF_OPTION;
    item->name = name;
    item->value = conf_trim(between(mark + 1, end));
}

struct conf_cursor conf_start(const char *text, size_t len)
{
    struct conf_cursor cursor = {.line = 0};

    if (len == 0)
        text = ""; /* NULL is no place to point into */
    cursor.at = text;
    cursor.end = text + len;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        cursor.at += 3;
    return cursor;
}

void conf_next(struct conf_cursor *cursor, struct conf_item *item)
{
    while (cursor->at < cursor->end) {
        const char *start = cursor->at;
        const char *end = memchr(start, '\n', (size_t)(cursor->end - start));

        cursor->at = end ? end + 1 : cursor->end;
        cursor->line++;
        struct conf_span line = conf_trim(cut_comment(between(start, end ? end : cursor->end)));
        if (line.len > 0) {
            item->line = cursor->line;
            classify(line, item);
            return;
        }
    }
    item->kind = CONF_END;
    item->line = cursor->line > 0 ? cursor->line : 1;
    item->name = item->value = between(cursor->end, cursor->end);
}

/* Every option's name, whatever its section. */
static const char known_words[][16] = {
#define OPTION(scope, name, ...) #name,
#include "conf/options.def"
#undef OPTION
};

static bool is_word_for_other_things(struct conf_span name)
{
    if (name.len == 4 && memcmp(name.at, "path", 4) == 0)
        return false;
    for (size_t i = 0; i < sizeof known_words / sizeof known_words[0]; i++)
        if (strlen(known_words[i]) == name.len && memcmp(known_words[i], name.at, name.len) == 0)
            return true;
    return false;
}

/* Could a pattern begin at `p`, somewhere inside a text that starts at `start`? */
static bool begins_pattern(const char *start, const char *p)
{
    if (is_space(*p))
        return false;
    if (p == start || is_space(p[-1]))
        return true;
    return *p == '/' && strchr("\"'=:,;(<", p[-1]);
}

/* Does a word say more than "anything"? A lone star in a malformed line is more likely prose, and a
 * bracket at the start a section header. */
static bool says_something(struct conf_span word)
{
    if (word.at[0] == '[')
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (!strchr("*?/", word.at[i]))
            return true;
    return false;
}

static bool any_word_might(struct conf_span text, const char *path, size_t path_len)
{
    const char *end = text.at + text.len;

    for (const char *p = text.at; p < end; p++) {
        if (!begins_pattern(text.at, p))
            continue;
        const char *stop = p;
        while (stop < end && !is_space(*stop))
            stop++;
        struct conf_span word = between(p, stop);
        if (says_something(word) && conf_glob_might(word.at, word.len, path, path_len))
            return true;
    }
    return false;
}

static bool value_might(struct conf_span value, const char *path, size_t path_len)
{
    size_t offset;

    if (conf_glob_might(value.at, value.len, path, path_len))
        return true;
    if (value.len == 0 || (value.at[0] == '/' && !conf_glob_fault(value.at, value.len, &offset)))
        return false;
    return any_word_might(value, path, path_len);
}

bool conf_may_map(const char *text, size_t len, const char *path)
{
    struct conf_cursor cursor = conf_start(text, len);
    struct conf_item item;
    size_t path_len = strlen(path);

    if (len > 0 && memchr(text, '\0', len))
        return true;
    for (conf_next(&cursor, &item); item.kind != CONF_END; conf_next(&cursor, &item)) {
        if (item.name.len + item.value.len > CONF_LINE_MAX)
            return true;
        if (item.kind == CONF_MALFORMED && any_word_might(item.value, path, path_len))
            return true;
        if (item.kind == CONF_OPTION && !is_word_for_other_things(item.name) &&
            value_might(item.value, path, path_len))
            return true;
    }
    return false;
}
