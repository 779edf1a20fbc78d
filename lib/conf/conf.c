/* Loading, freeing and asking a configuration. */
#include "conf/conf.h"

#include "conf/glob.h"
#include "conf/parse.h"
#include "conf/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_read(const char *file, struct conf_error *err, int error)
{
    return conf_fail_file(file, err, -error, "the configuration cannot be read: %s; %s",
                          strerror(error),
                          error == ENOENT ? "create it, or name another one in ETCDFLOCK_CONFIG"
                                          : "make it readable for this user");
}

/* Fills `text` up to `size` bytes. Returns how many there were, or a negative errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t got = read(fd, text + len, size - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static int check_kind(int fd, const char *file, struct conf_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return fail_read(file, err, errno);
    if (S_ISDIR(st.st_mode))
        return conf_fail_file(file, err, -EISDIR,
                              "the configuration is a directory; name the file in it");
    if (!S_ISREG(st.st_mode))
        return conf_fail_file(file, err, -ENXIO,
                              "the configuration is not a regular file; name a text file");
    if (st.st_size > CONF_TEXT_MAX)
        return conf_fail_file(file, err, -EFBIG,
                              "the configuration is larger than %d bytes; is it the right file?",
                              CONF_TEXT_MAX);
    return 0;
}

int conf_load(const char *file, struct conf **out, struct conf_error *err)
{
    /* O_NONBLOCK: the open of a FIFO must not wait for a writer. */
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const size_t room = CONF_TEXT_MAX + 1; /* one more, to see that a file has grown too large */
    char *text = NULL;
    ssize_t len;
    int result;

    if (fd < 0)
        return fail_read(file, err, errno);
    result = check_kind(fd, file, err);
    if (result < 0)
        goto out;
    text = malloc(room);
    len = text ? read_all(fd, text, room) : -ENOMEM;
    result =
        len < 0 ? fail_read(file, err, (int)-len) : conf_parse(text, (size_t)len, file, out, err);
out:
    free(text);
    close(fd);
    return result;
}

void conf_free(struct conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf->n_endpoints; i++)
        free(conf->endpoints[i]);
    for (size_t i = 0; i < conf->n_rules; i++) {
        struct conf_rule *rule = &conf->rules[i];

        for (size_t j = 0; j < rule->n_paths; j++)
            free(rule->paths[j]);
        free(rule->paths);
        free(rule->name);
        free(rule->key);
    }
    free(conf->rules);
    free(conf->file);
    free(conf->user);
    free(conf->password_file);
    free(conf->cacert);
    free(conf->cert);
    free(conf->cert_key);
    free(conf->root);
    free(conf->host);
    free(conf->log);
    free(conf);
}

const struct conf_rule *conf_find(const struct conf *conf, const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < conf->n_rules; i++)
        for (size_t j = 0; j < conf->rules[i].n_paths; j++) {
            const char *pattern = conf->rules[i].paths[j];

            if (conf_glob_match(pattern, strlen(pattern), path, len))
                return &conf->rules[i];
        }
    return NULL;
}

int conf_key(const struct conf_rule *rule, const char *path, char *out, size_t size)
{
    return conf_template_fill(rule->key, path, out, size);
}

void conf_key_prefix(const struct conf_rule *rule, char *out, size_t size)
{
    conf_template_prefix(rule->key, out, size);
}
