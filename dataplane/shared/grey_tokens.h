/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New greylist entries are bought, so that a flood of new triplets cannot push out those who wait. One bucket
 * for the table (refilled with entries / (2 x window) a second, shared out between the workers) and one for
 * each client network. A network must leave the more in the table's bucket, the more it asked for lately: a
 * newcomer leaves an eighth, a busy one nearly all. So a flood stops itself, and the quiet are served. Networks
 * that passed before may use the bucket up: those that never passed are shed first.
 * Without a token the client still gets its 451, but nothing is written.
 *
 * Private to a worker: no sharing, no allocation. Caller's memory (66 kB).
 */
#ifndef GREYLINE_SHARED_GREY_TOKENS_H
#define GREYLINE_SHARED_GREY_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#define GREY_TOKENS_SETS 1024u
#define GREY_TOKENS_WAYS 4u

/* One network's bucket. */
struct grey_tokens_network {
        uint64_t network; /* grey_key_exempt(); 0: free */
        float asked;      /* new entries it asked for, as of at_sec; fades */
        uint32_t at_sec;
};

struct grey_tokens {
        struct grey_tokens_network network[GREY_TOKENS_SETS][GREY_TOKENS_WAYS];
        double level, burst, rate; /* the table's bucket: tokens, tokens, tokens a second */
        float network_burst;       /* a network that asked for so many gets no more for now */
        float fade;                /* of asked: to one half in 1 / fade seconds */
        uint32_t at_sec;
};

/*
 * entries       grey_table_entries()
 * window_sec    the pass window of the policy (the longest, if they differ), at least 1
 * workers       how many share the table, at least 1
 * The buckets start full.
 */
void grey_tokens_init(struct grey_tokens *tokens, uint64_t entries, uint32_t window_sec, uint32_t workers,
                      uint32_t now_sec);

/*
 * May this network add an entry now?
 * network       grey_key_exempt() of the client's network
 * passed_before its GREY_KIND_EXEMPT entry exists (some mail of it passed within its life)
 * Returns true when the token was taken. Safe on a worker. A clock that goes back refills nothing.
 */
bool grey_tokens_take(struct grey_tokens *tokens, uint64_t network, bool passed_before, uint32_t now_sec);

#endif
