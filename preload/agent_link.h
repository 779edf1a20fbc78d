/* The connection to the agent: one per slow operation, closed before the call returns. */
#ifndef ETCDFLOCK_AGENT_LINK_H
#define ETCDFLOCK_AGENT_LINK_H

#include <stdbool.h>

#include "say.h"
#include "wire/wire.h"

/* Connects to the agent of the configuration, starting one if there is none. With `bounded` no step
 * waits for longer than a few seconds (for a call that must not wait). Returns the descriptor, or a
 * negative errno with the reason in `why`; -EINTR if a signal handler ran. */
int link_open(bool bounded, struct say *why);

/* Ends the conversation for both sides, even if a fork in another thread has copied the descriptor.
 */
void link_close(int link);

/* Sends a message, with the file of descriptor `fd` unless that is negative. 0 or a negative errno.
 */
int link_send(int link, const struct wire_msg *msg, int fd);

/* One blocking receive without a time-out of ours, so that SA_RESTART goes on waiting by itself.
 * 0, -EINTR, -ECONNRESET when the agent has gone, -EPROTO for garbage, or another negative errno.
 */
int link_receive(int link, struct wire_msg *msg);

#endif
