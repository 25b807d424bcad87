/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/conn.h"

#include <string.h>

#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/loss.h"
#include "dataplane/tcp/timewait.h"

/* Which states may follow which: a row per present state, a bit per next one (RFC 9293 3.3.2). */
#define TO(state) (1u << (state))
static const uint16_t state_moves[TCP_ST_COUNT] = {
        [TCP_ST_CLOSED] = TO(TCP_ST_SYN_SENT) | TO(TCP_ST_ESTABLISHED),
        [TCP_ST_SYN_SENT] = TO(TCP_ST_SYN_RECEIVED) | TO(TCP_ST_ESTABLISHED) | TO(TCP_ST_CLOSED),
        [TCP_ST_SYN_RECEIVED] = TO(TCP_ST_ESTABLISHED) | TO(TCP_ST_CLOSED),
        [TCP_ST_ESTABLISHED] = TO(TCP_ST_FIN_WAIT_1) | TO(TCP_ST_CLOSE_WAIT) | TO(TCP_ST_CLOSED),
        [TCP_ST_FIN_WAIT_1] = TO(TCP_ST_FIN_WAIT_2) | TO(TCP_ST_CLOSING) | TO(TCP_ST_CLOSED),
        [TCP_ST_FIN_WAIT_2] = TO(TCP_ST_CLOSED),
        [TCP_ST_CLOSE_WAIT] = TO(TCP_ST_LAST_ACK) | TO(TCP_ST_CLOSED),
        [TCP_ST_CLOSING] = TO(TCP_ST_CLOSED),
        [TCP_ST_LAST_ACK] = TO(TCP_ST_CLOSED),
};

void conn_state_set(struct tcp_conn *conn, enum tcp_state state)
{
        BUG_ON(!(state_moves[conn->state] & TO(state)));
        conn->state = (uint8_t)state;
}

struct tcp_conn *conn_new(struct tcp *tcp, const struct tcp_tuple *tuple, uint64_t hash)
{
        struct tcp_conn *conn;
        uint32_t index, generation;

        if (tcp->conns_free != ILIST_NONE)
                index = tcp->conns_free;
        else if (tcp->conns_fresh < tcp->set.connections_max)
                index = tcp->conns_fresh;
        else
                return NULL;
        if (!table_add(&tcp->table, hash, tcp_value(TCP_KIND_CONN, index)))
                return NULL;
        conn = &tcp->conns[index];
        if (index == tcp->conns_free)
                tcp->conns_free = conn->on_output.next;
        else
                tcp->conns_fresh++;
        tcp->conns_used++;
        generation = conn->generation | 1;
        memset(conn, 0, sizeof(*conn));
        conn->generation = generation;
        conn->tuple = *tuple;
        conn->recv_bound = tcp->set.window_bytes;
        conn->flight = (struct tcp_flight *)(uintptr_t)&flight_none;
        conn->recv_ms = (uint32_t)tcp->now_ms;
        conn->rto_ms = TCP_RTO_INITIAL_MS;
        ilist_node_init(&conn->on_events);
        ilist_node_init(&conn->on_output);
        wheel_node_init(&conn->wheel);
        counter_set(tcp->counters, COUNTER_tcp_connections, tcp->conns_used);
        return conn;
}

struct tcp_conn *conn_lookup(const struct tcp *tcp, struct tcp_handle handle)
{
        struct tcp_conn *conn;

        if (handle.index >= tcp->conns_fresh)
                return NULL;
        conn = &tcp->conns[handle.index];
        /* A free slot has an even generation, a used one an odd one; none of either is 0. */
        if (conn->generation != handle.generation || !(handle.generation & 1) || conn->flags & CONN_ORPHAN)
                return NULL;
        return conn;
}

static void leave_lists(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t index = conn_index(tcp, conn);

        wheel_remove(&tcp->wheel, index);
        conn->timers = 0;
        if (ilist_node_is_on(&conn->on_output))
                ilist_remove(&tcp->output, index);
}

static void flush(struct tcp *tcp, struct packet_queue *queue)
{
        struct packet *packet;

        while ((packet = queue_pop(queue)) != NULL)
                conn_packet_free(tcp, packet);
}

void conn_send_flush(struct tcp *tcp, struct tcp_conn *conn)
{
        if (!conn->flight->send.head)
                return;
        flush(tcp, &conn->flight->send);
        conn->flight->send_hint = NULL;
}

/* Take what only the network needs away; the table entry must be gone. */
static void strip(struct tcp *tcp, struct tcp_conn *conn)
{
        leave_lists(tcp, conn);
        conn_send_flush(tcp, conn);
        if (conn->flight->reorder.head) {
                flush(tcp, &conn->flight->reorder);
                conn->flight->reorder_len = 0;
        }
        loss_forget(tcp, conn); /* unread bytes keep the flight, not what was known of those sent */
        conn_state_set(conn, TCP_ST_CLOSED);
        flight_rest(tcp, conn);
}

static void tell_end(struct tcp *tcp, struct tcp_conn *conn, uint32_t bits)
{
        if (conn->flags & CONN_ORPHAN) {
                conn_free(tcp, conn);
                return;
        }
        if (bits == TCP_EV_CLOSED && conn->flight->recv_bytes > 0) {
                conn->flags |= CONN_CLOSED_LATER;
                return;
        }
        if (bits == TCP_EV_CLOSED && !(conn->flags & CONN_EOF_SAID)) {
                conn->flags |= CONN_EOF_SAID;
                bits |= TCP_EV_EOF;
        }
        conn_event(tcp, conn, bits);
}

void conn_over(struct tcp *tcp, struct tcp_conn *conn, uint32_t bits)
{
        bool found = table_remove(&tcp->table, tcp_tuple_hash(tcp, &conn->tuple),
                                  tcp_value(TCP_KIND_CONN, conn_index(tcp, conn)));

        BUG_ON(!found);
        strip(tcp, conn);
        tell_end(tcp, conn, bits);
}

void conn_over_timewait(struct tcp *tcp, struct tcp_conn *conn)
{
        timewait_enter(tcp, conn);
        strip(tcp, conn);
        tell_end(tcp, conn, TCP_EV_CLOSED);
}

void conn_free(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t index = conn_index(tcp, conn);

        leave_lists(tcp, conn);
        if (ilist_node_is_on(&conn->on_events))
                ilist_remove(&tcp->events, index);
        if (conn->flight != &flight_none) {
                flush(tcp, &conn->flight->recv);
                flush(tcp, &conn->flight->reorder);
                conn_send_flush(tcp, conn);
                conn->state = TCP_ST_CLOSED;
                flight_rest(tcp, conn);
        }
        if (tcp->last_told == index)
                tcp->last_told = ILIST_NONE;
        /* Odd to even; 0 is never a generation. */
        conn->generation++;
        if (conn->generation == 0)
                conn->generation = 2;
        conn->flags = 0;
        conn->on_output.next = tcp->conns_free;
        tcp->conns_free = index;
        tcp->conns_used--;
        counter_set(tcp->counters, COUNTER_tcp_connections, tcp->conns_used);
}

void conn_event(struct tcp *tcp, struct tcp_conn *conn, uint32_t bits)
{
        if (conn->flags & CONN_ORPHAN)
                return;
        conn->events |= (uint16_t)bits;
        if (!ilist_node_is_on(&conn->on_events))
                ilist_push(&tcp->events, conn_index(tcp, conn));
}

void conn_output_want(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->state != TCP_ST_CLOSED && !ilist_node_is_on(&conn->on_output))
                ilist_push(&tcp->output, conn_index(tcp, conn));
}

void conn_ack_now(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->acks_due == 0)
                conn->acks_due = 1;
        conn_output_want(tcp, conn);
}

void conn_challenge(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t now_ms = (uint32_t)tcp->now_ms;

        /* The same low bits a round of seconds later only make the limit tighter, once. */
        if (conn->challenge_sec != (now_ms / TCP_CHALLENGE_MS & 15)) {
                conn->challenge_sec = now_ms / TCP_CHALLENGE_MS & 15;
                conn->challenges = 0;
        }
        if (conn->challenges >= TCP_CHALLENGE_MAX) {
                tcp_count(tcp, COUNTER_tcp_challenge_limited);
                return;
        }
        conn->challenges++;
        tcp_count(tcp, COUNTER_tcp_challenge_acks);
        conn_ack_now(tcp, conn);
}

void conn_timer_set(struct tcp *tcp, struct tcp_conn *conn, unsigned timer, uint32_t after_ms)
{
        uint32_t index = conn_index(tcp, conn);
        uint32_t due_ms = (uint32_t)tcp->now_ms + after_ms;

        if (timer == TIMER_REXMIT) {
                BUG_ON_HOT(conn->flight == &flight_none);
                conn->flight->rexmit_due_ms = due_ms;
        } else if (timer == TIMER_ACK) {
                conn->ack_due_ms = (uint16_t)due_ms;
        } else {
                conn->life_due_ms = due_ms;
        }
        conn->timers |= timer;
        if (wheel_node_is_armed(&conn->wheel)) {
                if (SEQ_BEFORE_EQ(conn->wheel.due_ms, due_ms))
                        return;
                wheel_remove(&tcp->wheel, index);
        }
        wheel_add(&tcp->wheel, index, tcp->now_ms + after_ms);
}

int32_t conn_timer_left(const struct tcp_conn *conn, unsigned timer, uint32_t now_ms)
{
        switch (timer) {
        case TIMER_REXMIT:
                return (int32_t)(conn->flight->rexmit_due_ms - now_ms);
        case TIMER_ACK:
                return (int16_t)(conn->ack_due_ms - (uint16_t)now_ms);
        default:
                return (int32_t)(conn->life_due_ms - now_ms);
        }
}

unsigned conn_timers_due(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t now_ms = (uint32_t)tcp->now_ms;
        unsigned due = 0;
        bool wait = false;
        int32_t wait_ms = 0;

        for (unsigned left = conn->timers; left; left &= left - 1) {
                unsigned timer = left & -left;
                int32_t left_ms = conn_timer_left(conn, timer, now_ms);

                if (left_ms <= 0) {
                        due |= timer;
                } else if (!wait || left_ms < wait_ms) {
                        wait = true;
                        wait_ms = left_ms;
                }
        }
        conn->timers &= ~due;
        if (wait)
                wheel_add(&tcp->wheel, conn_index(tcp, conn), tcp->now_ms + (uint32_t)wait_ms);
        return due;
}
