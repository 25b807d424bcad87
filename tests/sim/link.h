/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network in simulated time: packets go in, and come out later, twice, changed or never, by dice from a
 * seed. Every packet is copied on its way in, so that no end ever holds memory of another; the checksum of
 * what comes out is verified as the IP layer would.
 */
#ifndef GREYLINE_SIM_LINK_H
#define GREYLINE_SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/packet.h"

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

struct link_profile {
        uint32_t delay_us, jitter_us;
        uint32_t loss;       /* permille, each packet */
        uint32_t burst;      /* permille, a burst of losses begins */
        uint32_t burst_len;  /* packets */
        uint32_t duplicate;  /* permille */
        uint32_t reorder;    /* permille: held back by several delays */
        uint32_t corrupt;    /* permille: a bit is changed */
        uint32_t bytes_ms;   /* rate; 0: infinite */
        uint32_t queue_ms;   /* with a rate: longer waiting packets are dropped */
        uint32_t mtu;        /* larger packets are dropped without a word; 0: none */
        bool strip_sack, strip_timestamp, strip_scale; /* a middlebox that takes options out of SYNs */
        uint64_t drop_mask;  /* bit n: the n-th packet of the run is dropped (the first 64) */
};

struct link_stats {
        uint64_t packets, lost, duplicated, reordered, corrupted, bad_checksum;
};

struct sim_link;

struct sim_link *link_new(struct rte_mempool *pool, const struct link_profile *profile, uint64_t seed, bool trace);
void link_free(struct sim_link *link);

/* Take a packet of an endpoint (a chain perhaps; data at the TCP header, meta src and dst). */
void link_send(struct sim_link *link, struct packet *packet, uint64_t now_us);

/* The next packet that arrives by now_us with a right checksum, or NULL. */
struct packet *link_receive(struct sim_link *link, uint64_t now_us);

/* When the next one arrives; UINT64_MAX: none is on its way. */
uint64_t link_due_us(const struct sim_link *link);

const struct link_stats *link_stats(const struct sim_link *link);

#endif
