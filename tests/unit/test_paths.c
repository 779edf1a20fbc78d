/* Where agent and clients meet: base directory, its name for a configuration, and its owner. */
#include "wire/paths.h"

#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[PATH_MAX]; /* a directory of our own */

static const char *in_scratch(const char *name)
{
    static char path[PATH_MAX + 300];

    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static void test_append(void)
{
    char out[8];

    CHECK_INT("fits", (long long)paths_append(out, sizeof out, 0, "abc"), 3);
    CHECK_STR("text", out, "abc");
    CHECK_INT("just fits", (long long)paths_append(out, sizeof out, 3, "defg"), 7);
    CHECK_STR("text", out, "abcdefg");
    CHECK_INT("nothing more", (long long)paths_append(out, sizeof out, 7, ""), 7);
    CHECK_INT("one too many", (long long)paths_append(out, sizeof out, 3, "DEFGH"), 8);
    CHECK_STR("cut", out, "abcDEFG");
    CHECK_INT("stays so", (long long)paths_append(out, sizeof out, 8, "x"), 8);
    CHECK_STR("and cut", out, "abcDEFG");
}

static void test_append_number(void)
{
    static const struct {
        uint64_t number;
        unsigned base;
        const char *text;
    } cases[] = {
        {0, 10, "0"},
        {10, 10, "10"},
        {UINT64_MAX, 10, "18446744073709551615"},
        {UINT64_MAX, 16, "ffffffffffffffff"},
        {0xabc, 16, "abc"},
    };
    char out[32];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = paths_append_number(out, sizeof out, 0, cases[i].number, cases[i].base);

        CHECK_STR("number", out, cases[i].text);
        CHECK_INT("length", (long long)len, (long long)strlen(cases[i].text));
    }
    CHECK_INT("too long", (long long)paths_append_number(out, 5, 0, 12345, 10), 5);
    CHECK_STR("cut", out, "1234");
}

static void test_base(void)
{
    char out[PATHS_MAX], wanted[PATHS_MAX], here[PATHS_MAX];

    CHECK_INT("explicit", paths_base("/x/y", "/tmp", 0, out), 0);
    CHECK_STR("explicit", out, "/x/y");
    CHECK_INT("explicit, slashes at the end", paths_base("/x/y///", NULL, 1000, out), 0);
    CHECK_STR("explicit, slashes at the end", out, "/x/y");
    CHECK_INT("explicit root directory", paths_base("///", NULL, 1000, out), 0);
    CHECK_STR("explicit root directory", out, "/");
    CHECK_INT("explicit and relative", paths_base("x", NULL, 0, out), -EINVAL);

    CHECK_INT("root", paths_base(NULL, NULL, 0, out), 0);
    CHECK_STR("root", out, "/run/etcdflock");
    CHECK_INT("root keeps to one place", paths_base("", scratch, 0, out), 0);
    CHECK_STR("root keeps to one place", out, "/run/etcdflock");

    snprintf(here, sizeof here, "%.500s", scratch);
    snprintf(wanted, sizeof wanted, "%.490s/etcdflock", scratch);
    CHECK_INT("XDG_RUNTIME_DIR", paths_base(NULL, here, 4000000001u, out), 0);
    CHECK_STR("XDG_RUNTIME_DIR", out, wanted);
    CHECK_INT("explicit wins", paths_base("/x", here, 4000000001u, out), 0);
    CHECK_STR("explicit wins", out, "/x");

    /* Nobody has this uid, so nobody has made its directory. */
    static const char *const useless[] = {NULL, "", "relative", "/nowhere/at/all", "/dev/null"};
    for (size_t i = 0; i < sizeof useless / sizeof useless[0]; i++) {
        CHECK_INT("neither", paths_base(NULL, useless[i], 4000000001u, out), 0);
        CHECK_STR("neither", out, "/tmp/etcdflock-4000000001");
    }
}

static void test_base_too_long(void)
{
    char rundir[PATHS_MAX + 40], out[PATHS_MAX];

    memset(rundir, 'r', sizeof rundir);
    rundir[0] = '/';
    rundir[PATHS_MAX - 1] = '\0';
    CHECK_INT("it just fits", paths_base(rundir, NULL, 0, out), 0);
    CHECK_STR("it just fits", out, rundir);
    rundir[PATHS_MAX - 1] = 'r';
    rundir[PATHS_MAX] = '\0';
    CHECK_INT("one byte too long", paths_base(rundir, NULL, 0, out), -ENAMETOOLONG);
    CHECK("and terminated", strnlen(out, sizeof out) < sizeof out);
    memset(rundir + 1, '/', PATHS_MAX - 1);
    CHECK_INT("slashes that do not fit", paths_base(rundir, NULL, 0, out), -ENAMETOOLONG);
}

static void test_dir(void)
{
    static const struct paths_namespaces ns = {4026531840, 4026531841, 4026531836};
    struct paths_namespaces others[] = {ns, ns, ns, {0, 0, 0}, {ns.mnt, ns.net, ns.pid}};
    char out[PATHS_MAX], other[PATHS_MAX], base[PATHS_MAX];
    const char *name;

    others[0].net++;
    others[1].mnt++;
    others[2].pid++;
    CHECK_INT("name", paths_dir("/run/etcdflock", "/etc/etcdflock.conf", &ns, out), 0);
    CHECK("below the base", strncmp(out, "/run/etcdflock/", 15) == 0);
    name = out + 15;
    CHECK("one part of hexadecimal digits",
          *name && strlen(name) <= 16 && strspn(name, "0123456789abcdef") == strlen(name));
    paths_dir("/run/etcdflock", "/etc/etcdflock.conf", &ns, other);
    CHECK_STR("the same for the same", other, out);
    paths_dir("/run/etcdflock", "/etc/etcdflock.conf2", &ns, other);
    CHECK("another for another configuration", strcmp(other, out) != 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        paths_dir("/run/etcdflock", "/etc/etcdflock.conf", &others[i], other);
        CHECK("another in other namespaces", strcmp(other, out) != 0);
    }

    memset(base, 'b', sizeof base);
    base[PATHS_MAX - 1 - strlen(name) - 1] = '\0';
    CHECK_INT("it just fits", paths_dir(base, "/etc/etcdflock.conf", &ns, other), 0);
    CHECK_STR("it just fits", other + strlen(base) + 1, name);
    base[PATHS_MAX - 1 - strlen(name) - 1] = 'b';
    base[PATHS_MAX - 1 - strlen(name)] = '\0';
    CHECK_INT("one byte too long", paths_dir(base, "/etc/etcdflock.conf", &ns, other),
              -ENAMETOOLONG);
    CHECK("and terminated", strnlen(other, sizeof other) < sizeof other);
}

static void test_namespaces(void)
{
    struct paths_namespaces ns;

    paths_namespaces(&ns);
    CHECK("all three are known", ns.net && ns.mnt && ns.pid);
    CHECK("and are three", ns.net != ns.mnt && ns.mnt != ns.pid);
}

/* Whatever the name under which it is given, one configuration is one agent. */
static void test_config(void)
{
    char out[PATHS_MAX], wanted[PATHS_MAX], cwd[PATHS_MAX], longer[PATHS_MAX + 40];
    FILE *file = fopen(in_scratch("real.conf"), "w");

    if (file)
        fclose(file);
    snprintf(wanted, sizeof wanted, "%.490s/real.conf", scratch);
    CHECK_INT("a link to it", symlink("real.conf", in_scratch("link.conf")), 0);
    CHECK_INT("absolute", paths_config(in_scratch("real.conf"), out), 0);
    CHECK_STR("absolute", out, wanted);
    CHECK_INT("dots", paths_config(in_scratch(".//./real.conf"), out), 0);
    CHECK_STR("dots", out, wanted);
    CHECK_INT("link", paths_config(in_scratch("link.conf"), out), 0);
    CHECK_STR("link", out, wanted);
    if (!getcwd(cwd, sizeof cwd) || chdir(scratch))
        return;
    CHECK_INT("relative", paths_config("link.conf", out), 0);
    CHECK_STR("relative", out, wanted);
    snprintf(wanted, sizeof wanted, "%.490s/missing.conf", scratch);
    CHECK_INT("relative and missing", paths_config("missing.conf", out), 0);
    CHECK_STR("relative and missing", out, wanted);
    CHECK_INT("absolute and missing", paths_config(wanted, out), 0);
    CHECK_STR("absolute and missing", out, wanted);
    memset(longer, 'c', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    CHECK_INT("too long", paths_config(longer, out), -ENAMETOOLONG);
    CHECK_INT("too long and relative", paths_config(longer + 1, out), -ENAMETOOLONG);
    CHECK("and terminated", strnlen(out, sizeof out) < sizeof out);
    CHECK_INT("back", chdir(cwd), 0);
}

static int open_dir(const char *path, uid_t uid)
{
    int fd = paths_open_dir(path, uid);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static void test_open_dir(void)
{
    const char *path = in_scratch("run");
    uid_t me = getuid();

    CHECK_INT("mkdir", mkdir(path, 0700), 0);
    CHECK_INT("our own", open_dir(path, me), 0);
    chmod(path, 0755);
    CHECK_INT("others may read", open_dir(path, me), 0);
    chmod(path, 0770);
    CHECK_INT("the group may write", open_dir(path, me), -EPERM);
    chmod(path, 01777);
    CHECK_INT("everybody may write", open_dir(path, me), -EPERM);
    chmod(path, 0700);
    CHECK_INT("root's is everybody's", open_dir("/", 4000000001u), 0);
    if (me != 0)
        CHECK_INT("somebody else's", open_dir(path, 4000000001u), -EPERM);
    else if (chown(path, 4000000001u, (gid_t)-1) == 0) {
        CHECK_INT("somebody else's", open_dir(path, 0), -EPERM);
        CHECK_INT("their own", open_dir(path, 4000000001u), 0);
    }
    CHECK_INT("link", symlink("run", in_scratch("run-link")), 0);
    CHECK_INT("a link to one", open_dir(in_scratch("run-link"), me), -ENOTDIR);
    CHECK_INT("a file", open_dir(in_scratch("real.conf"), me), -ENOTDIR);
    CHECK_INT("nothing", open_dir(in_scratch("nothing"), me), -ENOENT);
}

static void clean_up(void)
{
    static const char *const files[] = {"run-link", "link.conf", "real.conf"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(in_scratch(files[i]));
    rmdir(in_scratch("run"));
    rmdir(scratch);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char template[200];

    /* Resolved: a system's own links in front of it are not what is tested. */
    snprintf(template, sizeof template, "%.150s/test_paths.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(template) || !realpath(template, scratch)) {
        perror(template);
        return 111;
    }
    test_append();
    test_append_number();
    test_base();
    test_base_too_long();
    test_dir();
    test_namespaces();
    test_config();
    test_open_dir();
    clean_up();
    return unit_end();
}
