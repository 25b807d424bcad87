/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/input.h"

#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/output.h"
#include "dataplane/tcp/path_mtu.h"
#include "dataplane/tcp/press.h"
#include "dataplane/tcp/recv.h"
#include "dataplane/tcp/reorder.h"
#include "dataplane/tcp/rexmit.h"
#include "dataplane/tcp/send.h"

#define PAWS_STALE_MS (24u * 86400u * 1000u) /* RFC 7323 5.5: an older ts_recent says nothing */
#define DUPACKS_MAX   16u

static void drop(struct tcp_segment *segment)
{
        packet_free(segment->packet);
        segment->packet = NULL;
}

/* --- handshake ------------------------------------------------------------------------------------------ */

void input_established(struct tcp *tcp, struct tcp_conn *conn, bool syn_lost)
{
        bool timestamps = conn->flags & CONN_TIMESTAMPS;

        conn->mss = MIN(conn->mss, output_mss_option(tcp, &conn->tuple.remote));
        conn->mss -= timestamps ? TCP_TIMESTAMP_BYTES : 0; /* RFC 6691 */
        (void)path_mtu_limit(tcp, conn, path_mtu_lookup(tcp, &conn->tuple.remote));
        conn->snd_wnd_max = conn->snd_wnd;
        conn->flags &= ~CONN_SYN_AGAIN;
        conn->backoff = 0;
        if (syn_lost && conn->srtt_us == 0)
                conn->rto_ms = TCP_RTO_LOST_SYN;
        if (conn->flight != &flight_none)
                conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        conn->recv_ms = conn->send_ms = (uint32_t)tcp->now_ms;
        conn_timer_clear(conn, TIMER_REXMIT);
        congest_start(conn, syn_lost);
        if (conn->flags & CONN_FIN_QUEUED)
                conn_state_set(conn, TCP_ST_FIN_WAIT_1);
        if (tcp->set.keepalive_us)
                conn_timer_set(tcp, conn, TIMER_LIFE, (uint32_t)(tcp->set.keepalive_us / 1000));
        conn_output_want(tcp, conn);
}

/* The peer's SYN while we are the one who connects: what it offers, and where it begins. */
static void take_syn(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        bool v4 = addr_is_v4(&conn->tuple.remote);
        uint16_t mss = header->mss ? header->mss : v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;

        conn->rcv_first = conn->rcv_nxt = conn->last_ack = header->seq + 1;
        conn->rcv_adv = conn->rcv_nxt + MIN(conn->recv_bound, UINT16_MAX);
        conn->mss = MAX(mss, v4 ? TCP_MSS_MIN_V4 : TCP_MSS_MIN_V6);
        if (header->has_scale)
                conn->snd_scale = header->scale;
        else
                conn->flags &= ~CONN_SCALE;
        if (!header->has_sack_permitted)
                conn->flags &= ~CONN_SACK;
        /* ECN-setup SYN-ACK (RFC 3168 6.1.1); both flags are a reflection, and two SYNs that cross do without. */
        if ((header->flags & (TCP_FLAG_ACK | TCP_FLAG_ECE | TCP_FLAG_CWR)) != (TCP_FLAG_ACK | TCP_FLAG_ECE))
                conn->flags &= ~CONN_ECN;
        if (header->has_timestamp) {
                conn->ts_recent = header->ts_value;
        } else {
                conn->flags &= ~CONN_TIMESTAMPS;
        }
        conn->snd_wnd = header->window; /* not scaled in a SYN */
        conn->snd_wl1 = header->seq;
}

/* Our SYN was acknowledged by ack. */
static void syn_acked(struct tcp *tcp, struct tcp_conn *conn, uint32_t ack)
{
        bool syn_lost = conn->flags & CONN_SYN_AGAIN;

        if (conn->flags & CONN_RTT_TIMING && !syn_lost)
                rexmit_rtt_sample(conn, (uint32_t)tcp->now_us - conn->flight->rtt_sent_us);
        conn->flags &= ~CONN_RTT_TIMING;
        send_acked(tcp, conn, ack);
        conn_state_set(conn, TCP_ST_ESTABLISHED);
        input_established(tcp, conn, syn_lost);
        conn_event(tcp, conn, TCP_EV_CONNECTED);
}

static void input_syn_sent(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;
        bool has_ack = header->flags & TCP_FLAG_ACK;

        if (has_ack && (SEQ_BEFORE_EQ(header->ack, conn->iss) || SEQ_AFTER(header->ack, conn->snd_max))) {
                output_refuse(tcp, segment);
                return;
        }
        if (header->flags & TCP_FLAG_RST) {
                if (has_ack)
                        conn_over(tcp, conn, TCP_EV_REFUSED);
                drop(segment);
                return;
        }
        if (header->flags & TCP_FLAG_SYN) {
                take_syn(tcp, conn, header);
                if (has_ack) {
                        syn_acked(tcp, conn, header->ack);
                        conn_ack_now(tcp, conn);
                } else {
                        /* Both ends call each other (RFC 9293 3.5, figure 8): our SYN again, now with an ACK. */
                        conn_state_set(conn, TCP_ST_SYN_RECEIVED);
                        rexmit_go_back(tcp, conn);
                        conn_output_want(tcp, conn);
                }
        }
        /* Payload beside a SYN is not taken: it comes again. */
        drop(segment);
}

/* --- checks before anything is believed ----------------------------------------------------------------- */

/* RFC 9293 3.10.7.4, first; a bare ACK may also lie right at the edge, where a sender is that filled the window. */
static bool is_acceptable(const struct tcp_conn *conn, uint32_t seq, uint32_t len)
{
        if (len == 0)
                return SEQ_AFTER_EQ(seq, conn->rcv_nxt) && SEQ_BEFORE_EQ(seq, conn->rcv_adv);
        return SEQ_BEFORE(seq, conn->rcv_adv) && SEQ_AFTER(seq + len, conn->rcv_nxt);
}

/* A segment that goes no further: is it, or its first part, what we have already? Then say so (RFC 2883 4). */
static void note_duplicate(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_segment *segment)
{
        uint32_t seq = segment->header.seq, end = seq + segment->len;

        if (segment->len > 0 && SEQ_BEFORE(seq, conn->rcv_nxt))
                recv_duplicate(tcp, conn, (struct tcp_block){ seq, SEQ_MIN(end, conn->rcv_nxt) });
}

/* RFC 7323 5: an old duplicate gives itself away by its timestamp. Returns false when the segment must be dropped. */
static bool check_timestamp(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;

        if (!(conn->flags & CONN_TIMESTAMPS) || header->flags & TCP_FLAG_RST)
                return true;
        if (!header->has_timestamp) { /* 3.2 */
                tcp_count(tcp, COUNTER_tcp_drop_no_timestamp);
                return false;
        }
        if (SEQ_BEFORE(header->ts_value, conn->ts_recent) && (uint32_t)tcp->now_ms - conn->recv_ms < PAWS_STALE_MS) {
                tcp_count(tcp, COUNTER_tcp_drop_paws);
                note_duplicate(tcp, conn, segment);
                if (segment->len > 0 || header->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN))
                        conn_ack_now(tcp, conn);
                else
                        conn_challenge(tcp, conn);
                return false;
        }
        return true;
}

static void note_timestamp(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        if (conn->flags & CONN_TIMESTAMPS && header->has_timestamp && SEQ_BEFORE_EQ(header->seq, conn->last_ack))
                conn->ts_recent = header->ts_value;
}

/*
 * Sequence number, RST and SYN (RFC 5961 3 and 4). Returns false when the segment goes no further; the
 * connection may be over then.
 */
static bool check_segment(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;
        uint32_t len = segment->len + !!(header->flags & TCP_FLAG_FIN);

        if (!check_timestamp(tcp, conn, segment))
                return false;
        if (header->flags & TCP_FLAG_RST) {
                if (header->seq == conn->rcv_nxt)
                        conn_over(tcp, conn, conn->state == TCP_ST_SYN_RECEIVED ? TCP_EV_REFUSED : TCP_EV_RESET);
                else if (is_acceptable(conn, header->seq, 0))
                        conn_challenge(tcp, conn);
                return false;
        }
        if (header->flags & TCP_FLAG_SYN) {
                conn_challenge(tcp, conn);
                return false;
        }
        if (!is_acceptable(conn, header->seq, len)) {
                note_duplicate(tcp, conn, segment);
                if (len > 0)
                        conn_ack_now(tcp, conn);
                else
                        conn_challenge(tcp, conn);
                /* At a closed window the next bytes are refused, but what they acknowledge counts (MUST-66). */
                if (header->seq != conn->rcv_nxt || conn->rcv_adv != conn->rcv_nxt)
                        return false;
                segment->len = 0;
                segment->header.flags &= (uint8_t)~TCP_FLAG_FIN;
                tcp_count(tcp, COUNTER_tcp_drop_window);
        }
        return header->flags & TCP_FLAG_ACK;
}

/* --- acknowledgement ------------------------------------------------------------------------------------ */

static void enter_timewait(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_header header = {
                .seq = conn->snd_max,
                .ack = conn->rcv_nxt,
                .flags = TCP_FLAG_ACK,
                .has_timestamp = conn->flags & CONN_TIMESTAMPS,
                .ts_value = (uint32_t)tcp->now_ms + conn->ts_offset,
                .ts_echo = conn->ts_recent,
        };

        header.window = recv_window_field(tcp, conn, true);
        if (conn->acks_due > 0)
                output_control(tcp, NULL, &conn->tuple, &header);
        conn_over_timewait(tcp, conn);
}

/* Our FIN may have been acknowledged. Returns false when that was the end of the connection. */
static bool after_ack(struct tcp *tcp, struct tcp_conn *conn)
{
        if (!conn_fin_is_acked(conn))
                return true;
        switch (conn->state) {
        case TCP_ST_FIN_WAIT_1:
                conn_state_set(conn, TCP_ST_FIN_WAIT_2);
                if (conn->flags & CONN_ORPHAN)
                        conn_timer_set(tcp, conn, TIMER_LIFE, (uint32_t)(tcp->set.drain_us / 1000));
                return true;
        case TCP_ST_CLOSING:
                enter_timewait(tcp, conn);
                return false;
        case TCP_ST_LAST_ACK:
                conn_over(tcp, conn, TCP_EV_CLOSED);
                return false;
        default:
                return true;
        }
}

/*
 * Is this the newest word about the window (RFC 9293 3.10.7.4)? Of two with the same sequence number the one with the
 * later ACK is: this one's is not before snd_una, and SND.WL2 would not be after it.
 */
static bool is_window_news(const struct tcp_conn *conn, const struct tcp_header *header)
{
        return SEQ_BEFORE_EQ(conn->snd_wl1, header->seq);
}

static void take_window(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header, uint32_t window)
{
        bool was_closed = conn->snd_wnd == 0;

        conn->snd_wnd = window;
        conn->snd_wl1 = header->seq;
        conn->snd_wnd_max = MAX(conn->snd_wnd_max, window);
        if (window == 0)
                return;
        conn_output_want(tcp, conn);
        if (!was_closed || conn->flight == &flight_none)
                return;
        /* To open and shut it in turns is no progress where nobody waits for the bytes, or others wait for their packets. */
        if (!(conn->flags & CONN_ORPHAN) && press_level(tcp) < PRESS_TAKE)
                conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        rexmit_window_opened(tcp, conn);
}

/* Returns false when the segment goes no further; the connection may be over then. */
static bool take_ack(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment)
{
        const struct tcp_header *header = &segment->header;
        uint32_t window = (uint32_t)header->window << conn->snd_scale;
        /* The answer to a probe of a closed window looks like a duplicate, and says nothing about loss. */
        bool is_bare = segment->len == 0 && !(header->flags & TCP_FLAG_FIN) && window == conn->snd_wnd && window > 0;
        uint32_t una = conn->snd_una;
        bool news;

        if (conn->state == TCP_ST_SYN_RECEIVED) {
                if (SEQ_BEFORE_EQ(header->ack, conn->snd_una) || SEQ_AFTER(header->ack, conn->snd_max)) {
                        output_refuse(tcp, segment);
                        return false;
                }
                conn->snd_wnd = window;
                conn->snd_wl1 = header->seq;
                syn_acked(tcp, conn, header->ack);
                return true;
        }
        /* RFC 5961 5: neither for what was never sent, nor from long ago. */
        if (SEQ_AFTER(header->ack, conn->snd_max) || SEQ_BEFORE(header->ack, una - conn->snd_wnd_max)) {
                tcp_count(tcp, COUNTER_tcp_drop_ack);
                conn_challenge(tcp, conn);
                return false;
        }
        if (SEQ_BEFORE(header->ack, una))
                return true;
        news = is_window_news(conn, header);
        rexmit_ack(tcp, conn, header, is_bare);
        if (news)
                take_window(tcp, conn, header, window);
        else
                conn->snd_wnd -= MIN(conn->snd_wnd, conn->snd_una - una);
        return after_ack(tcp, conn);
}

/* --- payload and FIN ------------------------------------------------------------------------------------ */

/* An ACK for what has just come in order: now for every second full segment, else a little later (RFC 9293 3.8.6.3). */
static void schedule_ack(struct tcp *tcp, struct tcp_conn *conn, uint32_t len)
{
        bool second = conn->timers & TIMER_ACK && len >= TCP_MSS_DEFAULT_V4;

        if (second || conn->rcv_nxt - conn->last_ack >= 2u * conn->mss)
                conn_ack_now(tcp, conn);
        else if (!(conn->timers & TIMER_ACK))
                conn_timer_set(tcp, conn, TIMER_ACK, TCP_ACK_DELAY_MS);
}

/* Every segment out of order is answered at once; a peer without SACK counts the answers (RFC 5681 4.2). */
static void ack_out_of_order(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->acks_due > 0 && !(conn->flags & CONN_SACK) && conn->acks_due < DUPACKS_MAX)
                conn->acks_due++;
        else
                conn_ack_now(tcp, conn);
}

/* The owner has gone and the peer talks on: RST, at last (RFC 9293 3.6.1). */
static bool end_drain(struct tcp *tcp, struct tcp_conn *conn)
{
        tcp_count(tcp, COUNTER_tcp_drain_resets);
        output_reset(tcp, conn);
        conn_over(tcp, conn, TCP_EV_RESET);
        return false;
}

/* [seq, seq + len) has been cut to the window and lies at or after rcv_nxt. Returns false when the connection is over. */
static bool take_payload(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, struct tcp_segment *segment)
{
        struct packet *packet = segment->packet;
        struct tcp_block twice;
        bool filled = false;

        segment->packet = NULL;
        /* Only the first part that came twice is reported: what lay before rcv_nxt has been. */
        if (conn->flight->reorder.head && seq == segment->header.seq &&
            reorder_overlap(conn, seq, seq + packet_len(packet), &twice))
                recv_duplicate(tcp, conn, twice);
        if (seq != conn->rcv_nxt) {
                tcp_count(tcp, COUNTER_tcp_out_of_order);
                reorder_insert(tcp, conn, seq, packet);
                ack_out_of_order(tcp, conn);
                return true;
        }
        if (!(conn->flags & CONN_ORPHAN) && tcp->held >= tcp->set.packets_held_max) {
                /* Not acknowledged, so not lost. */
                packet_free(packet);
                tcp_count(tcp, COUNTER_tcp_drop_budget);
                return true;
        }
        if (!recv_take(tcp, conn, packet))
                return end_drain(tcp, conn);
        while ((packet = reorder_next(tcp, conn)) != NULL) {
                filled = true;
                if (!recv_take(tcp, conn, packet))
                        return end_drain(tcp, conn);
        }
        if (filled || conn->flight->reorder.head)
                conn_ack_now(tcp, conn); /* fills a gap (RFC 5681 4.2) */
        else
                schedule_ack(tcp, conn, segment->len);
        return true;
}

/* Cut to what is new and inside the window, then take it. Returns false when the connection is over. */
static bool trim_payload(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment)
{
        uint32_t seq = segment->header.seq;
        uint32_t end = seq + segment->len;
        uint32_t edge = conn->rcv_adv;

        if (conn->flags & CONN_FIN_HELD)
                edge = SEQ_MIN(edge, conn->flight->fin_seq); /* nothing comes after a FIN */
        if (SEQ_BEFORE(seq, conn->rcv_nxt)) {
                note_duplicate(tcp, conn, segment);
                conn_ack_now(tcp, conn);
                if (SEQ_BEFORE_EQ(end, conn->rcv_nxt))
                        return true;
                packet_pull(segment->packet, (uint16_t)(conn->rcv_nxt - seq));
                seq = conn->rcv_nxt;
        }
        if (SEQ_AFTER(end, edge)) {
                segment->header.flags &= (uint8_t)~TCP_FLAG_FIN;
                end = edge;
                if (SEQ_BEFORE_EQ(end, seq))
                        return true;
        }
        packet_trim(segment->packet, (uint16_t)(end - seq));
        return take_payload(tcp, conn, seq, segment);
}

/* The peer's FIN is next. */
static void take_fin(struct tcp *tcp, struct tcp_conn *conn)
{
        conn->rcv_nxt++;
        conn->flags &= ~CONN_FIN_HELD;
        conn->flags |= CONN_FIN_TAKEN;
        conn_ack_now(tcp, conn);
        recv_eof_check(tcp, conn);
        switch (conn->state) {
        case TCP_ST_ESTABLISHED:
                conn_state_set(conn, TCP_ST_CLOSE_WAIT);
                break;
        case TCP_ST_FIN_WAIT_1:
                conn_state_set(conn, TCP_ST_CLOSING);
                break;
        default: /* FIN-WAIT-2 */
                enter_timewait(tcp, conn);
                break;
        }
}

/* Congestion experienced on the way here is echoed until the peer says that it has reacted (RFC 3168 6.1.3). */
static void note_ecn(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_segment *segment)
{
        if (segment->header.flags & TCP_FLAG_CWR)
                conn->flags &= ~CONN_ECE_DUE;
        if (packet_meta(segment->packet)->ecn == TCP_ECN_CE) {
                conn->flags |= CONN_ECE_DUE;
                tcp_count(tcp, COUNTER_tcp_ecn_marks);
        }
}

/* May the peer still send? */
static bool is_receiving(const struct tcp_conn *conn)
{
        return conn->state == TCP_ST_ESTABLISHED || conn->state == TCP_ST_FIN_WAIT_1 || conn->state == TCP_ST_FIN_WAIT_2;
}

void input_conn(struct tcp *tcp, struct tcp_conn *conn, struct tcp_segment *segment)
{
        struct tcp_header *header = &segment->header;
        uint32_t fin_seq;

        if (conn->state == TCP_ST_SYN_SENT) {
                input_syn_sent(tcp, conn, segment);
                return;
        }
        /* Both ends called each other: the peer's SYN-ACK is its SYN again, and acknowledges ours. */
        if (conn->state == TCP_ST_SYN_RECEIVED && header->flags & TCP_FLAG_SYN && header->flags & TCP_FLAG_ACK &&
            header->seq + 1 == conn->rcv_nxt && !(header->flags & TCP_FLAG_RST)) {
                header->flags &= (uint8_t)~TCP_FLAG_SYN;
                header->seq++;
                segment->len = 0;
        }
        if (!check_segment(tcp, conn, segment))
                goto out;
        conn->recv_ms = (uint32_t)tcp->now_ms;
        note_timestamp(tcp, conn, header);
        if (!take_ack(tcp, conn, segment))
                goto out;
        if (!is_receiving(conn))
                goto out;
        fin_seq = header->seq + segment->len;
        if (conn->flags & CONN_ECN && segment->len > 0)
                note_ecn(tcp, conn, segment);
        if (segment->len > 0 && !trim_payload(tcp, conn, segment))
                goto out;
        if (header->flags & TCP_FLAG_FIN && !(conn->flags & CONN_FIN_HELD) && SEQ_AFTER_EQ(fin_seq, conn->rcv_nxt)) {
                conn->flags |= CONN_FIN_HELD;
                flight_take(tcp, conn)->fin_seq = fin_seq;
        }
        if (conn->flags & CONN_FIN_HELD && conn->flight->fin_seq == conn->rcv_nxt)
                take_fin(tcp, conn);
        else if (header->flags & TCP_FLAG_FIN && segment->len == 0)
                ack_out_of_order(tcp, conn); /* out of order too, though it is no payload (RFC 5681 4.2) */
out:
        if (segment->packet)
                drop(segment);
}
