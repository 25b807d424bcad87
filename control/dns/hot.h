/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that come again and again: asked about anew shortly before their answers expire, so that no session
 * of theirs waits. Workers read the table without leaving a trace, so what counts is that a client had to be
 * asked about again soon after its last answers had expired. Each such time buys a few refreshes, twice as
 * many every time; a client that stays away costs nothing after them. Pure, bounded: a set-associative cache.
 */
#ifndef GREYLINE_DNS_HOT_H
#define GREYLINE_DNS_HOT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/siphash.h"

#define HOT_SETS        1024u
#define HOT_WAYS        4u
#define HOT_CREDITS_MAX 8u

struct dns_hot_entry {
        struct addr client;  /* all zero: free */
        uint32_t expire_sec; /* of the answers */
        uint32_t due_sec;    /* when to ask anew */
        uint8_t credits;     /* refreshes left */
        uint8_t bought;      /* how many the last return bought */
};

struct dns_hot {
        struct siphash_key key;
        struct dns_hot_entry *entries; /* HOT_SETS * HOT_WAYS */
        uint32_t cursor;
};

int dns_hot_init(struct dns_hot *hot, const struct siphash_key *key) MUST_CHECK;
void dns_hot_done(struct dns_hot *hot);

/* A session had to ask about the client; its answers now last until expire_sec. */
void dns_hot_asked(struct dns_hot *hot, const struct addr *client, uint32_t expire_sec, uint32_t now_sec);

/* The client was refreshed: its answers now last until expire_sec. */
void dns_hot_refreshed(struct dns_hot *hot, const struct addr *client, uint32_t expire_sec, uint32_t now_sec);

/*
 * The next client to refresh; looks at no more than look entries from where the last call ended. ret_ahead_sec:
 * answers that expire within that time are to be asked anew. Returns false when there is none.
 */
bool dns_hot_next(struct dns_hot *hot, uint32_t look, uint32_t now_sec, struct addr *ret,
                  uint32_t *ret_ahead_sec);

#endif
