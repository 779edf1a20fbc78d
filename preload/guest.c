/* What the library knows of the program it is in; see guest.h. */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "guest.h"

extern char **environ;

static struct guest guest;
static atomic_bool ready;

static const char *environment(const char *name)
{
    size_t len = strlen(name);
    for (char **at = environ; at && *at; at++) {
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=')
            return *at + len + 1;
    }
    return NULL;
}

static bool environment_path(const char *name, char out[PATHS_MAX])
{
    const char *value = environment(name);
    return value && *value && paths_append(out, PATHS_MAX, 0, value) < PATHS_MAX;
}

static bool environment_flag(const char *name)
{
    const char *value = environment(name);
    return value && *value && strcmp(value, "0") != 0;
}

static void find_library_dir(void)
{
    Dl_info info;
    if (!dladdr((void *)&ready, &info) || !info.dli_fname)
        return;
    char *out = guest.library_dir;
    size_t len = 0;
    if (info.dli_fname[0] != '/') {
        if (guest_call(SYS_getcwd, out, (size_t)PATHS_MAX) < 0)
            return;
        len = paths_append(out, PATHS_MAX, strlen(out), "/");
    }
    len = paths_append(out, PATHS_MAX, len, info.dli_fname);
    if (len >= PATHS_MAX)
        out[0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

/* May run twice at once, in a program that starts threads before our constructor: both then write the same bytes. */
static void guest_init(void)
{
    guest.inert = environment_flag("ETCDFLOCK_DISABLE") || getauxval(AT_SECURE) != 0;
    guest.debug = environment_flag("ETCDFLOCK_DEBUG");
    guest.has_rundir = environment_path("ETCDFLOCK_RUNDIR", guest.rundir);
    guest.has_xdg = environment_path("XDG_RUNTIME_DIR", guest.xdg);
    const char *config = environment("ETCDFLOCK_CONFIG");
    if (paths_config(config && *config ? config : PATHS_DEFAULT_CONFIG, guest.config) < 0)
        guest.config[0] = '\0';
    struct stat st;
    if (fstat(2, &st) == 0) {
        guest.stderr_dev = st.st_dev;
        guest.stderr_ino = st.st_ino;
    }
    paths_namespaces(&guest.namespaces);
    find_library_dir();
    atomic_store_explicit(&ready, true, memory_order_release);
}

const struct guest *guest_get(void)
{
    if (!atomic_load_explicit(&ready, memory_order_acquire))
        guest_init();
    return &guest;
}

struct guest_fd_path guest_fd_path(const char *kind, int fd)
{
    struct guest_fd_path path;
    size_t len = paths_append(path.text, sizeof path.text, 0, "/proc/thread-self/");
    len = paths_append(path.text, sizeof path.text, len, kind);
    len = paths_append(path.text, sizeof path.text, len, "/");
    paths_append_number(path.text, sizeof path.text, len, (uint64_t)fd, 10);
    return path;
}

__attribute__((constructor(101))) static void guest_constructor(void)
{
    int saved = errno;
    guest_get();
    errno = saved;
}
