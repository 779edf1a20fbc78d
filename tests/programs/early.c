/*
 * flock at the edges of a process's life: from .preinit_array, before any constructor; from a
 * constructor of a shared object; from main; from a destructor. Each prints "WHERE ok" or the name
 * of the errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "early.h"

static int preinit_result = -1;

/* getenv is no help here: libc itself has not been initialised and does not know the environment
 * yet. */
static void preinit(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    for (; *envp; envp++) {
        if (strncmp(*envp, "EARLY_FILE=", 11) == 0)
            preinit_result = early_try(*envp + 11);
    }
}

typedef void preinit_function(int argc, char **argv, char **envp);
__attribute__((section(".preinit_array"), used)) static preinit_function *preinit_entry = preinit;

static void tell(const char *where, int error)
{
    const char *name = error ? strerrorname_np(error) : "ok";

    printf("%s %s\n", where, error == EWOULDBLOCK ? "EWOULDBLOCK" : name);
    fflush(stdout);
}

__attribute__((destructor)) static void at_end(void)
{
    tell("destructor", early_try(getenv("EARLY_FILE")));
}

int main(void)
{
    tell("preinit", preinit_result);
    tell("constructor", early_constructor_result);
    tell("main", early_try(getenv("EARLY_FILE")));
    return 0;
}
