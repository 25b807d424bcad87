/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that came before those in front of them: a short sorted list, the first bytes to come win, never
 * more than TCP_REORDER_PACKETS_MAX packets in TCP_REORDER_RANGES_MAX pieces, so that a walk stays cheap
 * whatever a peer sends. What does not fit is dropped and will be sent again.
 */
#ifndef GREYLINE_TCP_REORDER_H
#define GREYLINE_TCP_REORDER_H

#include <stdbool.h>
#include <stdint.h>

struct packet;
struct tcp;
struct tcp_block;
struct tcp_conn;

/* Keep packet's bytes, which begin at seq, after rcv_nxt. Takes the packet. */
void reorder_insert(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, struct packet *packet);

/*
 * What of [seq, end) is kept already: the first of such bytes that lie together. Returns false when none is.
 */
bool reorder_overlap(const struct tcp_conn *conn, uint32_t seq, uint32_t end, struct tcp_block *ret);

/* The first kept packet if it is due at rcv_nxt, cut to begin there; NULL when there is none. Not held any more. */
struct packet *reorder_next(struct tcp *tcp, struct tcp_conn *conn);

/* Forget what is kept; the peer sends it again, though it may have been told by SACK that it came (RFC 2018 8). */
void reorder_forget(struct tcp *tcp, struct tcp_conn *conn);

/*
 * SACK blocks, at most max: first the one that holds the segment that came last (RFC 2018 4), then the others
 * from the lowest. Returns how many.
 */
unsigned reorder_blocks(const struct tcp_conn *conn, struct tcp_block *ret, unsigned max);

#endif
