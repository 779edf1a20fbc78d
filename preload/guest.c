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

/* Where the values go, while the environment is gone through once. */
struct setting {
    const char *name;
    char value[PATHS_MAX];
    bool found, too_long;
};
enum { DISABLE, DEBUG, RUNDIR, XDG, CONFIG, N_SETTINGS };

static void take_setting(struct setting *settings, const char *entry)
{
    for (int i = 0; i < N_SETTINGS; i++) {
        size_t len = strlen(settings[i].name);
        if (strncmp(entry, settings[i].name, len) == 0 && entry[len] == '=') {
            settings[i].found = true;
            settings[i].too_long =
                paths_append(settings[i].value, PATHS_MAX, 0, entry + len + 1) >= PATHS_MAX;
        }
    }
}

/* Before libc has set up `environ`: code of the program's that runs first of all (.preinit_array).
 */
static void read_proc_environment(struct setting *settings)
{
    char text[1024];
    size_t len = 0;
    bool skipping = false; /* the rest of an entry that is longer than the buffer */
    int fd = (int)guest_call(SYS_openat, AT_FDCWD, "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
    while (fd >= 0) {
        long got = guest_call(SYS_read, fd, text + len, sizeof text - len);
        if (got <= 0)
            break;
        len += (size_t)got;
        char *start = text;
        char *end;
        while ((end = memchr(start, '\0', len - (size_t)(start - text)))) {
            if (!skipping)
                take_setting(settings, start);
            skipping = false;
            start = end + 1;
        }
        len -= (size_t)(start - text);
        memmove(text, start, len);
        if (len == sizeof text) {
            if (!skipping) {
                text[sizeof text - 1] = '\0';
                take_setting(settings, text);
            }
            skipping = true;
            len = 0;
        }
    }
    if (fd >= 0)
        guest_close(fd);
}

static bool is_set(const struct setting *setting)
{
    return setting->found && setting->value[0];
}

static bool flag_is_set(const struct setting *setting)
{
    return is_set(setting) && strcmp(setting->value, "0") != 0;
}

static bool take_path(const struct setting *setting, char out[PATHS_MAX])
{
    paths_append(out, PATHS_MAX, 0, setting->value);
    return is_set(setting);
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

/* May run twice at once, in a program that starts threads before our constructor: both then write
 * the same bytes. */
static void guest_init(void)
{
    struct setting settings[N_SETTINGS] = {
        [DISABLE] = {.name = "ETCDFLOCK_DISABLE"}, [DEBUG] = {.name = "ETCDFLOCK_DEBUG"},
        [RUNDIR] = {.name = "ETCDFLOCK_RUNDIR"},   [XDG] = {.name = "XDG_RUNTIME_DIR"},
        [CONFIG] = {.name = "ETCDFLOCK_CONFIG"},
    };
    if (environ) {
        for (char **at = environ; *at; at++)
            take_setting(settings, *at);
    } else {
        read_proc_environment(settings);
    }
    guest.inert = flag_is_set(&settings[DISABLE]) || getauxval(AT_SECURE) != 0;
    guest.debug = flag_is_set(&settings[DEBUG]);
    guest.has_rundir = take_path(&settings[RUNDIR], guest.rundir);
    guest.rundir_too_long = settings[RUNDIR].too_long;
    guest.has_xdg = !settings[XDG].too_long && take_path(&settings[XDG], guest.xdg);
    const char *config = is_set(&settings[CONFIG]) ? settings[CONFIG].value : PATHS_DEFAULT_CONFIG;
    if (settings[CONFIG].too_long || paths_config(config, guest.config) < 0)
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
