/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections each client network has open, and how many it opened this minute, over all workers.
 *
 * One table of the dataplane's own memory, shared by its workers, starting at zero with the process. A slot is
 * one network; a bucket is a 64-byte line of four slots. Nothing here locks: a slot is claimed and counted
 * by single compare-and-swaps, and every count is undone by the worker that made it.
 *
 * Full: a network that finds no free slot among its bucket's four is let through uncounted (LIMITS_UNCOUNTED)
 * and the caller counts that. So a flood of networks can switch the limit off for some, never lock one out.
 */
#ifndef GREYLINE_POLICY_LIMITS_H
#define GREYLINE_POLICY_LIMITS_H

#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

struct limits;

#define LIMITS_NO_SLOT UINT32_MAX

enum limits_verdict {
        LIMITS_OPEN,      /* counted: call limits_close() with the slot when the connection ends */
        LIMITS_TOO_MANY,  /* the network has its share of connections open */
        LIMITS_TOO_FAST,  /* the network opened its share of connections in this minute */
        LIMITS_UNCOUNTED, /* no slot was free: let through, nothing to close */
};

/*
 * networks: how many client networks to hold, rounded up to a power of two of at least 64.
 * Allocates; returns NULL when there is no memory. limits_free() gives it back.
 */
struct limits *limits_new(uint32_t networks, const struct siphash_key *key);
void limits_free(struct limits *limits);

/*
 * A connection from a network (already masked) has completed its handshake.
 * open_max, rate_max   connections at one time, and new ones a minute; 0: no limit.
 * now_sec              any clock in seconds.
 * ret_slot             set to the slot to close, or LIMITS_NO_SLOT.
 * Safe on a worker, from any worker.
 */
enum limits_verdict limits_open(struct limits *limits, const struct addr *network, uint32_t open_max,
                                uint32_t rate_max, uint32_t now_sec, uint32_t *ret_slot);

/* Fetch what limits_open() of the network will touch. Safe on a worker. */
void limits_prefetch(const struct limits *limits, const struct addr *network);

/* The connection ended. slot may be LIMITS_NO_SLOT. Safe on a worker, from any worker. */
void limits_close(struct limits *limits, uint32_t slot);

/* Connections that the network has open now. */
uint32_t limits_count(const struct limits *limits, const struct addr *network);

#endif
