/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What DNS says about a client address: blocklist and allow zones, reverse DNS, host name. A file of fixed
 * size on tmpfs or hugetlbfs. Control alone writes, workers read.
 *
 * A line of 64 bytes has four cells of 16: the address; zones 0 to 15 and zones 16 to 31 (4 bits each, one
 * time of expiry, a tag); the state of reverse DNS (with expiry, pool and tag). Each cell is replaced by one
 * compare-and-swap and valid by itself: its tag is derived from the address, so a cell left by a former
 * tenant of the line is never believed, also when control was killed half-way. The host name lies beside the
 * line with a keyed checksum: a torn or foreign one reads as unknown.
 *
 * Keyed by the whole address for IPv6 too: a /64 may hold hosts with and without reverse DNS, and one must
 * not answer for the other. How many addresses of one /64 are asked about is bounded by control's question
 * budget.
 */
#ifndef GREYLINE_SHARED_CLIENT_TABLE_H
#define GREYLINE_SHARED_CLIENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"
#include "dataplane/shared/siphash.h"

#define CLIENT_ZONES             32u
#define CLIENT_NAME_MAX          119u /* longer names are not kept: the name is unknown then */
#define CLIENT_LINE_WAYS         8u   /* lines of one set; an address can be in any of them */
#define CLIENT_TABLE_ENTRIES_MIN 64u
#define CLIENT_TABLE_ENTRIES_MAX (1ull << 32)

enum client_zone {
        CLIENT_ZONE_UNKNOWN, /* not asked, or no answer yet */
        CLIENT_ZONE_CLEAR,   /* not listed */
        CLIENT_ZONE_LISTED,  /* an answer inside the zone's code sets */
        CLIENT_ZONE_ERROR,   /* failure, timeout, or an answer outside the code sets: never a listing */
};

enum client_ptr {
        CLIENT_PTR_UNKNOWN,     /* not asked, or no answer yet */
        CLIENT_PTR_NONE,        /* there is no PTR record */
        CLIENT_PTR_UNCONFIRMED, /* a name, but it does not lead back to the address */
        CLIENT_PTR_CONFIRMED,   /* a name that leads back to the address */
        CLIENT_PTR_ERROR,       /* failure or timeout */
};

/* What the table says about an address. Stale: past its expiry; still there, to be used while DNS is down. */
struct client_answers {
        bool found;  /* the address has a line */
        uint8_t ptr; /* enum client_ptr */
        bool ptr_stale;
        uint8_t name_len;             /* 0: no confirmed name known */
        uint32_t zones_known;         /* bit per zone: CLEAR or LISTED or ERROR, fresh or stale */
        uint32_t zones_listed;        /* bit per zone */
        uint32_t zones_error;         /* bit per zone */
        uint32_t zones_stale;         /* bit per zone: all 16 of a cell past its expiry */
        uint32_t zones_expire_sec[2]; /* of zones 0 to 15 and 16 to 31; 0: none */
        uint32_t ptr_expire_sec;
        uint64_t pool;                  /* grey_key_pool_domain() of the confirmed name; 0: no pool */
        char name[CLIENT_NAME_MAX + 1]; /* the confirmed host name, NUL-terminated; "" when unknown */
};

struct client_header;
struct client_line;
struct client_name;

/* A mapping. Private to the process, shared by its threads; caller's memory. */
struct client_table {
        struct client_header *header;
        struct client_line *line;
        struct client_name *name;
        uint64_t sets;
        size_t bytes;
        struct siphash_key key;
};

/*
 * Map the table at path; make it when there is none (as grey_table_open()). A table of another layout, with a
 * damaged header or made with another key is replaced by an empty one: it is a cache.
 * key   secret_key(secret, "client")
 * May block. Returns 0, -EOPNOTSUPP, -EINVAL, or another negative errno.
 */
int client_table_open(struct client_table *table, const char *path, uint64_t entries_wanted,
                      const struct siphash_key *key, bool *ret_made) MUST_CHECK;
void client_table_close(struct client_table *table);

/* Fetch what a lookup of addr will touch. Safe on a worker. */
void client_table_prefetch(const struct client_table *table, const struct addr *addr);

/*
 * Everything known about addr; *ret is set in any case. Safe on a worker: never blocks.
 * Returns ret->found.
 */
bool client_table_lookup(const struct client_table *table, const struct addr *addr, uint32_t now_sec,
                         struct client_answers *ret);

#define CLIENT_LINE_NONE UINT32_MAX

/*
 * The same in steps, for a session that asks more than once. line: where the answers lay last time, and where they
 * lie now; any value is fine, the right one saves seven cache lines. The host name lies elsewhere and costs as much
 * again: client_table_name() adds it to what the lookup found.
 */
bool client_table_lookup_near(const struct client_table *table, const struct addr *addr, uint32_t now_sec,
                              uint32_t *line, struct client_answers *ret);
void client_table_name(const struct client_table *table, const struct addr *addr, uint32_t line,
                       struct client_answers *ret);

/* Fetch what these two will touch: by the line, or by the address, whose set has to be near already. */
void client_table_prefetch_name(const struct client_table *table, const struct addr *addr);
void client_table_prefetch_near(const struct client_table *table, uint32_t line);

static inline enum client_zone client_answers_zone(const struct client_answers *answers, unsigned zone)
{
        uint32_t bit = 1u << zone;

        if ((answers->zones_known & bit) == 0)
                return CLIENT_ZONE_UNKNOWN;
        if (answers->zones_listed & bit)
                return CLIENT_ZONE_LISTED;
        return answers->zones_error & bit ? CLIENT_ZONE_ERROR : CLIENT_ZONE_CLEAR;
}

/* --- control only: one thread writes -------------------------------------------------------------------- */

enum client_write {
        CLIENT_WRITE_DONE,
        CLIENT_WRITE_EVICTED, /* done, in place of an address whose answers were still fresh: count it */
};

/*
 * Set the answers of some zones (bits of zones; the same result for all). Sixteen zones share one time of
 * expiry: while the cell is fresh it is the earliest of all answers written to it; the first answer after its
 * expiry forgets the others. A full set gives up the line that expires first.
 */
enum client_write client_table_write_zones(struct client_table *table, const struct addr *addr,
                                           uint32_t zones, enum client_zone result, uint32_t expire_sec,
                                           uint32_t now_sec);

/*
 * Replace the answers of all zones of a cell (16 zones) that clear or listed names, and their time of expiry;
 * cells that neither names stay. For answers that were all asked again, before the old ones expired.
 */
enum client_write client_table_set_zones(struct client_table *table, const struct addr *addr, uint32_t clear,
                                         uint32_t listed, uint32_t expire_sec, uint32_t now_sec);

/* pool: 0 for none. name is used with CLIENT_PTR_CONFIRMED only; longer than CLIENT_NAME_MAX: not kept. */
enum client_write client_table_write_ptr(struct client_table *table, const struct addr *addr,
                                         enum client_ptr ptr, uint64_t pool, const char *name,
                                         size_t name_len, uint32_t expire_sec, uint32_t now_sec);

/* Forget an address. Returns false when it was not there. */
bool client_table_remove(struct client_table *table, const struct addr *addr);

/* The next address at or after *cursor (0 to begin); false at the end. Skips at most look lines a call. */
bool client_table_next(const struct client_table *table, uint64_t *cursor, uint64_t look, struct addr *ret);
bool client_table_at_end(const struct client_table *table, uint64_t cursor);

#endif
