/* SPDX-License-Identifier: Apache-2.0 */
/* The receive queue of a connection and the window that it leaves. The public half is in tcp.h (tcp_recv_*). */
#ifndef GREYLINE_TCP_RECV_H
#define GREYLINE_TCP_RECV_H

#include <stdbool.h>
#include <stdint.h>

struct packet;
struct packet_queue;
struct tcp;
struct tcp_block;
struct tcp_conn;

/*
 * Put packet's bytes at the end of queue: a small payload into the free room of the last packet there, so that
 * a peer that sends single bytes does not pin a buffer for each. Takes the packet; counts it as held if kept.
 */
void recv_queue_append(struct tcp *tcp, struct packet_queue *queue, struct packet *packet);

/*
 * In-order payload at rcv_nxt: queued for the owner, or thrown away when there is none. Advances rcv_nxt.
 * Takes the packet. Returns false when nobody owns the connection and the peer went on too long.
 */
bool recv_take(struct tcp *tcp, struct tcp_conn *conn, struct packet *packet);

/* What came twice is said with the next ACK, now (RFC 2883 4). Without SACK it does nothing: the ACK is the caller's. */
void recv_duplicate(struct tcp *tcp, struct tcp_conn *conn, struct tcp_block block);

/* Tell the owner that the peer has finished, once everything is read. */
void recv_eof_check(struct tcp *tcp, struct tcp_conn *conn);

/* The window field for an ACK that leaves now; moves rcv_adv. scaled: not a SYN. */
uint16_t recv_window_field(const struct tcp *tcp, struct tcp_conn *conn, bool scaled);

/* The owner has closed: nothing is read any more. */
void recv_discard(struct tcp *tcp, struct tcp_conn *conn);

#endif
