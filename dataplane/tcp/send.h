/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The send queue of a connection: packets whose meta.seq is the sequence number of their first byte, from
 * snd_una (trimmed as acknowledged) to snd_end. The public half is in tcp.h (tcp_send_*, tcp_shutdown).
 */
#ifndef GREYLINE_TCP_SEND_H
#define GREYLINE_TCP_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tcp/conn.h"

/* May the owner still append? */
static inline bool send_is_open(const struct tcp_conn *conn)
{
        return !(conn->flags & CONN_FIN_QUEUED) && conn->state != TCP_ST_CLOSED;
}

/* Payload bytes queued, sent or not. */
static inline uint32_t send_queued(const struct tcp_conn *conn)
{
        uint32_t start = conn->snd_una + !!(conn->flags & CONN_SYN_OUT);

        return SEQ_BEFORE(start, conn->snd_end) ? conn->snd_end - start : 0;
}

/* After our FIN, or after the last byte while none is queued. */
static inline uint32_t send_end(const struct tcp_conn *conn)
{
        return conn->snd_end + (conn->flags & CONN_FIN_QUEUED ? 1 : 0);
}

/* Is anything queued that was not sent since snd_nxt last went back? */
static inline bool send_is_pending(const struct tcp_conn *conn)
{
        return SEQ_BEFORE(conn->snd_nxt, send_end(conn));
}

/* Does the budget of packets allow one more for sending? */
static inline bool send_may_hold(const struct tcp *tcp)
{
        return tcp->held < tcp->set.packets_held_max;
}

uint32_t send_room(const struct tcp *tcp, const struct tcp_conn *conn);

/* All or nothing; the caller has checked send_room(). Returns false when packets are short. */
bool send_append_copy(struct tcp *tcp, struct tcp_conn *conn, const uint8_t *bytes, uint32_t len);

/* Takes the packet, which counts as held already. */
void send_append_packet(struct tcp *tcp, struct tcp_conn *conn, struct packet *packet);

/* ack, after snd_una, was acknowledged: moves snd_una (and snd_nxt, never behind it) and frees what is before it. */
void send_acked(struct tcp *tcp, struct tcp_conn *conn, uint32_t ack);

/* The packet that holds seq, snd_una <= seq < snd_end. */
struct packet *send_locate(struct tcp_conn *conn, uint32_t seq);

#endif
