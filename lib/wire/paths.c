#include "wire/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire/wire.h"

size_t paths_append(char *out, size_t size, size_t len, const char *text)
{
    while (len < size && *text)
        out[len++] = *text++;
    if (len >= size) {
        out[size - 1] = '\0';
        return size;
    }
    out[len] = '\0';
    return len;
}

size_t paths_append_number(char *out, size_t size, size_t len, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    return paths_append(out, size, len, digits + at);
}

static uint64_t namespace_inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

void paths_namespaces(struct paths_namespaces *out)
{
    out->net = namespace_inode("/proc/self/ns/net");
    out->mnt = namespace_inode("/proc/self/ns/mnt");
    out->pid = namespace_inode("/proc/self/ns/pid");
}

int paths_config(const char *given, char out[PATHS_MAX])
{
    size_t len = 0;
    out[0] = '\0';
    int fd = (int)syscall(SYS_openat, AT_FDCWD, given, O_PATH | O_CLOEXEC);
    if (fd >= 0) {
        char link[40];
        size_t at = paths_append(link, sizeof link, 0, "/proc/thread-self/fd/");
        paths_append_number(link, sizeof link, at, (uint64_t)fd, 10);
        ssize_t got = readlink(link, out, PATHS_MAX);
        syscall(SYS_close, fd);
        if (got >= PATHS_MAX)
            return -ENAMETOOLONG;
        if (got > 0 && out[0] == '/') {
            out[got] = '\0';
            return 0;
        }
    }
    if (given[0] != '/') {
        if (syscall(SYS_getcwd, out, (size_t)PATHS_MAX) < 0)
            out[0] = '\0';
        len = paths_append(out, PATHS_MAX, strnlen(out, PATHS_MAX - 1), "/");
    }
    len = paths_append(out, PATHS_MAX, len, given);
    return len < PATHS_MAX ? 0 : -ENAMETOOLONG;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int paths_base(const char *rundir, const char *xdg, uid_t uid, char out[PATHS_MAX])
{
    size_t len = 0;
    if (rundir && *rundir) {
        if (rundir[0] != '/')
            return -EINVAL;
        len = paths_append(out, PATHS_MAX, 0, rundir);
    } else if (uid == 0) {
        len = paths_append(out, PATHS_MAX, 0, "/run/etcdflock");
    } else {
        if (xdg && xdg[0] == '/' && is_directory(xdg)) {
            len = paths_append(out, PATHS_MAX, 0, xdg);
            len = paths_append(out, PATHS_MAX, len, "/etcdflock");
        } else {
            len = paths_append(out, PATHS_MAX, 0, "/run/user/");
            len = paths_append_number(out, PATHS_MAX, len, uid, 10);
            if (is_directory(out)) {
                len = paths_append(out, PATHS_MAX, len, "/etcdflock");
            } else {
                len = paths_append(out, PATHS_MAX, 0, "/tmp/etcdflock-");
                len = paths_append_number(out, PATHS_MAX, len, uid, 10);
            }
        }
    }
    while (len > 1 && len < PATHS_MAX && out[len - 1] == '/')
        out[--len] = '\0';
    return len < PATHS_MAX ? 0 : -ENAMETOOLONG;
}

int paths_dir(const char *base, const char *config, const struct paths_namespaces *ns,
              char out[PATHS_MAX])
{
    uint64_t hash = wire_hash(config, strlen(config));
    hash ^= wire_hash((const char *)ns, sizeof *ns) * 0x9e3779b97f4a7c15u;
    size_t len = paths_append(out, PATHS_MAX, 0, base);
    len = paths_append(out, PATHS_MAX, len, "/");
    len = paths_append_number(out, PATHS_MAX, len, hash, 16);
    return len < PATHS_MAX ? 0 : -ENAMETOOLONG;
}

int paths_open_dir(const char *dir, uid_t uid)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    int err = 0;
    if (fstat(fd, &st) < 0)
        err = -errno;
    else if ((st.st_uid != 0 && st.st_uid != uid) || (st.st_mode & 022))
        err = -EPERM;
    if (err) {
        syscall(SYS_close, fd);
        return err;
    }
    return fd;
}
