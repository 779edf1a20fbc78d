#include "cli/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Bytes of the character at the start of a terminated text, and the character itself; 0 if it is
 * not UTF-8 (RFC 3629: the shortest form only, no surrogates, up to U+10FFFF). */
static size_t decode(const char *at, uint32_t *out)
{
    const unsigned char *p = (const unsigned char *)at;
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (len == 0 || p[0] > 0xf4)
        return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *out = c;
    return len;
}

static bool steers_terminal(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

char *text_shown(const char *raw)
{
    char *shown = cli_need(malloc(strlen(raw) + 1));
    char *end = shown;
    while (*raw) {
        uint32_t c;
        size_t len = decode(raw, &c);
        if (len == 0 || steers_terminal(c)) {
            *end++ = '?';
            raw += len ? len : 1;
            continue;
        }
        memcpy(end, raw, len);
        end += len;
        raw += len;
    }
    *end = '\0';
    return shown;
}

char *text_valid(const char *raw)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const size_t replacement_len = sizeof replacement - 1;
    char *valid = cli_need(malloc(strlen(raw) * replacement_len + 1));
    char *end = valid;
    while (*raw) {
        uint32_t c;
        size_t len = decode(raw, &c);
        memcpy(end, len ? raw : replacement, len ? len : replacement_len);
        end += len ? len : replacement_len;
        raw += len ? len : 1;
    }
    *end = '\0';
    return valid;
}

void text_age(int64_t ms, char out[TEXT_AGE_MAX])
{
    static const struct {
        int64_t seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    const size_t n = sizeof units / sizeof *units;
    int64_t left = ms > 0 ? ms / 1000 : 0; /* clocks of hosts differ: nothing is younger than 0 */
    size_t at = 0;
    while (at < n - 1 && left < units[at].seconds)
        at++;
    int len =
        snprintf(out, TEXT_AGE_MAX, "%" PRId64 "%c", left / units[at].seconds, units[at].name);
    left %= units[at].seconds;
    if (at + 1 < n && left >= units[at + 1].seconds)
        snprintf(out + len, TEXT_AGE_MAX - (size_t)len, "%" PRId64 "%c",
                 left / units[at + 1].seconds, units[at + 1].name);
}

void text_table_add(struct text_table *table, const char *const *row)
{
    if (table->n + table->columns > table->room) {
        table->room = (table->n + table->columns) * 2;
        table->cells = cli_need(realloc(table->cells, table->room * sizeof *table->cells));
    }
    for (size_t i = 0; i < table->columns; i++)
        table->cells[table->n++] = text_shown(row[i][0] ? row[i] : "-");
}

/* Characters, which is close enough to columns of a terminal. */
static size_t width(const char *shown)
{
    size_t n = 0;
    for (; *shown; shown++)
        n += ((unsigned char)*shown & 0xc0) != 0x80;
    return n;
}

static size_t column_width(const struct text_table *table, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < table->n; i += table->columns) {
        size_t own = width(table->cells[i]);
        widest = own > widest ? own : widest;
    }
    return widest;
}

void text_table_print(const struct text_table *table, FILE *out)
{
    if (table->columns == 0)
        return;
    size_t *widths = cli_need(calloc(table->columns + 1, sizeof *widths));
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = column_width(table, i);
    for (size_t i = 0; i < table->n; i++) {
        const char *cell = table->cells[i];
        bool last = (i + 1) % table->columns == 0;
        int padding = last ? 0 : (int)(widths[i % table->columns] - width(cell));
        fprintf(out, "%s%*s%s", cell, padding, "", last ? "\n" : "  ");
    }
    free(widths);
}

void text_table_free(struct text_table *table)
{
    for (size_t i = 0; i < table->n; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->n = table->room = 0;
}
