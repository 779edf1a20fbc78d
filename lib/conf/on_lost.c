/* on_lost = term | kill | ignore | signal:NAME */
#include "conf/parse.h"
#include "conf/suggest.h"

#include <signal.h>
#include <string.h>

#define SIGNAL_MAX 64 /* the highest number on Linux, except on MIPS */

static const char *const signal_names[] = {
    "HUP",  "INT",  "QUIT", "ILL",  "TRAP", "ABRT", "BUS",    "FPE",   "KILL", "USR1",  "SEGV",
    "USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT", "STOP",   "TSTP",  "TTIN", "TTOU",  "URG",
    "XCPU", "XFSZ", "PROF", "IO",   "PWR",  "SYS",  "VTALRM", "WINCH", "POLL", "STKFLT"};

static const int signal_numbers[] = {
    SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,   SIGABRT,  SIGBUS,  SIGFPE,
    SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,   SIGALRM,  SIGTERM, SIGCHLD,
    SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,   SIGURG,   SIGXCPU, SIGXFSZ,
    SIGPROF, SIGIO,   SIGPWR,  SIGSYS,  SIGVTALRM, SIGWINCH, SIGPOLL, SIGSTKFLT};

#define N_SIGNALS (sizeof signal_names / sizeof signal_names[0])
_Static_assert(N_SIGNALS == sizeof signal_numbers / sizeof signal_numbers[0], "names and numbers");

static struct conf_span without_sig(struct conf_span name)
{
    if (name.len > 3 && memcmp(name.at, "SIG", 3) == 0) {
        name.at += 3;
        name.len -= 3;
    }
    return name;
}

/* The number of HUP, SIGHUP or 1; 0 if there is no such signal. */
static int signal_number(struct conf_span name)
{
    int number = 0;

    for (size_t i = 0; i < N_SIGNALS; i++)
        if (conf_span_is(without_sig(name), signal_names[i]))
            return signal_numbers[i];
    if (name.len > 2)
        return 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] < '0' || name.at[i] > '9')
            return 0;
        number = number * 10 + (name.at[i] - '0');
    }
    return number <= SIGNAL_MAX ? number : 0;
}

static int fail_signal(struct conf_parser *parser, struct conf_span value, struct conf_span name)
{
    struct conf_span bare = without_sig(name);
    const char *near = conf_suggest(bare, signal_names, N_SIGNALS);

    if (!near && name.len > 3) { /* sighup: names are in upper case */
        bare = (struct conf_span){.at = name.at + 3, .len = name.len - 3};
        near = conf_suggest(bare, signal_names, N_SIGNALS);
    }
    if (near)
        return conf_fail(parser, parser->line,
                         "on_lost = '%.*s%s' names no signal; did you mean 'signal:%s'?",
                         CONF_SHOW(value), near);
    return conf_fail(parser, parser->line,
                     "on_lost = '%.*s%s' names no signal; write a name such as signal:HUP or a "
                     "number from 1 to %d",
                     CONF_SHOW(value), SIGNAL_MAX);
}

static int fail_word(struct conf_parser *parser, struct conf_span value)
{
    static const char *const words[] = {"term", "kill", "ignore", "signal"};
    struct conf_span head = value;
    const char *colon = memchr(value.at, ':', value.len), *near;

    if (colon)
        head.len = (size_t)(colon - value.at);
    near = conf_suggest(head, words, sizeof words / sizeof words[0]);
    if (!near && signal_number(value) > 0)
        return conf_fail(parser, parser->line,
                         "on_lost = '%.*s%s' is the name of a signal; write 'signal:%.*s'",
                         CONF_SHOW(value), (int)value.len, value.at);
    if (!near)
        return conf_fail(parser, parser->line,
                         "on_lost = '%.*s%s' is no known word; write term, kill, ignore or "
                         "signal:NAME",
                         CONF_SHOW(value));
    return conf_fail(parser, parser->line,
                     "on_lost = '%.*s%s' is no known word; did you mean '%s%s'?", CONF_SHOW(value),
                     near, strcmp(near, "signal") == 0 ? ":NAME" : "");
}

int conf_set_on_lost(struct conf_parser *parser, struct conf_span value)
{
    static const char prefix[] = "signal:";
    const size_t prefix_len = sizeof prefix - 1;
    struct conf_rule *rule = conf_holder(parser, CONF_IN_RULE);

    if (conf_span_is(value, "term")) {
        rule->on_lost = CONF_LOST_TERM;
    } else if (conf_span_is(value, "kill")) {
        rule->on_lost = CONF_LOST_KILL;
    } else if (conf_span_is(value, "ignore")) {
        rule->on_lost = CONF_LOST_IGNORE;
    } else if (value.len >= prefix_len && memcmp(value.at, prefix, prefix_len) == 0) {
        struct conf_span name = {.at = value.at + prefix_len, .len = value.len - prefix_len};

        rule->on_lost = CONF_LOST_SIGNAL;
        rule->lost_signal = signal_number(name);
        if (rule->lost_signal == 0)
            return fail_signal(parser, value, name);
    } else {
        return fail_word(parser, value);
    }
    return 0;
}
