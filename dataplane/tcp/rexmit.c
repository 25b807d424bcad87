/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/rexmit.h"

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/send.h"

#define RTT_SANE_MS 120000u

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
                conn->flags &= ~CONN_RTT_TIMING;
                rexmit_rtt_sample(conn, (uint32_t)tcp->now_us - conn->flight->rtt_sent_us);
                return;
        }
        if (!(conn->flags & CONN_TIMESTAMPS) || !header->has_timestamp || header->ts_echo == 0)
                return;
        if (conn->backoff == 0 && conn->srtt_us != 0)
                return;
        age_ms = (uint32_t)tcp->now_ms + conn->ts_offset - header->ts_echo;
        if (age_ms <= RTT_SANE_MS)
                rexmit_rtt_sample(conn, age_ms * 1000);
}

/* --- the timer ------------------------------------------------------------------------------------------ */

static bool has_outstanding(const struct tcp_conn *conn)
{
        return conn->snd_max != conn->snd_una;
}

/* A last segment that is lost has nothing behind it to draw duplicate ACKs: ask again after two round trips. */
static bool may_probe_tail(const struct tcp_conn *conn)
{
        return conn->flags & CONN_SACK && conn->srtt_us && conn->backoff == 0 && conn->snd_wnd > 0 &&
               !(conn->flags & (CONN_RECOVERY | CONN_TAIL_SENT));
}

static void timer_start(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t rto_ms = rexmit_rto_ms(conn);
        uint32_t probe_ms = MAX(2 * (conn->srtt_us / 1000 + 1), TCP_PROBE_MIN_MS);

        if (conn->snd_max - conn->snd_una <= conn->mss)
                probe_ms += TCP_PROBE_ACK_MS;
        conn->flags &= ~CONN_TAIL_ARMED;
        if (conn->state > TCP_ST_SYN_RECEIVED && may_probe_tail(conn) && probe_ms < rto_ms) {
                conn->flags |= CONN_TAIL_ARMED;
                rto_ms = probe_ms;
        }
        conn_timer_set(tcp, conn, TIMER_REXMIT, rto_ms);
}

void rexmit_sent(struct tcp *tcp, struct tcp_conn *conn, bool fresh)
{
        if (!(conn->timers & TIMER_REXMIT) || (fresh && conn->flags & CONN_TAIL_ARMED))
                timer_start(tcp, conn);
}

void rexmit_go_back(struct tcp_conn *conn)
{
        conn->snd_nxt = conn->snd_una;
        conn->flight->send_hint = NULL;
        conn->flags &= ~CONN_RTT_TIMING;
}

/* What is no longer known once everything is sent again: the peer may have thrown away what it SACKed (RFC 2018 8). */
static void forget_losses(struct tcp *tcp, struct tcp_conn *conn)
{
        rexmit_board_free(tcp, conn);
        conn->flags &= ~(CONN_RECOVERY | CONN_REXMIT_NOW | CONN_TAIL_SENT | CONN_TAIL_NOW);
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
        rexmit_go_back(conn);
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

static void retransmit_all(struct tcp *tcp, struct tcp_conn *conn)
{
        congest_timeout(conn, conn->snd_max - conn->snd_una, conn->backoff > 0);
        back_off(conn);
        rexmit_go_back(conn);
        forget_losses(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_timeouts);
}

void rexmit_timeout(struct tcp *tcp, struct tcp_conn *conn)
{
        bool tail = conn->flags & CONN_TAIL_ARMED;

        conn->flags &= ~CONN_TAIL_ARMED;
        if (!has_outstanding(conn) && !send_is_pending(conn))
                return;
        if (is_hopeless(tcp, conn)) {
                tcp_count(tcp, COUNTER_tcp_gave_up);
                conn_over(tcp, conn, TCP_EV_TIMEOUT);
                return;
        }
        if (conn->state <= TCP_ST_SYN_RECEIVED) {
                conn->flags |= CONN_SYN_AGAIN;
                back_off(conn);
                rexmit_go_back(conn);
        } else if (is_waiting_for_window(conn)) {
                conn->flags |= CONN_PROBE_NOW;
                back_off(conn);
        } else if (tail) {
                conn->flags |= CONN_TAIL_NOW | CONN_TAIL_SENT;
                tcp_count(tcp, COUNTER_tcp_tail_probes);
        } else {
                retransmit_all(tcp, conn);
        }
        conn_timer_set(tcp, conn, TIMER_REXMIT, rexmit_rto_ms(conn));
        conn_output_want(tcp, conn);
}

/* --- the scoreboard ------------------------------------------------------------------------------------- */

static struct tcp_board *board_of(const struct tcp *tcp, const struct tcp_conn *conn)
{
        return conn->flight->board == BOARD_NONE ? NULL : &tcp->boards[conn->flight->board];
}

/* A board for a connection that sees its first SACK; without one left recovery goes on as without SACK. */
static struct tcp_board *board_get(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board;

        if (conn->flight->board != BOARD_NONE)
                return &tcp->boards[conn->flight->board];
        if (tcp->boards_free != BOARD_NONE) {
                conn->flight->board = tcp->boards_free;
                tcp->boards_free = tcp->boards[conn->flight->board].count;
        } else if (tcp->boards_fresh < tcp->boards_max) {
                conn->flight->board = tcp->boards_fresh++;
        } else {
                return NULL;
        }
        board = &tcp->boards[conn->flight->board];
        board->count = 0;
        board->rexmit_high = conn->snd_una;
        return board;
}

void rexmit_board_free(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->flight->board == BOARD_NONE)
                return;
        tcp->boards[conn->flight->board].count = tcp->boards_free;
        tcp->boards_free = conn->flight->board;
        conn->flight->board = BOARD_NONE;
}

/*
 * Does the first block report what came twice: what this ACK acknowledges, or part of the second block (RFC 2883 5)?
 */
static bool has_duplicate(const struct tcp_header *header)
{
        const struct tcp_block *first = &header->block[0], *second = &header->block[1];

        if (header->blocks == 0 || SEQ_AFTER_EQ(first->start, first->end))
                return false;
        if (SEQ_BEFORE(first->start, header->ack))
                return true;
        return header->blocks > 1 && SEQ_AFTER_EQ(first->start, second->start) && SEQ_BEFORE_EQ(first->end, second->end);
}

/* Note the blocks of an ACK. Returns whether any of them was news. */
static bool note_blocks(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        unsigned first = 0;
        bool news = false;

        if (!(conn->flags & CONN_SACK) || header->blocks == 0)
                return false;
        if (has_duplicate(header)) {
                first = 1;
                tcp_count(tcp, COUNTER_tcp_dsacks_in);
        }
        for (unsigned i = first; i < header->blocks; i++) {
                uint32_t start = header->block[i].start, end = header->block[i].end;
                struct tcp_board *board;

                /* Nothing we never sent, and nothing that is acknowledged already. */
                if (SEQ_AFTER_EQ(start, end) || SEQ_AFTER(end, conn->snd_max) || SEQ_BEFORE_EQ(end, header->ack))
                        continue;
                if (SEQ_BEFORE(start, header->ack) || SEQ_BEFORE_EQ(end, conn->snd_una))
                        continue;
                /* Without a board to note it, every plausible block may be news. */
                board = board_get(tcp, conn);
                news |= board ? board_add(board, start, end) : true;
        }
        return news;
}

uint32_t rexmit_flight(const struct tcp *tcp, const struct tcp_conn *conn)
{
        const struct tcp_board *board = board_of(tcp, conn);

        if (conn->flags & CONN_RECOVERY && board)
                return board_pipe(board, conn->snd_una, conn->snd_max, conn->mss);
        return conn->snd_nxt - conn->snd_una;
}

/* --- acknowledgements ----------------------------------------------------------------------------------- */

static void leave_recovery(struct tcp *tcp, struct tcp_conn *conn)
{
        uint32_t flight = conn->snd_max - conn->snd_una;

        conn->flags &= ~(CONN_RECOVERY | CONN_REXMIT_NOW);
        conn->flight->dupacks = 0;
        /* RFC 6582 3.2 (3), first choice: no burst after the window was inflated. */
        conn->cwnd = MIN(conn->ssthresh, MAX(flight, (uint32_t)conn->mss) + conn->mss);
        if (board_of(tcp, conn) && board_of(tcp, conn)->count == 0)
                rexmit_board_free(tcp, conn);
}

/* An ACK for part of what was outstanding when recovery began: the next hole is lost too. */
static void partial_ack(struct tcp *tcp, struct tcp_conn *conn, uint32_t acked)
{
        if (board_of(tcp, conn))
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
        struct tcp_board *board = board_of(tcp, conn);

        measure(tcp, conn, header);
        send_acked(tcp, conn, header->ack);
        conn->flags &= ~(CONN_TAIL_SENT | CONN_TAIL_NOW | CONN_PROBE_NOW);
        conn->flight->progress_ms = (uint32_t)tcp->now_ms;
        if (board)
                board_trim(board, conn->snd_una);
        if (!(conn->flags & CONN_RECOVERY)) {
                conn->flight->dupacks = 0;
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

static bool is_loss(const struct tcp *tcp, const struct tcp_conn *conn)
{
        const struct tcp_board *board = board_of(tcp, conn);

        if (board && SEQ_AFTER(board_lost_edge(board, conn->snd_una, conn->mss), conn->snd_una))
                return true;
        return conn->flight->dupacks >= TCP_DUPACKS;
}

static void duplicate_ack(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board = board_of(tcp, conn);

        conn_output_want(tcp, conn); /* limited transmit (RFC 3042), or the next hole */
        if (conn->flags & CONN_RECOVERY) {
                if (!board)
                        conn->cwnd = MIN(conn->cwnd + conn->mss, TCP_WINDOW_LIMIT);
                return;
        }
        if (conn->flight->dupacks < UINT8_MAX)
                conn->flight->dupacks++;
        if (!is_loss(tcp, conn))
                return;
        /* After a timeout or a recovery duplicates may be echoes of our own repeats (RFC 6582 3.2 (2)); SACK is proof. */
        if (board ? SEQ_BEFORE(conn->snd_una, conn->flight->recover) : SEQ_BEFORE_EQ(conn->snd_una, conn->flight->recover))
                return;
        conn->flight->recover = conn->snd_max;
        congest_loss(conn, conn->snd_max - conn->snd_una);
        if (!board)
                conn->cwnd += TCP_DUPACKS * conn->mss;
        else
                board->rexmit_high = conn->snd_una;
        /* What a timeout made us walk through again is left to recovery now. */
        conn->snd_nxt = conn->snd_max;
        conn->flight->send_hint = NULL;
        conn->flags |= CONN_RECOVERY | CONN_REXMIT_NOW;
        conn->flags &= ~(CONN_RTT_TIMING | CONN_TAIL_NOW);
        timer_start(tcp, conn);
        tcp_count(tcp, COUNTER_tcp_recoveries);
}

void rexmit_ack(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header, bool is_bare)
{
        bool news = note_blocks(tcp, conn, header);

        if (SEQ_AFTER(header->ack, conn->snd_una)) {
                new_ack(tcp, conn, header);
                if (news && conn->state != TCP_ST_CLOSED && has_outstanding(conn) && !(conn->flags & CONN_RECOVERY))
                        duplicate_ack(tcp, conn);
                return;
        }
        if (header->ack != conn->snd_una || !has_outstanding(conn))
                return;
        if (conn->flags & CONN_SACK ? news : is_bare) /* RFC 6675 2 */
                duplicate_ack(tcp, conn);
}

bool rexmit_next_hole(const struct tcp_conn *conn, const struct tcp *tcp, bool only_lost, uint32_t *ret_seq,
                      uint32_t *ret_len)
{
        const struct tcp_board *board = board_of(tcp, conn);
        uint32_t edge, start = 0, end = 0;

        if (!board)
                return false;
        edge = only_lost ? board_lost_edge(board, conn->snd_una, conn->mss) : conn->snd_max;
        if (!board_hole(board, SEQ_MAX(conn->snd_una, board->rexmit_high), edge, &start, &end))
                return false;
        *ret_seq = start;
        *ret_len = MIN(end - start, (uint32_t)conn->mss);
        return true;
}

void rexmit_hole_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq_end)
{
        struct tcp_board *board = board_of(tcp, conn);

        if (board)
                board->rexmit_high = SEQ_MAX(board->rexmit_high, seq_end);
}
