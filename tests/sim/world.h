/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two endpoints of ours, a network between them, and owners that send, read, wait and close as a script from a
 * seed says. world_run() goes from event to event in simulated time until nothing is left, and says what went
 * wrong first.
 */
#ifndef GREYLINE_SIM_WORLD_H
#define GREYLINE_SIM_WORLD_H

#include "tests/sim/link.h"

/* How the two sides of a connection part. */
enum world_close {
        WORLD_CLIENT_FIRST,  /* client: shutdown once everything is sent; server: at EOF */
        WORLD_SERVER_FIRST,  /* the other way round */
        WORLD_BOTH,          /* both as soon as they have sent everything */
        WORLD_CLIENT_LEAVES, /* client: tcp_close() when it has sent and read everything; server: at EOF */
        WORLD_SERVER_LEAVES, /* server: tcp_close() right after its last byte was queued, unread or not */
        WORLD_CLIENT_ABORTS, /* client: tcp_abort() at some moment */
        WORLD_SERVER_ABORTS,
        WORLD_RELAY, /* server: sends back what it reads, by tcp_send_move(); client closes at the end */
        WORLD_TALK,  /* a short dialogue in turns, server first, as SMTP's; server closes after the last */
        WORLD_CLOSES,
};

struct world_script {
        uint64_t seed;
        struct link_profile profile;
        bool v6;
        unsigned connections;
        enum world_close close;              /* of every connection; WORLD_CLOSES: one of them by the dice */
        uint32_t client_bytes, server_bytes; /* at most; the dice choose */
        uint32_t read_pause_us; /* an owner that stops reading does so for about so long; 0: never */
        uint32_t window_bytes;  /* 0: the default */
        uint32_t syncache_max;  /* 0: enough */
        bool linear_only;
        bool trace;
};

struct world_result {
        const char *wrong; /* NULL: nothing */
        char text[200];    /* its words */
        unsigned
            whole; /* connections whose every byte arrived and that ended in order, or were aborted by script */
        unsigned broken; /* that ended in RESET, TIMEOUT or REFUSED, what arrived being right */
        uint64_t end_us; /* simulated */
        struct link_stats link;
        uint64_t counters[2][512];
};

void world_run(struct rte_mempool *pool, const struct world_script *script, struct world_result *ret);

#endif
