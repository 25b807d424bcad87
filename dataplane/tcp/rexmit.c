/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/rexmit.h"

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/loss.h"
#include "dataplane/tcp/rack.h"
#include "dataplane/tcp/send.h"

/* --- round trip ----------------------------------------------------------------------------------------- */

void rexmit_rtt_sample(struct tcp_conn *conn, uint32_t rtt_us)
{
        uint64_t rto_ms;

        rtt_us = MAX(rtt_us, 1u);
        if (conn->srtt_us == 0) { /* RFC 6298 2.2 */
                conn->srtt_us = rtt_us;
                conn->rttvar_us = rtt_us / 2;
        } else { /* 2.3 */
                uint32_t off = conn->srtt_us > rtt_us ? conn->srtt_us - rtt_us : rtt_us - conn->srtt_us;

                conn->rttvar_us = (uint32_t)((3ull * conn->rttvar_us + off) / 4);
                conn->srtt_us = (uint32_t)MAX((7ull * conn->srtt_us + rtt_us) / 8, 1ull);
        }
        rto_ms = (conn->srtt_us + MAX(4ull * conn->rttvar_us, 1000ull) + 999) / 1000;
        conn->rto_ms = (uint16_t)MIN(MAX(rto_ms, TCP_RTO_MIN_MS), TCP_RTO_MAX_MS);
        conn->backoff = 0;
}

uint32_t rexmit_rto_ms(const struct tcp_conn *conn)
{
        return (uint32_t)MIN((uint64_t)conn->rto_ms << conn->backoff, TCP_RTO_MAX_MS);
}

/*
 * One segment at a time is timed in microseconds, never one that was sent twice (Karn). While the backoff
 * lasts the timestamp option tells which of the copies was answered (RFC 7323 4).
 */
static void measure(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        uint32_t age_ms;

        if (conn->flags & CONN_RTT_TIMING && SEQ_AFTER(header->ack, conn->flight->rtt_seq)) {
                conn->flags &= ~(CONN_RTT_TIMING | CONN_TAIL_SENT);
                rexmit_rtt_sample(conn, (uint32_t)tcp->now_us - conn->flight->rtt_sent_us);
                return;
        }
        if (!(conn->flags & CONN_TIMESTAMPS) || !header->has_timestamp || header->ts_echo == 0)
                return;
        if (conn->backoff == 0 && conn->srtt_us != 0)
                return;
        age_ms = (uint32_t)tcp->now_ms + conn->ts_offset - header->ts_echo;
        if (age_ms > TCP_RTT_SANE_MS)
                return;
        conn->flags &= ~CONN_TAIL_SENT;
        rexmit_rtt_sample(conn, age_ms * 1000);
}

/* --- the timer ------------------------------------------------------------------------------------------ */

static bool has_outstanding(const struct tcp_conn *conn)
{
        return conn->snd_max != conn->snd_una;
}

/*
 * A last segment that is lost has nothing behind it to draw SACKs: ask after two round trips (RFC 8985 7.2). Not where
 * SACKs have come, nor after a timeout, nor while another probe is on its way or no round trip was measured since (7.3).
 */
static bool may_probe_tail(const struct tcp *tcp, const struct tcp_conn *conn)
{
        const struct tcp_board *board = loss_board(tcp, conn);

        return conn->flags & CONN_SACK && conn->srtt_us && conn->backoff == 0 && conn->snd_wnd > 0 &&
               !(conn->flags & (CONN_RECOVERY | CONN_TAIL_SENT)) &&
               !(board && (board->count || SEQ_AFTER(board->probe_end, conn->snd_una)));
}

static void timer_start(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t rto_ms = rexmit_rto_ms(conn);
        uint32_t probe_ms = MAX(2 * (conn->srtt_us / 1000 + 1), TCP_PROBE_MIN_MS);

        if (conn->snd_max - conn->snd_una <= conn->mss)
                probe_ms += TCP_PROBE_ACK_MS;
        conn->flags &= ~(CONN_TAIL_ARMED | CONN_RACK_ARMED);
        if (conn->state > TCP_ST_SYN_RECEIVED && may_probe_tail(tcp, conn)) {
                conn->flags |= CONN_TAIL_ARMED;
                rto_ms = MIN(probe_ms, rto_ms);
        }
        conn_timer_set(tcp, conn, TIMER_REXMIT, rto_ms);
}

void rexmit_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, uint32_t end)
{
        bool fresh = SEQ_AFTER(end, conn->snd_max);

        loss_sent(tcp, conn, seq, end);
        conn->snd_nxt = SEQ_MAX(conn->snd_nxt, end);
        conn->snd_max = SEQ_MAX(conn->snd_max, end);
        if (!(conn->timers & TIMER_REXMIT) || (fresh && conn->flags & CONN_TAIL_ARMED))
                timer_start(tcp, conn);
}

void rexmit_probe_sent(struct tcp *tcp, struct tcp_conn *conn, bool again)
{
        struct tcp_board *board = loss_board(tcp, conn);

        if (!board) /* there is one for what was sent twice, unless none is left */
                return;
        board->probe_end = conn->snd_max;
        if (again)
                conn->flags |= CONN_PROBE_OPEN;
}

void rexmit_go_back(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board = loss_board(tcp, conn);

        conn->snd_nxt = conn->snd_una;
        conn->flight->send_hint = NULL;
        conn->flags &= ~CONN_RTT_TIMING;
        if (board)
                rack_restart(board, conn->snd_una);
}

/* What is no longer known once everything is sent again: the peer may have thrown away what it SACKed (RFC 2018 8). */
static void forget_losses(struct tcp *tcp, struct tcp_conn *conn)
{
        loss_forget(tcp, conn);
        conn->flags &= ~(CONN_RECOVERY | CONN_REXMIT_NOW | CONN_TAIL_NOW | CONN_PROBE_OPEN);
        conn->flight->recover = conn->snd_max; /* duplicates of old data prove nothing (RFC 6582 3.2) */
        conn->flight->dupacks = 0;
}

void rexmit_window_opened(struct tcp *tcp, struct tcp_conn *conn)
{
        /* A recovery would count as in flight what is to be sent again, and with its timer gone could wait forever. */
        conn_timer_clear(conn, TIMER_REXMIT);
        conn->backoff = 0;
        conn->flags &= ~CONN_PROBE_NOW;
        if (!has_outstanding(conn))
                return; /* no repeats, so no echoes of them: the next flight's duplicates are to be counted */
        rexmit_go_back(tcp, conn);
        forget_losses(tcp, conn);
}

static void back_off(struct tcp_conn *conn)
{
        if (conn->backoff < TCP_BACKOFF_MAX)
                conn->backoff++;
}

static bool is_waiting_for_window(const struct tcp_conn *conn)
{
        return conn->snd_wnd == 0 || !has_outstanding(conn);
}

/*
 * Has the peer kept us waiting too long? While it answers probes only its closed window counts. A connection
 * that nobody owns any more is not worth as long: a client that is sent its refusal and FIN could hold one by
 * silence alone.
 */
static bool is_hopeless(const struct tcp *tcp, const struct tcp_conn *conn)
{
        uint32_t now_ms = (uint32_t)tcp->now_ms;
        uint32_t stuck_ms = now_ms - conn->flight->progress_ms;
        uint64_t most_ms = conn->flags & CONN_ORPHAN ? TCP_ORPHAN_MS : UINT32_MAX;
        uint64_t silent_most_ms = MIN(tcp->set.user_timeout_us / 1000, most_ms);
        uint64_t closed_most_ms = MIN(tcp->set.zero_window_max_us / 1000, most_ms);

        if (conn->state > TCP_ST_SYN_RECEIVED && is_waiting_for_window(conn))
                return MIN(now_ms - conn->recv_ms, stuck_ms) >= silent_most_ms || stuck_ms >= closed_most_ms;
        return stuck_ms >= silent_most_ms;
}

static void detect_losses(struct tcp *tcp, struct tcp_conn *conn);

static void retransmit_all(struct tcp *tcp, struct tcp_conn *conn)
{
        congest_timeout(conn, conn->snd_max - conn->snd_una, conn->backoff > 0);
        conn->flags |= CONN_CWR_DUE;
        back_off(conn);
        rexmit_go_back(tcp, conn);
        forget_losses(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_timeouts);
}

void rexmit_timeout(struct tcp *tcp, struct tcp_conn *conn)
{
        bool is_tail = conn->flags & CONN_TAIL_ARMED, is_rack = conn->flags & CONN_RACK_ARMED;

        conn->flags &= ~(CONN_TAIL_ARMED | CONN_RACK_ARMED);
        if (!has_outstanding(conn) && !send_is_pending(conn))
                return;
        if (is_hopeless(tcp, conn)) {
                tcp_count(tcp, COUNTER_tcp_gave_up);
                conn_over(tcp, conn, TCP_EV_TIMEOUT);
                return;
        }
        if (conn->state <= TCP_ST_SYN_RECEIVED) {
                conn->flags |= CONN_SYN_AGAIN;
                conn->flags &= ~CONN_ECN; /* there are boxes that drop an ECN-setup SYN (RFC 3168 6.1.1.1) */
                back_off(conn);
                rexmit_go_back(tcp, conn);
        } else if (is_waiting_for_window(conn)) {
                conn->flags |= CONN_PROBE_NOW;
                back_off(conn);
        } else if (is_rack) {
                timer_start(tcp, conn);
                detect_losses(tcp, conn);
                return;
        } else if (is_tail) {
                conn->flags |= CONN_TAIL_NOW | CONN_TAIL_SENT;
                tcp_count(tcp, COUNTER_tcp_tail_probes);
        } else {
                retransmit_all(tcp, conn);
        }
        conn_timer_set(tcp, conn, TIMER_REXMIT, rexmit_rto_ms(conn));
        conn_output_want(tcp, conn);
}

/* --- acknowledgements ----------------------------------------------------------------------------------- */

static void enter_recovery(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board = loss_board(tcp, conn);
        /* What a timeout made us walk through again is left to recovery now. */
        uint32_t flight = (board ? conn->snd_nxt : conn->snd_max) - conn->snd_una;

        conn->flight->recover = conn->snd_max;
        congest_loss(conn, flight);
        if (board) {
                board->cut_us = (uint32_t)tcp->now_us;
                rack_give_up(board, conn->snd_max);
        } else {
                conn->cwnd += TCP_DUPACKS * conn->mss;
        }
        conn->snd_nxt = conn->snd_max;
        conn->flight->send_hint = NULL;
        conn->flags |= CONN_RECOVERY | CONN_REXMIT_NOW | CONN_CWR_DUE;
        conn->flags &= ~(CONN_RTT_TIMING | CONN_TAIL_NOW | CONN_PROBE_OPEN);
        timer_start(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_recoveries);
}

static void leave_recovery(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t flight = conn->snd_max - conn->snd_una;
        struct tcp_board *board = loss_board(tcp, conn);

        conn->flags &= ~(CONN_RECOVERY | CONN_REXMIT_NOW);
        conn->flight->dupacks = 0;
        /* RFC 6582 3.2 (3), first choice: no burst after the window was inflated. */
        conn->cwnd = MIN(conn->ssthresh, MAX(flight, (uint32_t)conn->mss) + conn->mss);
        if (board && board->mult_recoveries && --board->mult_recoveries == 0)
                board->mult = 1;
}

/* How long reordering may take before it counts as loss (RACK_update_reo_wnd()). */
static uint32_t reorder_window_us(const struct tcp_conn *conn, const struct tcp_board *board)
{
        bool is_recovering = conn->flags & CONN_RECOVERY || SEQ_BEFORE(conn->snd_una, conn->flight->recover);

        if (!(conn->flags & CONN_REORDERED) && (is_recovering || board_segments(board, conn->mss) >= TCP_DUPACKS))
                return 0;
        return (uint32_t)MIN((uint64_t)board->mult * rack_min_rtt_us(board) / 4, conn->srtt_us ? conn->srtt_us : TCP_REORDER_US);
}

/* After news of what has arrived, or when the reordering window is over: what is lost now (RFC 8985 6.2 step 5)? */
static void detect_losses(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board = loss_board(tcp, conn);
        struct rack_losses losses;

        if (!board || !has_outstanding(conn))
                return;
        rack_detect(board, (uint32_t)tcp->now_us, reorder_window_us(conn, board), &losses);
        if (losses.any) {
                conn_output_want(tcp, conn);
                if (!(conn->flags & CONN_RECOVERY)) {
                        enter_recovery(tcp, conn);
                } else if (losses.is_fresh) {
                        /* A repeat, or what was sent after the window was cut: it is too large still (9.3). */
                        congest_loss(conn, rack_pipe(board));
                        conn->flags |= CONN_CWR_DUE;
                        board->cut_us = (uint32_t)tcp->now_us;
                }
        }
        if (losses.wait_us == 0)
                return;
        conn->flags &= ~CONN_TAIL_ARMED;
        conn->flags |= CONN_RACK_ARMED;
        conn_timer_set(tcp, conn, TIMER_REXMIT, losses.wait_us / 1000 + 1);
}

/* An ACK for part of what was outstanding when recovery began: the next hole is lost too. */
static void partial_ack(struct tcp *tcp, struct tcp_conn *conn, uint32_t acked)
{
        if (loss_board(tcp, conn))
                return;
        conn->flags |= CONN_REXMIT_NOW;
        conn->cwnd = conn->cwnd > acked ? conn->cwnd - acked : 0;
        if (acked >= conn->mss)
                conn->cwnd += conn->mss;
        conn->cwnd = MAX(conn->cwnd, (uint32_t)conn->mss);
}

static void new_ack(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        uint32_t acked = header->ack - conn->snd_una;
        uint32_t flight = conn->snd_max - conn->snd_una;
        struct tcp_board *board = loss_board(tcp, conn);

        measure(tcp, conn, header);
        send_acked(tcp, conn, header->ack);
        conn->flags &= ~(CONN_TAIL_NOW | CONN_PROBE_NOW);
        if (conn->flags & CONN_ECN_CUT && (int16_t)((uint16_t)(conn->snd_una / 1024) - conn->flight->ecn_mark) >= 0)
                conn->flags &= ~CONN_ECN_CUT;
        conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        if (board) {
                board_trim(board, conn->snd_una);
                rack_trim(board, conn->snd_una);
        }
        if (!(conn->flags & CONN_RECOVERY)) {
                conn->flight->dupacks = 0;
                if (!(header->flags & TCP_FLAG_ECE && conn->flags & CONN_ECN))
                        congest_acked(conn, acked, flight, (uint32_t)tcp->now_ms);
        } else if (SEQ_AFTER_EQ(header->ack, conn->flight->recover)) {
                leave_recovery(tcp, conn);
        } else {
                partial_ack(tcp, conn, acked);
        }
        if (has_outstanding(conn))
                timer_start(tcp, conn);
        else
                conn_timer_clear(conn, TIMER_REXMIT);
        conn_output_want(tcp, conn);
}

/* The peer echoes congestion: once for what was in flight then, unless a loss has cut the window already (RFC 3168 6.1.2). */
static void take_echo(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->flags & (CONN_RECOVERY | CONN_ECN_CUT) || !has_outstanding(conn))
                return;
        congest_marked(conn, conn->snd_max - conn->snd_una);
        conn->flight->ecn_mark = (uint16_t)((conn->snd_max + 1023) / 1024);
        conn->flags |= CONN_ECN_CUT | CONN_CWR_DUE;
        tcp_count(tcp, COUNTER_tcp_ecn_cuts);
}

/* Without a scoreboard: three of them are a loss (RFC 5681 3.2, 6582). */
static void duplicate_ack(struct tcp *tcp, struct tcp_conn *conn)
{
        conn_output_want(tcp, conn); /* limited transmit (RFC 3042) */
        if (conn->flags & CONN_RECOVERY) {
                conn->cwnd = MIN(conn->cwnd + conn->mss, TCP_WINDOW_LIMIT);
                return;
        }
        if (conn->flight->dupacks < UINT8_MAX)
                conn->flight->dupacks++;
        /* After a timeout or a recovery duplicates may be echoes of our own repeats (RFC 6582 3.2 (2)). */
        if (conn->flight->dupacks >= TCP_DUPACKS && SEQ_AFTER(conn->snd_una, conn->flight->recover))
                enter_recovery(tcp, conn);
}

/* Was the tail loss probe needed? If so it has hidden a loss (RFC 8985 7.4.2, TLP_process_ack()). */
static void judge_probe(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header, bool is_bare)
{
        const struct tcp_board *board = loss_board(tcp, conn);
        uint32_t end = board ? board->probe_end : conn->snd_una; /* at rest all is acknowledged, the probe too */
        bool is_twice = conn->flags & CONN_SACK && loss_has_duplicate(header) &&
                        end - header->block[0].end <= 1; /* a FIN has a number, and no block */

        if (SEQ_BEFORE(header->ack, end))
                return;
        if (is_twice || (header->ack == end && header->ack == conn->snd_una && is_bare && header->blocks == 0)) {
                conn->flags &= ~CONN_PROBE_OPEN;
        } else if (SEQ_AFTER(header->ack, end)) {
                conn->flags &= ~CONN_PROBE_OPEN;
                congest_loss(conn, conn->snd_max - conn->snd_una);
                conn->flags |= CONN_CWR_DUE;
                tcp_count(tcp, COUNTER_tcp_tail_losses);
        }
}

void rexmit_ack(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header, bool is_bare)
{
        bool is_old = SEQ_BEFORE_EQ(header->ack, conn->snd_una);
        bool news;

        if (header->flags & TCP_FLAG_ECE && conn->flags & CONN_ECN)
                take_echo(tcp, conn);
        if (conn->flags & CONN_PROBE_OPEN)
                judge_probe(tcp, conn, header, is_bare);
        news = conn->flags & CONN_SACK && loss_arrived(tcp, conn, header);
        if (!is_old)
                new_ack(tcp, conn, header);
        if (!has_outstanding(conn) || (is_old && header->ack != conn->snd_una))
                return;
        if (conn->flight->board != BOARD_NONE) {
                if (news || !is_old)
                        detect_losses(tcp, conn);
                if (news)
                        conn_output_want(tcp, conn); /* what the peer holds is out of the network: more may go */
        } else if (is_old ? (conn->flags & CONN_SACK ? news : is_bare) : news && !(conn->flags & CONN_RECOVERY)) {
                duplicate_ack(tcp, conn);
        }
}
