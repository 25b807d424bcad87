/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/tcp/board.h"

#include <string.h>

#include "dataplane/tcp/conn.h"

bool board_add(struct tcp_board *board, uint32_t start, uint32_t end)
{
        uint32_t first = 0, last;

        while (first < board->count && SEQ_BEFORE(board->range[first].end, start))
                first++;
        /* [first, last) touch the new block. */
        for (last = first; last < board->count && SEQ_BEFORE_EQ(board->range[last].start, end);)
                last++;
        if (first == last) {
                if (board->count == TCP_BOARD_RANGES)
                        return false;
                memmove(&board->range[first + 1], &board->range[first],
                        (board->count - first) * sizeof(board->range[0]));
                board->range[first] = (struct tcp_block){ start, end };
                board->count++;
                return true;
        }
        if (last == first + 1 && SEQ_BEFORE_EQ(board->range[first].start, start) &&
            SEQ_BEFORE_EQ(end, board->range[first].end))
                return false;
        board->range[first].start = SEQ_MIN(board->range[first].start, start);
        board->range[first].end = SEQ_MAX(board->range[last - 1].end, end);
        memmove(&board->range[first + 1], &board->range[last], (board->count - last) * sizeof(board->range[0]));
        board->count -= last - first - 1;
        return true;
}

void board_trim(struct tcp_board *board, uint32_t una)
{
        uint32_t gone = 0;

        while (gone < board->count && SEQ_BEFORE_EQ(board->range[gone].end, una))
                gone++;
        memmove(&board->range[0], &board->range[gone], (board->count - gone) * sizeof(board->range[0]));
        board->count -= gone;
        if (board->count && SEQ_BEFORE(board->range[0].start, una))
                board->range[0].start = una;
        if (SEQ_BEFORE(board->rexmit_high, una))
                board->rexmit_high = una;
}

uint32_t board_lost_edge(const struct tcp_board *board, uint32_t una, uint32_t mss)
{
        uint32_t bytes = 0;

        for (uint32_t i = board->count; i-- > 0;) {
                bytes += board->range[i].end - board->range[i].start;
                if (board->count - i >= TCP_DUPACKS || bytes > (TCP_DUPACKS - 1) * mss)
                        return board->range[i].start;
        }
        return una;
}

uint32_t board_pipe(const struct tcp_board *board, uint32_t una, uint32_t max, uint32_t mss)
{
        uint32_t lost_edge = board_lost_edge(board, una, mss);
        uint32_t at = una, pipe = 0;

        for (uint32_t i = 0; i <= board->count; i++) {
                uint32_t end = i < board->count ? board->range[i].start : max;

                if (SEQ_AFTER(end, lost_edge))
                        pipe += end - at;
                if (SEQ_AFTER(board->rexmit_high, at))
                        pipe += SEQ_MIN(board->rexmit_high, end) - at;
                if (i < board->count)
                        at = board->range[i].end;
        }
        return pipe;
}

bool board_hole(const struct tcp_board *board, uint32_t from, uint32_t edge, uint32_t *ret_start, uint32_t *ret_end)
{
        for (uint32_t i = 0; i < board->count; i++) {
                uint32_t end = SEQ_MIN(board->range[i].start, edge);

                if (SEQ_BEFORE(from, end)) {
                        *ret_start = from;
                        *ret_end = end;
                        return true;
                }
                from = SEQ_MAX(from, board->range[i].end);
        }
        return false;
}
