/* The table of options, from options.def. */
#include "conf/options.h"

#include "conf/conf.h"

#include <string.h>

#define HOLDER_ETCD  struct conf
#define HOLDER_AGENT struct conf
#define HOLDER_RULE  struct conf_rule

const struct conf_option conf_options[CONF_OPTION_COUNT] = {
#define OPTION(section, word, kind, field, must, standard, low, high, measure, text)               \
    {.name = #word,                                                                                \
     .scope = CONF_IN_##section,                                                                   \
     .type = CONF_##kind##_TYPE,                                                                   \
     .offset = offsetof(HOLDER_##section, field),                                                  \
     .needed = must,                                                                               \
     .fallback = standard,                                                                         \
     .min = low,                                                                                   \
     .max = high,                                                                                  \
     .unit = measure,                                                                              \
     .manual = text},
#include "conf/options.def"
#undef OPTION
};

const struct conf_option *conf_option_find(enum conf_scope scope, struct conf_span name)
{
    for (const struct conf_option *o = conf_options; o < conf_options + CONF_OPTION_COUNT; o++)
        if (o->scope == scope && strlen(o->name) == name.len &&
            memcmp(o->name, name.at, name.len) == 0)
            return o;
    return NULL;
}
