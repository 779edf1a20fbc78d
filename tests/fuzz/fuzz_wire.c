/* Any bytes as a message between library and agent, received into a whole message's room. */
#include "wire/wire.h"

#include "require.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_msg msg, again;
    int err;

    if (size > sizeof msg)
        return -1;
    memset(&msg, 0xff, sizeof msg); /* no zero behind the message that ends its text */
    if (size)
        memcpy(&msg, data, size);
    err = wire_check(&msg, size);
    if (err) {
        require(err == -EPROTO || err == -EPROTONOSUPPORT, "an error that is documented");
        return 0;
    }
    require(msg.magic == WIRE_MAGIC && msg.version == WIRE_VERSION, "ours");
    require(msg.mode <= WIRE_EX && msg.held <= WIRE_EX, "modes that are");
    require(wire_size(&msg) <= size, "a text inside the message");
    require(wire_hash(msg.text, strlen(msg.text)) != 0, "a hash that is not zero");

    /* What is sent on from it is sound. */
    wire_init(&again, (enum wire_op)msg.op);
    again.mode = msg.mode;
    again.held = msg.held;
    snprintf(again.text, sizeof again.text, "%s", msg.text);
    require(wire_check(&again, wire_size(&again)) == 0, "a message made from it");
    return 0;
}
