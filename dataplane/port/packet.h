/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet: the one view of rte_mbuf that the parts above port/ have.
 *
 * A packet's bytes may be shared (packet_clone): whoever holds a packet that is_shared may read its bytes and
 * move its edges, never write them. Every function here is safe on a worker; none blocks, none makes a system call.
 */
#ifndef GREYLINE_PORT_PACKET_H
#define GREYLINE_PORT_PACKET_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#include "dataplane/shared/addr.h"

struct packet {
        struct rte_mbuf mbuf;
};

/* What the layers tell each other about a packet; lies in the mbuf's private area. */
struct packet_meta {
        struct addr src;      /* IP source; valid once ip_input() has accepted it, or set for ip_output() */
        struct addr dst;      /* IP destination */
        struct packet *next;  /* link for a queue; owner: whoever holds the packet */
        uint16_t port;        /* index of the port (port.h) it came in by */
        uint16_t vlan;        /* 802.1Q id it came in with, 0: none */
        uint8_t ecn;          /* the two ECN bits of the IP header, in and out */
        uint8_t hops;         /* TTL or hop limit, in */
        uint16_t flags;       /* PACKET_* */
        uint32_t seq;         /* sequence number of the first byte, while a TCP queue holds it */
};
static_assert(sizeof(struct packet_meta) <= 64, "one line of private area a packet");

#define PACKET_L4_CHECKSUM_OK 0x0001u /* in: the device has checked the TCP checksum */
#define PACKET_L4_PSEUDO      0x0002u /* out: the TCP checksum field holds the pseudo header's sum only; port finishes it */
#define PACKET_LEARN_ONLY     0x0004u /* a copy of ARP or ND from another worker: learn from it, do not answer */
#define PACKET_REASSEMBLED    0x0008u /* in: put together from fragments by ip; what may not come in fragments is refused */

#define PACKET_PRIV_BYTES RTE_ALIGN_CEIL(sizeof(struct packet_meta), RTE_MBUF_PRIV_ALIGN)
#define PACKET_HEADROOM   RTE_PKTMBUF_HEADROOM /* 128: room for Ethernet, VLAN, IPv6 and a TCP header */

static inline struct packet_meta *packet_meta(struct packet *packet)
{
        return (struct packet_meta *)(packet + 1);
}

/* A new empty packet, or NULL when the pool is empty. */
static inline struct packet *packet_new(struct rte_mempool *pool)
{
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

        if (mbuf)
                memset(rte_mbuf_to_priv(mbuf), 0, sizeof(struct packet_meta));
        return (struct packet *)mbuf;
}

/* Give up a reference to the packet and all its segments. */
static inline void packet_free(struct packet *packet)
{
        rte_pktmbuf_free(&packet->mbuf);
}

/* Another packet over the same bytes (of one segment), or NULL when the pool is empty. The bytes live until both are freed. */
static inline struct packet *packet_clone(struct packet *packet, struct rte_mempool *pool)
{
        struct packet *clone = packet_new(pool);

        if (clone)
                rte_pktmbuf_attach(&clone->mbuf, &packet->mbuf);
        return clone;
}

static inline bool packet_is_shared(const struct packet *packet)
{
        return rte_mbuf_refcnt_read(&packet->mbuf) > 1 || !RTE_MBUF_DIRECT(&packet->mbuf);
}

/* The first byte and the length of the first segment. */
static inline uint8_t *packet_data(struct packet *packet)
{
        return rte_pktmbuf_mtod(&packet->mbuf, uint8_t *);
}

static inline uint16_t packet_len(const struct packet *packet)
{
        return packet->mbuf.data_len;
}

/* Length over all segments. */
static inline uint32_t packet_total_len(const struct packet *packet)
{
        return packet->mbuf.pkt_len;
}

/* Bytes that packet_append() could still take. */
static inline uint16_t packet_tailroom(const struct packet *packet)
{
        return rte_pktmbuf_tailroom(&packet->mbuf);
}

/* Cut len bytes from the front of the first segment; len <= packet_len(). */
static inline void packet_pull(struct packet *packet, uint16_t len)
{
        rte_pktmbuf_adj(&packet->mbuf, len);
}

/* Keep only the first len bytes of a one-segment packet; len <= packet_len(). */
static inline void packet_trim(struct packet *packet, uint16_t len)
{
        rte_pktmbuf_trim(&packet->mbuf, (uint16_t)(packet->mbuf.data_len - len));
}

/* Room for len bytes in front, or NULL when the headroom is used up. */
static inline uint8_t *packet_prepend(struct packet *packet, uint16_t len)
{
        return (uint8_t *)rte_pktmbuf_prepend(&packet->mbuf, len);
}

/* Room for len bytes at the end of a one-segment packet, or NULL when it does not fit. */
static inline uint8_t *packet_append(struct packet *packet, uint16_t len)
{
        return (uint8_t *)rte_pktmbuf_append(&packet->mbuf, len);
}

/* Chain tail behind head (both keep their bytes); head then owns tail. Returns false when the chain would be too long. */
static inline bool packet_chain(struct packet *head, struct packet *tail)
{
        return rte_pktmbuf_chain(&head->mbuf, &tail->mbuf) == 0;
}

/*
 * Let the port finish the TCP checksum (its field holds the pseudo header's sum): say how long the headers in front of TCP
 * are. Only where the port can (port.h, tx_l4_checksum).
 */
static inline void packet_offload_l4(struct packet *packet, uint16_t l2_len, uint16_t l3_len, bool is_v4)
{
        packet->mbuf.l2_len = l2_len;
        packet->mbuf.l3_len = l3_len;
        packet->mbuf.l4_len = 0;
        packet->mbuf.ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
}

/* All bytes of a chain into its first segment. Returns false when they do not fit; the chain is as it was. */
static inline bool packet_linearize(struct packet *packet)
{
        return rte_pktmbuf_linearize(&packet->mbuf) == 0;
}

/* Bytes that a new packet of this pool can take. */
static inline uint16_t packet_pool_room(struct rte_mempool *pool)
{
        return (uint16_t)(rte_pktmbuf_data_room_size(pool) - PACKET_HEADROOM);
}

/* The next packet of a chain, or NULL. */
static inline struct packet *packet_chained(struct packet *packet)
{
        return (struct packet *)packet->mbuf.next;
}

#endif
