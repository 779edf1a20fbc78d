#include "cli/real_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel: MAXSYMLINKS */

struct walk {
    char *done; /* resolved: "" for the root, else without a slash at its end */
    size_t len;
    char left[2 * PATH_MAX]; /* still to walk */
    int links;
    bool missing; /* nothing is there from here on */
};

static void step_up(struct walk *walk)
{
    while (walk->len > 0 && walk->done[--walk->len] != '/')
        ;
    walk->done[walk->len] = '\0';
    walk->missing = false; /* what is above may be there: look again */
}

/* `text` before what is left. */
static int put_back(struct walk *walk, const char *text)
{
    char rest[sizeof walk->left];
    strcpy(rest, walk->left);
    const char *slash = rest[0] && rest[0] != '/' ? "/" : "";
    int n = snprintf(walk->left, sizeof walk->left, "%s%s%s", text, slash, rest);
    return n >= 0 && (size_t)n < sizeof walk->left ? 0 : -ENAMETOOLONG;
}

static int follow(struct walk *walk)
{
    char target[PATH_MAX];
    ssize_t len = readlink(walk->done, target, sizeof target);
    if (len < 0)
        return -errno;
    if (len >= (ssize_t)sizeof target)
        return -ENAMETOOLONG;
    if (++walk->links > LINKS_MAX)
        return -ELOOP;
    target[len] = '\0';
    if (target[0] == '/') {
        walk->len = 0;
        walk->done[0] = '\0';
    } else {
        step_up(walk);
    }
    return put_back(walk, target);
}

/* Appends one part; `more`: a slash follows. */
static int step_down(struct walk *walk, const char *part, bool more)
{
    struct stat st;
    size_t len = strlen(part);
    if (walk->len + 1 + len + 1 > PATH_MAX || len > NAME_MAX)
        return -ENAMETOOLONG;
    walk->done[walk->len] = '/';
    memcpy(walk->done + walk->len + 1, part, len + 1);
    walk->len += 1 + len;
    if (walk->missing)
        return 0;
    if (lstat(walk->done, &st) < 0) {
        walk->missing = errno == ENOENT;
        return walk->missing ? 0 : -errno;
    }
    if (S_ISLNK(st.st_mode))
        return follow(walk);
    return more && !S_ISDIR(st.st_mode) ? -ENOTDIR : 0;
}

/* Takes the next part off what is left; false at the end. */
static bool next_part(struct walk *walk, char part[PATH_MAX])
{
    size_t start = strspn(walk->left, "/");
    size_t len = strcspn(walk->left + start, "/");
    if (len == 0)
        return false;
    snprintf(part, PATH_MAX, "%.*s", (int)len, walk->left + start);
    memmove(walk->left, walk->left + start + len, strlen(walk->left + start + len) + 1);
    return true;
}

int real_path(const char *given, char out[PATH_MAX])
{
    struct walk walk = {.done = out};
    char part[PATH_MAX];
    int err = 0;
    out[0] = '\0';
    if (!given[0])
        return -ENOENT;
    if (strlen(given) >= PATH_MAX)
        return -ENAMETOOLONG;
    strcpy(walk.left, given);
    if (given[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here))
            return -errno;
        err = put_back(&walk, here);
    }
    while (!err && next_part(&walk, part)) {
        bool more = walk.left[0] != '\0';
        if (strcmp(part, "..") == 0)
            step_up(&walk);
        else if (strcmp(part, ".") != 0)
            err = step_down(&walk, part, more);
    }
    if (!err && walk.len == 0)
        strcpy(out, "/");
    return err;
}
