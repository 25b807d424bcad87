/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/send.h"

uint32_t send_room(const struct tcp *tcp, const struct tcp_conn *conn)
{
        uint32_t queued = send_queued(conn);

        return queued < tcp->set.send_bytes_max ? tcp->set.send_bytes_max - queued : 0;
}

/* Packets for len more bytes, none or all. */
static bool take_packets(struct tcp *tcp, uint32_t len, struct packet_queue *ret)
{
        *ret = (struct packet_queue){ NULL, NULL };
        for (uint32_t done = 0; done < len;) {
                struct packet *packet = send_may_hold(tcp) ? packet_new(tcp->set.pool) : NULL;

                if (!packet) {
                        while ((packet = queue_pop(ret)) != NULL)
                                conn_packet_free(tcp, packet);
                        return false;
                }
                tcp->held++;
                queue_push(ret, packet);
                done += packet_tailroom(packet);
        }
        return true;
}

bool send_append_copy(struct tcp *tcp, struct tcp_conn *conn, const uint8_t *bytes, uint32_t len)
{
        struct packet *tail = conn->flight->send.tail, *packet;
        struct packet_queue fresh;
        uint32_t part = 0;

        if (tail && !packet_is_shared(tail))
                part = MIN(len, (uint32_t)packet_tailroom(tail));
        if (!take_packets(tcp, len - part, &fresh))
                return false;
        if (part) {
                memcpy(packet_append(tail, (uint16_t)part), bytes, part);
                conn->snd_end += part;
        }
        for (uint32_t done = part; (packet = queue_pop(&fresh)) != NULL; done += part) {
                part = MIN(len - done, (uint32_t)packet_tailroom(packet));
                memcpy(packet_append(packet, (uint16_t)part), bytes + done, part);
                send_append_packet(tcp, conn, packet);
        }
        return true;
}

void send_append_packet(struct tcp *tcp, struct tcp_conn *conn, struct packet *packet)
{
        flight_take(tcp, conn);
        packet_meta(packet)->seq = conn->snd_end;
        conn->snd_end += packet_len(packet);
        queue_push(&conn->flight->send, packet);
}

void send_acked(struct tcp *tcp, struct tcp_conn *conn, uint32_t ack)
{
        uint32_t before = conn_acked_low(conn);
        struct packet *packet;

        conn->snd_una = ack;
        conn->flags &= ~CONN_SYN_OUT;
        if (SEQ_BEFORE(conn->snd_nxt, ack)) {
                conn->snd_nxt = ack;
                conn->flight->send_hint = NULL;
        }
        while ((packet = conn->flight->send.head) != NULL && SEQ_BEFORE(packet_seq(packet), ack)) {
                if (SEQ_BEFORE_EQ(packet_seq_end(packet), ack)) {
                        if (packet == conn->flight->send_hint)
                                conn->flight->send_hint = NULL;
                        conn_packet_free(tcp, queue_pop(&conn->flight->send));
                        continue;
                }
                packet_pull(packet, (uint16_t)(ack - packet_seq(packet)));
                packet_meta(packet)->seq = ack;
                break;
        }
        conn->wheel.user[1] += conn_acked_low(conn) < before;
        if (conn->flags & CONN_WANT_ROOM && send_queued(conn) <= tcp->set.send_bytes_max / 2) {
                conn->flags &= ~CONN_WANT_ROOM;
                conn_event(tcp, conn, TCP_EV_ROOM);
        }
}

struct packet *send_locate(struct tcp_conn *conn, uint32_t seq)
{
        struct packet *packet = conn->flight->send_hint;

        if (!packet || SEQ_BEFORE(seq, packet_seq(packet)))
                packet = conn->flight->send.head;
        while (SEQ_BEFORE_EQ(packet_seq_end(packet), seq))
                packet = packet_next(packet);
        return packet;
}

uint32_t tcp_send_room(const struct tcp *tcp, struct tcp_handle handle)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);

        return conn && send_is_open(conn) ? send_room(tcp, conn) : 0;
}

void tcp_room_want(struct tcp *tcp, struct tcp_handle handle)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (conn && send_is_open(conn))
                conn->flags |= CONN_WANT_ROOM;
}

bool tcp_send_copy(struct tcp *tcp, struct tcp_handle handle, const void *bytes, uint32_t len)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (!conn || !send_is_open(conn))
                return false;
        if (send_room(tcp, conn) < len || !send_append_copy(tcp, conn, bytes, len)) {
                conn->flags |= CONN_WANT_ROOM;
                return false;
        }
        conn_output_want(tcp, conn);
        return true;
}

void tcp_shutdown(struct tcp *tcp, struct tcp_handle handle)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (!conn || !send_is_open(conn))
                return;
        if (conn->state == TCP_ST_ESTABLISHED)
                conn_state_set(conn, TCP_ST_FIN_WAIT_1);
        else if (conn->state == TCP_ST_CLOSE_WAIT)
                conn_state_set(conn, TCP_ST_LAST_ACK);
        /* In SYN-SENT and SYN-RECEIVED the FIN waits for the handshake. */
        conn->flags |= CONN_FIN_QUEUED;
        flight_take(tcp, conn);
        conn_output_want(tcp, conn);
}
