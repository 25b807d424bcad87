/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connection's hash to what is known about it: buckets of one cache line, ten entries each of a 16-bit
 * tag and a 32-bit value. The keys stay with the values; the caller compares them, so the table holds no copy.
 *
 * An entry lies in the first of its TABLE_PROBES buckets that had room; each bucket counts those that went on
 * from it, so a lookup touches one line nearly always and never more than TABLE_PROBES. Nothing is ever moved,
 * and a failed insert costs as little as one that works.
 */
#ifndef GREYLINE_TCP_TABLE_H
#define GREYLINE_TCP_TABLE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"

#define TABLE_WAYS   10
#define TABLE_PROBES 4

struct table_bucket {
        uint16_t tag[TABLE_WAYS]; /* 0: free */
        uint32_t gone_on;         /* entries whose first bucket this is and that lie in another */
        uint32_t value[TABLE_WAYS];
};
static_assert(sizeof(struct table_bucket) == 64, "one cache line");

struct table {
        struct table_bucket *buckets;
        uint64_t mask; /* buckets - 1 */
        uint64_t used; /* entries */
};

/* Where a walk over the candidates for one hash stands. */
struct table_walk {
        uint64_t hash;
        uint32_t bucket; /* which of its buckets; TABLE_PROBES: done */
        uint32_t ways;   /* bit per way of this bucket still to look at */
};

/* Room for entries at half load or less. Returns 0 or -ENOMEM. May allocate (zero pages, filled as used). */
int table_init(struct table *table, uint64_t entries) MUST_CHECK;
void table_done(struct table *table);

static inline void table_prefetch(const struct table *table, uint64_t hash)
{
        __builtin_prefetch(&table->buckets[hash & table->mask]);
}

/* Begin a walk over the values whose tag fits hash. */
void table_walk_start(const struct table *table, uint64_t hash, struct table_walk *walk);

/* The next candidate in *ret; false: no more. The caller compares the key. */
bool table_walk_next(const struct table *table, struct table_walk *walk, uint32_t *ret);

/* Add an entry. Returns false when all its buckets are full. */
bool table_add(struct table *table, uint64_t hash, uint32_t value) MUST_CHECK;

/* Give the entry (hash, value) another value. Returns false when it is not there. */
bool table_replace(struct table *table, uint64_t hash, uint32_t value, uint32_t new_value);

/* Remove the entry (hash, value). Returns false when it is not there. */
bool table_remove(struct table *table, uint64_t hash, uint32_t value);

#endif
