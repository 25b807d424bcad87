/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The congestion window: CUBIC (RFC 9438) over the slow start of RFC 5681 and the initial window of RFC 6928. Only
 * arithmetic, in integers: when to call is rexmit's business. Windows are bytes, times milliseconds.
 *
 * cwnd and ssthresh lie in the connection; the curve (flight.h: w_max and what follows) in its flight, so a connection
 * at rest forgets it: the next stage of congestion avoidance begins at the window as it is, as it does after a first
 * slow start without loss (RFC 9438 4.10). Whether the window is what limits the sender is CONN_CWND_FULL, set by output.c.
 */
#ifndef GREYLINE_TCP_CONGEST_H
#define GREYLINE_TCP_CONGEST_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_conn;

/* The handshake is done: mss is known. syn_lost: our SYN was sent more than once, so one segment to begin with (RFC 6928 2). */
void congest_start(struct tcp_conn *conn, bool syn_lost);

/*
 * New data of acked bytes was acknowledged outside recovery. flight: bytes outstanding before that. A window
 * that was not used does not grow, and its time does not count (RFC 9438 5.8). The connection has a flight.
 */
void congest_acked(struct tcp_conn *conn, uint32_t acked, uint32_t flight, uint32_t now_ms);

/* Loss was seen by duplicates: 0.7 of flight (RFC 9438 4.6), and go on with that. The connection has a flight. */
void congest_loss(struct tcp_conn *conn, uint32_t flight);

/* The peer says that congestion was experienced: likewise, but down to one segment (RFC 3168 6.1.2, 9438 4.6). */
void congest_marked(struct tcp_conn *conn, uint32_t flight);

/*
 * The retransmission timer ran out. again: for the same data as before, ssthresh stays (RFC 5681 3.1). The connection
 * has a flight.
 */
void congest_timeout(struct tcp_conn *conn, uint32_t flight, bool again);

/* Nothing was sent for more than an RTO: back to the restart window (RFC 5681 4.1). The connection has a flight. */
void congest_idle(struct tcp_conn *conn);

/* The whole part of the cube root. */
uint32_t congest_cube_root(uint64_t value);

#endif
