/* SPDX-License-Identifier: Apache-2.0 */
/* The SACK scoreboard of one connection: which bytes above snd_una the peer holds (RFC 2018, 6675). */
#ifndef GREYLINE_TCP_BOARD_H
#define GREYLINE_TCP_BOARD_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_board;
struct tcp_block;

/*
 * Note that the peer holds [start, end). Returns whether that was news. When TCP_BOARD_RANGES are there and
 * none touches, the block is ignored: it will be reported again, or sent again for nothing.
 */
bool board_add(struct tcp_board *board, uint32_t start, uint32_t end);

/* Everything before una is acknowledged. */
void board_trim(struct tcp_board *board, uint32_t una);

/* How many segments the peer holds, about: each range is rounded up. */
uint32_t board_segments(const struct tcp_board *board, uint32_t mss);

/* The first bytes of [from, edge) that the peer does not hold. Returns false when it holds them all. */
bool board_hole(const struct tcp_board *board, uint32_t from, uint32_t edge, uint32_t *ret_start, uint32_t *ret_end);

#endif
