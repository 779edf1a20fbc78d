/* Starting the agent without the program noticing. */
#ifndef ETCDFLOCK_SPAWN_H
#define ETCDFLOCK_SPAWN_H

#include "say.h"

/* Starts etcdflockd for our configuration in the runtime directory `base` and waits until it
 * listens, or until it has said why it cannot. 0, or a negative errno with the reason in `why`;
 * -EINTR if a signal handler ran (the agent comes up all the same). If an agent is there already,
 * that is a success. */
int spawn_agent(const char *base, struct say *why);

#endif
