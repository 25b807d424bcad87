/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gives way when the packets of an endpoint run short, so that peers that let us keep what they will not take
 * (a shut window, no acknowledgements, a hole that is never filled) cannot have them all.
 *
 * The budget is packets_held_max. Above half of it no receive window grows, and small pieces share packets. Above three
 * quarters a hand goes round the connections, TCP_PRESS_STEP of them in a millisecond at most, and takes in this order:
 *   1. what was received out of order: the peer still has it (RFC 2018 8 lets a receiver forget what it has SACKed);
 *   2. connections of whose queued bytes the peer has acknowledged none for too long. How long that is depends on whose
 *      they are and on how short packets are (table in press.c): those that nobody owns any more first, those that we
 *      opened last. They end with RST and TCP_EV_TIMEOUT, counted as tcp_victims.
 * Nobody is a victim whose bytes are being acknowledged, nor who waits for us.
 */
#ifndef GREYLINE_TCP_PRESS_H
#define GREYLINE_TCP_PRESS_H

#include "dataplane/tcp/conn.h"

enum press {
        PRESS_NONE,
        PRESS_SAVE, /* above 1/2 */
        PRESS_TAKE, /* above 3/4 */
        PRESS_HARD, /* above 15/16 */
        PRESS_COUNT,
};

static inline enum press press_level(const struct tcp *tcp)
{
        uint32_t max = tcp->set.packets_held_max;

        if (tcp->held <= max / 2)
                return PRESS_NONE;
        if (tcp->held <= max - max / 4)
                return PRESS_SAVE;
        return tcp->held <= max - max / 16 ? PRESS_TAKE : PRESS_HARD;
}

/* One step of the hand, if it is time for one. */
void press_tick(struct tcp *tcp);

/* When press_tick() has something to do, in milliseconds of the endpoint's clock; UINT64_MAX: nothing. */
uint64_t press_due_ms(const struct tcp *tcp);

#endif
