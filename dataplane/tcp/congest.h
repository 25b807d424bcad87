/* SPDX-License-Identifier: Apache-2.0 */
/* The congestion window: NewReno (RFC 5681, 6582, 6928). Only arithmetic: when to call is rexmit's business. */
#ifndef GREYLINE_TCP_CONGEST_H
#define GREYLINE_TCP_CONGEST_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_conn;

/* The handshake is done: mss is known. syn_lost: our SYN was sent more than once, so one segment to begin with (RFC 6928 2). */
void congest_start(struct tcp_conn *conn, bool syn_lost);

/*
 * New data of acked bytes was acknowledged outside recovery. flight: bytes outstanding before that. A window
 * that was not used does not grow.
 */
void congest_acked(struct tcp_conn *conn, uint32_t acked, uint32_t flight);

/* Loss was seen by duplicates: halve (RFC 5681 (4)), and go on with the halved window. */
void congest_loss(struct tcp_conn *conn, uint32_t flight);

/* The retransmission timer ran out. again: for the same data as before, ssthresh stays (RFC 5681 3.1). */
void congest_timeout(struct tcp_conn *conn, uint32_t flight, bool again);

/* Nothing was sent for more than an RTO: back to the restart window (RFC 5681 4.1). */
void congest_idle(struct tcp_conn *conn);

#endif
