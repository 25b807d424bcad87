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
}

uint32_t board_segments(const struct tcp_board *board, uint32_t mss)
{
        uint32_t segments = 0;

        for (uint32_t i = 0; i < board->count; i++)
                segments += (board->range[i].end - board->range[i].start + mss - 1) / mss;
        return segments;
}

bool board_hole(const struct tcp_board *board, uint32_t from, uint32_t edge, uint32_t *ret_start, uint32_t *ret_end)
{
        for (uint32_t i = 0; i <= board->count; i++) {
                uint32_t end = i < board->count ? SEQ_MIN(board->range[i].start, edge) : edge;

                if (SEQ_BEFORE(from, end)) {
                        *ret_start = from;
                        *ret_end = end;
                        return true;
                }
                if (i < board->count)
                        from = SEQ_MAX(from, board->range[i].end);
        }
        return false;
}
