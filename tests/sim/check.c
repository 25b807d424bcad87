/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/listen.h"
#include "dataplane/tcp/rack.h"
#include "dataplane/tcp/send.h"
#include "dataplane/tcp/timewait.h"

#define INITIAL_BYTES 14600u /* RFC 6928 */
#define GROUP_BITS 6 /* of the wheel's levels */

static const char *check_send(const struct tcp_conn *conn, uint32_t *held)
{
        uint32_t at = conn->snd_una + !!(conn->flags & CONN_SYN_OUT);
        bool hint_found = conn->flight->send_hint == NULL;

        if (SEQ_BEFORE(conn->snd_nxt, conn->snd_una) || SEQ_AFTER(conn->snd_nxt, conn->snd_max))
                return "snd_una <= snd_nxt <= snd_max does not hold";
        if (SEQ_AFTER(conn->snd_max, send_end(conn)))
                return "more was sent than was queued";
        for (struct packet *packet = conn->flight->send.head; packet; packet = packet_next(packet)) {
                if (packet_seq(packet) != at)
                        return "the send queue has a gap";
                if (packet_len(packet) == 0)
                        return "an empty packet in the send queue";
                at = packet_seq_end(packet);
                hint_found |= packet == conn->flight->send_hint;
                (*held)++;
        }
        /* No window grows faster than by what was acknowledged, and, without SACK, by what duplicates say has left. */
        if (conn->cwnd > INITIAL_BYTES + conn_acked_low(conn) + (conn->snd_max - conn->snd_una) + 4u * conn->mss)
                return "the congestion window is larger than all that was acknowledged allows";
        if (conn->state >= TCP_ST_ESTABLISHED && conn->cwnd < conn->mss)
                return "the congestion window is less than a segment";
        if (!hint_found)
                return "send_hint points out of the queue";
        if (!conn_fin_is_acked(conn) && SEQ_BEFORE(conn->snd_end, at))
                return "the send queue ends behind snd_end";
        if (conn->flight->send.head && at != conn->snd_end)
                return "the send queue does not end at snd_end";
        return NULL;
}

/* What is known of bytes in flight: spans from snd_una to snd_nxt, none empty, sent in the past; ranges above snd_una. */
static const char *check_board(const struct tcp *tcp, const struct tcp_conn *conn)
{
        const struct tcp_board *board = conn->flight->board == BOARD_NONE ? NULL : &tcp->boards[conn->flight->board];
        uint32_t at = conn->snd_una, pipe = 0;

        if (!board)
                return NULL;
        if (board->sent_end != conn->snd_nxt || (board->spans == 0) != (conn->snd_nxt == conn->snd_una))
                return "the spans do not end at snd_nxt";
        if (board->spans > TCP_RACK_SPANS || board->count > TCP_BOARD_RANGES)
                return "more spans or ranges than there is room for";
        for (unsigned i = 0; i < board->spans; i++) {
                uint32_t end = i + 1 < board->spans ? board->span[i + 1].seq : board->sent_end;

                if (board->span[i].seq != at || SEQ_BEFORE_EQ(end, at))
                        return "the spans have a gap, or an empty one";
                if (SEQ_AFTER(board->span[i].us, (uint32_t)tcp->now_us))
                        return "a span was sent in the future";
                if (!(board->span[i].flags & RACK_LOST))
                        pipe += end - at;
                for (unsigned r = 0; r < board->count && !(board->span[i].flags & RACK_LOST); r++) {
                        uint32_t from = SEQ_MAX(board->range[r].start, at), to = SEQ_MIN(board->range[r].end, end);

                        pipe -= SEQ_BEFORE(from, to) ? to - from : 0;
                }
                at = end;
        }
        for (unsigned r = 0; r < board->count; r++)
                if (SEQ_BEFORE(board->range[r].start, r ? board->range[r - 1].end + 1 : conn->snd_una) ||
                    SEQ_AFTER_EQ(board->range[r].start, board->range[r].end) || SEQ_AFTER(board->range[r].end, conn->snd_max))
                        return "the ranges of a scoreboard overlap, or lie outside of what was sent";
        return rack_pipe(board) == pipe ? NULL : "what is in the network is miscounted";
}

static const char *check_recv(const struct tcp_conn *conn, uint32_t *held)
{
        uint32_t bytes = 0, at = conn->rcv_nxt;
        unsigned len = 0;

        for (struct packet *packet = conn->flight->recv.head; packet; packet = packet_next(packet)) {
                bytes += packet_len(packet);
                (*held)++;
        }
        if (bytes != conn->flight->recv_bytes)
                return "recv_bytes is not what is queued";
        if (SEQ_BEFORE(conn->rcv_adv, conn->rcv_nxt) && !(conn->flags & CONN_FIN_TAKEN))
                return "more was received than the window";
        for (struct packet *packet = conn->flight->reorder.head; packet; packet = packet_next(packet)) {
                if (SEQ_BEFORE(packet_seq(packet), at) || packet_seq(packet) == conn->rcv_nxt)
                        return "the reorder list is out of order, or due";
                at = packet_seq_end(packet);
                len++;
                (*held)++;
        }
        if (len != conn->flight->reorder_len || len > TCP_REORDER_PACKETS_MAX)
                return "reorder_len is wrong";
        return NULL;
}

/* Nothing may wait for an event that never comes. */
static const char *check_timers(const struct tcp *tcp, const struct tcp_conn *conn, bool is_on_time)
{
        if (conn->timers && !wheel_node_is_armed(&conn->wheel))
                return "a timer runs, but not in the wheel";
        for (unsigned left = conn->timers; left; left &= left - 1) {
                uint32_t now_ms = (uint32_t)tcp->now_ms;
                int32_t left_ms = conn_timer_left(conn, left & -left, now_ms);

                if (is_on_time && left_ms < 0)
                        return "a timer is overdue";
                if (SEQ_BEFORE(now_ms + (uint32_t)left_ms, conn->wheel.due_ms))
                        return "the wheel will come after the timer";
        }
        if (ilist_node_is_on(&conn->on_output))
                return NULL;
        if (conn->snd_una != conn->snd_max && !(conn->timers & TIMER_REXMIT))
                return "bytes are outstanding and no timer runs";
        if (send_is_pending(conn) && !(conn->timers & TIMER_REXMIT))
                return "bytes wait to be sent and no timer runs";
        if (conn->flags & CONN_ORPHAN && conn->state == TCP_ST_FIN_WAIT_2 && !(conn->timers & TIMER_LIFE))
                return "nobody owns it, the peer is silent, and no timer runs";
        if (tcp->set.keepalive_us && !(conn->flags & CONN_ORPHAN) && conn->state >= TCP_ST_ESTABLISHED &&
            !(conn->timers & TIMER_LIFE))
                return "its owner wants keepalives, and no timer runs";
        if (conn->state == TCP_ST_ESTABLISHED && conn->flags & CONN_FIN_QUEUED)
                return "FIN queued in ESTABLISHED";
        if (conn->acks_due)
                return "an ACK is due, but not wanted";
        return NULL;
}

const char *sim_check_wheel(const struct wheel *wheel, uint32_t count)
{
        uint32_t found = 0;

        for (unsigned place = 0; place < WHEEL_LEVELS * WHEEL_SLOTS; place++) {
                unsigned level = place / WHEEL_SLOTS, slot = place % WHEEL_SLOTS;
                uint32_t prev = WHEEL_NONE, index = wheel->head[level][slot];

                if ((index != WHEEL_NONE) != (wheel->used[level] >> slot & 1))
                        return "the wheel does not know which slots are empty";
                for (; index != WHEEL_NONE; found++) {
                        const struct wheel_node *node =
                            (const struct wheel_node *)(const void *)(wheel->nodes + index * wheel->stride);
                        uint64_t due_ms =
                            wheel->now_ms +
                            (uint64_t)(int64_t)(int32_t)(node->due_ms - (uint32_t)wheel->now_ms);

                        if (node->place != place || node->prev != prev)
                                return "a node of the wheel is not in the list that it says";
                        if ((due_ms >> (level * GROUP_BITS) & (WHEEL_SLOTS - 1)) != slot)
                                return "a node of the wheel is in the wrong slot";
                        if (found > count)
                                return "more nodes are in the wheel than are armed";
                        prev = index;
                        index = node->next;
                }
        }
        return found == count ? NULL : "the wheel has lost a node";
}

/* Every element of the list once, forwards and backwards, and as many as say that they are in it. */
static const char *check_list(const struct ilist *list, uint32_t count)
{
        uint32_t found = 0, prev = ILIST_NONE;

        for (uint32_t index = list->head; index != ILIST_NONE; index = ilist_at(list, index)->next) {
                if (ilist_at(list, index)->prev != prev || found++ > count)
                        return "a list of connections is broken";
                prev = index;
        }
        if (list->tail != prev)
                return "a list of connections has another end";
        return found == count ? NULL : "a connection is in a list, and not in it";
}

/* Each thing is in the table once, under its own tuple, and nothing else is. */
static const char *check_table(const struct tcp *tcp, uint32_t live)
{
        uint32_t count[TCP_KIND_NONE + 1] = { 0 };

        for (uint64_t b = 0; b <= tcp->table.mask; b++) {
                const struct table_bucket *bucket = &tcp->table.buckets[b];

                for (unsigned way = 0; way < TABLE_WAYS; way++) {
                        enum tcp_kind kind = bucket->value[way] >> 30;
                        uint32_t index = bucket->value[way] & TCP_INDEX_MASK, found = 0;
                        const struct tcp_tuple *tuple;

                        if (!bucket->tag[way])
                                continue;
                        count[kind]++;
                        tuple = kind == TCP_KIND_CONN  ? &tcp->conns[index].tuple
                                : kind == TCP_KIND_SYN ? syncache_tuple(tcp, index)
                                                       : timewait_tuple(tcp, index);
                        if (tcp_find(tcp, tuple, tcp_tuple_hash(tcp, tuple), &found) != kind ||
                            found != index)
                                return "what is in the table is not found there";
                }
        }
        if (count[TCP_KIND_CONN] != live)
                return "not each connection is in the table once";
        if (count[TCP_KIND_SYN] != syncache_len(tcp) || count[TCP_KIND_TIMEWAIT] != timewait_len(tcp))
                return "not each half-open or TIME-WAIT entry is in the table once";
        if (tcp->table.used !=
            (uint64_t)count[TCP_KIND_CONN] + count[TCP_KIND_SYN] + count[TCP_KIND_TIMEWAIT])
                return "the table miscounts";
        if ((syncache_len(tcp) > 0) != (syncache_due_ms(tcp) != UINT64_MAX) ||
            (timewait_len(tcp) > 0) != (timewait_due_ms(tcp) != UINT64_MAX))
                return "a half-open or TIME-WAIT entry waits for nothing";
        return NULL;
}

/* What is known of all connections together. */
struct sums {
        uint32_t used, live, held, armed, on_events, on_output, boards, flights;
};

static const char *check_sums(const struct tcp *tcp, const struct sums *sums)
{
        uint32_t count = 0, ready = 0;
        const char *wrong;

        if (sums->used != tcp->conns_used || sums->used != tcp->counters[COUNTER_tcp_connections])
                return "conns_used is wrong";
        if (sums->held != tcp->held)
                return "held is not what the queues hold";
        if (syncache_len(tcp) != tcp->counters[COUNTER_tcp_half_open] ||
            timewait_len(tcp) != tcp->counters[COUNTER_tcp_timewait])
                return "a gauge is wrong";
        for (uint32_t index = tcp->conns_free; index != ILIST_NONE; index = tcp->conns[index].on_output.next)
                if (tcp->conns[index].generation & 1 || count++ > tcp->conns_fresh)
                        return "the list of free connections is broken";
        if (count + sums->used != tcp->conns_fresh)
                return "a connection is neither free nor used";
        count = 0;
        for (uint32_t board = tcp->boards_free; board != BOARD_NONE; board = tcp->boards[board].count)
                if (count++ > tcp->boards_fresh)
                        return "the list of free scoreboards is broken";
        if (count + sums->boards != tcp->boards_fresh)
                return "a scoreboard is neither free nor used";
        count = 0;
        for (const struct tcp_flight *flight = tcp->flights_free; flight; flight = flight->next_free)
                if (count++ > tcp->flights_fresh)
                        return "the list of free flights is broken";
        if (sums->flights != tcp->flights_used || count + sums->flights != tcp->flights_fresh)
                return "a flight is neither free nor used";
        for (struct packet *packet = tcp->ready.head; packet; packet = packet_next(packet))
                ready++;
        if (ready != tcp->ready_len)
                return "ready_len is wrong";
        wrong = check_list(&tcp->events, sums->on_events);
        if (!wrong)
                wrong = check_list(&tcp->output, sums->on_output);
        if (!wrong)
                wrong = sim_check_wheel(&tcp->wheel, sums->armed);
        return wrong ? wrong : check_table(tcp, sums->live);
}

/* A connection that waits for nothing holds nothing. */
static const char *check_flight(const struct tcp_conn *conn)
{
        bool rests = !conn->flight->recv.head && !conn->flight->reorder.head && !conn->flight->send.head &&
                     !(conn->flags & (CONN_FIN_HELD | CONN_DSACK) && conn->state != TCP_ST_CLOSED) &&
                     (conn->state == TCP_ST_CLOSED || (conn->snd_una == conn->snd_max && !send_is_pending(conn)));

        if (rests != (conn->flight == &flight_none))
                return rests ? "it rests, and has a flight" : "it has no flight, and does not rest";
        if (rests && conn->timers & TIMER_REXMIT)
                return "it rests, and its retransmission timer runs";
        return NULL;
}

static const char *check_conn(const struct tcp *tcp, const struct tcp_conn *conn, bool is_on_time,
                              struct sums *sums)
{
        const char *wrong = check_recv(conn, &sums->held);

        sums->used++;
        sums->live += conn->state != TCP_ST_CLOSED;
        sums->armed += wheel_node_is_armed(&conn->wheel);
        sums->on_events += ilist_node_is_on(&conn->on_events);
        sums->on_output += ilist_node_is_on(&conn->on_output);
        sums->flights += conn->flight != &flight_none;
        sums->boards += conn->flight->board != BOARD_NONE;
        if (!wrong)
                wrong = check_flight(conn);
        if (wrong)
                return wrong;
        if (conn->state == TCP_ST_CLOSED) {
                if (conn->flight->send.head || conn->flight->reorder.head || conn->flags & CONN_ORPHAN || conn->timers ||
                    wheel_node_is_armed(&conn->wheel) || conn->flight->board != BOARD_NONE)
                        return "it is over, but still holds something";
                return NULL;
        }
        if (conn->events && !ilist_node_is_on(&conn->on_events))
                return "it has something to say, and nobody will ask";
        if (conn->flags & CONN_DSACK && conn->acks_due == 0)
                return "what came twice is to be reported, and no ACK is due";
        if (conn->flags & CONN_ORPHAN && ilist_node_is_on(&conn->on_events))
                return "it has something to say to nobody";
        wrong = check_send(conn, &sums->held);
        if (!wrong)
                wrong = check_board(tcp, conn);
        return wrong ? wrong : check_timers(tcp, conn, is_on_time);
}

/* Packets that refer to another one's bytes keep that one, though perhaps no queue holds it any more. */
static uint32_t count_references(const struct packet_queue *queue)
{
        uint32_t count = 0;

        for (struct packet *packet = queue->head; packet; packet = packet_next(packet))
                count += RTE_MBUF_CLONED(&packet->mbuf) != 0;
        return count;
}

const char *sim_check(const struct tcp *tcp, bool is_on_time, uint32_t ret_buffers[2])
{
        struct sums sums = { 0 };
        uint32_t references = 0;

        for (uint32_t i = 0; i < tcp->conns_fresh; i++) {
                const struct tcp_conn *conn = &tcp->conns[i];
                const char *wrong;

                if (!(conn->generation & 1))
                        continue;
                wrong = check_conn(tcp, conn, is_on_time, &sums);
                if (wrong)
                        return wrong;
                references += count_references(&conn->flight->recv) + count_references(&conn->flight->send) +
                              count_references(&conn->flight->reorder);
        }
        if (ret_buffers == NULL)
                return check_sums(tcp, &sums);
        ret_buffers[0] += tcp->held + tcp->ready_len;
        ret_buffers[1] += tcp->held + tcp->ready_len + references;
        return check_sums(tcp, &sums);
}
