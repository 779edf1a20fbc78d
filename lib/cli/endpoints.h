/* Does each endpoint of the configuration answer, on its own? */
#ifndef ETCDFLOCK_CLI_ENDPOINTS_H
#define ETCDFLOCK_CLI_ENDPOINTS_H

#include <stdbool.h>

#include "conf/conf.h"

struct endpoint_finding {
    bool good;
    char text[1024]; /* one line that begins with the endpoint; with the remedy if it is not good */
};

/* Asks all of them at the same time, at most CLI_CLUSTER_MS long: for the version, and for a linearizable read as the
 * agent would make it. `findings` has a place for each endpoint. Returns 0, or a negative errno and *why. */
int endpoints_check(const struct conf *conf, struct endpoint_finding *findings, char *why,
                    size_t why_size);

#endif
