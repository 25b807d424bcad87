/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network in simulated time: packets go in, and come out later, twice, changed or never, by dice from a
 * seed; what is too big for it comes back as ICMP. Every packet is copied on its way in, so that no end ever
 * holds memory of another; the checksum of what comes out is verified as the IP layer would.
 */
#ifndef GREYLINE_SIM_LINK_H
#define GREYLINE_SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/packet.h"
#include "dataplane/tcp/tcp.h"

/* splitmix64: the only source of chance in a run. */
struct dice {
        uint64_t state;
};

static inline uint64_t dice_roll(struct dice *dice)
{
        uint64_t z = (dice->state += 0x9e3779b97f4a7c15ull);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
}

/* 0 to below - 1 */
static inline uint32_t dice_below(struct dice *dice, uint32_t below)
{
        return below ? (uint32_t)(dice_roll(dice) % below) : 0;
}

static inline bool dice_permille(struct dice *dice, uint32_t permille)
{
        return dice_below(dice, 1000) < permille;
}

/* The two directions: by the order of the addresses. */
enum link_way {
        LINK_DOWN, /* from the higher address to the lower */
        LINK_UP,
        LINK_WAYS,
};

struct link_profile {
        uint32_t delay_us, jitter_us;
        uint32_t loss; /* permille, each packet */
        /* Burst loss (Gilbert and Elliott): each way is good or bad, and changes with each packet by these dice. */
        uint32_t good_to_bad, bad_to_good; /* permille */
        uint32_t bad_loss;                 /* permille of the packets that are lost while it is bad */
        uint32_t duplicate;                /* permille */
        uint32_t reorder;                  /* permille: held back by several delays */
        uint32_t corrupt;                  /* permille: a bit is changed */
        uint32_t mark;      /* permille: congestion experienced is set in what is ECN capable */
        uint32_t bytes_ms;  /* rate; 0: infinite */
        uint32_t queue_ms;  /* with a rate: longer waiting packets are dropped */
        uint32_t mtu;       /* larger packets are dropped, and the sender is told by ICMP; 0: none */
        uint32_t mtu_later; /* takes its place mtu_later_us after the first packet; 0: never */
        uint64_t mtu_later_us;
        bool mtu_silent; /* no ICMP: a black hole */
        /* In this time after the first packet nothing passes in dead_way (until 0: for ever, from there on). */
        uint64_t dead_from_us, dead_until_us; /* dead_from_us 0: never */
        enum link_way dead_way;
        bool strip_sack, strip_timestamp, strip_scale; /* a middlebox that takes options out of SYNs */
        uint64_t drop_mask; /* bit n: the n-th packet after the first drop_after is dropped */
        uint64_t drop_after;
};

struct link_stats {
        uint64_t packets, lost, duplicated, reordered, corrupted, bad_checksum, marked, too_big;
        uint64_t sent[LINK_WAYS], delivered[LINK_WAYS];
};

enum link_what {
        LINK_NOTHING,
        LINK_PACKET,
        LINK_ICMP,
};

struct sim_link;

/* witness: looks at every packet that goes in and comes out, and says what no endpoint may do; NULL: nobody. */
struct witness;
struct sim_link *link_new(struct rte_mempool *pool, const struct link_profile *profile,
                          struct witness *witness, uint64_t seed, bool trace);
void link_free(struct sim_link *link);

/*
 * Take a packet of an endpoint (a chain perhaps; data at the TCP header, meta src, dst and ecn). is_cut: it is lost,
 * whatever the profile says.
 */
void link_send(struct sim_link *link, struct packet *packet, bool is_cut, uint64_t now_us);

/*
 * What arrives next, by now_us: a packet with a right checksum in *ret_packet, or what an ICMP error quotes in
 * *ret_quote (it is for the endpoint at quote.local), or nothing.
 */
enum link_what link_receive(struct sim_link *link, uint64_t now_us, struct packet **ret_packet,
                            struct tcp_icmp_quote *ret_quote);

/* When the next one arrives; UINT64_MAX: none is on its way. */
uint64_t link_due_us(const struct sim_link *link);

/* Packets that are on their way, each one buffer of the pool. */
uint32_t link_held(const struct sim_link *link);

const struct link_stats *link_stats(const struct sim_link *link);

#endif
