/* SPDX-License-Identifier: Apache-2.0 */
/* Segments in, for connections (RFC 9293 3.10.7.3 and .4, RFC 5961, RFC 7323). */
#ifndef GREYLINE_TCP_INPUT_H
#define GREYLINE_TCP_INPUT_H

#include <stdbool.h>

struct tcp;
struct tcp_conn;
struct tcp_segment;

/* A segment for conn. Takes its packet. May end the connection. */
void input_conn(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment);

/*
 * The handshake is complete, the state is set, conn->mss is what the peer's SYN allows. syn_lost: the SYN or
 * SYN-ACK was sent more than once.
 */
void input_established(struct tcp *tcp, struct tcp_conn *conn, bool syn_lost);

#endif
