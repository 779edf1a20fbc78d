#include "say.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "guest.h"
#include "wire/wire.h"

void say_start(struct say *line)
{
    line->len = 0;
    say_text(line, "etcdflock: ");
}

void say_text(struct say *line, const char *text)
{
    /* Room for the newline is kept; control characters of a file's name do not reach a terminal. */
    while (*text && line->len < SAY_MAX - 2) {
        unsigned char c = (unsigned char)*text++;
        line->text[line->len++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    line->text[line->len] = '\0';
}

void say_number(struct say *line, long number)
{
    char digits[24];
    if (number < 0)
        say_text(line, "-");
    paths_append_number(digits, sizeof digits, 0,
                        number < 0 ? 0 - (unsigned long)number : (unsigned long)number, 10);
    say_text(line, digits);
}

void say_errno(struct say *line, int err)
{
    static const struct {
        int err;
        const char *text;
    } known[] = {
        {EACCES, "permission denied"},
        {EPERM, "operation not permitted"},
        {ENOENT, "no such file or directory"},
        {ENOTDIR, "not a directory"},
        {EMFILE, "too many open files in this process"},
        {ENFILE, "too many open files in the system"},
        {ENOMEM, "out of memory"},
        {EFBIG, "file too large"},
        {EISDIR, "is a directory"},
        {ECONNREFUSED, "connection refused"},
        {ELOOP, "too many symbolic links"},
        {ENAMETOOLONG, "name too long"},
        {EPROTO, "garbled message"},
        {EPROTONOSUPPORT, "library and agent are of different versions"},
        {ENODATA, "the file is empty"},
        {ETIMEDOUT, "no answer in time"},
        {ENODEV, "etcdflockd not found beside the library"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].err == err) {
            say_text(line, known[i].text);
            return;
        }
    }
    say_text(line, "error ");
    say_number(line, err);
}

static bool stderr_is_for_people(void)
{
    const struct guest *guest = guest_get();
    struct stat st;
    if (fstat(2, &st) < 0)
        return false;
    if (S_ISCHR(st.st_mode))
        return true;
    return st.st_dev == guest->stderr_dev && st.st_ino == guest->stderr_ino;
}

static void say_write(struct say *line)
{
    if (!stderr_is_for_people())
        return;
    line->text[line->len++] = '\n';
    (void)guest_call(SYS_write, 2, line->text, line->len);
}

void say_failure(struct say *line)
{
    static _Atomic uint64_t last;
    uint64_t hash = wire_hash(line->text, line->len);
    if (atomic_exchange_explicit(&last, hash, memory_order_relaxed) != hash)
        say_write(line);
}

void say_debug(struct say *line)
{
    if (guest_get()->debug)
        say_write(line);
}
