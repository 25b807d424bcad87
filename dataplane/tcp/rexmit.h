/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sender learns from ACKs and from silence: round trips and RTO (RFC 6298), the SACK scoreboard and
 * loss recovery (RACK-TLP, RFC 8985, with what loss.h knows; without SACK RFC 6582), window probes, giving up.
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

/* [seq, end) leaves now: moves snd_nxt and snd_max. */
void rexmit_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, uint32_t end);

/* That was a tail loss probe. again: of what was sent before. */
void rexmit_probe_sent(struct tcp *tcp, struct tcp_conn *conn, bool again);

/* The peer's window was closed and is open: what was tried meanwhile counts for nothing, a recovery included. */
void rexmit_window_opened(struct tcp *tcp, struct tcp_conn *conn);

/* Send everything unacknowledged again, without taking it for congestion (the path's MTU shrank). */
void rexmit_go_back(struct tcp *tcp, struct tcp_conn *conn);

#endif
