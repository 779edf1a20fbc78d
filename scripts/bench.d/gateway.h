/*
 * etcd's JSON gateway over one kept connection, with as little as possible around it: what a lock over
 * it cannot undercut.
 */
#ifndef BENCH_GATEWAY_H
#define BENCH_GATEWAY_H

#include <stddef.h>

struct gateway {
    int fd;
    size_t start, len; /* what has been received and not yet taken */
    char bytes[1 << 17];
};

/* endpoint: http://ADDRESS:PORT. All of these end the program when something is wrong. */
void gateway_connect(struct gateway *gateway, const char *endpoint);
void gateway_send(struct gateway *gateway, const char *path, const char *body);
/* The answer's body; valid until the next call. */
const char *gateway_receive(struct gateway *gateway);
const char *gateway_post(struct gateway *gateway, const char *path, const char *body);
/* The next JSON message of a watch. */
const char *gateway_message(struct gateway *gateway);

void gateway_base64(const char *text, char *out);

#endif
