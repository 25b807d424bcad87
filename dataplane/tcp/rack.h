/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When what is in flight was sent, and what that says about loss (RFC 8985 6): bytes are lost once others that were sent
 * later have been delivered, and the time that reordering may take has passed. Only arithmetic over a scoreboard; when
 * to call, and what to do about a loss, is rexmit's business.
 *
 * Not each segment is remembered, but up to TCP_RACK_SPANS spans of sequence numbers that were sent at one time and in
 * one way. Where there would be more, the two neighbours that lie closest in time become one with the later time: so
 * loss is seen later there, not sooner, and reordering by less than what was put together may be taken for loss.
 *
 * Times are microseconds modulo 2^32; what is compared lies within half an hour.
 */
#ifndef GREYLINE_TCP_RACK_H
#define GREYLINE_TCP_RACK_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_board;

#define RACK_AGAIN 0x1u /* sent more than once */
#define RACK_LOST  0x2u /* to be sent again */

/* Begin: [una, end) was sent at sent_us, once; empty for una == end. rtt_us: a guess of the shortest round trip, 0: none. */
void rack_start(struct tcp_board *board, uint32_t una, uint32_t end, uint32_t sent_us, uint32_t rtt_us, uint32_t now_ms);

/* [seq, end) leaves now, between the first unacknowledged byte and right after the last one sent. flags: RACK_AGAIN or 0. */
void rack_sent(struct tcp_board *board, uint32_t seq, uint32_t end, uint32_t now_us, uint8_t flags);

/* Everything before una is acknowledged. */
void rack_trim(struct tcp_board *board, uint32_t una);

/* All is to be sent again from una on, in turn. */
void rack_restart(struct tcp_board *board, uint32_t una);

/* [.., end) counts as sent, and what was not is lost: a recovery begins while a timeout's repeats are on their way. */
void rack_give_up(struct tcp_board *board, uint32_t end);

/* What one ACK brings; see rack_delivered(). */
struct rack_news {
        uint32_t now_us;
        uint32_t echo_us;  /* when the segment left whose timestamp is echoed; with has_echo */
        bool has_echo;
        bool is_reordered; /* out: something came after what was sent later, and was sent once (6.2 step 3) */
        bool any;          /* out: of all that is new, the one sent last: */
        bool again;
        uint32_t sent_us, end;
};

/*
 * [start, end) has reached the peer; what the board holds already is no news. is_acked: by the cumulative
 * acknowledgement. To be called before the board learns of it, for each part of an ACK, then rack_learned() once.
 */
void rack_delivered(const struct tcp_board *board, uint32_t start, uint32_t end, bool is_acked, struct rack_news *news);

/* Take what the ACK brought (6.2 steps 1 to 3); high: the highest number that it acknowledges in any way. */
void rack_learned(struct tcp_board *board, const struct rack_news *news, uint32_t high, uint32_t now_ms);

/* The shortest round trip of the last one or two minutes, in us; UINT32_MAX: none is known. */
uint32_t rack_min_rtt_us(const struct tcp_board *board);

/* What rack_detect() found. */
struct rack_losses {
        bool any;         /* something counts as lost that did not before */
        bool is_fresh;    /* some of it was sent after the board's cut_us: in reaction to the losses before nothing can have been lost anew */
        uint32_t wait_us; /* not 0: ask again after so long */
};

/* Mark what is lost by now (6.2 step 5). window_us: how long reordering may take. */
void rack_detect(struct tcp_board *board, uint32_t now_us, uint32_t window_us, struct rack_losses *ret);

/* Bytes in the network: sent, not lost, not held by the peer. */
uint32_t rack_pipe(const struct tcp_board *board);

/* The first piece that is lost and not held by the peer. Returns false when there is none. */
bool rack_next_lost(const struct tcp_board *board, uint32_t *ret_start, uint32_t *ret_end);

#endif
