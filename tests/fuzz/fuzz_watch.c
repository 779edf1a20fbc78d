/* Any bytes as a message of a watch stream. */
#include "etcd/reply.h"

#include "../unit/guard.h"
#include "require.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct etcd_watch_reply nothing;
    struct etcd_watch_reply watch;
    struct etcd_fault fault;
    int err;

    if (size > GUARD_ROOM)
        return -1;
    memset(&watch, 0xff, sizeof watch);
    memset(&fault, 0xff, sizeof fault);
    err = etcd_watch_parse(guard_copy(data, size), size, &watch, &fault);
    require(strnlen(fault.message, sizeof fault.message) < sizeof fault.message,
            "a message that ends");
    if (err) {
        require(err == -EBADMSG || err == -EREMOTEIO, "an error that is documented");
        require(memcmp(&watch, &nothing, sizeof watch) == 0, "nothing left");
        return 0;
    }
    require(fault.code == 0 && !fault.message[0], "no fault in a message");
    require(strnlen(watch.reason, sizeof watch.reason) < sizeof watch.reason, "a reason that ends");
    for (size_t i = 0; i < watch.n_events; i++) {
        const struct etcd_kv *kv = &watch.events[i].kv;

        require(kv->key && strlen(kv->key) < GUARD_ROOM, "a key that ends");
        require(kv->value && kv->value[kv->value_len] == '\0', "a value that ends");
    }
    etcd_watch_reply_free(&watch);
    require(memcmp(&watch, &nothing, sizeof watch) == 0, "nothing left when freed");
    return 0;
}
