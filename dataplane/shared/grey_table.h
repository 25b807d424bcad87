/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greylist: a file of fixed size on tmpfs or hugetlbfs, mapped by the dataplane's workers and by control.
 *
 * 64-byte buckets of four 16-byte entries. An entry is read by one aligned vector load and replaced by one
 * compare-and-swap of 16 bytes, so there is no lock that a killed process could leave behind, and no half
 * entry. It holds facts (when the present wait began, when the last delivery was accepted, how many there
 * were); what they mean follows from the policy in force when it is read (grey_judge()).
 * The key is the whole identity, and the two buckets that may hold it follow from it: tables of any size and
 * all nodes exchange entries. Nothing is ever moved. Two workers may insert one key twice; every reader takes
 * the maximum of all matches, which is also how nodes merge. docs/STATE.md has layout and rules.
 *
 * How a session uses it, for one recipient:
 *   1. struct grey_query for the network key, the pool key if a pool is proven, and the network's exempt key;
 *      grey_table_lookup() for all of them in one batch.
 *   2. grey_is_exempt() on the third; else grey_judge() on the first two: one PASS or KNOWN passes.
 *   3. NEW: grey_tokens_take(), then grey_table_record(GREY_EVENT_FIRST); RESTART: GREY_EVENT_RESTART.
 *      GREY_RECORD_FULL means that the mail passes (fail open, counted).
 *   4. A delivery: GREY_EVENT_PASS for the triplet keys, and for the exempt key when it came by a pass.
 */
#ifndef GREYLINE_SHARED_GREY_TABLE_H
#define GREYLINE_SHARED_GREY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/grey_key.h"
#include "dataplane/shared/siphash.h"

#define GREY_EPOCH_SEC         1735689600u /* 2025-01-01 00:00:00 UTC: times in entries count from here */
#define GREY_PASSES_MAX        15u         /* the counter stops here */
#define GREY_LAST_PASS_STEP    3600u /* a delivery is written only when it is this much newer (seconds) */
#define GREY_BUCKET_ENTRIES    4u
#define GREY_TABLE_ENTRIES_MIN 256u
#define GREY_TABLE_ENTRIES_MAX (1ull << 34)

/* What an entry is about. 0 is an empty slot. */
enum grey_kind {
        GREY_KIND_NONE,
        GREY_KIND_NETWORK, /* triplet by client network */
        GREY_KIND_POOL,    /* triplet by proven sender pool */
        GREY_KIND_EXEMPT,  /* a network and how often it passed */
};

/* What the table knows about a key. Seconds since 1970; 0: never. */
struct grey_facts {
        uint32_t first_sec;     /* when the present wait began */
        uint32_t last_pass_sec; /* last accepted delivery, up to 4 s late (rounded up) */
        uint8_t passes;         /* deliveries counted, at most one an hour, up to GREY_PASSES_MAX */
        uint8_t kind;           /* enum grey_kind; GREY_KIND_NONE: the key is not in the table */
};

struct grey_query {
        uint64_t key;            /* in; 0 is allowed and finds nothing */
        struct grey_facts facts; /* out */
};

/* The part of a policy that decides what facts mean. All in seconds. */
struct grey_params {
        uint32_t block_sec;  /* no pass before this age of first_sec */
        uint32_t window_sec; /* no pass after this age; then the wait starts again */
        uint32_t life_sec;   /* a pass is remembered so long after the last delivery */
};

enum grey_verdict {
        GREY_NEW,     /* not known, or forgotten: record GREY_EVENT_FIRST and refuse for now */
        GREY_WAIT,    /* refuse for now, nothing to record */
        GREY_PASS,    /* a retry in the window */
        GREY_KNOWN,   /* passed before and remembered */
        GREY_RESTART, /* retried after the window: record GREY_EVENT_RESTART and refuse for now */
};

enum grey_event {
        GREY_EVENT_FIRST,      /* the first try: written unless the key is waiting already */
        GREY_EVENT_RESTART,    /* the wait starts again now */
        GREY_EVENT_PASS,       /* a delivery: written when it moves last_pass by more than an hour */
        GREY_EVENT_FORCE_PASS, /* an operator lets it pass from now on */
        GREY_EVENT_REMOVE,     /* an operator takes a pass back: the wait starts now, if the key is known */
};

enum grey_record {
        GREY_RECORD_WRITTEN,   /* a slot of its own, or a new value in it */
        GREY_RECORD_EVICTED,   /* written in place of another entry that was still of use: count it */
        GREY_RECORD_UNCHANGED, /* nothing to write */
        GREY_RECORD_FULL, /* only live passed entries in both buckets: nothing written, let the mail pass */
};

struct grey_bucket; /* 64 bytes */
struct grey_header;

/* A mapping. Private to the process, shared by its threads; caller's memory. */
struct grey_table {
        struct grey_header *header;
        struct grey_bucket *bucket;
        uint64_t *mark;         /* one bit a bucket: changed since control last looked */
        uint64_t buckets;       /* as checked when it was opened */
        size_t bytes;           /* of the mapping */
        struct siphash_key key; /* for grey_key_*() */
};

/*
 * Map the table at path; make it when there is none: sized for entries_wanted (two thirds of its slots),
 * allocated, filled, locked in memory where the limit allows it, and shown under its name only when complete.
 * A file that is there keeps its size, whatever is wanted. A file of another layout version or with a damaged
 * header is replaced by an empty one (control then loads the snapshot).
 * key           secret_key(secret, "grey")
 * ret_made      may be NULL; true when the table is new and empty
 * May block. Returns 0; -EKEYREJECTED when the table was made with another secret (the operator must decide:
 * remove it or put the secret back); -EOPNOTSUPP on a CPU without AVX or cmpxchg16b (a 16-byte load could
 * tear there); -EINVAL for entries_wanted beyond its bounds; or another negative errno.
 */
int grey_table_open(struct grey_table *table, const char *path, uint64_t entries_wanted,
                    const struct siphash_key *key, bool *ret_made) MUST_CHECK;

void grey_table_close(struct grey_table *table);

/*
 * Has the snapshot been taken in since the file was made? Control asks at its start, whoever made the file, and
 * notes it when it has; killed in between, it does so again, which does no harm.
 */
bool grey_table_is_restored(const struct grey_table *table);
void grey_table_set_restored(struct grey_table *table);

/* How many entries it is sized for: two thirds of its slots. */
uint64_t grey_table_entries(const struct grey_table *table);

/* Fetch what a lookup of key will touch. Safe on a worker. */
void grey_table_prefetch(const struct grey_table *table, uint64_t key);

/*
 * Look up n keys: fetches all buckets first, then reads them. Safe on a worker: never blocks.
 * Each query's facts are set; kind GREY_KIND_NONE when the key is not there.
 */
void grey_table_lookup(const struct grey_table *table, struct grey_query *query, unsigned n);

/* Seconds since then_sec; below zero counts as zero. */
static inline uint32_t grey_age(uint32_t now_sec, uint32_t then_sec)
{
        return now_sec > then_sec ? now_sec - then_sec : 0;
}

/* Has the present wait ended with an accepted delivery? Whether that is still remembered, grey_judge() says.
 */
static inline bool grey_is_passed(const struct grey_facts *facts)
{
        return facts->last_pass_sec != 0 && facts->last_pass_sec >= facts->first_sec;
}

/*
 * What the facts mean under a policy. A pure function; ages below zero (a clock that went back) count as
 * zero. ret_wait_sec  set on NEW, WAIT and RESTART only: seconds until a retry passes, at least 1.
 */
enum grey_verdict grey_judge(const struct grey_facts *facts, const struct grey_params *params,
                             uint32_t now_sec, uint32_t *ret_wait_sec);

/* Is a network exempt by its GREY_KIND_EXEMPT facts? exempt_after 0: never. */
bool grey_is_exempt(const struct grey_facts *facts, const struct grey_params *params, uint32_t exempt_after,
                    uint32_t now_sec);

/*
 * Write what happened. params decide which entry may go when both buckets are full: an empty slot, a dead
 * entry (waiting past its window, passed past its life), the oldest unretried one; a passed entry never for
 * an unretried one. Safe on a worker: never blocks, a few compare-and-swaps at most.
 */
enum grey_record grey_table_record(struct grey_table *table, uint64_t key, enum grey_kind kind,
                                   enum grey_event event, const struct grey_params *params, uint32_t now_sec);

/*
 * Take in what another node, or a snapshot, knows about a key: the maximum of each register. Not marked as
 * changed. The caller has checked the facts (control/store/merge.h). Same results as grey_table_record().
 */
enum grey_record grey_table_merge(struct grey_table *table, uint64_t key, const struct grey_facts *facts,
                                  const struct grey_params *params, uint32_t now_sec);

/*
 * --- for control: walking, and what changed -------------------------------------------------------------
 */
struct grey_row {
        uint64_t key;
        struct grey_facts facts;
};

/* The entries of one bucket (below table->buckets) as they are now. Returns how many, 0 to 4. */
unsigned grey_table_read_bucket(const struct grey_table *table, uint64_t bucket,
                                struct grey_row ret[GREY_BUCKET_ENTRIES]);

/*
 * Find and clear the next mark at or after *cursor (a bucket number), at most look 64-bit words ahead, and
 * set *cursor behind what was looked at. Read the bucket after this call: what changes later marks it again.
 * Returns true with the bucket in *ret_bucket; false when there was none (at the end *cursor is buckets).
 */
bool grey_table_take_mark(struct grey_table *table, uint64_t *cursor, uint64_t look, uint64_t *ret_bucket);

/* Put a mark back: what was taken could not be sent. */
void grey_table_mark(struct grey_table *table, uint64_t bucket);

/* Share of used slots in thousandths, from a sample of at most 1024 buckets. "Two thirds" is 667. */
unsigned grey_table_fill(const struct grey_table *table);

#endif
