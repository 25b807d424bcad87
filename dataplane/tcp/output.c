/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/output.h"

#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/loss.h"
#include "dataplane/tcp/recv.h"
#include "dataplane/tcp/reorder.h"
#include "dataplane/tcp/rexmit.h"
#include "dataplane/tcp/send.h"

/* What to send next: [seq, seq + len) of the send queue with these flags; ACK comes of itself. */
struct plan {
        uint32_t seq, len;
        uint8_t flags;   /* TCP_FLAG_SYN, _FIN, _PSH */
        bool is_hole;    /* a hole, in recovery */
        bool is_in_turn; /* snd_nxt moves on */
        bool is_probe;   /* a tail loss probe */
};

uint16_t output_mss_option(const struct tcp *tcp, const struct addr *remote)
{
        return (uint16_t)(addr_is_v4(remote) ? tcp->set.mtu_v4 - TCP_IPV4_OVERHEAD : tcp->set.mtu_v6 - TCP_IPV6_OVERHEAD);
}

/* --- building ------------------------------------------------------------------------------------------- */

/* Set addresses and checksum; the header lies at the front of the packet. */
static void finish(const struct tcp *tcp, struct packet *packet, const struct tcp_tuple *tuple)
{
        struct packet_meta *meta = packet_meta(packet);
        uint64_t sum = tcp_sum_pseudo(&tuple->local, &tuple->remote, packet_total_len(packet));
        bool odd = false;

        meta->src = tuple->local;
        meta->dst = tuple->remote;
        meta->ecn = 0;
        meta->flags = 0;
        if (tcp->set.checksum_offload) {
                meta->flags = PACKET_L4_PSEUDO;
                tcp_header_checksum_set(packet_data(packet), tcp_sum_fold(sum));
                return;
        }
        for (struct packet *part = packet; part; part = packet_chained(part)) {
                sum = tcp_sum_add(sum, packet_data(part), packet_len(part), odd);
                odd ^= packet_len(part) & 1;
        }
        tcp_header_checksum_set(packet_data(packet), (uint16_t)~tcp_sum_fold(sum));
}

void output_control(struct tcp *tcp, struct packet *reuse, const struct tcp_tuple *tuple, struct tcp_header *header)
{
        struct packet *packet = reuse;
        uint8_t *at = NULL;

        header->src_port = tuple->local_port;
        header->dst_port = tuple->remote_port;
        if (packet && packet_is_shared(packet)) {
                packet_free(packet);
                packet = NULL;
        }
        if (!packet)
                packet = packet_new(tcp->set.pool);
        if (packet) {
                packet_trim(packet, 0);
                at = packet_append(packet, tcp_header_len(header));
        }
        if (!at || tcp->ready_len >= TCP_READY_MAX) {
                tcp_count(tcp, COUNTER_tcp_output_drops);
                if (packet)
                        packet_free(packet);
                return;
        }
        tcp_header_build(header, at);
        finish(tcp, packet, tuple);
        queue_push(&tcp->ready, packet);
        tcp->ready_len++;
}

bool output_may_stray(struct tcp *tcp)
{
        uint64_t sec = tcp->now_ms / 1000;

        if (sec != tcp->stray_sec) {
                tcp->stray_sec = sec;
                tcp->stray_count = 0;
        }
        if (tcp->stray_count >= TCP_STRAY_PER_SEC) {
                tcp_count(tcp, COUNTER_tcp_stray_limited);
                return false;
        }
        tcp->stray_count++;
        return true;
}

void output_refuse(struct tcp *tcp, struct tcp_segment *segment)
{
        struct tcp_header *in = &segment->header;
        struct tcp_header out = { .flags = TCP_FLAG_RST };
        struct packet *packet = segment->packet;

        segment->packet = NULL;
        tcp_count(tcp, COUNTER_tcp_strays);
        if (in->flags & TCP_FLAG_RST || !output_may_stray(tcp)) {
                packet_free(packet);
                return;
        }
        if (in->flags & TCP_FLAG_ACK) {
                out.seq = in->ack;
        } else {
                out.flags |= TCP_FLAG_ACK;
                out.ack = in->seq + segment->len + !!(in->flags & TCP_FLAG_SYN) + !!(in->flags & TCP_FLAG_FIN);
        }
        output_control(tcp, packet, &segment->tuple, &out);
}

void output_reset(struct tcp *tcp, const struct tcp_conn *conn)
{
        struct tcp_header header = {
                .seq = conn->snd_nxt,
                .ack = conn->rcv_nxt,
                .flags = TCP_FLAG_RST | TCP_FLAG_ACK,
        };

        output_control(tcp, NULL, &conn->tuple, &header);
}

/* Is it data, and new? Nothing else is ECN capable (RFC 3168 6.1.4, 6.1.5, 6.1.6). */
static bool is_new_data(const struct tcp_conn *conn, const struct plan *plan)
{
        return plan->len > 0 && plan->is_in_turn && plan->seq == conn->snd_max;
}

/* What this segment says about congestion (RFC 3168 6.1.1, 6.1.2, 6.1.3). */
static uint8_t ecn_flags(const struct tcp_conn *conn, const struct plan *plan)
{
        uint8_t flags = 0;

        if (!(conn->flags & CONN_ECN))
                return 0;
        if (plan->flags & TCP_FLAG_SYN)
                return conn->state == TCP_ST_SYN_SENT ? TCP_FLAG_ECE | TCP_FLAG_CWR : 0;
        if (conn->flags & CONN_ECE_DUE)
                flags |= TCP_FLAG_ECE;
        if (conn->flags & CONN_CWR_DUE && is_new_data(conn, plan))
                flags |= TCP_FLAG_CWR;
        return flags;
}

/* The header of a segment of this connection, without SACK blocks. */
static struct tcp_header header_of(const struct tcp *tcp, struct tcp_conn *conn, const struct plan *plan)
{
        bool syn = plan->flags & TCP_FLAG_SYN;
        struct tcp_header header = {
                .src_port = conn->tuple.local_port,
                .dst_port = conn->tuple.remote_port,
                .seq = plan->seq,
                .flags = plan->flags | ecn_flags(conn, plan),
                .has_timestamp = conn->flags & CONN_TIMESTAMPS,
                .ts_value = (uint32_t)tcp->now_ms + conn->ts_offset,
        };

        if (conn_is_synchronized(conn)) {
                header.flags |= TCP_FLAG_ACK;
                header.ack = conn->rcv_nxt;
                header.ts_echo = conn->ts_recent;
        }
        header.window = recv_window_field(tcp, conn, !syn);
        if (syn) {
                header.mss = output_mss_option(tcp, &conn->tuple.remote);
                header.has_scale = conn->flags & CONN_SCALE;
                header.scale = tcp->recv_scale;
                header.has_sack_permitted = conn->flags & CONN_SACK;
        }
        return header;
}

/* Payload into the packet itself. */
static void copy_payload(struct tcp_conn *conn, struct packet *packet, uint32_t seq, uint32_t len)
{
        uint8_t *to = packet_append(packet, (uint16_t)len);
        struct packet *from = send_locate(conn, seq);

        BUG_ON(!to);
        while (len > 0) {
                uint32_t skip = seq - packet_seq(from);
                uint32_t part = MIN(len, packet_len(from) - skip);

                memcpy(to, packet_data(from) + skip, part);
                to += part;
                seq += part;
                len -= part;
                from = packet_next(from);
        }
}

/* Payload by reference. Returns false when it would take too many pieces or the pool is empty. */
static bool chain_payload(struct tcp *tcp, struct tcp_conn *conn, struct packet *packet, uint32_t seq, uint32_t len)
{
        struct packet *from = send_locate(conn, seq);
        unsigned pieces = 0;

        while (len > 0) {
                uint32_t skip = seq - packet_seq(from);
                uint32_t part = MIN(len, packet_len(from) - skip);
                struct packet *clone;

                if (pieces++ == TCP_CHAIN_MAX)
                        return false;
                clone = packet_clone(from, tcp->set.pool);
                if (!clone)
                        return false;
                packet_pull(clone, (uint16_t)skip);
                packet_trim(clone, (uint16_t)part);
                if (!packet_chain(packet, clone)) {
                        packet_free(clone);
                        return false;
                }
                seq += part;
                len -= part;
                from = packet_next(from);
        }
        return true;
}

/*
 * What the peer is to know beside the ACK: what came twice, first (RFC 2883 4), then what is held above a gap (RFC 2018).
 * They go with an ACK of their own where the peer's MSS leaves no room for them beside the payload.
 */
static void add_blocks(const struct tcp_conn *conn, const struct plan *plan, struct tcp_header *header)
{
        unsigned max = header->has_timestamp ? 3 : 4, n = 0;

        if (plan->flags & TCP_FLAG_SYN || !(conn->flags & CONN_SACK))
                return;
        if (conn->flags & CONN_DSACK)
                header->block[n++] = conn->flight->dsack;
        n += reorder_blocks(conn, header->block + n, max - n);
        if (plan->len == 0 || plan->len + 4 + 8 * n <= conn->mss)
                header->blocks = (uint8_t)n;
}

static struct packet *build(struct tcp *tcp, struct tcp_conn *conn, const struct plan *plan, bool *ret_has_blocks)
{
        struct packet *packet = packet_new(tcp->set.pool);
        struct tcp_header header;
        uint32_t adv = conn->rcv_adv;

        if (!packet)
                return NULL;
        header = header_of(tcp, conn, plan);
        if (conn->flight->reorder.head || conn->flags & CONN_DSACK)
                add_blocks(conn, plan, &header);
        *ret_has_blocks = header.blocks > 0;
        tcp_header_build(&header, packet_append(packet, tcp_header_len(&header)));
        if (plan->len > 0) {
                bool chain = plan->len >= TCP_COPY_BREAK && !tcp->set.linear_only;

                if (!chain || !chain_payload(tcp, conn, packet, plan->seq, plan->len)) {
                        if (chain) {
                                /* Too many pieces, or no packet for a reference: begin again with a copy. */
                                packet_free(packet);
                                packet = packet_new(tcp->set.pool);
                                if (!packet) {
                                        conn->rcv_adv = adv;
                                        return NULL;
                                }
                                tcp_header_build(&header, packet_append(packet, tcp_header_len(&header)));
                        }
                        copy_payload(conn, packet, plan->seq, plan->len);
                }
        }
        finish(tcp, packet, &conn->tuple);
        if (conn->flags & CONN_ECN && is_new_data(conn, plan))
                packet_meta(packet)->ecn = TCP_ECN_ECT;
        return packet;
}

/* --- deciding ------------------------------------------------------------------------------------------- */

static bool has_sent_fin(const struct tcp_conn *conn)
{
        return SEQ_AFTER(conn->snd_max, conn->snd_end);
}

/* [seq, ...) once more, one segment of it, with our FIN if it ends there. */
static void plan_again(const struct tcp_conn *conn, uint32_t seq, struct plan *plan)
{
        uint32_t end = SEQ_MIN(conn->snd_end, conn->snd_max);

        plan->seq = seq;
        plan->len = SEQ_BEFORE(seq, end) ? MIN(end - seq, (uint32_t)conn->mss) : 0;
        if (plan->len && seq + plan->len == conn->snd_end)
                plan->flags |= TCP_FLAG_PSH;
        if (has_sent_fin(conn) && seq + plan->len == conn->snd_end)
                plan->flags |= TCP_FLAG_FIN;
}

/* What is lost, a piece at a time; is_forced: whatever the congestion window says. */
static bool plan_hole(struct tcp *tcp, struct tcp_conn *conn, bool is_forced, struct plan *plan)
{
        uint32_t seq = 0, len = 0;

        if (!(conn->flags & CONN_RECOVERY) || !loss_next(tcp, conn, &seq, &len))
                return false;
        if (!is_forced && loss_flight(tcp, conn) + len > conn->cwnd)
                return false;
        plan_again(conn, seq, plan);
        plan->len = MIN(plan->len, len);
        if (seq + plan->len != conn->snd_end)
                plan->flags &= (uint8_t)~(TCP_FLAG_FIN | TCP_FLAG_PSH);
        plan->is_hole = true;
        return true;
}

/* A tail loss probe (RFC 8985 7.3): new bytes where the peer's window has room for them, else the last segment again. */
static void plan_probe(struct tcp_conn *conn, struct plan *plan)
{
        uint32_t unsent = SEQ_BEFORE(conn->snd_max, conn->snd_end) ? conn->snd_end - conn->snd_max : 0;
        int32_t usable = (int32_t)(conn->snd_una + conn->snd_wnd - conn->snd_max);
        uint32_t len = MIN(unsent, (uint32_t)conn->mss);

        plan->is_probe = true;
        if (len > 0 && usable >= (int32_t)len && conn->snd_nxt == conn->snd_max) {
                plan->seq = conn->snd_nxt;
                plan->len = len;
                plan->is_in_turn = true;
                plan->flags |= len == unsent ? TCP_FLAG_PSH : 0;
                return;
        }
        len = MIN(SEQ_MIN(conn->snd_end, conn->snd_max) - conn->snd_una, (uint32_t)conn->mss);
        plan_again(conn, SEQ_MIN(conn->snd_end, conn->snd_max) - len, plan);
}

/* What is sent whatever the windows say. */
static bool plan_forced(struct tcp *tcp, struct tcp_conn *conn, struct plan *plan)
{
        uint32_t flags = conn->flags & (CONN_REXMIT_NOW | CONN_PROBE_NOW | CONN_TAIL_NOW);

        conn->flags &= ~flags;
        if (flags & CONN_REXMIT_NOW && conn->flight->board != BOARD_NONE) {
                return plan_hole(tcp, conn, true, plan);
        } else if (flags & CONN_REXMIT_NOW && conn->snd_una != conn->snd_max) {
                plan_again(conn, conn->snd_una, plan);
                plan->is_hole = true;
        } else if (flags & CONN_PROBE_NOW && conn->snd_una != send_end(conn)) {
                plan->seq = conn->snd_una;
                plan->len = MIN(conn->snd_end - conn->snd_una, MIN(MAX(conn->snd_wnd, 1u), (uint32_t)conn->mss));
                if (conn->snd_una == conn->snd_end)
                        plan->flags |= TCP_FLAG_FIN;
        } else if (flags & CONN_TAIL_NOW && conn->snd_una != conn->snd_max) {
                plan_probe(conn, plan);
        } else {
                return false;
        }
        return true;
}

/* The window is what keeps us from sending: ask from time to time (RFC 9293 3.8.6.1). */
static void wait_for_window(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->timers & TIMER_REXMIT)
                return;
        if (conn->snd_una == conn->snd_max)
                conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        conn_timer_set(tcp, conn, TIMER_REXMIT, rexmit_rto_ms(conn));
}

/* The next new bytes, or those that a timeout made us walk through again. */
static bool plan_in_turn(struct tcp *tcp, struct tcp_conn *conn, struct plan *plan)
{
        uint32_t unsent = SEQ_BEFORE(conn->snd_nxt, conn->snd_end) ? conn->snd_end - conn->snd_nxt : 0;
        int32_t usable = (int32_t)(conn->snd_una + conn->snd_wnd - conn->snd_nxt);
        uint32_t flight = loss_flight(tcp, conn);
        uint32_t cwnd = conn->cwnd;

        conn->flags &= ~CONN_CWND_FULL;
        if (!send_is_pending(conn))
                return false;
        if (usable <= 0) {
                wait_for_window(tcp, conn);
                return false;
        }
        if (flight == 0 && conn->snd_una == conn->snd_max &&
            (uint32_t)tcp->now_ms - conn->send_ms > rexmit_rto_ms(conn))
                congest_idle(conn);
        /* Limited transmit (RFC 3042): new data, not what a timeout made us walk through again. */
        if (!(conn->flags & CONN_RECOVERY) && conn->snd_nxt == conn->snd_max)
                cwnd = conn->cwnd + MIN(conn->flight->dupacks, TCP_DUPACKS - 1) * conn->mss;
        plan->seq = conn->snd_nxt;
        plan->len = MIN(MIN(unsent, (uint32_t)conn->mss), (uint32_t)usable);
        plan->is_in_turn = true;
        if (flight > 0 && flight + plan->len > cwnd) {
                conn->flags |= CONN_CWND_FULL;
                return false;
        }
        /*
         * Silly window avoidance (RFC 9293 3.8.6.2.1): no small piece only because the window is small. What
         * was sent before, in such a piece perhaps, goes out again all the same.
         */
        if (plan->len < conn->mss && plan->len < unsent && plan->len < conn->snd_wnd_max / 2 &&
            plan->seq == conn->snd_max) {
                if (flight == 0)
                        wait_for_window(tcp, conn);
                return false;
        }
        if (plan->len == unsent) {
                plan->flags |= plan->len ? TCP_FLAG_PSH : 0;
                if (conn->flags & CONN_FIN_QUEUED && (uint32_t)usable > plan->len)
                        plan->flags |= TCP_FLAG_FIN;
                else if (plan->len == 0)
                        return false;
        }
        return true;
}

/* Choose what this connection sends next. Returns false when it is nothing. */
static bool plan_next(struct tcp *tcp, struct tcp_conn *conn, struct plan *plan)
{
        *plan = (struct plan){ .seq = conn->snd_nxt };
        if (conn->state <= TCP_ST_SYN_RECEIVED) {
                if (conn->state == TCP_ST_CLOSED || conn->snd_nxt != conn->snd_una)
                        return conn->state == TCP_ST_SYN_RECEIVED && conn->acks_due > 0;
                plan->flags = TCP_FLAG_SYN;
                plan->is_in_turn = true;
                return true;
        }
        if (plan_forced(tcp, conn, plan) || plan_hole(tcp, conn, false, plan))
                return true;
        *plan = (struct plan){ .seq = conn->snd_nxt };
        if (plan_in_turn(tcp, conn, plan))
                return true;
        *plan = (struct plan){ .seq = conn->snd_max };
        if (conn->flags & CONN_ALIVE_NOW) {
                /* One byte back: out of the peer's window, so that it must answer (RFC 9293 3.8.4). */
                conn->flags &= ~CONN_ALIVE_NOW;
                plan->seq = conn->snd_max - 1;
                return true;
        }
        return conn->acks_due > 0;
}

/* --- accounting ----------------------------------------------------------------------------------------- */

/* A segment with sequence numbers has been built. */
static void note_sent(struct tcp *tcp, struct tcp_conn *conn, const struct plan *plan)
{
        uint32_t end = plan->seq + plan->len + !!(plan->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN));
        bool again = SEQ_BEFORE(plan->seq, conn->snd_max);

        if (is_new_data(conn, plan))
                conn->flags &= ~CONN_CWR_DUE;
        if (conn->snd_una == conn->snd_max)
                conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        if (again) {
                tcp_count(tcp, COUNTER_tcp_retransmits);
                if (conn->flags & CONN_RTT_TIMING && SEQ_AFTER_EQ(conn->flight->rtt_seq, plan->seq) &&
                    SEQ_BEFORE(conn->flight->rtt_seq, end))
                        conn->flags &= ~CONN_RTT_TIMING;
        } else if (!(conn->flags & (CONN_RTT_TIMING | CONN_SYN_AGAIN))) {
                conn->flags |= CONN_RTT_TIMING;
                conn->flight->rtt_seq = plan->seq;
                conn->flight->rtt_sent_us = (uint32_t)tcp->now_us;
        }
        if (plan->is_in_turn && plan->len)
                conn->flight->send_hint = send_locate(conn, plan->seq);
        conn->send_ms = (uint32_t)tcp->now_ms;
        rexmit_sent(tcp, conn, plan->seq, end);
        if (plan->is_probe)
                rexmit_probe_sent(tcp, conn, again);
}

/* The segment carries our ACK. */
static void note_acked(struct tcp *tcp, struct tcp_conn *conn, const struct plan *plan, bool has_blocks)
{
        bool bare = plan->len == 0 && !(plan->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN));

        conn->last_ack = conn->rcv_nxt;
        conn_timer_clear(conn, TIMER_ACK);
        if (bare && conn->acks_due > 1 && !(conn->flags & CONN_SACK))
                conn->acks_due--;
        else if (bare || has_blocks || !(conn->flight->reorder.head || conn->flags & CONN_DSACK))
                conn->acks_due = 0;
        if (conn->flags & CONN_DSACK && has_blocks) {
                conn->flags &= ~CONN_DSACK; /* once (RFC 2883 4 (2)) */
                tcp_count(tcp, COUNTER_tcp_dsacks_out);
                flight_rest(tcp, conn);
        }
}

/* Up to max segments of one connection. */
static unsigned send_some(struct tcp *tcp, struct tcp_conn *conn, struct packet **ret, unsigned max)
{
        struct plan plan;
        unsigned n = 0;

        while (n < max && plan_next(tcp, conn, &plan)) {
                bool has_blocks = false;
                struct packet *packet = build(tcp, conn, &plan, &has_blocks);

                if (!packet) {
                        if (plan.is_hole)
                                conn->flags |= CONN_REXMIT_NOW;
                        tcp->starved = true;
                        tcp_count(tcp, COUNTER_tcp_output_starved);
                        break;
                }
                if (plan.len || plan.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN))
                        note_sent(tcp, conn, &plan);
                if (conn_is_synchronized(conn))
                        note_acked(tcp, conn, &plan, has_blocks);
                ret[n++] = packet;
        }
        return n;
}

unsigned tcp_output(struct tcp *tcp, struct packet **ret, unsigned max, uint64_t now_us)
{
        unsigned n = 0;

        tcp_clock_set(tcp, now_us);
        tcp->starved = false;
        while (n < max && tcp->ready.head) {
                ret[n++] = queue_pop(&tcp->ready);
                tcp->ready_len--;
        }
        while (n < max && !tcp->starved && tcp->output.head != ILIST_NONE) {
                uint32_t index = tcp->output.head;
                unsigned quantum = MIN(TCP_OUTPUT_QUANTUM, max - n);
                unsigned sent = send_some(tcp, &tcp->conns[index], ret + n, quantum);

                n += sent;
                if (tcp->starved)
                        break;
                ilist_remove(&tcp->output, index);
                if (sent == quantum)
                        ilist_push(&tcp->output, index);
        }
        counter_add(tcp->counters, COUNTER_tcp_segments_out, n);
        return n;
}
