/*
 * The configuration's text, in memory of its own: no heap, and still there after chroot. A new
 * version is published with one compare-and-swap; an old one is never unmapped, as another thread
 * may be reading it. That costs a page or two each time the file is edited while the program runs.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "guest.h"
#include "mapping.h"
#include "wire/wire.h"

#define LOOK_MS  250 /* between two looks at the file's date */
#define TEXT_MAX (1024UL * 1024)

/* What tells one version of the file from another. */
struct stamp {
    uint64_t dev, ino, size, mtime_ns, ctime_ns;
};

struct version {
    struct stamp stamp;
    size_t mapped; /* bytes of the mapping */
    size_t len;
    char text[];
};

static _Atomic(struct version *) current;

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){.dev = st->st_dev,
                          .ino = st->st_ino,
                          .size = (uint64_t)st->st_size,
                          .mtime_ns = nanoseconds(st->st_mtim),
                          .ctime_ns = nanoseconds(st->st_ctim)};
}

static bool same_version(const struct version *version, const struct stat *st)
{
    struct stamp stamp = stamp_of(st);
    return memcmp(&version->stamp, &stamp, sizeof stamp) == 0;
}

static int read_version(int fd, const struct stat *st, struct version **out)
{
    if (S_ISDIR(st->st_mode))
        return -EISDIR;
    if (!S_ISREG(st->st_mode))
        return -EINVAL;
    if ((uint64_t)st->st_size > TEXT_MAX)
        return -EFBIG;
    size_t mapped = sizeof(struct version) + (size_t)st->st_size;
    void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    struct version *version = memory;
    *version = (struct version){.stamp = stamp_of(st), .mapped = mapped};
    size_t size = version->stamp.size;
    while (version->len < size) {
        long got = guest_call(SYS_read, fd, version->text + version->len, size - version->len);
        if (got == -EINTR)
            continue;
        if (got < 0) {
            munmap(memory, mapped);
            return (int)got;
        }
        if (got == 0)
            break;
        version->len += (size_t)got;
    }
    *out = version;
    return 0;
}

static int load(struct version **out)
{
    int fd = (int)guest_call(SYS_openat, AT_FDCWD, guest_get()->config,
                             O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    struct stat st;
    int err = fstat(fd, &st) < 0 ? -errno : read_version(fd, &st, out);
    guest_close(fd);
    return err;
}

int mapping_config(struct mapping_text *out)
{
    struct version *version = atomic_load_explicit(&current, memory_order_acquire);
    struct stat st;
    bool changed = !version || (stat(guest_get()->config, &st) == 0 && !same_version(version, &st));
    if (changed) {
        struct version *fresh = NULL;
        int err = guest_get()->config[0] ? load(&fresh) : -ENAMETOOLONG;
        if (err && !version)
            return err;
        if (fresh && !err && atomic_compare_exchange_strong(&current, &version, fresh))
            version = fresh;
        else if (fresh && !err)
            munmap(fresh, fresh->mapped); /* another thread was first: `version` is its */
    }
    if (!version || version->len == 0)
        return -ENODATA; /* being written, or emptied by mistake: that is not "nothing is mapped" */
    out->at = version->text;
    out->len = version->len;
    return 0;
}

uint64_t mapping_generation(void)
{
    static _Atomic uint64_t generation;
    static _Atomic uint64_t looked_at;
    struct timespec now;
    struct stat st;
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) < 0)
        return 0;
    uint64_t moment = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) / LOOK_MS + 1;
    if (atomic_load_explicit(&looked_at, memory_order_acquire) != moment) {
        if (stat(guest_get()->config, &st) == 0) {
            struct stamp stamp = stamp_of(&st);
            atomic_store_explicit(&generation, wire_hash((const char *)&stamp, sizeof stamp),
                                  memory_order_relaxed);
        }
        atomic_store_explicit(&looked_at, moment, memory_order_release);
    }
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* Read at the start, while the file can still be reached. */
__attribute__((constructor(102))) static void config_constructor(void)
{
    int saved = errno;
    struct mapping_text text;
    if (!guest_get()->inert)
        (void)mapping_config(&text);
    errno = saved;
}
