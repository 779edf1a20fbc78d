/* Messages, and the spans that are shown in them. */
#include "conf/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 60  /* bytes of a value in a message */
#define FILE_MAX  120 /* bytes of the file's name: the end says more than the beginning */

static void write_message(const char *file, struct conf_error *err, unsigned line,
                          const char *format, va_list args)
{
    size_t file_len = strlen(file), size = sizeof err->text, len;
    bool cut = file_len > FILE_MAX;

    if (!err)
        return;
    err->line = line;
    snprintf(err->text, size, "%s%s:", cut ? "..." : "", cut ? file + file_len - FILE_MAX : file);
    len = strlen(err->text);
    if (line > 0)
        snprintf(err->text + len, size - len, "%u:", line);
    len = strlen(err->text);
    snprintf(err->text + len, size - len, " ");
    vsnprintf(err->text + len + 1, size - len - 1, format, args);
    for (char *p = err->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?'; /* from the file's name; it must stay one line */
}

int conf_fail(struct conf_parser *parser, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_message(parser->file, parser->err, line, format, args);
    va_end(args);
    return -EINVAL;
}

int conf_fail_file(const char *file, struct conf_error *err, int result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_message(file, err, 0, format, args);
    va_end(args);
    return result;
}

int conf_fail_memory(struct conf_parser *parser)
{
    return conf_fail_file(parser->file, parser->err, -ENOMEM,
                          "there is not enough memory to read the configuration; free some");
}

int conf_shown(struct conf_span span)
{
    size_t len = SHOWN_MAX;

    if (span.len <= SHOWN_MAX)
        return (int)span.len;
    while (len > SHOWN_MAX - 4 && ((unsigned char)span.at[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    return (int)len;
}

struct conf_span conf_span_of(const char *text)
{
    return (struct conf_span){.at = text, .len = strlen(text)};
}

bool conf_span_is(struct conf_span span, const char *text)
{
    return strlen(text) == span.len && memcmp(text, span.at, span.len) == 0;
}

char *conf_span_copy(struct conf_span span)
{
    return strndup(span.at, span.len);
}
