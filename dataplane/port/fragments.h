/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of datagrams that wait for each other, in a small bounded table of one worker. ip/fragment.c has judged
 * each fragment by itself; here it is judged beside the others of its datagram, kept, and put together.
 *
 * DPDK's rte_ip_frag joins the pieces, but only once all are here and fit: in 22.11 it neither sees that pieces overlap
 * nor drops one datagram by itself, refuses the newest when it is full, and finds its entries by a hash that a stranger can
 * compute. So its table is empty between two calls, and the rules are ours:
 *   overlap      no byte may come twice: the whole datagram is given up, what comes of it later too (RFC 5722, RFC 8200
 *                4.5; for IPv4 as well). A fragment that is the same in every byte is a duplicate, and alone is dropped.
 *   time         FRAGMENTS_V6_US after its first fragment came, FRAGMENTS_V4_US, a datagram is given up.
 *   room         FRAGMENTS_DATAGRAMS datagrams, and FRAGMENTS_HELD_MAX packets or a share of the pool: the datagram that
 *                began first makes room.
 *   work         FRAGMENTS_TURN fragments between two calls of fragments_tick(); the rest is dropped.
 *   load         while less than FRAGMENTS_SHORT of the pool's packets is free, none is taken and what is held is let go.
 * Nobody is told of a datagram that was given up (no ICMP "fragment reassembly time exceeded").
 *
 * After fragments_new() nothing allocates but packets from the pool. Times are microseconds of the caller's clock.
 */
#ifndef GREYLINE_PORT_FRAGMENTS_H
#define GREYLINE_PORT_FRAGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/packet.h"
#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"
#include "dataplane/shared/siphash.h"

#define FRAGMENTS_DATAGRAMS  128u /* in the table, those that were given up among them; 250 bytes each */
#define FRAGMENTS_PIECES     8u   /* of one datagram: what rte_ip_frag takes */
#define FRAGMENTS_HELD_MAX   256u /* packets held */
#define FRAGMENTS_HELD_SHARE 16u  /* but no more than this part of the pool */
#define FRAGMENTS_SHORT      8u   /* the part of the pool that must be free */
#define FRAGMENTS_TURN       32u
#define FRAGMENTS_V6_US      60000000u /* RFC 8200 4.5 */
/*
 * RFC 1122 3.3.2 recommends 60 to 120 s. What TCP loses is on its way again after a second or a few, as another datagram,
 * and an id of 16 bits comes again soon (RFC 4963): what is late here is of no use, and a danger.
 */
#define FRAGMENTS_V4_US      15000000u

struct fragments;

/* A fragment, as its headers say. */
struct fragment {
        struct addr src;
        struct addr dst;
        uint32_t id;
        /* IPv4: of the header, and part of what names the datagram. IPv6: the fragment header's next header */
        uint8_t protocol;
        uint8_t ecn;     /* the two ECN bits */
        bool has_more;   /* not the last one; len is a multiple of 8 then */
        uint16_t offset; /* bytes, a multiple of 8 */
        uint16_t len;    /* bytes, at least 1; offset + len fits into 16 bits */
        /* the IP header (20 or 40 bytes), read during the call, and only where offset is 0 */
        const uint8_t *header;
};

enum fragments_verdict {
        FRAGMENTS_KEPT,  /* the packet has been taken */
        FRAGMENTS_WHOLE, /* the packet has been taken, and the datagram is in *ret_whole */
        /* the packet is still the caller's: */
        FRAGMENTS_DUPLICATE, /* the same fragment is held already */
        FRAGMENTS_OVERLAP,   /* overlaps another, or contradicts where the datagram ends */
        FRAGMENTS_LARGE,     /* more than FRAGMENTS_PIECES, or more bytes than a packet has room for */
        FRAGMENTS_ECN,       /* one says that it met congestion, another that it cannot say so (RFC 3168 5.3) */
        FRAGMENTS_LOAD,      /* no room, no packets, or too many in this turn */
};

/*
 * pool      where datagrams are put together, and whose packets the bounds are about; outlives the table.
 * counters  the worker's row: fragments_*, datagrams_joined and ip_no_packet are counted here.
 * Allocates, EAL memory too. Returns NULL without memory.
 */
struct fragments *fragments_new(struct rte_mempool *pool, uint64_t *counters, const struct siphash_key *key);

/* Frees every packet held. NULL is allowed. */
void fragments_free(struct fragments *fragments);

/*
 * Take one fragment. packet: its data is the fragment's payload, len bytes in one segment; only read. ret_whole is set on
 * FRAGMENTS_WHOLE only: one segment, the IP header that the first fragment had (IPv4: 20 bytes, length and offset put
 * right, checksum zero; IPv6: no fragment header), then the payload; its meta is empty but for ecn, the bits of all
 * fragments as one. Safe on a worker.
 */
enum fragments_verdict fragments_add(struct fragments *fragments, struct packet *packet,
                                     const struct fragment *fragment, uint64_t now_us,
                                     struct packet **ret_whole);

/* A turn begins: let go what is too old. Bounded work. */
void fragments_tick(struct fragments *fragments, uint64_t now_us);

/* When fragments_tick() has something to let go; UINT64_MAX: nothing is held. */
uint64_t fragments_next_due_us(const struct fragments *fragments);

#endif
