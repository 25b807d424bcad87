/* SPDX-License-Identifier: Apache-2.0 */
/* Segments out: what a connection may send now, and the building of every segment. */
#ifndef GREYLINE_TCP_OUTPUT_H
#define GREYLINE_TCP_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct packet;
struct tcp;
struct tcp_conn;
struct tcp_header;
struct tcp_segment;
struct tcp_tuple;

/*
 * Queue a segment without payload for the next tcp_output(): SYN-ACK, RST, an ACK of no connection. Ports are
 * filled in from tuple. reuse: a received packet to build it in, taken in any case; NULL: a new one.
 */
void output_control(struct tcp *tcp, struct packet *reuse, const struct tcp_tuple *tuple, struct tcp_header *header);

/* RST for a segment that belongs to nothing (RFC 9293 3.10.7.1), within TCP_STRAY_PER_SEC. Takes its packet. */
void output_refuse(struct tcp *tcp, struct tcp_segment *segment);

/* Is one more reply to a stranger's segment within the limit? */
bool output_may_stray(struct tcp *tcp);

/* RST for a connection that is given up. */
void output_reset(struct tcp *tcp, const struct tcp_conn *conn);

/* Our MSS option towards this address (RFC 6691: the MTU less fixed headers, options not deducted). */
uint16_t output_mss_option(const struct tcp *tcp, const struct addr *remote);

#endif
