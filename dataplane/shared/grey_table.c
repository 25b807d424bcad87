/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/shared/grey_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dataplane/shared/mapped_file.h"
#include "dataplane/shared/secret.h"
#include "dataplane/shared/word16.h"

#define GREY_MAGIC   0x474c4752u
#define GREY_VERSION 1u

/* What an entry can say, in its own units. */
#define FIRST_MAX      ((1u << 30) - 1) /* seconds since GREY_EPOCH_SEC */
#define LAST_PASS_MAX  ((1u << 28) - 1) /* units of four seconds */
#define LAST_PASS_UNIT 4u
#define LAST_PASS_STEP (GREY_LAST_PASS_STEP / LAST_PASS_UNIT)

/* A compare-and-swap fails only because another one succeeded, so this many failures are a hostile writer. */
#define CAS_TRIES 64u

#define CANDIDATES (2 * GREY_BUCKET_ENTRIES)

/* low: the key; high: first 30 bits, last_pass 28, passes 4, kind 2, from the least significant bit up. */
struct grey_bucket {
        struct word16 entry[GREY_BUCKET_ENTRIES];
} __attribute__((aligned(64)));
static_assert(sizeof(struct grey_bucket) == 64, "one cache line");

struct grey_header {
        struct mapped_header mapped;
        uint32_t restored; /* 1: control took the snapshot in; written by control alone */
};

/* An entry taken apart, in its own units. */
struct registers {
        uint32_t first;     /* 0: never */
        uint32_t last_pass; /* 0: never */
        uint32_t passes;
        uint32_t kind;
};

/* Both buckets of a key as they were read, and where each entry lies. */
struct candidates {
        struct word16 word[CANDIDATES];
        struct word16 *at[CANDIDATES];
        uint64_t bucket[2];
};

/* What an entry is worth when another wants its slot, least first. */
enum worth {
        WORTH_EMPTY,
        WORTH_DEAD,
        WORTH_WAITING,
        WORTH_PASSED,
};

/* --- registers ------------------------------------------------------------------------------------------ */

static uint64_t pack(const struct registers *r)
{
        return (uint64_t)r->first | (uint64_t)r->last_pass << 30 | (uint64_t)r->passes << 58 |
               (uint64_t)r->kind << 62;
}

static struct registers unpack(uint64_t high)
{
        return (struct registers){
                .first = (uint32_t)(high & FIRST_MAX),
                .last_pass = (uint32_t)(high >> 30 & LAST_PASS_MAX),
                .passes = (uint32_t)(high >> 58 & 15),
                .kind = (uint32_t)(high >> 62),
        };
}

/* The wall clock in seconds of the table, never 0: that means never. */
static uint32_t table_clock(uint32_t now_sec)
{
        uint32_t since = now_sec > GREY_EPOCH_SEC ? now_sec - GREY_EPOCH_SEC : 1;

        return MIN(since, FIRST_MAX);
}

/* Rounded up, so that a pass is never before the start of the wait that it ends. */
static uint32_t to_units(uint32_t clock)
{
        return MIN((clock + LAST_PASS_UNIT - 1) / LAST_PASS_UNIT, LAST_PASS_MAX);
}

static struct registers merge(struct registers a, struct registers b)
{
        return (struct registers){
                .first = MAX(a.first, b.first),
                .last_pass = MAX(a.last_pass, b.last_pass),
                .passes = MAX(a.passes, b.passes),
                .kind = MAX(a.kind, b.kind),
        };
}

static struct grey_facts to_facts(struct registers r)
{
        return (struct grey_facts){
                .first_sec = r.first ? r.first + GREY_EPOCH_SEC : 0,
                .last_pass_sec = r.last_pass ? r.last_pass * LAST_PASS_UNIT + GREY_EPOCH_SEC : 0,
                .passes = (uint8_t)r.passes,
                .kind = (uint8_t)r.kind,
        };
}

static struct registers from_facts(const struct grey_facts *facts)
{
        return (struct registers){
                .first = facts->first_sec ? table_clock(facts->first_sec) : 0,
                .last_pass = facts->last_pass_sec ? to_units(table_clock(facts->last_pass_sec)) : 0,
                .passes = MIN(facts->passes, GREY_PASSES_MAX),
                .kind = facts->kind & 3u,
        };
}

/* --- opening -------------------------------------------------------------------------------------------- */

static uint64_t buckets_for(uint64_t entries)
{
        return (entries * 3 + 7) / 8; /* four slots each, two thirds used */
}

static uint64_t mark_bytes(uint64_t buckets)
{
        return ((buckets + 63) / 64 * 8 + 4095) & ~(uint64_t)4095;
}

static uint64_t file_bytes(uint64_t buckets)
{
        return MAPPED_HEADER_BYTES + mark_bytes(buckets) + buckets * sizeof(struct grey_bucket);
}

int grey_table_open(struct grey_table *table, const char *path, uint64_t entries_wanted,
                    const struct siphash_key *key, bool *ret_made)
{
        struct mapped_header want = { .magic = GREY_MAGIC, .version = GREY_VERSION };
        struct mapped_file file;
        uint8_t *bytes;
        int r;

        if (!word16_supported())
                return -EOPNOTSUPP;
        if (entries_wanted < GREY_TABLE_ENTRIES_MIN || entries_wanted > GREY_TABLE_ENTRIES_MAX)
                return -EINVAL;
        want.count = buckets_for(entries_wanted);
        want.bytes = file_bytes(want.count);
        want.key_check = secret_check(key);
        r = mapped_file_open(&file, path, &want, false, ret_made);
        if (r < 0)
                return r;
        if (file.head.count < buckets_for(GREY_TABLE_ENTRIES_MIN) ||
            file.head.count > buckets_for(GREY_TABLE_ENTRIES_MAX) ||
            file.head.bytes != file_bytes(file.head.count)) {
                mapped_file_close(&file);
                return -EPROTO;
        }
        bytes = (uint8_t *)file.memory;
        table->header = (struct grey_header *)bytes;
        table->buckets = file.head.count;
        table->mark = (uint64_t *)(bytes + MAPPED_HEADER_BYTES);
        table->bucket = (struct grey_bucket *)(bytes + MAPPED_HEADER_BYTES + mark_bytes(table->buckets));
        table->bytes = file.bytes;
        table->key = *key;
        return 0;
}

void grey_table_close(struct grey_table *table)
{
        struct mapped_file file = { .memory = (struct mapped_header *)table->header, .bytes = table->bytes };

        if (table->header)
                mapped_file_close(&file);
        memset(table, 0, sizeof(*table));
}

bool grey_table_is_restored(const struct grey_table *table)
{
        return __atomic_load_n(&table->header->restored, __ATOMIC_ACQUIRE) != 0;
}

void grey_table_set_restored(struct grey_table *table)
{
        __atomic_store_n(&table->header->restored, 1, __ATOMIC_RELEASE);
}

uint64_t grey_table_entries(const struct grey_table *table)
{
        return table->buckets * 8 / 3;
}

/* --- finding -------------------------------------------------------------------------------------------- */

/* The high half of the product spreads a hash over any number of buckets, not only powers of two. */
static uint64_t spread(uint64_t hash, uint64_t buckets)
{
        return (uint64_t)((unsigned __int128)hash * buckets >> 64);
}

static void candidate_buckets(const struct grey_table *table, uint64_t key, uint64_t ret[2])
{
        ret[0] = spread(key, table->buckets);
        /* The second from bits that the first hardly uses; an odd factor loses none of them. */
        ret[1] = spread((key << 32 | key >> 32) * 0x9e3779b97f4a7c15ull, table->buckets);
        if (ret[1] == ret[0])
                ret[1] = ret[0] + 1 < table->buckets ? ret[0] + 1 : 0;
}

static void read_candidates(const struct grey_table *table, uint64_t key, struct candidates *ret)
{
        candidate_buckets(table, key, ret->bucket);
        for (unsigned i = 0; i < CANDIDATES; i++) {
                struct grey_bucket *bucket = &table->bucket[ret->bucket[i / GREY_BUCKET_ENTRIES]];

                ret->at[i] = &bucket->entry[i % GREY_BUCKET_ENTRIES];
                ret->word[i] = word16_load(ret->at[i]);
        }
}

static bool is_match(struct word16 word, uint64_t key)
{
        return word.low == key && key != 0;
}

/* All that both buckets say about the key, merged. ret_slot: one match, or -1. */
static struct registers match(const struct candidates *candidates, uint64_t key, int *ret_slot)
{
        struct registers all = { 0 };

        *ret_slot = -1;
        for (unsigned i = 0; i < CANDIDATES; i++) {
                if (!is_match(candidates->word[i], key))
                        continue;
                all = merge(all, unpack(candidates->word[i].high));
                if (*ret_slot < 0)
                        *ret_slot = (int)i;
        }
        return all;
}

void grey_table_prefetch(const struct grey_table *table, uint64_t key)
{
        uint64_t bucket[2];

        candidate_buckets(table, key, bucket);
        __builtin_prefetch(&table->bucket[bucket[0]]);
        __builtin_prefetch(&table->bucket[bucket[1]]);
}

void grey_table_lookup(const struct grey_table *table, struct grey_query *query, unsigned n)
{
        struct candidates candidates;
        uint64_t bucket[2];
        int slot;

        for (unsigned i = 0; i < n; i++) {
                candidate_buckets(table, query[i].key, bucket);
                __builtin_prefetch(&table->bucket[bucket[0]]);
                __builtin_prefetch(&table->bucket[bucket[1]]);
        }
        for (unsigned i = 0; i < n; i++) {
                read_candidates(table, query[i].key, &candidates);
                query[i].facts = to_facts(match(&candidates, query[i].key, &slot));
        }
}

/* --- writing -------------------------------------------------------------------------------------------- */

/* last_pass was rounded up and may lie ahead: a new wait that takes a pass back begins behind it. */
static uint32_t behind_last_pass(struct registers r)
{
        return r.last_pass * LAST_PASS_UNIT + 1;
}

/* What the event makes of what is known. Equal to have: nothing to write. */
static struct registers apply(struct registers have, enum grey_kind kind, enum grey_event event,
                              const struct grey_params *params, uint32_t now_sec)
{
        const struct grey_facts facts = to_facts(have);
        uint32_t clock = table_clock(now_sec), units = to_units(clock), wait_sec;
        const bool passed = grey_is_passed(&facts);
        struct registers want = have;
        enum grey_verdict verdict;

        want.kind = MAX(have.kind, (uint32_t)kind);
        switch (event) {
        case GREY_EVENT_FIRST:
        case GREY_EVENT_RESTART:
                /* Another worker may have come first: then the wait has begun already. */
                verdict = grey_judge(&facts, params, now_sec, &wait_sec);
                if (verdict == GREY_NEW || verdict == GREY_RESTART)
                        want.first = MAX(MAX(clock, have.first), passed ? behind_last_pass(have) : 0);
                break;
        case GREY_EVENT_PASS:
                if (have.last_pass != 0 && units < have.last_pass + LAST_PASS_STEP) {
                        if (!passed)
                                want.last_pass = MAX(units, to_units(have.first));
                        break;
                }
                want.passes = MIN(have.passes + 1, GREY_PASSES_MAX);
                want.last_pass = MAX(units, to_units(have.first));
                break;
        case GREY_EVENT_FORCE_PASS:
                want.last_pass = MAX(MAX(units, to_units(have.first)), have.last_pass);
                break;
        case GREY_EVENT_REMOVE:
                if (have.kind != GREY_KIND_NONE)
                        want.first = MAX(MAX(clock, have.first), behind_last_pass(have));
                else
                        want.kind = GREY_KIND_NONE;
                break;
        }
        if (want.first == 0 && want.kind != GREY_KIND_NONE)
                want.first = clock; /* a delivery whose entry is not known any more */
        want.first = MIN(want.first, FIRST_MAX);
        return want;
}

static enum worth judge_worth(struct word16 word, const struct grey_params *params, uint32_t now_sec,
                              uint32_t *ret_age_sec)
{
        const struct grey_facts facts = to_facts(unpack(word.high));

        *ret_age_sec = 0;
        if (word.low == 0)
                return WORTH_EMPTY;
        if (grey_is_passed(&facts)) {
                *ret_age_sec = grey_age(now_sec, facts.last_pass_sec);
                return *ret_age_sec < params->life_sec ? WORTH_PASSED : WORTH_DEAD;
        }
        *ret_age_sec = grey_age(now_sec, facts.first_sec);
        return *ret_age_sec <= params->window_sec ? WORTH_WAITING : WORTH_DEAD;
}

/* The slot to give up: least worth, then oldest; among empty ones that of the emptier bucket. */
static unsigned choose_slot(const struct candidates *candidates, const struct grey_params *params,
                            uint32_t now_sec, enum worth *ret_worth)
{
        enum worth worth, best_worth = WORTH_PASSED;
        uint32_t age_sec, best_age = 0;
        unsigned best = 0, empty[2] = { 0 };

        for (unsigned i = 0; i < CANDIDATES; i++)
                empty[i / GREY_BUCKET_ENTRIES] += candidates->word[i].low == 0;
        for (unsigned i = 0; i < CANDIDATES; i++) {
                worth = judge_worth(candidates->word[i], params, now_sec, &age_sec);
                if (worth == WORTH_EMPTY)
                        age_sec = empty[i / GREY_BUCKET_ENTRIES];
                if (i == 0 || worth < best_worth || (worth == best_worth && age_sec > best_age)) {
                        best = i;
                        best_worth = worth;
                        best_age = age_sec;
                }
        }
        *ret_worth = best_worth;
        return best;
}

static bool is_equal(const struct registers *a, const struct registers *b)
{
        return pack(a) == pack(b);
}

static bool is_passed_registers(struct registers r)
{
        const struct grey_facts facts = to_facts(r);

        return grey_is_passed(&facts);
}

/* One try to put want where the key is, or where a slot can be had. -1: another writer was faster. */
static int try_write(struct candidates *candidates, uint64_t key, int slot, struct registers want,
                     const struct grey_params *params, uint32_t now_sec, unsigned *ret_slot)
{
        struct word16 word = { .low = key, .high = pack(&want) };
        enum worth worth = WORTH_EMPTY;

        if (slot < 0) {
                slot = (int)choose_slot(candidates, params, now_sec, &worth);
                if (worth == WORTH_PASSED && !is_passed_registers(want))
                        return GREY_RECORD_FULL;
        }
        *ret_slot = (unsigned)slot;
        if (!word16_cas(candidates->at[slot], candidates->word[slot], word))
                return -1;
        return worth >= WORTH_WAITING ? GREY_RECORD_EVICTED : GREY_RECORD_WRITTEN;
}

enum grey_record grey_table_record(struct grey_table *table, uint64_t key, enum grey_kind kind,
                                   enum grey_event event, const struct grey_params *params, uint32_t now_sec)
{
        struct candidates candidates;
        struct registers have, want;
        unsigned used = 0;
        int slot, r;

        if (key == 0 || kind == GREY_KIND_NONE)
                return GREY_RECORD_UNCHANGED;
        for (unsigned tries = 0; tries < CAS_TRIES; tries++) {
                read_candidates(table, key, &candidates);
                have = match(&candidates, key, &slot);
                want = apply(have, kind, event, params, now_sec);
                if (is_equal(&have, &want))
                        return GREY_RECORD_UNCHANGED;
                r = try_write(&candidates, key, slot, want, params, now_sec, &used);
                if (r == GREY_RECORD_FULL)
                        return GREY_RECORD_FULL;
                if (r >= 0) {
                        /* After the entry: marking first would be lost if control cleared it in between. */
                        grey_table_mark(table, candidates.bucket[used / GREY_BUCKET_ENTRIES]);
                        return (enum grey_record)r;
                }
        }
        return GREY_RECORD_FULL;
}

enum grey_record grey_table_merge(struct grey_table *table, uint64_t key, const struct grey_facts *facts,
                                  const struct grey_params *params, uint32_t now_sec)
{
        struct registers have, want, other = from_facts(facts);
        struct candidates candidates;
        uint32_t age_sec;
        unsigned used;
        int slot, r;

        if (key == 0 || other.kind == GREY_KIND_NONE || other.first == 0)
                return GREY_RECORD_UNCHANGED;
        for (unsigned tries = 0; tries < CAS_TRIES; tries++) {
                read_candidates(table, key, &candidates);
                have = match(&candidates, key, &slot);
                want = merge(have, other);
                if (is_equal(&have, &want))
                        return GREY_RECORD_UNCHANGED;
                if (slot < 0 &&
                    judge_worth((struct word16){ key, pack(&want) }, params, now_sec, &age_sec) == WORTH_DEAD)
                        return GREY_RECORD_UNCHANGED;
                r = try_write(&candidates, key, slot, want, params, now_sec, &used);
                if (r >= 0)
                        return (enum grey_record)r;
        }
        return GREY_RECORD_FULL;
}

/* --- walking and marks ---------------------------------------------------------------------------------- */

unsigned grey_table_read_bucket(const struct grey_table *table, uint64_t bucket,
                                struct grey_row ret[GREY_BUCKET_ENTRIES])
{
        unsigned used = 0;

        BUG_ON(bucket >= table->buckets);
        for (unsigned i = 0; i < GREY_BUCKET_ENTRIES; i++) {
                struct word16 word = word16_load(&table->bucket[bucket].entry[i]);

                if (word.low == 0)
                        continue;
                ret[used].key = word.low;
                ret[used].facts = to_facts(unpack(word.high));
                used++;
        }
        return used;
}

bool grey_table_take_mark(struct grey_table *table, uint64_t *cursor, uint64_t look, uint64_t *ret_bucket)
{
        while (*cursor < table->buckets && look-- > 0) {
                uint64_t *at = &table->mark[*cursor / 64];
                uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED) & ~0ull << *cursor % 64;
                uint64_t bucket = (*cursor & ~63ull) + (word ? (unsigned)__builtin_ctzll(word) : 64);

                *cursor = MIN(bucket + (word != 0), table->buckets);
                if (word == 0 || bucket >= table->buckets)
                        continue;
                __atomic_fetch_and(at, ~(word & -word), __ATOMIC_SEQ_CST);
                *ret_bucket = bucket;
                return true;
        }
        return false;
}

void grey_table_mark(struct grey_table *table, uint64_t bucket)
{
        uint64_t *at, bit;

        BUG_ON(bucket >= table->buckets);
        at = &table->mark[bucket / 64];
        bit = 1ull << bucket % 64;
        /* Most changed buckets are marked already: then the line stays shared. */
        if ((__atomic_load_n(at, __ATOMIC_SEQ_CST) & bit) == 0)
                __atomic_fetch_or(at, bit, __ATOMIC_SEQ_CST);
}

unsigned grey_table_fill(const struct grey_table *table)
{
        uint64_t step = MAX(table->buckets / 1024, 1), looked = 0, used = 0;
        struct grey_row row[GREY_BUCKET_ENTRIES];

        for (uint64_t bucket = 0; bucket < table->buckets && looked < 1024; bucket += step, looked++)
                used += grey_table_read_bucket(table, bucket, row);
        return (unsigned)(used * 1000 / (looked * GREY_BUCKET_ENTRIES));
}
