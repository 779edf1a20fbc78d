#include "held.h"

#include <fcntl.h>
#include <string.h>

#include "guest.h"

#define CHUNK 1024

/* "lock:\t1: FLOCK  ADVISORY  WRITE 123 00:2a:77 0 EOF" */
static bool parse_line(const char *line, enum wire_mode *mode)
{
    if (strncmp(line, "lock:", 5) != 0 || !strstr(line, " FLOCK "))
        return false;
    if (strstr(line, " WRITE "))
        *mode = WIRE_EX;
    else if (strstr(line, " READ "))
        *mode = WIRE_SH;
    else
        return false;
    return true;
}

int held_mode(int fd, enum wire_mode *mode)
{
    *mode = WIRE_NONE;
    struct guest_fd_path path = guest_fd_path("fdinfo", fd);
    int info = (int)guest_call(SYS_openat, AT_FDCWD, path.text, O_RDONLY | O_CLOEXEC, 0);
    if (info < 0)
        return info == -EMFILE || info == -ENFILE || info == -ENOMEM ? info : 0;
    /* Line by line through a small buffer: a description can have many record locks too. */
    char text[CHUNK + 1];
    size_t len = 0;
    bool found = false;
    for (;;) {
        long got = guest_call(SYS_read, info, text + len, CHUNK - len);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
        text[len] = '\0';
        char *line = text;
        char *end;
        while (!found && (end = strchr(line, '\n'))) {
            *end = '\0';
            found = parse_line(line, mode);
            line = end + 1;
        }
        if (found)
            break;
        len = (size_t)(text + len - line);
        if (len == CHUNK)
            len = 0; /* a line longer than any that the kernel writes */
        memmove(text, line, len);
    }
    guest_close(info);
    return 0;
}
