/* The one line that explains a failure, and the trace of ETCDFLOCK_DEBUG=1. */
#ifndef ETCDFLOCK_SAY_H
#define ETCDFLOCK_SAY_H

#include <stddef.h>

#define SAY_MAX 1024

/* A line in the making, on the caller's stack. */
struct say {
    char text[SAY_MAX];
    size_t len;
};

void say_start(struct say *line);
void say_text(struct say *line, const char *text);
void say_number(struct say *line, long number);
/* The short text of the errno values that a lock call can meet; a number for the others. */
void say_errno(struct say *line, int err);

/* Writes the line to stderr unless the same line was the last one, or descriptor 2 has become a
 * file of the program's own (a daemon that closed its descriptors must not find our words in its
 * data). */
void say_failure(struct say *line);

/* The same, only with ETCDFLOCK_DEBUG=1, and repeated as often as it is said. */
void say_debug(struct say *line);

#endif
