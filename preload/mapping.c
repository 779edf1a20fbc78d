/*
 * A file known not to be mapped costs one statx. Only that verdict is kept: a mapped file goes to the
 * agent anyway, which judges for itself.
 *
 * An inode number alone is no identity, it is used again at once, often with the same birth time, as that comes from a
 * coarse clock. So a verdict is kept only for a file whose birth lies more than a second back, and holds as long as device,
 * inode, birth time, status-change time and the configuration are the same; a rename changes the status-change time. A mere
 * write changes it too: then the path is read again and compared by its hash. A file system without birth times
 * gets no cache.
 */
#include "mapping.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "conf/scan.h"
#include "guest.h"
#include "wire/wire.h"

#define CACHE_SLOTS 64
#define SETTLED_NS  1000000000u
#define DELETED     " (deleted)"
#define DELETED_LEN (sizeof DELETED - 1)

enum { DEV, INO, BIRTH, CONFIG, CHANGE, PATH, CACHE_WORDS };

/* A sequence lock without waiting: a reader that meets a writer takes the slot for empty, a writer
 * that meets a writer goes without. An odd number marks a write in progress. */
struct slot {
    atomic_uint sequence;
    _Atomic uint64_t words[CACHE_WORDS];
};

static struct slot cache[CACHE_SLOTS];

static struct slot *cache_slot(const uint64_t key[CACHE_WORDS])
{
    return &cache[wire_hash((const char *)key, 2 * sizeof *key) % CACHE_SLOTS];
}

static bool cache_read(const uint64_t key[CACHE_WORDS], uint64_t found[CACHE_WORDS])
{
    struct slot *slot = cache_slot(key);
    unsigned before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    for (int i = 0; i < CACHE_WORDS; i++)
        found[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    unsigned after = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    return before == after && !(before & 1) && before != 0 && found[DEV] == key[DEV] &&
           found[INO] == key[INO] && found[BIRTH] == key[BIRTH] && found[CONFIG] == key[CONFIG];
}

static void cache_write(const uint64_t key[CACHE_WORDS])
{
    struct slot *slot = cache_slot(key);
    unsigned before = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    if ((before & 1) || !atomic_compare_exchange_strong(&slot->sequence, &before, before + 1))
        return;
    atomic_thread_fence(memory_order_release);
    for (int i = 0; i < CACHE_WORDS; i++)
        atomic_store_explicit(&slot->words[i], key[i], memory_order_relaxed);
    atomic_store_explicit(&slot->sequence, before + 2, memory_order_release);
}

static uint64_t nanoseconds(struct statx_timestamp t)
{
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static bool is_settled(uint64_t birth)
{
    struct timespec now;
    return birth && clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 &&
           (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec > birth + SETTLED_NS;
}

/* The file's path, or "" if it has none (a socket, a memfd), or a negative errno if /proc is shut.
 */
static int read_path(int fd, unsigned links, char path[MAPPING_PATH_MAX])
{
    struct guest_fd_path link = guest_fd_path("fd", fd);
    long got = guest_call(SYS_readlinkat, AT_FDCWD, link.text, path, (size_t)MAPPING_PATH_MAX);
    if (got < 0)
        return (int)got;
    if (got >= MAPPING_PATH_MAX)
        return -ENAMETOOLONG;
    if (links == 0 && (size_t)got > DELETED_LEN &&
        memcmp(path + got - DELETED_LEN, DELETED, DELETED_LEN) == 0)
        got -= (long)DELETED_LEN;
    path[got] = '\0';
    if (path[0] != '/' && strncmp(path, "(unreachable)", 13) != 0)
        path[0] = '\0';
    return 0;
}

enum mapping mapping_of(int fd, char path[MAPPING_PATH_MAX], uint64_t *path_hash, int *err)
{
    struct statx stx;
    path[0] = '\0';
    *path_hash = 0;
    if (guest_call(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                   STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
        return MAPPING_NONE; /* EBADF and its like: the next definition says it */
    uint64_t key[CACHE_WORDS] = {
        [DEV] = (uint64_t)stx.stx_dev_major << 32 | stx.stx_dev_minor,
        [INO] = stx.stx_ino,
        [BIRTH] = stx.stx_mask & STATX_BTIME ? nanoseconds(stx.stx_btime) : 0,
        [CONFIG] = mapping_generation(),
        [CHANGE] = nanoseconds(stx.stx_ctime),
    };
    uint64_t found[CACHE_WORDS];
    bool known = key[BIRTH] && cache_read(key, found);
    if (known && found[CHANGE] == key[CHANGE])
        return MAPPING_NONE;

    int failed = read_path(fd, stx.stx_nlink, path);
    if (failed == 0 && path[0] == '\0')
        return MAPPING_NONE;
    if (failed == 0)
        key[PATH] = wire_hash(path, strlen(path));
    if (!(known && failed == 0 && found[PATH] == key[PATH])) {
        struct mapping_text text;
        int unread = mapping_config(&text);
        if (unread) {
            *err = -unread;
            return MAPPING_BROKEN;
        }
        *path_hash = key[PATH];
        if (failed || path[0] != '/' || conf_may_map(text.at, text.len, path))
            return MAPPING_CLUSTER;
    }
    if (is_settled(key[BIRTH]))
        cache_write(key);
    return MAPPING_NONE;
}
