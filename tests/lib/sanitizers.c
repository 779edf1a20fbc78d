/* Linked into builds with sanitizers only: an agent has no stderr and a clean environment, so that where reports go
 * must be built in. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:log_path=" REPORTS;
}

const char *__tsan_default_options(void)
{
    return "atexit_sleep_ms=0:log_path=" REPORTS;
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:log_path=" REPORTS;
}
