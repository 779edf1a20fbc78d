/*
 * Path patterns: `*`, `?` and `[...]` within a part of a path, `**` across parts. Shared with the
 * preload library: no heap, no locale, no recursion, bytes and not characters.
 */
#ifndef ETCDFLOCK_CONF_GLOB_H
#define ETCDFLOCK_CONF_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern match the whole path? `*` and `?` never match a slash, nor does a bracket
 * expression; `**` matches any characters, slashes included, and "/" followed by `**` and "/" also
 * matches one slash. A dot at the start of a name is a character like any other. A backslash takes
 * the next character literally, in brackets too. `[!x]` and `[^x]` negate; a `]` right after the
 * opening is a member. A pattern with a fault matches nothing. Time is at most the product of the
 * two lengths. */
bool conf_glob_match(const char *pattern, size_t pattern_len, const char *path, size_t path_len);

/* NULL if the pattern is well formed, else "what is wrong; what to do" for an error message;
 * *offset is where the fault starts. Besides what cannot be read at all, a fault is what can match
 * no path the kernel reports (`//`, `/./`, a slash at the end) and what looks like several patterns
 * in one line. A relative pattern is not a fault here. */
const char *conf_glob_fault(const char *pattern, size_t len, size_t *offset);

/* Might the pattern, faulty or not, have been meant to match this absolute path? Faultless absolute
 * patterns: the same answer as conf_glob_match. Otherwise quotes around it are dropped, a relative
 * pattern may begin in any directory, and a pattern with a fault matches every path that begins
 * with something its sound beginning matches. An empty one matches nothing. */
bool conf_glob_might(const char *pattern, size_t len, const char *path, size_t path_len);

#endif
