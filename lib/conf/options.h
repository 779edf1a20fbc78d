/* What options there are: for the parser, the manual and the tests. */
#ifndef ETCDFLOCK_CONF_OPTIONS_H
#define ETCDFLOCK_CONF_OPTIONS_H

#include "conf/scan.h"

#include <stdbool.h>
#include <stddef.h>

enum conf_scope {
    CONF_IN_ETCD,
    CONF_IN_AGENT,
    CONF_IN_RULE, /* a section named by the user */
    CONF_SCOPES,  /* how many; also: no section yet */
};

enum conf_type {
    CONF_ENDPOINTS_TYPE, /* comma list of URLs */
    CONF_USER_TYPE,      /* a name without a colon */
    CONF_HOST_TYPE,      /* a name */
    CONF_FILE_TYPE,      /* absolute path */
    CONF_ROOT_TYPE,      /* key prefix */
    CONF_COUNT_TYPE,     /* whole number */
    CONF_SECONDS_TYPE,   /* with a fraction; stored in milliseconds */
    CONF_PATTERN_TYPE,   /* see glob.h; may be repeated */
    CONF_TEMPLATE_TYPE,  /* see template.h */
    CONF_ON_LOST_TYPE,
    CONF_YES_NO_TYPE,
};

struct conf_option {
    const char *name;
    enum conf_scope scope;
    enum conf_type type;
    size_t offset; /* of the field, in struct conf or (CONF_IN_RULE) struct conf_rule */
    bool needed;
    const char *fallback; /* the default, as it would stand in the file; NULL: none */
    unsigned min, max;    /* of a number, in `unit` */
    const char *unit;
    const char *manual; /* whole sentences, plain text */
};

/* The index of each option: CONF_ETCD_endpoints, CONF_RULE_path ... */
enum conf_option_index {
#define OPTION(scope, name, ...) CONF_##scope##_##name,
#include "conf/options.def"
#undef OPTION
    CONF_OPTION_COUNT
};

extern const struct conf_option conf_options[CONF_OPTION_COUNT];

/* The option of this name in sections of this kind, or NULL. */
const struct conf_option *conf_option_find(enum conf_scope scope, struct conf_span name);

#endif
