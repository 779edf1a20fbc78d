/*
 * The configuration as the agent and the etcdflock command see it. Heap and stdio are allowed here;
 * what the preload library shares is in scan.h and glob.h.
 */
#ifndef ETCDFLOCK_CONF_H
#define ETCDFLOCK_CONF_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_TEXT_MAX  (1024 * 1024) /* bytes of a configuration file */
#define CONF_KEY_MAX   1024          /* bytes of a key, without the terminating zero */
#define CONF_ENDPOINTS 16
#define CONF_RULES     1000 /* sections named by the user; all are compared with all */

/* What happens to the processes that hold a lock when the lease behind it is lost. */
enum conf_on_lost {
    CONF_LOST_TERM,   /* SIGTERM, then SIGKILL before the deadline (default) */
    CONF_LOST_KILL,   /* SIGKILL at once */
    CONF_LOST_SIGNAL, /* the signal named, then SIGKILL before the deadline */
    CONF_LOST_IGNORE, /* nothing: the program checks the fencing token itself */
};

/* One section named by the user. */
struct conf_rule {
    char *name;    /* of the section */
    unsigned line; /* of the section's header */
    char **paths;  /* patterns, in the order of the file */
    size_t n_paths;
    char *key; /* template */
    enum conf_on_lost on_lost;
    int lost_signal; /* for CONF_LOST_SIGNAL; otherwise 0 */
    unsigned
        timeout_ms; /* longest wait of a blocking call while etcd is out of reach; 0: for ever */
    bool merge;     /* flock and record locks are one domain */
};

struct conf {
    char *file;                      /* as given to conf_load */
    char *endpoints[CONF_ENDPOINTS]; /* scheme://host[:port], no trailing slash */
    size_t n_endpoints;
    char *user, *password_file; /* both or none (NULL) */
    char *cacert;               /* may be NULL; this and all other files are absolute paths */
    char *cert, *cert_key;      /* both or none */
    char *root;                 /* begins and ends in a slash */
    char *host;                 /* default: the host name */
    char *log;                  /* absolute path, or NULL */
    unsigned ttl;               /* s; default 15, 2 to 3600 */
    unsigned idle_release;      /* s; default 5, 0 to 3600 */
    unsigned turn;              /* ms; default 5, 0 to 1000 */
    struct conf_rule *rules;    /* at least one */
    size_t n_rules;
};

struct conf_error {
    unsigned line;  /* 0: the file could not be read */
    char text[512]; /* the whole message, one line: "FILE:LINE: what is wrong; what to do", or
                       "FILE: ..." where the file could not be read */
};

/* Reads and checks a whole configuration. Returns 0 and *out (free with conf_free), or a negative
 * errno (-EINVAL for a mistake in the text, else why the file could not be read) and *err, which
 * may be NULL. The first mistake is the one reported; what is missing altogether is reported for
 * the last line. Nothing that the file names is opened. */
int conf_load(const char *file, struct conf **out, struct conf_error *err);
int conf_parse(const char *text, size_t len, const char *file, struct conf **out,
               struct conf_error *err);
void conf_free(struct conf *conf);

/* The first rule, in the order of the file, with a pattern that matches; NULL if none does. */
const struct conf_rule *conf_find(const struct conf *conf, const char *path);

/* The cluster key of a path under a rule: the template with {path}, {name} and {dir} filled in. In
 * what is filled in, `/`, `%` and control characters become %XX, so that no key lies inside
 * another. Returns 0, or -ENAMETOOLONG if the key does not fit in `size` (CONF_KEY_MAX + 1 is
 * always a sound size). */
int conf_key(const struct conf_rule *rule, const char *path, char *out, size_t size);

/* The part of the rule's keys before its first placeholder (the whole key if it has none): what
 * to list in etcd to see every lock of this rule. */
void conf_key_prefix(const struct conf_rule *rule, char *out, size_t size);

#endif
