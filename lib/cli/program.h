/* Will the library's hooks work in a program? */
#ifndef ETCDFLOCK_CLI_PROGRAM_H
#define ETCDFLOCK_CLI_PROGRAM_H

#include <limits.h>
#include <stddef.h>

/* Finds `name` as execvp(3) does. Returns 0 and a path with a slash in it, or -ENOENT, -EACCES (found, but no
 * executable file), -ENAMETOOLONG. */
int program_find(const char *name, char path[PATH_MAX]);

/* Looks at the file, and at the interpreter if it is a script, and at that one's, and so on. Returns 0 if the
 * loader will load `library` there for this user and calls will go through it, as far as a file
 * shows that; -EPERM and the reason if not; or another negative errno and the reason. */
int program_check(const char *path, const char *library, char *why, size_t why_size);

#endif
