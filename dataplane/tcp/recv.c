/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/recv.h"

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/press.h"
#include "dataplane/tcp/send.h"

void recv_queue_append(struct tcp *tcp, struct packet_queue *queue, struct packet *packet)
{
        uint16_t len = packet_len(packet);
        struct packet *tail = queue->tail;

        if ((len < TCP_COPY_BREAK || press_level(tcp) > PRESS_NONE) && tail && !packet_is_shared(tail) && packet_tailroom(tail) >= len) {
                memcpy(packet_append(tail, len), packet_data(packet), len);
                packet_free(packet);
                return;
        }
        queue_push(queue, packet);
        tcp->held++;
}

bool recv_take(struct tcp *tcp, struct tcp_conn *conn, struct packet *packet)
{
        uint32_t len = packet_len(packet), before = conn_in_low(conn);

        conn->rcv_nxt += len;
        conn->wheel.user[0] += conn_in_low(conn) < before;
        if (conn->flags & CONN_ORPHAN) {
                packet_free(packet);
                conn->drained += len;
                return conn->drained <= TCP_DRAIN_BYTES_MAX;
        }
        flight_take(tcp, conn);
        recv_queue_append(tcp, &conn->flight->recv, packet);
        conn->flight->recv_bytes += len;
        conn_event(tcp, conn, TCP_EV_DATA);
        return true;
}

void recv_duplicate(struct tcp *tcp, struct tcp_conn *conn, struct tcp_block block)
{
        if (!(conn->flags & CONN_SACK))
                return;
        flight_take(tcp, conn)->dsack = block;
        conn->flags |= CONN_DSACK;
        conn_ack_now(tcp, conn);
}

void recv_eof_check(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->flight->recv_bytes > 0 || !(conn->flags & CONN_FIN_TAKEN) || conn->flags & CONN_EOF_SAID)
                return;
        conn->flags |= CONN_EOF_SAID;
        conn_event(tcp, conn, conn->flags & CONN_CLOSED_LATER ? TCP_EV_EOF | TCP_EV_CLOSED : TCP_EV_EOF);
}

/* --- window --------------------------------------------------------------------------------------------- */

/* How many unread bytes may pile up now. */
static uint32_t window_bound(const struct tcp *tcp, const struct tcp_conn *conn)
{
        return press_level(tcp) > PRESS_NONE ? MIN(conn->recv_bound, TCP_WINDOW_PRESSED) : conn->recv_bound;
}

/* Bytes that may come beside those unread. */
static uint32_t window_room(const struct tcp *tcp, const struct tcp_conn *conn)
{
        uint32_t bound = window_bound(tcp, conn);

        return bound > conn->flight->recv_bytes ? bound - conn->flight->recv_bytes : 0;
}

/*
 * Where the right edge should be: room for recv_bound unread bytes. It moves only by a segment or half of the
 * bound at least (RFC 9293 3.8.6.2.2, silly windows), and never left.
 */
static uint32_t right_edge(const struct tcp *tcp, const struct tcp_conn *conn)
{
        uint32_t edge = conn->rcv_nxt + window_room(tcp, conn);
        uint32_t step = MIN(window_bound(tcp, conn) / 2, (uint32_t)conn->mss);

        if (SEQ_BEFORE(edge, conn->rcv_adv) || edge - conn->rcv_adv < step)
                return conn->rcv_adv;
        return edge;
}

uint16_t recv_window_field(const struct tcp *tcp, struct tcp_conn *conn, bool scaled)
{
        unsigned shift = scaled && conn->flags & CONN_SCALE ? tcp->recv_scale : 0;
        uint32_t room = window_room(tcp, conn);
        uint32_t window, field;

        /* After the peer's FIN nothing more can come; its sequence number must not look like a shrinking window. */
        window = SEQ_MAX(right_edge(tcp, conn), conn->rcv_nxt) - conn->rcv_nxt;
        field = window >> shift;
        /*
         * Rounding up keeps the edge from moving left by a rounding error (RFC 7323 2.4), but only within one
         * step of what there is room for: segment by segment, the edge would creep on for ever.
         */
        if (field << shift != window && (field + 1) << shift < room + (1u << shift))
                field++;
        field = MIN(field, UINT16_MAX);
        conn->rcv_adv = SEQ_MAX(conn->rcv_adv, conn->rcv_nxt + (field << shift));
        return (uint16_t)field;
}

/* The window opened by enough to be worth a segment of its own. */
static void offer_window(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t gain = right_edge(tcp, conn) - conn->rcv_adv;

        if (conn->state < TCP_ST_ESTABLISHED || conn->flags & CONN_FIN_TAKEN)
                return;
        if (gain >= MIN(window_bound(tcp, conn) / 2, 2u * conn->mss) || (gain && conn->rcv_adv == conn->rcv_nxt))
                conn_ack_now(tcp, conn);
}

void tcp_recv_window_set(struct tcp *tcp, struct tcp_handle handle, uint32_t bytes)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);

        if (!conn)
                return;
        conn->recv_bound = MIN(bytes, tcp->set.window_max_bytes);
        offer_window(tcp, conn);
}

/* --- reading -------------------------------------------------------------------------------------------- */

uint32_t tcp_recv_bytes(const struct tcp *tcp, struct tcp_handle handle)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);

        return conn ? conn->flight->recv_bytes : 0;
}

const uint8_t *tcp_recv_peek(const struct tcp *tcp, struct tcp_handle handle, uint32_t *ret_len)
{
        struct tcp_span span;

        if (tcp_recv_spans(tcp, handle, &span, 1) == 0) {
                *ret_len = 0;
                return NULL;
        }
        *ret_len = span.len;
        return span.bytes;
}

unsigned tcp_recv_spans(const struct tcp *tcp, struct tcp_handle handle, struct tcp_span *ret, unsigned max)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);
        unsigned n = 0;

        for (struct packet *packet = conn ? conn->flight->recv.head : NULL; packet && n < max; packet = packet_next(packet))
                ret[n++] = (struct tcp_span){ packet_data(packet), packet_len(packet) };
        return n;
}

uint32_t tcp_recv_copy(const struct tcp *tcp, struct tcp_handle handle, void *bytes, uint32_t len)
{
        const struct tcp_conn *conn = conn_lookup(tcp, handle);
        uint32_t done = 0;

        for (struct packet *packet = conn ? conn->flight->recv.head : NULL; packet && done < len;
             packet = packet_next(packet)) {
                uint32_t part = MIN((uint32_t)packet_len(packet), len - done);

                memcpy((uint8_t *)bytes + done, packet_data(packet), part);
                done += part;
        }
        return done;
}

/* len unread bytes have left the queue. */
static void consumed(struct tcp *tcp, struct tcp_conn *conn, uint32_t len)
{
        conn->flight->recv_bytes -= len;
        flight_rest(tcp, conn);
        offer_window(tcp, conn);
        recv_eof_check(tcp, conn);
}

uint32_t tcp_recv_consume(struct tcp *tcp, struct tcp_handle handle, uint32_t len)
{
        struct tcp_conn *conn = conn_lookup(tcp, handle);
        uint32_t left;

        if (!conn)
                return 0;
        len = MIN(len, conn->flight->recv_bytes);
        for (left = len; left > 0;) {
                struct packet *packet = conn->flight->recv.head;
                uint16_t part = (uint16_t)MIN((uint32_t)packet_len(packet), left);

                left -= part;
                if (part < packet_len(packet))
                        packet_pull(packet, part);
                else
                        conn_packet_free(tcp, queue_pop(&conn->flight->recv));
        }
        if (len)
                consumed(tcp, conn, len);
        return len;
}

void recv_discard(struct tcp *tcp, struct tcp_conn *conn)
{
        struct packet *packet;

        if (conn->flight->recv.head) {
                while ((packet = queue_pop(&conn->flight->recv)) != NULL)
                        conn_packet_free(tcp, packet);
                conn->flight->recv_bytes = 0;
                flight_rest(tcp, conn);
        }
        offer_window(tcp, conn);
}

/* Move one piece of at most len bytes. Returns its length; 0: it does not fit, or the pool is empty. */
static uint32_t move_piece(struct tcp *tcp, struct tcp_conn *from, struct tcp_conn *to, uint32_t len)
{
        struct packet *packet = from->flight->recv.head, *clone;
        uint32_t whole = packet_len(packet);
        uint32_t part = MIN(MIN(whole, len), send_room(tcp, to));

        /* Not by slivers: a nearly full queue waits until it has room. */
        if (part == 0 || (part < MIN(whole, len) && part < TCP_COPY_BREAK))
                return 0;
        if (part < TCP_COPY_BREAK) {
                if (!send_append_copy(tcp, to, packet_data(packet), part))
                        return 0;
        } else if (part == whole) {
                queue_pop(&from->flight->recv);
                send_append_packet(tcp, to, packet);
                return part;
        } else {
                if (!send_may_hold(tcp))
                        return 0;
                clone = packet_clone(packet, tcp->set.pool);
                if (!clone)
                        return 0;
                packet_trim(clone, (uint16_t)part);
                send_append_packet(tcp, to, clone);
                tcp->held++;
        }
        if (part == whole)
                conn_packet_free(tcp, queue_pop(&from->flight->recv));
        else
                packet_pull(packet, (uint16_t)part);
        return part;
}

uint32_t tcp_send_move(struct tcp *tcp, struct tcp_handle from_handle, struct tcp_handle to_handle, uint32_t len)
{
        struct tcp_conn *from = conn_lookup(tcp, from_handle);
        struct tcp_conn *to = conn_lookup(tcp, to_handle);
        uint32_t moved = 0;

        if (!from || !to || !send_is_open(to))
                return 0;
        len = MIN(len, from->flight->recv_bytes);
        while (moved < len) {
                uint32_t part = move_piece(tcp, from, to, len - moved);

                if (part == 0)
                        break;
                moved += part;
        }
        if (moved < len)
                to->flags |= CONN_WANT_ROOM;
        if (moved) {
                consumed(tcp, from, moved);
                conn_output_want(tcp, to);
        }
        return moved;
}
