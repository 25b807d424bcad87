/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving half of a peer that is as good as RFC 9293, 2018 and 2883 want it, over a network that is not: which
 * segments arrive is the caller's choice, what it answers follows from that.
 */
#ifndef GREYLINE_FUZZ_RECEIVER_H
#define GREYLINE_FUZZ_RECEIVER_H

#include "dataplane/tcp/header.h"

#define RECEIVER_RANGES 8u
#define RECEIVER_SEEN   64u

/* All zero: nothing has come yet. */
struct receiver {
        uint32_t next;                           /* the first byte that is missing */
        struct tcp_block held[RECEIVER_RANGES];  /* beyond next, the newest first */
        unsigned held_len;
        struct tcp_block twice;                  /* the last segment, when there was nothing new in it; else empty */
        struct tcp_block seen[RECEIVER_SEEN];    /* under way, in the order they were sent */
        unsigned seen_len;
};

/* The other side begins at seq. */
void receiver_start(struct receiver *receiver, uint32_t seq);

/* A segment is on its way: [seq, end), a FIN counted. When too many are, the oldest is lost. */
void receiver_expect(struct receiver *receiver, uint32_t seq, uint32_t end);

/* It has arrived. */
void receiver_take(struct receiver *receiver, struct tcp_block segment);

/* Acknowledge what there is, by blocks too where there is SACK. */
void receiver_answer(const struct receiver *receiver, bool has_sack, struct tcp_header *header);

#endif
