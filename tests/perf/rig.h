/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device under test: one worker of the dataplane as start.c makes it (a compiled policy image, the greylist
 * and client tables as files, the link page with its rings), whose two ports are pairs of rings. The other ends of
 * the rings are the generator's. One core: the generator puts a burst in, rig_turn() measures the turn, the
 * generator takes the answers out and checks them.
 *
 * Every function ends the program with a line on stderr when something is not as it must be: a figure of a run
 * that went wrong is worth nothing.
 */
#ifndef GREYLINE_PERF_RIG_H
#define GREYLINE_PERF_RIG_H

#include <rte_ring.h>

#include "dataplane/start.h"
#include "tests/perf/figure.h"

#define RIG_FRONT     0u /* ports */
#define RIG_BACK      1u
#define RIG_PORTS     2u
#define RIG_RING      4096u
#define RIG_POOL      16383u /* packets of the generator */
#define RIG_NETWORK   "198.18.0.0/15" /* RFC 2544 */

struct rig_options {
        bool hugepages;
        bool deny_drop;       /* networks.deny_action */
        bool reject_at_banner;
        bool probes;          /* health checks of backends go on */
        uint32_t sessions;
        uint32_t per_network; /* limits.connections_per_network; 0: none */
        uint64_t grey_entries;
        uint64_t client_entries;
        uint32_t deny_list;   /* prefixes in networks.deny beside 203.0.113.0/24 */
        const char *greet_delay;
};

struct rig {
        struct dataplane dataplane;
        struct start_devices devices;
        struct rte_mempool *pool;               /* the generator's */
        struct rte_ring *to[RIG_PORTS];         /* frames for the device under test */
        struct rte_ring *from[RIG_PORTS];       /* frames of it */
        struct ring log, ask;                   /* control's ends */
        uint64_t now_us, wall_us, records, questions;
        uint64_t turns;
        char dir[64];
};

/* Make everything. Ends the program when that fails. */
void rig_start(struct rig *rig, const struct rig_options *options);

/* Remove the files. */
void rig_stop(struct rig *rig);

/* Let time pass, take one turn, drain what control would read. Returns the ticks that the turn took. */
uint64_t rig_turn(struct rig *rig, uint64_t pass_us);

/* What DNS says about the client: nothing against it and a confirmed name, or listed in the first zone. */
void rig_know(struct rig *rig, const struct addr *client, bool is_listed);

uint64_t rig_counter(const struct rig *rig, enum counter counter);

/* How fast the core runs now: its cycles in one tick of the time stamp counter. Print it beside every figure. */
double rig_core_speed(void);

/* Say what went wrong and end. */
void rig_fail(const char *format, ...) PRINTF(1, 2) __attribute__((noreturn));

#endif
