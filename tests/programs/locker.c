/*
 * The remote-controlled locker: reads one command a line, answers each with one line. A test drives
 * several of them, so that what every process does, and when, is written in the test.
 *
 *   open SLOT PATH r|w|rw|dir|path [creat] [cloexec]     flock SLOT sh|ex|un|NUMBER [nb]
 *   dup SLOT NEW   close SLOT   closeall   pipe SLOT SLOT   socket SLOT SLOT   cloexec SLOT on|off
 *   start JOB SLOT OP [nb]   the same flock in a thread of its own: "started TID"
 *   wait JOB MS              its outcome, or "running"
 *   tkill JOB   cancel JOB   SIGUSR2 to that thread; pthread_cancel
 *   handler SIGNAL restart|norestart|jump|ignore|default   handled   kill SIGNAL
 *   alarm MS                 SIGALRM every so often; 0 ends it
 *   fork IN OUT              the child is a locker on these two fifos: "forked PID"
 *   exec [plain]             itself again, descriptors kept; plain: without LD_PRELOAD
 *   listen PATH   send SLOT PATH   recv SLOT     a descriptor through a datagram socket
 *   stat SLOT   unlink PATH   rename OLD NEW   link OLD NEW   truncate SLOT   read SLOT
 *   exit CODE
 *
 * A flock that succeeds but has touched errno is told as that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "locker.h"

#define LINE_MAX_BYTES 8192
#define WORDS_MAX      8

void say(const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    line[len++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        _exit(3); /* the driver is gone */
}

const char *outcome(int result)
{
    if (result >= 0)
        return "ok";
    return errno == EWOULDBLOCK ? "EWOULDBLOCK" : strerrorname_np(errno);
}

/* Byte by byte: nothing read ahead may be lost in a fork or an exec. False at the end. */
static int read_line(char *line, size_t size)
{
    size_t used = 0;

    while (used + 1 < size) {
        ssize_t n = read(STDIN_FILENO, line + used, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        if (line[used] == '\n')
            break;
        used++;
    }
    line[used] = '\0';
    return 1;
}

/* Its standard streams are the two fifos from here on; the parent's are closed with that. */
static void become_child(const char *in, const char *out)
{
    int from = open(in, O_RDONLY);
    int to = open(out, O_WRONLY);

    if (from < 0 || to < 0)
        _exit(3);
    dup2(from, STDIN_FILENO);
    dup2(to, STDOUT_FILENO);
    close(from);
    close(to);
    jobs_forget();
    say("ready %d", (int)getpid());
}

static void do_fork(int argc, char **argv)
{
    pid_t pid;

    if (argc != 3) {
        say("usage");
        return;
    }
    pid = fork();
    if (pid == 0)
        become_child(argv[1], argv[2]);
    else if (pid < 0)
        say("%s", outcome(-1));
    else
        say("forked %d", (int)pid);
}

static void do_exec(int argc, char **argv)
{
    char *args[SLOTS + 2] = {(char *)"locker"};
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len < 0) {
        say("%s", outcome(-1));
        return;
    }
    self[len] = '\0';
    if (argc == 2 && strcmp(argv[1], "plain") == 0)
        unsetenv("LD_PRELOAD");
    args[1 + slots_to_args(args + 1, SLOTS)] = NULL;
    execv(self, args);
    say("%s", outcome(-1));
}

static void do_kill(int argc, char **argv)
{
    if (argc == 2)
        kill(getpid(), atoi(argv[1]));
    say("ok");
}

static void do_stat(int argc, char **argv)
{
    struct stat st;

    if (argc != 2 || fstat(slot_fd(argv[1]), &st) != 0)
        say("%s", outcome(-1));
    else
        say("%lu %lu %lu %ld", (unsigned long)st.st_dev, (unsigned long)st.st_ino,
            (unsigned long)st.st_nlink, (long)st.st_size);
}

static void do_unlink(int argc, char **argv)
{
    say("%s", argc == 2 ? outcome(unlink(argv[1])) : "usage");
}

static void do_rename(int argc, char **argv)
{
    say("%s", argc == 3 ? outcome(rename(argv[1], argv[2])) : "usage");
}

static void do_link(int argc, char **argv)
{
    say("%s", argc == 3 ? outcome(link(argv[1], argv[2])) : "usage");
}

static void do_truncate(int argc, char **argv)
{
    say("%s", argc == 2 ? outcome(ftruncate(slot_fd(argv[1]), 0)) : "usage");
}

/* The number of bytes, to see that the descriptor's offset and content are what they were. */
static void do_read(int argc, char **argv)
{
    char bytes[256];

    if (argc == 2)
        say("%zd", read(slot_fd(argv[1]), bytes, sizeof(bytes)));
    else
        say("usage");
}

static void do_exit(int argc, char **argv)
{
    int code = argc == 2 ? atoi(argv[1]) : 0;

    say("ok");
    exit(code);
}

static const struct {
    const char *word;
    void (*run)(int argc, char **argv);
} commands[] = {
    {"open", do_open},       {"flock", do_flock},       {"dup", do_dup},
    {"close", do_close},     {"closeall", do_closeall}, {"pipe", do_pipe},
    {"socket", do_socket},   {"cloexec", do_cloexec},   {"start", do_start},
    {"wait", do_wait},       {"tkill", do_tkill},       {"cancel", do_cancel},
    {"handler", do_handler}, {"handled", do_handled},   {"alarm", do_alarm},
    {"kill", do_kill},       {"fork", do_fork},         {"exec", do_exec},
    {"listen", do_listen},   {"send", do_send},         {"recv", do_recv},
    {"stat", do_stat},       {"unlink", do_unlink},     {"rename", do_rename},
    {"link", do_link},       {"truncate", do_truncate}, {"read", do_read},
    {"exit", do_exit},
};

static void run_command(char *line)
{
    char *words[WORDS_MAX] = {NULL};
    char *rest = NULL;
    int n = 0;

    for (char *w = strtok_r(line, " ", &rest); w && n < WORDS_MAX; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    if (n == 0) {
        say("usage");
        return;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].word, words[0]) == 0) {
            commands[i].run(n, words);
            return;
        }
    }
    say("unknown command %s", words[0]);
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_BYTES];

    (void)argc;
    slots_forget();
    slots_from_args(argv + 1);
    say("ready %d", (int)getpid());
    while (read_line(line, sizeof(line)))
        run_command(line);
    return 0;
}
