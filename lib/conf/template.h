/* Key templates: {path}, {name} and {dir}, and the check that no key can lie inside another. */
#ifndef ETCDFLOCK_CONF_TEMPLATE_H
#define ETCDFLOCK_CONF_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* NULL if well formed, else what is wrong, as a phrase for an error message. `{{` and `}}` stand for braces. */
const char *conf_template_fault(const char *text);

/* See conf_key in conf.h. */
int conf_template_fill(const char *text, const char *path, char *out, size_t size);

/* Can some key made by `inner` begin with some key made by `outer` followed by a slash? Every
 * placeholder stands for any non-empty run of characters without a slash; the two are unified
 * character by character. Equal keys do not nest. */
bool conf_template_nests(const char *outer, const char *inner);

#endif
