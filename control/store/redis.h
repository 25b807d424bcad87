/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greylist shared by several appliances through a Redis server.
 *
 * A thread of its own does everything, in turns, with plain blocking calls under short timeouts; the loop is
 * never touched, and there is no queue: what has to be sent is what is marked in the table, what comes in goes
 * straight into the table. So a slow, dead or lying Redis costs neither a verdict nor memory.
 *
 * A turn: send marked buckets in pipelined batches (a script takes the maximum of each register), read what
 * the other nodes changed (64 streams), look a little further through the whole of Redis (which mends whatever
 * was missed and sweeps out what nobody needs). After a gap (trimmed stream, emptied Redis, start) the looking
 * through is faster; where Redis may lack ours (emptied Redis, start) all buckets are sent again, behind those
 * that are marked. docs/STATE.md has keys and rules.
 */
#ifndef GREYLINE_CONTROL_STORE_REDIS_H
#define GREYLINE_CONTROL_STORE_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/grey_table.h"

#define REDIS_CLOCK_OFF_MAX_SEC 30 /* further off Redis TIME this node writes nothing */

struct redis;

/* Copied by redis_new(). */
struct redis_conf {
        const char *host; /* name or address; NULL when unix_path is given */
        uint16_t port;
        const char *unix_path;     /* NULL: TCP */
        const char *user;          /* ACL user; NULL: none */
        const char *password_file; /* read at each connect; NULL: no AUTH */
        const char *prefix;        /* of every key; NULL: "greyline" */
        struct grey_params params; /* the longest window and life of all policies */
        uint32_t timeout_ms;       /* for a connect, and for a whole batch; 0: 2000 */
        uint32_t turn_ms;          /* between two turns; 0: 200 */
};

enum redis_state {
        REDIS_CONNECTING, /* not connected (yet, or any more) */
        REDIS_SYNCING,    /* connected; still looking through everything after a gap */
        REDIS_UP,
        REDIS_CLOCK_OFF,    /* our clock is too far off: nothing is written */
        REDIS_OTHER_SECRET, /* the nodes there have another secret: nothing is exchanged */
        REDIS_REFUSED,      /* the server refuses us or our commands (AUTH, full, read-only, Cluster) */
};

/* Counters count since redis_new(). */
struct redis_status {
        enum redis_state state;
        char error[200]; /* the last trouble, one line; "" when there was none since the last connect */
        uint64_t connects, failures;
        uint64_t sent;           /* entries written to Redis */
        uint64_t taken;          /* entries of others that changed our table */
        uint64_t future;         /* refused: a time ahead of our clock */
        uint64_t garbage;        /* refused: no entry, no reply of the form expected */
        uint64_t no_room;        /* not taken: both buckets full of passed entries */
        uint64_t swept;          /* dead entries deleted in Redis */
        uint64_t gaps;           /* how often everything had to be looked through again */
        int64_t clock_off_ms;    /* Redis TIME minus ours, when last asked */
        uint32_t last_ok_sec;    /* wall clock of the last complete turn; 0: none */
        unsigned looked_through; /* thousandths of Redis looked through since the last gap, up to 1000 */
};

/*
 * Start following. The table must stay open until redis_free(). An unreachable server is no failure.
 * Returns NULL when there is no memory or no thread.
 */
struct redis *redis_new(const struct redis_conf *conf, struct grey_table *table);

/* Ends the thread and waits for it: not longer than a reply is waited for. NULL is fine. */
void redis_free(struct redis *redis);

/* From any thread. Never blocks for long. */
void redis_status(struct redis *redis, struct redis_status *ret);
const char *redis_state_text(enum redis_state state);

/*
 * Send every bucket again, from the next turn on: entries may have changed without a mark. A restart before the
 * end begins anew with its first connect. From any thread.
 */
void redis_resend(struct redis *redis);

/* Do a turn now rather than at the next turn_ms. From any thread. */
void redis_wake(struct redis *redis);

#endif
