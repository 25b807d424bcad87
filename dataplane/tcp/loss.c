/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/loss.h"

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/rack.h"

/* --- the board ------------------------------------------------------------------------------------------ */

struct tcp_board *loss_board(const struct tcp *tcp, const struct tcp_conn *conn)
{
        return conn->flight->board == BOARD_NONE ? NULL : &tcp->boards[conn->flight->board];
}

/* A board for a connection with more in flight than one burst, or a repeat; without one left it goes on as without SACK. */
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
        board->probe_end = conn->snd_una;
        rack_start(board, conn->snd_una, conn->snd_nxt, conn->flight->sent_us, conn->srtt_us, (uint32_t)tcp->now_ms);
        return board;
}

void loss_forget(struct tcp *tcp, struct tcp_conn *conn)
{
        if (conn->flight->board == BOARD_NONE)
                return;
        tcp->boards[conn->flight->board].count = tcp->boards_free;
        tcp->boards_free = conn->flight->board;
        conn->flight->board = BOARD_NONE;
}

/* When [seq, end) was sent. What was sent in one burst, once, needs no board: most replies of a dialogue. */
void loss_sent(struct tcp *tcp, struct tcp_conn *conn, uint32_t seq, uint32_t end)
{
        bool again = SEQ_BEFORE(seq, conn->snd_max);
        uint32_t now_us = (uint32_t)tcp->now_us;
        struct tcp_board *board = loss_board(tcp, conn);

        if (!board && !again && (conn->snd_nxt == conn->snd_una || conn->flight->sent_us == now_us)) {
                conn->flight->sent_us = now_us;
                return;
        }
        if (!board && conn->flags & CONN_SACK && conn->state > TCP_ST_SYN_RECEIVED)
                board = board_get(tcp, conn);
        if (board)
                rack_sent(board, seq, end, now_us, again ? RACK_AGAIN : 0);
        else
                conn->flight->sent_us = now_us;
}

/* --- what ACKs say -------------------------------------------------------------------------------------- */

bool loss_has_duplicate(const struct tcp_header *header)
{
        const struct tcp_block *first = &header->block[0], *second = &header->block[1];

        if (header->blocks == 0 || SEQ_AFTER_EQ(first->start, first->end))
                return false;
        if (SEQ_BEFORE(first->start, header->ack))
                return true;
        return header->blocks > 1 && SEQ_AFTER_EQ(first->start, second->start) && SEQ_BEFORE_EQ(first->end, second->end);
}

/* A plausible block: nothing that we never sent, and nothing that is acknowledged already. */
static bool is_block(const struct tcp_conn *conn, const struct tcp_header *header, const struct tcp_block *block)
{
        return SEQ_BEFORE(block->start, block->end) && SEQ_BEFORE_EQ(block->end, conn->snd_max) &&
               SEQ_AFTER_EQ(block->start, header->ack) && SEQ_AFTER(block->end, conn->snd_una);
}

/* Something came twice, perhaps because reordering was taken for loss: wait longer, once a round trip (RFC 8985 6.2 step 4). */
static void note_dsack(struct tcp *tcp, struct tcp_conn *conn)
{
        struct tcp_board *board = loss_board(tcp, conn);

        tcp_count(tcp, COUNTER_tcp_dsacks_in);
        if (!board || (board->has_round && SEQ_BEFORE(conn->snd_una, board->round)))
                return;
        board->has_round = true;
        board->round = conn->snd_nxt;
        board->mult = MIN(board->mult + 1u, UINT8_MAX);
        board->mult_recoveries = TCP_REORDER_KEEP;
}

bool loss_arrived(struct tcp *tcp, struct tcp_conn *conn, const struct tcp_header *header)
{
        struct tcp_board *board = loss_board(tcp, conn);
        struct rack_news what = { .now_us = (uint32_t)tcp->now_us };
        uint32_t high = header->ack;
        unsigned first = loss_has_duplicate(header);
        bool news = false;

        if (!board && header->blocks == 0)
                return false;
        if (first)
                note_dsack(tcp, conn);
        if (conn->flags & CONN_TIMESTAMPS && header->has_timestamp) {
                /* To the end of the millisecond that the timestamp names. */
                uint32_t age_ms = (uint32_t)tcp->now_ms + conn->ts_offset - header->ts_echo;

                what.has_echo = age_ms <= TCP_RTT_SANE_MS;
                what.echo_us = what.now_us - age_ms * 1000 + 1000;
        }
        if (board && SEQ_AFTER(header->ack, conn->snd_una))
                rack_delivered(board, conn->snd_una, header->ack, true, &what);
        for (unsigned i = first; i < header->blocks; i++) {
                const struct tcp_block *block = &header->block[i];

                if (!is_block(conn, header, block))
                        continue;
                /* Without a board to note it, every plausible block may be news. */
                board = board_get(tcp, conn);
                if (!board) {
                        news = true;
                        continue;
                }
                rack_delivered(board, block->start, block->end, false, &what);
                news |= board_add(board, block->start, block->end);
                high = SEQ_MAX(high, block->end);
        }
        if (!board)
                return news;
        rack_learned(board, &what, high, (uint32_t)tcp->now_ms);
        if (what.is_reordered)
                conn->flags |= CONN_REORDERED;
        return news;
}

uint32_t loss_flight(const struct tcp *tcp, const struct tcp_conn *conn)
{
        const struct tcp_board *board = loss_board(tcp, conn);

        if (board && (board->count || conn->flags & CONN_RECOVERY))
                return rack_pipe(board);
        return conn->snd_nxt - conn->snd_una;
}

bool loss_next(const struct tcp *tcp, const struct tcp_conn *conn, uint32_t *ret_seq, uint32_t *ret_len)
{
        const struct tcp_board *board = loss_board(tcp, conn);
        uint32_t start = 0, end = 0;

        if (!board || !rack_next_lost(board, &start, &end))
                return false;
        *ret_seq = start;
        *ret_len = MIN(end - start, (uint32_t)conn->mss);
        return true;
}
