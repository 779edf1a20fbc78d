/* Where a path leads, whether or not there is a file yet. */
#ifndef ETCDFLOCK_CLI_REAL_PATH_H
#define ETCDFLOCK_CLI_REAL_PATH_H

#include <limits.h>

/* The path that the kernel would report of the file if it were opened, or created: absolute, symbolic links resolved as
 * far as there is anything (a link that leads nowhere too), no `.`, `..` or empty part. Like realpath(3) otherwise.
 * Returns 0 or a negative errno: -ENOTDIR, -ELOOP, -EACCES, -ENAMETOOLONG, -ENOENT for an empty path. */
int real_path(const char *given, char out[PATH_MAX]);

#endif
