/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hierarchical timing wheel of milliseconds: 7 levels of 64 slots, one bitmap word a level, so that finding
 * the next due time is a count of zero bits. Nodes live inside the caller's array and are linked by index.
 *
 * A node lies at the level of the highest group of 6 bits in which its due time differs from now, in the slot
 * of that group; when now reaches the slot it comes out, or moves to a lower level. No slot is ever scanned
 * for what is due in it.
 *
 * Re-arming for later costs nothing here: the user writes its own deadline and puts the node back in when it
 * comes out early.
 */
#ifndef GREYLINE_TCP_WHEEL_H
#define GREYLINE_TCP_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_LEVELS 7
#define WHEEL_SLOTS  64
#define WHEEL_NONE   UINT32_MAX
#define WHEEL_OFF    UINT16_MAX /* wheel_node.place: not in the wheel */

struct wheel_node {
        uint32_t next, prev; /* indices in the slot's list, WHEEL_NONE at the ends */
        uint32_t due_ms;     /* low half of the due time */
        uint16_t place;      /* level and slot, or WHEEL_OFF */
        uint8_t user[2];     /* not the wheel's: room that alignment leaves */
};

struct wheel {
        uint64_t now_ms;
        uint8_t *nodes; /* the first node; node i is i * stride further on */
        size_t stride;
        uint32_t head[WHEEL_LEVELS][WHEEL_SLOTS];
        uint64_t used[WHEEL_LEVELS]; /* bit per slot that is not empty */
};

/* first: address of the node inside element 0 of an array; stride: size of an element. */
void wheel_init(struct wheel *wheel, void *first, size_t stride, uint64_t now_ms);

/* A node that is in no wheel. */
static inline void wheel_node_init(struct wheel_node *node)
{
        node->place = WHEEL_OFF;
}

static inline bool wheel_node_is_armed(const struct wheel_node *node)
{
        return node->place != WHEEL_OFF;
}

/* Put node index in; due_ms in the past means now, and at most 2^30 ms ahead counts. The node must be off. */
void wheel_add(struct wheel *wheel, uint32_t index, uint64_t due_ms);

/* Take a node out; one that is off is left alone. */
void wheel_remove(struct wheel *wheel, uint32_t index);

/*
 * Move time on to now_ms or to the first due node, whichever is first. Returns that node's index, taken out,
 * or WHEEL_NONE when nothing more is due by now_ms. Call until WHEEL_NONE, or stop early and go on later.
 */
uint32_t wheel_next(struct wheel *wheel, uint64_t now_ms);

/* When wheel_next() has something to do (perhaps only to move nodes down); UINT64_MAX when empty. */
uint64_t wheel_due_ms(const struct wheel *wheel);

#endif
