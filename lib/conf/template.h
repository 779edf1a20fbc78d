/* Key templates: {path}, {name} and {dir}, and the check that no key can lie inside another. */
#ifndef ETCDFLOCK_CONF_TEMPLATE_H
#define ETCDFLOCK_CONF_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* NULL if well formed, else "what is wrong; what to do" for an error message. `{{` and `}}` stand
 * for braces. A template is at most CONF_KEY_MAX bytes long, has no white space, no empty part
 * (`//`) and no slash at its end. */
const char *conf_template_fault(const char *text);

/* See conf_key in conf.h. The path is absolute; {dir} of a file in the root directory and both
 * {name} and {dir} of the root directory itself are its slash, escaped. */
int conf_template_fill(const char *text, const char *path, char *out, size_t size);

/* See conf_key_prefix in conf.h. Cut at size - 1 bytes. */
void conf_template_prefix(const char *text, char *out, size_t size);

/* Can some key made by `inner` begin with some key made by `outer` followed by a slash? Every
 * placeholder stands for any non-empty run of characters without a slash; the two are unified
 * character by character. Equal keys do not nest. Both are well formed (anything too long is said
 * to nest). */
bool conf_template_nests(const char *outer, const char *inner);

#endif
