/* Transactions of etcd, put together as JSON. Words as in etcd's documentation: compare, then,
 * else. */
#ifndef ETCDFLOCK_ETCD_TXN_H
#define ETCDFLOCK_ETCD_TXN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum txn_branch { TXN_THEN, TXN_ELSE };

/* A transaction in the making. Lack of memory shows at the end, in txn_text. */
struct txn {
    cJSON *root, *compare, *branch[2];
    bool failed;
};

void txn_init(struct txn *txn);
void txn_free(struct txn *txn);

/* Compares. A prefix compare holds for every key below the prefix, and on an empty range
 * it compares with a key whose revisions are zero: txn_if_none_below is what says "no key there".
 */
void txn_if_value(struct txn *txn, const char *key, const char *value);
void txn_if_create(struct txn *txn, const char *key, int64_t revision); /* 0: absent */
void txn_if_mod(struct txn *txn, const char *key, int64_t revision);
void txn_if_none_below(struct txn *txn, const char *prefix);
/* No key below the prefix was put after `revision` (the quiet compare); deletions do not count. */
void txn_if_quiet(struct txn *txn, const char *prefix, int64_t revision);

/* Operations, answered in the order in which they were added. */
void txn_put(struct txn *txn, enum txn_branch branch, const char *key, const char *value,
             int64_t lease);
void txn_delete(struct txn *txn, enum txn_branch branch, const char *key);
void txn_get(struct txn *txn, enum txn_branch branch, const char *key);
/* As it was at a revision; the whole transaction fails if that has been compacted. */
void txn_get_at(struct txn *txn, enum txn_branch branch, const char *key, int64_t revision);
/* All keys below the prefix, by create revision, lowest first. */
void txn_get_below(struct txn *txn, enum txn_branch branch, const char *prefix);

/* The request's text on the heap, or NULL without memory. */
char *txn_text(const struct txn *txn);

/* Bodies of the other requests; on the heap, or NULL without memory. */
char *txn_range_text(const char *prefix, bool keys_only);

/* One create request of a watch stream, or several, one after the other: appended to *body (NULL at
 * first) on the heap. 0 or -ENOMEM. */
int txn_watch_text(char **body, const char *key, bool prefix);

#endif
