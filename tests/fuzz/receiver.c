/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/receiver.h"

#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/tcp/seq.h"

void receiver_start(struct receiver *receiver, uint32_t seq)
{
        *receiver = (struct receiver){ .next = seq };
}

void receiver_expect(struct receiver *receiver, uint32_t seq, uint32_t end)
{
        if (seq == end)
                return;
        if (receiver->seen_len == RECEIVER_SEEN)
                memmove(&receiver->seen[0], &receiver->seen[1], --receiver->seen_len * sizeof(receiver->seen[0]));
        receiver->seen[receiver->seen_len++] = (struct tcp_block){ seq, end };
}

static bool is_there(const struct receiver *receiver, struct tcp_block segment)
{
        if (SEQ_BEFORE_EQ(segment.end, receiver->next))
                return true;
        for (unsigned i = 0; i < receiver->held_len; i++)
                if (SEQ_AFTER_EQ(segment.start, receiver->held[i].start) && SEQ_BEFORE_EQ(segment.end, receiver->held[i].end))
                        return true;
        return false;
}

static void remove_held(struct receiver *receiver, unsigned at)
{
        receiver->held_len--;
        memmove(&receiver->held[at], &receiver->held[at + 1], (receiver->held_len - at) * sizeof(receiver->held[0]));
}

void receiver_take(struct receiver *receiver, struct tcp_block segment)
{
        receiver->twice = (struct tcp_block){ 0 };
        if (is_there(receiver, segment)) {
                receiver->twice = segment;
                return;
        }
        segment.start = SEQ_MAX(segment.start, receiver->next);
        /* One with all that it touches. */
        for (unsigned i = 0; i < receiver->held_len;) {
                struct tcp_block held = receiver->held[i];

                if (SEQ_AFTER(held.start, segment.end) || SEQ_BEFORE(held.end, segment.start)) {
                        i++;
                        continue;
                }
                segment = (struct tcp_block){ SEQ_MIN(held.start, segment.start), SEQ_MAX(held.end, segment.end) };
                remove_held(receiver, i);
                i = 0;
        }
        if (segment.start == receiver->next) {
                receiver->next = segment.end;
                return;
        }
        if (receiver->held_len == RECEIVER_RANGES)
                remove_held(receiver, RECEIVER_RANGES - 1); /* it may forget what it only held (RFC 2018 8) */
        memmove(&receiver->held[1], &receiver->held[0], receiver->held_len++ * sizeof(receiver->held[0]));
        receiver->held[0] = segment;
}

void receiver_answer(const struct receiver *receiver, bool has_sack, struct tcp_header *header)
{
        header->ack = receiver->next;
        header->blocks = 0;
        if (!has_sack)
                return;
        if (receiver->twice.start != receiver->twice.end)
                header->block[header->blocks++] = receiver->twice; /* RFC 2883 4 */
        for (unsigned i = 0; i < receiver->held_len && header->blocks < TCP_SACK_BLOCKS_MAX; i++)
                header->block[header->blocks++] = receiver->held[i];
}
