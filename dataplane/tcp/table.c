/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/table.h"

#include <errno.h>

#include "dataplane/shared/pages.h"

/* The tag comes from the top of the hash, the buckets from below it; 0 means free, so it becomes 1. */
static inline uint16_t tag_of(uint64_t hash)
{
        uint16_t tag = (uint16_t)(hash >> 48);

        return tag ? tag : 1;
}

/* Never the same twice: the step is odd, and the number of buckets a power of two, at least TABLE_PROBES. */
static inline uint64_t bucket_of(const struct table *table, uint64_t hash, unsigned which)
{
        return (hash + which * ((hash >> 24) | 1)) & table->mask;
}

static uint32_t ways_of(const struct table_bucket *bucket, uint16_t tag)
{
        uint32_t ways = 0;

        for (unsigned way = 0; way < TABLE_WAYS; way++)
                ways |= (uint32_t)(bucket->tag[way] == tag) << way;
        return ways;
}

int table_init(struct table *table, uint64_t entries)
{
        uint64_t buckets = TABLE_PROBES;

        while (buckets * TABLE_WAYS / 2 < entries)
                buckets *= 2;
        table->buckets = pages_take(buckets * sizeof(struct table_bucket));
        if (!table->buckets)
                return -ENOMEM;
        table->mask = buckets - 1;
        table->used = 0;
        return 0;
}

void table_done(struct table *table)
{
        pages_give(table->buckets, (table->mask + 1) * sizeof(struct table_bucket));
        table->buckets = NULL;
}

void table_walk_start(const struct table *table, uint64_t hash, struct table_walk *walk)
{
        walk->hash = hash;
        walk->bucket = 0;
        walk->ways = ways_of(&table->buckets[bucket_of(table, hash, 0)], tag_of(hash));
}

bool table_walk_next(const struct table *table, struct table_walk *walk, uint32_t *ret)
{
        for (;;) {
                const struct table_bucket *bucket;

                if (walk->bucket >= TABLE_PROBES)
                        return false;
                bucket = &table->buckets[bucket_of(table, walk->hash, walk->bucket)];
                if (walk->ways) {
                        *ret = bucket->value[__builtin_ctz(walk->ways)];
                        walk->ways &= walk->ways - 1;
                        return true;
                }
                if (walk->bucket == 0 && bucket->gone_on == 0)
                        walk->bucket = TABLE_PROBES;
                else if (++walk->bucket < TABLE_PROBES)
                        walk->ways = ways_of(&table->buckets[bucket_of(table, walk->hash, walk->bucket)],
                                             tag_of(walk->hash));
        }
}

static bool put(struct table *table, uint64_t at, uint16_t tag, uint32_t value)
{
        struct table_bucket *bucket = &table->buckets[at];
        uint32_t ways = ways_of(bucket, 0);

        if (!ways)
                return false;
        bucket->tag[__builtin_ctz(ways)] = tag;
        bucket->value[__builtin_ctz(ways)] = value;
        table->used++;
        return true;
}

bool table_add(struct table *table, uint64_t hash, uint32_t value)
{
        for (unsigned which = 0; which < TABLE_PROBES; which++) {
                if (!put(table, bucket_of(table, hash, which), tag_of(hash), value))
                        continue;
                table->buckets[bucket_of(table, hash, 0)].gone_on += which > 0;
                return true;
        }
        return false;
}

/* Where (hash, value) lies, or NULL; *ret_which says in which of its buckets. */
static struct table_bucket *find(struct table *table, uint64_t hash, uint32_t value, unsigned *ret_which,
                                 unsigned *ret_way)
{
        for (unsigned which = 0; which < TABLE_PROBES; which++) {
                struct table_bucket *bucket = &table->buckets[bucket_of(table, hash, which)];

                for (uint32_t ways = ways_of(bucket, tag_of(hash)); ways; ways &= ways - 1) {
                        unsigned way = (unsigned)__builtin_ctz(ways);

                        if (bucket->value[way] != value)
                                continue;
                        *ret_which = which;
                        *ret_way = way;
                        return bucket;
                }
        }
        return NULL;
}

bool table_replace(struct table *table, uint64_t hash, uint32_t value, uint32_t new_value)
{
        unsigned which, way;
        struct table_bucket *bucket = find(table, hash, value, &which, &way);

        if (bucket)
                bucket->value[way] = new_value;
        return bucket != NULL;
}

bool table_remove(struct table *table, uint64_t hash, uint32_t value)
{
        unsigned which, way;
        struct table_bucket *bucket = find(table, hash, value, &which, &way);

        if (!bucket)
                return false;
        bucket->tag[way] = 0;
        if (which > 0)
                table->buckets[bucket_of(table, hash, 0)].gone_on--;
        table->used--;
        return true;
}
