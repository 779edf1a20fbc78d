/* Any bytes as an answer of etcd. What is an answer is whole; what is none leaves nothing. */
#include "etcd/reply.h"

#include "../unit/guard.h"
#include "require.h"

#include <errno.h>
#include <string.h>

static void check_range(const struct etcd_range *range, bool values)
{
    require(range->kvs || range->n == 0, "keys where there are some");
    for (size_t i = 0; i < range->n; i++) {
        const struct etcd_kv *kv = &range->kvs[i];

        require(kv->key != NULL, "a key");
        require(strlen(kv->key) < GUARD_ROOM, "a key that ends");
        if (values)
            require(kv->value && kv->value[kv->value_len] == '\0', "a value that ends");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct etcd_reply nothing;
    struct etcd_reply reply;
    struct etcd_fault fault;
    int err;

    if (size > GUARD_ROOM)
        return -1;
    memset(&reply, 0xff, sizeof reply);
    memset(&fault, 0xff, sizeof fault);
    err = etcd_reply_parse(guard_copy(data, size), size, &reply, &fault);
    require(strnlen(fault.message, sizeof fault.message) < sizeof fault.message,
            "a message that ends");
    if (err) {
        require(err == -EBADMSG || err == -EREMOTEIO, "an error that is documented");
        require(err == -EREMOTEIO || (fault.code == 0 && !fault.message[0]),
                "a fault only with an error report");
        require(memcmp(&reply, &nothing, sizeof reply) == 0, "nothing left");
        return 0;
    }
    require(fault.code == 0 && !fault.message[0], "no fault in an answer");
    for (size_t i = 0; i < reply.n_results; i++)
        check_range(etcd_reply_range(&reply, i), true);
    require(etcd_reply_range(&reply, reply.n_results)->n == 0, "nothing behind the last operation");
    check_range(&reply.keys, false);
    etcd_reply_free(&reply);
    require(memcmp(&reply, &nothing, sizeof reply) == 0, "nothing left when freed");
    return 0;
}
