/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bad network itself: frames go in and come out later, twice, changed or never, by the profile and the
 * dice of the simulation (tests/sim/link.h), and by rules that single out one frame. No system call in here.
 */
#ifndef GREYLINE_BRIDGE_WIRE_H
#define GREYLINE_BRIDGE_WIRE_H

#include "tests/sim/link.h"

#define WIRE_FRAME_MAX 1518u /* what a veth with an MTU of 1500 can bring, and a VLAN tag */
#define WIRE_RULES_MAX 16u

enum wire_action {
        WIRE_DROP,   /* lose it */
        WIRE_WINDOW, /* write another window into it */
        WIRE_MARK,   /* congestion experienced, where it is ECN capable */
};

/* One thing to do to the next `count` TCP segments that fit. */
struct wire_rule {
        enum wire_action action;
        unsigned direction;        /* 0: from a to b, 1: from b to a */
        int flags;                 /* exactly these of SYN, ACK, FIN and RST; -1: any */
        uint32_t len_min, len_max; /* payload bytes */
        uint16_t port;             /* source or destination; 0: any */
        uint16_t window;           /* of WIRE_WINDOW */
        uint32_t count;            /* how many are left */
};

struct wire_stats {
        uint64_t frames, lost, duplicated, reordered, corrupted, ruled, marked, oversize, overflow;
};

struct wire;

/* Returns NULL without memory. */
struct wire *wire_new(uint64_t seed);
void wire_free(struct wire *wire);

/* From now on; what is under way stays as it was. Permille, microseconds: see struct link_profile. */
void wire_profile_set(struct wire *wire, const struct link_profile *profile);

/* Returns false when WIRE_RULES_MAX are at work. */
bool wire_rule_add(struct wire *wire, const struct wire_rule *rule);
void wire_rules_clear(struct wire *wire);

/* A frame of len bytes, copied. */
void wire_send(struct wire *wire, unsigned direction, const uint8_t *bytes, size_t len, uint64_t now_us);

/* The next frame that has arrived by now_us, valid until the next call; NULL: none. */
const uint8_t *wire_receive(struct wire *wire, uint64_t now_us, unsigned *ret_direction, size_t *ret_len);

/* When the next one arrives; UINT64_MAX: none is on its way. */
uint64_t wire_due_us(const struct wire *wire);

const struct wire_stats *wire_stats(const struct wire *wire);

#endif
