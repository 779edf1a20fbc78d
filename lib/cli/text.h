/* Text for people and for JSON: names that came from anywhere, ages, aligned tables. */
#ifndef ETCDFLOCK_CLI_TEXT_H
#define ETCDFLOCK_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Fit for a terminal, on the heap: whatever could steer it (control characters, changes of the
 * writing direction) and whatever is not UTF-8 becomes `?`. Never NULL. */
char *text_shown(const char *raw);

/* Valid UTF-8, on the heap: each byte that is none becomes U+FFFD. Never NULL. */
char *text_valid(const char *raw);

/* 3s, 2m10s, 5h, 1d2h: the two largest units, without those that are zero. */
#define TEXT_AGE_MAX 32
void text_age(int64_t ms, char out[TEXT_AGE_MAX]);

/* Rows of cells with columns as wide as what is in them. All zero but for `columns` at first. */
struct text_table {
    size_t columns;
    char **cells;
    size_t n, room; /* of cells */
};

/* `columns` texts, made fit for a terminal; an empty one is shown as `-`. */
void text_table_add(struct text_table *table, const char *const *row);
void text_table_print(const struct text_table *table, FILE *out);
void text_table_free(struct text_table *table);

#endif
