#include "wire/wire.h"

#include <errno.h>
#include <string.h>

void wire_init(struct wire_msg *msg, enum wire_op op)
{
    memset(msg, 0, WIRE_HEAD);
    msg->magic = WIRE_MAGIC;
    msg->version = WIRE_VERSION;
    msg->op = (uint16_t)op;
    msg->text[0] = '\0';
}

size_t wire_size(const struct wire_msg *msg)
{
    return WIRE_HEAD + strnlen(msg->text, WIRE_TEXT_MAX - 1) + 1;
}

int wire_check(struct wire_msg *msg, size_t got)
{
    if (got <= WIRE_HEAD || got > sizeof *msg || msg->magic != WIRE_MAGIC)
        return -EPROTO;
    if (msg->version != WIRE_VERSION)
        return -EPROTONOSUPPORT;
    if (((char *)msg)[got - 1] != '\0' || msg->mode > WIRE_EX || msg->held > WIRE_EX)
        return -EPROTO;
    return 0;
}

uint64_t wire_hash(const char *bytes, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}
