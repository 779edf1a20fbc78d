#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/elf_file.h"

#define LINE_MAX_BYTES 256 /* of a `#!` line: BINPRM_BUF_SIZE of the kernel */
#define SCRIPTS_MAX    5   /* a script whose interpreter is a script ... */
#define DEFAULT_PATH   "/usr/local/bin:/usr/bin:/bin"

#define WRAP                                                                                       \
    "use a dynamically linked build of it, or lock around it: etcdflock run flock FILE PROG"

/* ---- finding it ---- */

static int check_executable(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : -EACCES;
}

int program_find(const char *name, char path[PATH_MAX])
{
    const char *at = getenv("PATH");
    int result = -ENOENT;
    if (!*name)
        return -ENOENT;
    if (strchr(name, '/')) {
        int len = snprintf(path, PATH_MAX, "%s", name);
        return len < PATH_MAX ? check_executable(path) : -ENAMETOOLONG;
    }
    if (!at)
        at = DEFAULT_PATH;
    for (bool more = true; more;) {
        size_t len = strcspn(at, ":");
        int n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, at, len ? "/" : "./", name);
        int err = n < PATH_MAX ? check_executable(path) : -ENAMETOOLONG;
        if (err == 0)
            return 0;
        if (err == -EACCES)
            result = err; /* a later one may do */
        more = at[len] == ':';
        at += len + 1;
    }
    return result;
}

/* ---- looking into it ---- */

struct check {
    const char *library;
    char *why;
    size_t why_size;
    unsigned scripts;
};

static int check_file(struct check *check, const char *path);

static int refuse(struct check *check, const char *path, const char *reason)
{
    snprintf(check->why, check->why_size, "%s %s", path, reason);
    return -EPERM;
}

static int fail(struct check *check, const char *path, int err)
{
    snprintf(check->why, check->why_size, "%s: %s", path,
             err == -EBADMSG ? "the executable is damaged" : strerror(-err));
    return err;
}

/* The loader ignores LD_PRELOAD where the kernel says AT_SECURE: where the user, the group or the
 * capabilities change. For root, or for the owner, such a bit changes nothing. */
static const char *privilege_fault(int fd)
{
    struct stat st;
    if (geteuid() != getuid() || getegid() != getgid())
        return "would be started with another effective than real user, and the loader ignores "
               "LD_PRELOAD there; start it without setuid";
    if (fstat(fd, &st) < 0)
        return NULL;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return "is setuid: it runs as another user, and the loader ignores LD_PRELOAD there; take "
               "a copy without that bit";
    if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
        return "is setgid: it runs in another group, and the loader ignores LD_PRELOAD there; "
               "take a copy without that bit";
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return "has file capabilities, and the loader ignores LD_PRELOAD there; take a copy "
               "without them";
    return NULL;
}

static int read_library(struct check *check, struct elf_file *out)
{
    int fd = open(check->library, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 ? -errno : elf_file_read(fd, out);
    if (fd >= 0)
        close(fd);
    return err ? fail(check, check->library, err) : 0;
}

static int check_loader(struct check *check, const char *path, const struct elf_file *file,
                        const struct elf_file *library)
{
    char reason[PATH_MAX + 128];
    const char *name = strrchr(file->interpreter, '/');
    /* NOLINTNEXTLINE(clang-analyzer-*): read_library has filled it in, or we are not here */
    if (file->bits != library->bits || file->byte_order != library->byte_order ||
        file->machine != library->machine) {
        char machine[32];
        snprintf(machine, sizeof machine, "%s", elf_file_machine(file));
        snprintf(reason, sizeof reason,
                 "is a program for %s, and the library is for %s; use one for %s", machine,
                 elf_file_machine(library), elf_file_machine(library));
        return refuse(check, path, reason);
    }
    if (!file->interpreter[0])
        return refuse(check, path,
                      file->go ? "is a static Go program: it makes its system calls itself; " WRAP
                               : "is statically linked: it loads no library; " WRAP);
    if (strncmp(name ? name + 1 : file->interpreter, "ld-musl", 7) == 0)
        return refuse(check, path, "is linked with musl, and the library with glibc; " WRAP);
    if (access(file->interpreter, F_OK) < 0) {
        snprintf(reason, sizeof reason, "needs the loader %s, which is not there",
                 file->interpreter);
        return refuse(check, path, reason);
    }
    if (file->go && !file->imports_locks && !file->other_libraries)
        return refuse(check, path,
                      "is a Go program: it does not call the C library's flock but makes its "
                      "system calls itself; " WRAP);
    return 0;
}

static int check_elf(struct check *check, const char *path, int fd, const struct elf_file *file)
{
    struct elf_file *library = calloc(1, sizeof *library);
    const char *fault = privilege_fault(fd);
    int err = library ? 0 : -ENOMEM;
    if (!err && fault)
        err = refuse(check, path, fault);
    if (!err)
        err = read_library(check, library);
    if (!err)
        err = check_loader(check, path, file, library);
    free(library);
    return err;
}

/* `#!/usr/bin/env PROG`: what env will run, as far as that is plain to see. */
static int check_env(struct check *check, char *words)
{
    char path[PATH_MAX];
    char *rest = words;
    char *word;
    while ((word = strsep(&rest, " \t"))) {
        if (!*word || strchr(word, '=') || strcmp(word, "-S") == 0)
            continue;
        if (*word == '-' || program_find(word, path) < 0)
            return 0; /* env itself will say what is wrong */
        return check_file(check, path);
    }
    return 0;
}

/* `line` is the script's first line without `#!`. */
static int check_script(struct check *check, const char *path, char *line)
{
    line += strspn(line, " \t");
    line[strcspn(line, "\n")] = '\0';
    char *interpreter = strsep(&line, " \t");
    int err = *interpreter ? check_executable(interpreter) : -ENOENT;
    if (err) {
        snprintf(check->why, check->why_size, "%s: its interpreter '%s' cannot be executed: %s",
                 path, interpreter, strerror(-err));
        return err;
    }
    err = check_file(check, interpreter);
    const char *name = strrchr(interpreter, '/');
    if (!err && line && strcmp(name ? name + 1 : interpreter, "env") == 0)
        err = check_env(check, line);
    return err;
}

static int check_file(struct check *check, const char *path)
{
    char line[LINE_MAX_BYTES + 1];
    struct elf_file *file = malloc(sizeof *file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = 0;
    int err = !file ? -ENOMEM : fd < 0 ? -errno : elf_file_read(fd, file);
    if (err == 0) {
        err = check_elf(check, path, fd, file);
    } else if (err == -ENOEXEC) {
        got = pread(fd, line, sizeof line - 1, 0);
        err = got < 0 ? fail(check, path, -errno) : 0;
    } else if (err == -EACCES) {
        err = refuse(check, path,
                     "may be executed but not read, so that nobody can tell whether "
                     "the library works in it; make it readable");
    } else {
        fail(check, path, err);
    }
    if (fd >= 0)
        close(fd);
    free(file);
    if (err || got <= 0)
        return err;
    line[got] = '\0';
    if (++check->scripts > SCRIPTS_MAX)
        return fail(check, path, -ELOOP);
    if (strncmp(line, "#!", 2) != 0)
        return check_file(check, "/bin/sh"); /* which execvp(3) takes for it */
    return check_script(check, path, line + 2);
}

int program_check(const char *path, const char *library, char *why, size_t why_size)
{
    struct check check = {.library = library, .why = why, .why_size = why_size};
    return check_file(&check, path);
}
