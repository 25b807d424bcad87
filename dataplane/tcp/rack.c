/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/rack.h"

#include <string.h>

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/conn.h"

#define MIN_RTT_MS 60000u /* the shortest round trip is that of the present minute and the one before */

static uint32_t span_end(const struct tcp_board *board, unsigned i)
{
        return i + 1 < board->spans ? board->span[i + 1].seq : board->sent_end;
}

/* --- spans ---------------------------------------------------------------------------------------------- */

void rack_start(struct tcp_board *board, uint32_t una, uint32_t end, uint32_t sent_us, uint32_t rtt_us, uint32_t now_ms)
{
        board->spans = una == end ? 0 : 1;
        board->span[0] = (struct rack_span){ una, sent_us, 0 };
        board->sent_end = end;
        board->has_delivered = false;
        board->high = una;
        board->mult = 1;
        board->mult_recoveries = 0;
        board->has_round = false;
        board->cut_us = sent_us;
        board->min_rtt_us[0] = UINT32_MAX;
        board->min_rtt_us[1] = rtt_us ? rtt_us : UINT32_MAX;
        board->min_rtt_ms = now_ms;
}

static void remove_spans(struct tcp_board *board, unsigned at, unsigned count)
{
        board->spans = (uint8_t)(board->spans - count);
        memmove(&board->span[at], &board->span[at + count], (board->spans - at) * sizeof(board->span[0]));
}

/* Room for count more: neighbours become one, those alike and close in time first. */
static void make_room(struct tcp_board *board, unsigned count)
{
        while (board->spans + count > TCP_RACK_SPANS) {
                unsigned best = 0;
                uint64_t least = UINT64_MAX;
                struct rack_span *a, *b;

                for (unsigned i = 0; i + 1 < board->spans; i++) {
                        int32_t apart = (int32_t)(board->span[i + 1].us - board->span[i].us);
                        uint64_t cost = (uint64_t)(apart < 0 ? -(int64_t)apart : apart);

                        if (board->span[i].flags != board->span[i + 1].flags)
                                cost += 1ull << 32;
                        if (cost < least) {
                                least = cost;
                                best = i;
                        }
                }
                a = &board->span[best];
                b = &board->span[best + 1];
                a->us = SEQ_MAX(a->us, b->us);
                /* What is lost in part waits until it is seen again: nothing is sent twice for want of room. */
                a->flags = ((a->flags | b->flags) & RACK_AGAIN) | (a->flags & b->flags & RACK_LOST);
                remove_spans(board, best + 1, 1);
        }
}

/* Let a span begin at seq, which lies inside of what was sent. There is room. Returns which. */
static unsigned cut(struct tcp_board *board, uint32_t seq)
{
        unsigned i = 0;

        while (i < board->spans && SEQ_BEFORE_EQ(span_end(board, i), seq))
                i++;
        if (i == board->spans || board->span[i].seq == seq)
                return i;
        memmove(&board->span[i + 1], &board->span[i], (board->spans - i) * sizeof(board->span[0]));
        board->spans++;
        board->span[i + 1].seq = seq;
        return i + 1;
}

void rack_sent(struct tcp_board *board, uint32_t seq, uint32_t end, uint32_t now_us, uint8_t flags)
{
        struct rack_span *last = board->spans ? &board->span[board->spans - 1] : NULL;
        unsigned first, after;

        if (SEQ_BEFORE(seq, board->sent_end)) {
                make_room(board, 3);
                first = cut(board, seq);
                after = SEQ_BEFORE(end, board->sent_end) ? cut(board, end) : board->spans;
                remove_spans(board, first, after - first);
                memmove(&board->span[first + 1], &board->span[first], (board->spans - first) * sizeof(board->span[0]));
                board->spans++;
                board->span[first] = (struct rack_span){ seq, now_us, flags };
                board->sent_end = SEQ_MAX(board->sent_end, end);
                return;
        }
        if (!last || last->us != now_us || last->flags != flags) {
                make_room(board, 1);
                board->span[board->spans++] = (struct rack_span){ board->sent_end, now_us, flags };
        }
        board->sent_end = end;
}

void rack_trim(struct tcp_board *board, uint32_t una)
{
        unsigned gone = 0;

        while (gone < board->spans && SEQ_BEFORE_EQ(span_end(board, gone), una))
                gone++;
        if (gone)
                remove_spans(board, 0, gone);
        if (board->spans && SEQ_BEFORE(board->span[0].seq, una))
                board->span[0].seq = una;
        board->sent_end = SEQ_MAX(board->sent_end, una);
}

void rack_restart(struct tcp_board *board, uint32_t una)
{
        board->spans = 0;
        board->sent_end = una;
        board->has_delivered = false;
}

void rack_give_up(struct tcp_board *board, uint32_t end)
{
        if (SEQ_BEFORE_EQ(end, board->sent_end))
                return;
        make_room(board, 1);
        board->span[board->spans++] = (struct rack_span){ board->sent_end, board->cut_us, RACK_AGAIN | RACK_LOST };
        board->sent_end = end;
}

/* --- what ACKs bring ------------------------------------------------------------------------------------ */

/* Was the one sent after the other? Of those sent at one time the later numbers were (RACK_sent_after()). */
static bool is_after(uint32_t us, uint32_t end, uint32_t other_us, uint32_t other_end)
{
        return us == other_us ? SEQ_AFTER(end, other_end) : SEQ_AFTER(us, other_us);
}

/* [start, end), new, as far as it lies in one span. */
static void piece_delivered(const struct tcp_board *board, const struct rack_span *span, uint32_t end, bool is_acked,
                            struct rack_news *news)
{
        bool again = span->flags & RACK_AGAIN;

        if (!again && SEQ_BEFORE(end, board->high))
                news->is_reordered = true;
        /*
         * What was sent twice may be the first copy's answer. The timestamp tells only of what it acknowledges: with bytes
         * above a gap comes the echo of one from below it.
         */
        if (again && is_acked && news->has_echo && SEQ_BEFORE(news->echo_us, span->us))
                return;
        if (again && news->now_us - span->us < rack_min_rtt_us(board))
                return;
        if (news->any && !is_after(span->us, end, news->sent_us, news->end))
                return;
        news->any = true;
        news->again = again;
        news->sent_us = span->us;
        news->end = end;
}

void rack_delivered(const struct tcp_board *board, uint32_t start, uint32_t end, bool is_acked, struct rack_news *news)
{
        uint32_t from = start, gap_start, gap_end;
        unsigned i = 0;

        end = SEQ_MIN(end, board->sent_end);
        while (board_hole(board, from, end, &gap_start, &gap_end)) {
                for (; i < board->spans && SEQ_BEFORE(board->span[i].seq, gap_end); i++) {
                        if (SEQ_BEFORE_EQ(span_end(board, i), gap_start))
                                continue;
                        piece_delivered(board, &board->span[i], SEQ_MIN(span_end(board, i), gap_end), is_acked, news);
                        if (SEQ_AFTER(span_end(board, i), gap_end))
                                break; /* the next gap may lie in it too */
                }
                from = gap_end;
        }
}

uint32_t rack_min_rtt_us(const struct tcp_board *board)
{
        return MIN(board->min_rtt_us[0], board->min_rtt_us[1]);
}

static void note_rtt(struct tcp_board *board, uint32_t rtt_us, uint32_t now_ms)
{
        if (now_ms - board->min_rtt_ms >= MIN_RTT_MS) {
                board->min_rtt_us[1] = board->min_rtt_us[0];
                board->min_rtt_us[0] = UINT32_MAX;
                board->min_rtt_ms = now_ms;
        }
        board->min_rtt_us[0] = MIN(board->min_rtt_us[0], rtt_us);
}

void rack_learned(struct tcp_board *board, const struct rack_news *news, uint32_t high, uint32_t now_ms)
{
        board->high = SEQ_MAX(board->high, high);
        if (!news->any)
                return;
        board->rtt_us = news->now_us - news->sent_us;
        if (!news->again)
                note_rtt(board, board->rtt_us, now_ms);
        if (board->has_delivered && !is_after(news->sent_us, news->end, board->delivered_us, board->delivered_end))
                return;
        board->has_delivered = true;
        board->delivered_us = news->sent_us;
        board->delivered_end = news->end;
}

/* --- what is lost --------------------------------------------------------------------------------------- */

void rack_detect(struct tcp_board *board, uint32_t now_us, uint32_t window_us, struct rack_losses *ret)
{
        *ret = (struct rack_losses){ false, false, 0 };
        if (!board->has_delivered)
                return;
        for (unsigned i = 0; i < board->spans; i++) {
                struct rack_span *span = &board->span[i];
                uint32_t end = span_end(board, i), start, stop;
                int32_t left_us = (int32_t)(span->us + board->rtt_us + window_us - now_us);

                if (span->flags & RACK_LOST || SEQ_AFTER(span->us, board->delivered_us))
                        continue;
                if (span->us == board->delivered_us)
                        end = SEQ_MIN(end, board->delivered_end);
                if (SEQ_BEFORE_EQ(end, span->seq) || !board_hole(board, span->seq, end, &start, &stop))
                        continue;
                if (left_us > 0) {
                        ret->wait_us = MAX(ret->wait_us, (uint32_t)left_us);
                        continue;
                }
                if (end != span_end(board, i)) {
                        if (board->spans == TCP_RACK_SPANS) {
                                /* The spans are others then: begin again with what is known of them. */
                                make_room(board, 1);
                                i = UINT32_MAX;
                                continue;
                        }
                        cut(board, end);
                }
                ret->any = true;
                ret->is_fresh |= SEQ_AFTER_EQ(span->us, board->cut_us);
                span->flags |= RACK_LOST;
        }
}

uint32_t rack_pipe(const struct tcp_board *board)
{
        uint32_t pipe = 0;
        unsigned r = 0;

        for (unsigned i = 0; i < board->spans; i++) {
                uint32_t start = board->span[i].seq, end = span_end(board, i);

                if (board->span[i].flags & RACK_LOST)
                        continue;
                pipe += end - start;
                while (r < board->count && SEQ_BEFORE_EQ(board->range[r].end, start))
                        r++;
                for (unsigned k = r; k < board->count && SEQ_BEFORE(board->range[k].start, end); k++)
                        pipe -= SEQ_MIN(board->range[k].end, end) - SEQ_MAX(board->range[k].start, start);
        }
        return pipe;
}

bool rack_next_lost(const struct tcp_board *board, uint32_t *ret_start, uint32_t *ret_end)
{
        for (unsigned i = 0; i < board->spans; i++)
                if (board->span[i].flags & RACK_LOST &&
                    board_hole(board, board->span[i].seq, span_end(board, i), ret_start, ret_end))
                        return true;
        return false;
}
