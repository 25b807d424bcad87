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

/*
 * Holes below this sequence number count as lost: three ranges, or more than two segments' bytes, were
 * received above them (IsLost() of RFC 6675). una when none is.
 */
uint32_t board_lost_edge(const struct tcp_board *board, uint32_t una, uint32_t mss);

/* Bytes of [una, max) still in the network (SetPipe() of RFC 6675). */
uint32_t board_pipe(const struct tcp_board *board, uint32_t una, uint32_t max, uint32_t mss);

/* The first hole at or after from and below edge. Returns false when there is none. */
bool board_hole(const struct tcp_board *board, uint32_t from, uint32_t edge, uint32_t *ret_start, uint32_t *ret_end);

#endif
