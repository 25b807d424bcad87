/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection knows of its bytes in flight: the scoreboard it has while it needs one, kept up to date from what is
 * sent and what ACKs say (RFC 2018, 2883, 8985 6.1 and 6.2). board.h and rack.h are the arithmetic; what follows from a
 * loss is rexmit's business.
 */
#ifndef GREYLINE_TCP_LOSS_H
#define GREYLINE_TCP_LOSS_H

#include <stdbool.h>
#include <stdint.h>

struct tcp;
struct tcp_board;
struct tcp_conn;
struct tcp_header;

/* Its scoreboard, or NULL: nothing but one burst is in flight, sent once; or none was left; or the peer has no SACK. */
struct tcp_board *loss_board(const struct tcp *tcp, const struct tcp_conn *conn);

/* Forget what the peer SACKed, and when what is in flight was sent. */
void loss_forget(struct tcp *tcp, struct tcp_conn *conn);

/* [seq, end) leaves now; snd_nxt and snd_max have not moved yet. */
void loss_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, uint32_t end);

/* Does the first block report what came twice: what this ACK acknowledges, or part of the second block (RFC 2883 5)? */
bool loss_has_duplicate(const struct tcp_header *header);

/* Note what an ACK says has arrived, before snd_una moves. Returns whether any of its blocks was news. */
bool loss_arrived(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header);

/* Bytes in the network, as congestion control counts them ("pipe" of RFC 6675, where SACKs have come). */
uint32_t loss_flight(const struct tcp *tcp, const struct tcp_conn *conn);

/* The next piece that is lost and to be sent again, a segment at most. Returns false when there is none, and without a board. */
bool loss_next(const struct tcp *tcp, const struct tcp_conn *conn, uint32_t *ret_seq, uint32_t *ret_len);

#endif
