/* Between entries.c and waiting.c. */
#ifndef ETCDFLOCK_AGENT_WAITING_H
#define ETCDFLOCK_AGENT_WAITING_H

#include "etcd/session.h"

void next_build(struct session_txn *self, struct txn *txn);
void next_done(struct session_txn *self, enum session_result result, const struct etcd_reply *reply,
               const char *why);

#endif
