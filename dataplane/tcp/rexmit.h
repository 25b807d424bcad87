/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sender learns from ACKs and from silence: round trips and RTO (RFC 6298), the SACK scoreboard and
 * loss recovery (RFC 6675; without SACK RFC 6582), window probes, tail loss probes (RFC 8985 7), giving up.
 * It never builds a segment: it sets snd_nxt, flags and timers, and output.c acts on them.
 */
#ifndef GREYLINE_TCP_REXMIT_H
#define GREYLINE_TCP_REXMIT_H

#include <stdbool.h>
#include <stdint.h>

struct tcp;
struct tcp_conn;
struct tcp_header;

/* Take one measurement of the round trip. */
void rexmit_rtt_sample(struct tcp_conn *conn, uint32_t rtt_us);

/* The RTO now, backoff included. */
uint32_t rexmit_rto_ms(const struct tcp_conn *conn);

/*
 * Take the acknowledgement of an acceptable segment: between snd_una - max window and snd_max, checked by the
 * caller. is_bare: it carries no data, SYN or FIN, and does not change the window (RFC 5681 2, duplicate ACK).
 */
void rexmit_ack(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header, bool is_bare);

/* TIMER_REXMIT ran out. May end the connection. */
void rexmit_timeout(struct tcp *tcp, struct tcp_conn *conn);

/* A segment with sequence numbers left; fresh: never sent before. */
void rexmit_sent(struct tcp *tcp, struct tcp_conn *conn, bool fresh);

/* Bytes in the network, as congestion control counts them ("pipe" in recovery with SACK). */
uint32_t rexmit_flight(const struct tcp *tcp, const struct tcp_conn *conn);

/*
 * In recovery with SACK: the next piece to send again. only_lost: holes that count as lost (rule 1 of
 * NextSeg() in RFC 6675), else any hole (rule 3). Returns false when there is none.
 */
bool rexmit_next_hole(const struct tcp_conn *conn, const struct tcp *tcp, bool only_lost, uint32_t *ret_seq,
                      uint32_t *ret_len);

/* [seq, seq + len) was sent again in recovery. */
void rexmit_hole_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq_end);

/* The peer's window was closed and is open: what was tried meanwhile counts for nothing, a recovery included. */
void rexmit_window_opened(struct tcp *tcp, struct tcp_conn *conn);

/* Send everything unacknowledged again, without taking it for congestion (the path's MTU shrank). */
void rexmit_go_back(struct tcp_conn *conn);

/* Forget what the peer SACKed. */
void rexmit_board_free(struct tcp *tcp, struct tcp_conn *conn);

#endif
