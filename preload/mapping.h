/* Is this descriptor's file one of those that the configuration maps to a cluster key? */
#ifndef ETCDFLOCK_MAPPING_H
#define ETCDFLOCK_MAPPING_H

#include <stdint.h>

#define MAPPING_PATH_MAX 4096

enum mapping {
    MAPPING_NONE,    /* not ours: the call goes to the next definition unchanged */
    MAPPING_CLUSTER, /* ask the agent */
    MAPPING_BROKEN,  /* nobody can say, because there is no configuration to read */
};

/* What the descriptor really is: links, relative paths and bind mounts resolved, as
 * /proc/self/fd shows it. *path_hash is 0 if /proc cannot be read: then the agent decides. For
 * MAPPING_BROKEN *err is the positive errno of the configuration file. `path` is filled in for
 * MAPPING_CLUSTER. */
enum mapping mapping_of(int fd, char path[MAPPING_PATH_MAX], uint64_t *path_hash, int *err);

/* 0 and the text of the configuration, kept until the program ends, or a negative errno. Read again
 * when the file changes; what was read stays in force where the file can no longer be reached
 * (chroot, a closed mount). */
struct mapping_text {
    const char *at;
    unsigned long len;
};
int mapping_config(struct mapping_text *out);

/* A number that changes when the configuration's file does; looked up four times a second at most. */
uint64_t mapping_generation(void);

#endif
