#include "agent/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "wire/paths.h"
#include "wire/wire.h"

#define STATE_MAGIC 0x31657461747366e1ULL

struct record {
    uint64_t magic;
    char boot_id[40]; /* a lease of before the boot holds nothing here */
    struct session_state session;
    uint64_t check; /* hash of what is above */
};

static void read_boot_id(char out[40])
{
    memset(out, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!read(fd, out, 36);
    close(fd);
}

bool state_is_network(const struct statfs *fs)
{
    unsigned long magic = (unsigned long)fs->f_type & 0xffffffffUL;
    return magic == NFS_SUPER_MAGIC || magic == SMB_SUPER_MAGIC || magic == CIFS_SUPER_MAGIC ||
           magic == SMB2_SUPER_MAGIC;
}

static int make_one(const char *path, char *why, size_t why_size)
{
    struct statfs fs;
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        int err = -errno;
        snprintf(why, why_size,
                 "cannot make the runtime directory %s: %s; set ETCDFLOCK_RUNDIR to a directory of "
                 "yours",
                 path, strerror(-err));
        return err;
    }
    int fd = paths_open_dir(path, geteuid());
    if (fd < 0) {
        snprintf(
            why, why_size, "the runtime directory %s %s; remove it or set ETCDFLOCK_RUNDIR", path,
            fd == -EPERM ? "belongs to another user or others may write to it" : strerror(-fd));
        return fd;
    }
    int err = fstatfs(fd, &fs) < 0 ? -errno : 0;
    close(fd);
    if (!err && state_is_network(&fs)) {
        snprintf(why, why_size,
                 "the runtime directory %s is on a network file system; set ETCDFLOCK_RUNDIR to a "
                 "local one",
                 path);
        return -EINVAL;
    }
    return err;
}

int state_make_dir(const char *base, const char *dir, char *why, size_t why_size)
{
    int err = make_one(base, why, why_size);
    return err ? err : make_one(dir, why, why_size);
}

static int open_in(const char *dir, const char *name)
{
    char path[PATHS_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

int state_lock(const char *dir)
{
    int fd = open_in(dir, "lock");
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

static uint64_t record_check(const struct record *record)
{
    return wire_hash((const char *)record, offsetof(struct record, check));
}

int state_open(const char *dir, bool *found, struct session_state *state)
{
    struct record record;
    char boot_id[40];
    int fd = open_in(dir, "session");
    if (fd < 0)
        return fd;
    read_boot_id(boot_id);
    *found = pread(fd, &record, sizeof record, 0) == (ssize_t)sizeof record &&
             record.magic == STATE_MAGIC && record.check == record_check(&record) &&
             memcmp(record.boot_id, boot_id, sizeof boot_id) == 0 && record.session.lease != 0;
    if (*found)
        *state = record.session;
    return fd;
}

void state_write(int fd, const struct session_state *state)
{
    struct record record;
    memset(&record, 0, sizeof record);
    record.magic = STATE_MAGIC;
    read_boot_id(record.boot_id);
    record.session = *state;
    record.check = record_check(&record);
    (void)!pwrite(fd, &record, sizeof record, 0);
}
