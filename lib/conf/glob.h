/* Path patterns: `*`, `?` and `[...]` within a part of a path, `**` across parts. No heap. */
#ifndef ETCDFLOCK_CONF_GLOB_H
#define ETCDFLOCK_CONF_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern match the whole path? `*` and `?` never match a slash, nor does a bracket
 * expression; `**` matches any characters, slashes included, and "/" followed by `**` and "/" also matches one slash. A
 * backslash takes the next character literally. `[!x]` and `[^x]` negate. Bytes, not characters of a
 * locale. Time is at most quadratic. */
bool conf_glob_match(const char *pattern, size_t pattern_len, const char *path, size_t path_len);

/* NULL if the pattern is well formed, else what is wrong with it, as a phrase for an error message;
 * *offset is where the fault starts. */
const char *conf_glob_fault(const char *pattern, size_t len, size_t *offset);

#endif
