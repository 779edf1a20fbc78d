/* The word that was probably meant. */
#ifndef ETCDFLOCK_CONF_SUGGEST_H
#define ETCDFLOCK_CONF_SUGGEST_H

#include "conf/scan.h"

/* The known word nearest to `word`, or NULL if none is near (two letters in five may differ).
 * Distance is the number of letters to insert, drop, replace or swap with their neighbour; upper
 * and lower case are the same here. The first of several equally near ones. */
const char *conf_suggest(struct conf_span word, const char *const *known, size_t n_known);

#endif
