/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/send.h"

static const char *check_send(const struct tcp_conn *conn, uint32_t *held)
{
        uint32_t at = conn->snd_una == conn->iss ? conn->iss + 1 : conn->snd_una;
        bool hint_found = conn->send_hint == NULL;

        if (SEQ_BEFORE(conn->snd_nxt, conn->snd_una) || SEQ_AFTER(conn->snd_nxt, conn->snd_max))
                return "snd_una <= snd_nxt <= snd_max does not hold";
        if (SEQ_AFTER(conn->snd_max, send_end(conn)))
                return "more was sent than was queued";
        for (struct packet *packet = conn->send.head; packet; packet = packet_next(packet)) {
                if (packet_seq(packet) != at)
                        return "the send queue has a gap";
                if (packet_len(packet) == 0)
                        return "an empty packet in the send queue";
                at = packet_seq_end(packet);
                hint_found |= packet == conn->send_hint;
                (*held)++;
        }
        if (!hint_found)
                return "send_hint points out of the queue";
        if (!conn_fin_is_acked(conn) && SEQ_BEFORE(conn->snd_end, at))
                return "the send queue ends behind snd_end";
        if (conn->send.head && at != conn->snd_end)
                return "the send queue does not end at snd_end";
        return NULL;
}

static const char *check_recv(const struct tcp_conn *conn, uint32_t *held)
{
        uint32_t bytes = 0, at = conn->rcv_nxt;
        unsigned len = 0;

        for (struct packet *packet = conn->recv.head; packet; packet = packet_next(packet)) {
                bytes += packet_len(packet);
                (*held)++;
        }
        if (bytes != conn->recv_bytes)
                return "recv_bytes is not what is queued";
        if (SEQ_BEFORE(conn->rcv_adv, conn->rcv_nxt) && !(conn->flags & CONN_FIN_TAKEN))
                return "more was received than the window";
        for (struct packet *packet = conn->reorder.head; packet; packet = packet_next(packet)) {
                if (SEQ_BEFORE(packet_seq(packet), at) || packet_seq(packet) == conn->rcv_nxt)
                        return "the reorder list is out of order, or due";
                at = packet_seq_end(packet);
                len++;
                (*held)++;
        }
        if (len != conn->reorder_len || len > TCP_REORDER_PACKETS_MAX)
                return "reorder_len is wrong";
        return NULL;
}

/* Nothing may wait for an event that never comes. */
static const char *check_timers(const struct tcp_conn *conn)
{
        if (conn->timers && !wheel_node_is_armed(&conn->wheel))
                return "a timer runs, but not in the wheel";
        if (ilist_node_is_on(&conn->on_output))
                return NULL;
        if (conn->snd_una != conn->snd_max && !(conn->timers & TIMER_REXMIT))
                return "bytes are outstanding and no timer runs";
        if (send_is_pending(conn) && !(conn->timers & TIMER_REXMIT))
                return "bytes wait to be sent and no timer runs";
        if (conn->flags & CONN_ORPHAN && conn->state == TCP_ST_FIN_WAIT_2 && !(conn->timers & TIMER_LIFE))
                return "nobody owns it, the peer is silent, and no timer runs";
        if (conn->state == TCP_ST_ESTABLISHED && conn->flags & CONN_FIN_QUEUED)
                return "FIN queued in ESTABLISHED";
        if (conn->acks_due)
                return "an ACK is due, but not wanted";
        return NULL;
}

const char *sim_check(const struct tcp *tcp)
{
        uint32_t held = 0, used = 0;

        for (uint32_t i = 0; i < tcp->conns_fresh; i++) {
                const struct tcp_conn *conn = &tcp->conns[i];
                const char *wrong;

                if (!(conn->generation & 1))
                        continue;
                used++;
                wrong = check_recv(conn, &held);
                if (!wrong && conn->state != TCP_ST_CLOSED) {
                        wrong = check_send(conn, &held);
                        if (!wrong)
                                wrong = check_timers(conn);
                }
                if (!wrong && conn->state == TCP_ST_CLOSED &&
                    (conn->send.head || conn->reorder.head || conn->flags & CONN_ORPHAN))
                        wrong = "it is over, but still holds something";
                if (wrong)
                        return wrong;
        }
        if (used != tcp->conns_used)
                return "conns_used is wrong";
        if (held != tcp->held)
                return "held is not what the queues hold";
        return NULL;
}
