/* Base64 (RFC 4648, section 4), as etcd's gateway writes keys and values. */
#ifndef ETCDFLOCK_ETCD_BASE64_H
#define ETCDFLOCK_ETCD_BASE64_H

#include <stddef.h>

/* A terminated string on the heap, or NULL without memory. */
char *base64_encode(const void *bytes, size_t len);

/* Bytes on the heap with a zero behind them that does not count, and their number in *len; NULL if
 * the text is not base64 or there is no memory. */
char *base64_decode(const char *text, size_t *len);

#endif
