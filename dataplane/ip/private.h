/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of ip/ share with each other and with nobody else.
 *
 * A handler of a received packet returns a verdict and neither frees nor keeps the packet: ip_input() alone does. The one
 * exception are fragments, which say so in the frame (is_kept).
 * An answer is always a packet of its own. A sender that returns IP_SENT has taken the packet; on a drop its caller still has it.
 */
#ifndef GREYLINE_IP_PRIVATE_H
#define GREYLINE_IP_PRIVATE_H

#include "dataplane/ip/ip.h"
#include "dataplane/ip/neighbor.h"
#include "dataplane/port/fragments.h"
#include "dataplane/port/wire.h"
#include "dataplane/shared/counters.h"

#define IP_HOPS_DEFAULT 64u
#define IP_HOPS_LINK    255u /* what ND demands: it cannot have crossed a router (RFC 4861 6.1) */
#define IP_SECOND_US    1000000u

#define IP_FRAMES_MAX           4096u /* ready frames of one port that nobody has fetched */
#define IP_ICMP_INTERVAL_US     1000u /* echo replies of a worker: 1000 a second, 256 at once */
#define IP_ICMP_BURST           256u
#define IP_CONFLICT_INTERVAL_US (10 * IP_SECOND_US) /* DEFEND_INTERVAL of RFC 5227 */
#define IP_ANNOUNCE_TIMES       3u
#define IP_OWN_SLOTS            2048u /* twice IP_INTERFACES_MAX * IP_ADDRS_MAX */

struct interface {
        struct ip_interface conf;
        struct addr link_local; /* valid where has_v6 */
        bool has_v4;
        bool has_v6;
};

/* An on-link prefix. The masks are compared in two words. */
struct prefix {
        uint64_t net[2];
        uint64_t mask[2];
        uint8_t interface;
        uint8_t len; /* 128-bit form */
};

struct own_addr {
        struct addr addr;
        uint8_t interface; /* index + 1; 0: a free slot */
};

struct frame_queue {
        struct packet *first;
        struct packet *last;
        unsigned count;
};

struct ip {
        struct rte_mempool *pool;
        uint64_t *counters;
        unsigned n_interfaces;
        unsigned n_prefixes;
        struct interface interfaces[IP_INTERFACES_MAX];
        struct prefix prefixes[IP_INTERFACES_MAX * IP_ADDRS_MAX];
        struct own_addr own[IP_OWN_SLOTS];
        struct frame_queue frames[IP_PORTS_MAX];
        struct frame_queue whole; /* put together from fragments */
        struct fragments *fragments;
        struct neighbors neighbors;
        uint64_t icmp_rate_us; /* see rate_take() */
        uint64_t mld_rate_us;
        uint64_t defended_us;     /* when an address was last defended, 0: never */
        uint64_t announce_due_us; /* UINT64_MAX: nothing to announce */
        unsigned announce_left;
        uint16_t ipv4_id;
};

/* What is known about the frame that is being taken in. */
struct frame {
        const struct interface *interface;
        unsigned interface_index;
        const uint8_t *ether_src;
        uint64_t now_us;
        bool is_unicast; /* sent to our MAC address */
        bool learn_only;
        bool is_reassembled;
        bool has_fragment_header; /* it had one: an atomic fragment (RFC 6946), or put together from several */
        bool is_kept;             /* the packet is a fragment that is not ours to free any more */
};

/* --- ip.c: tables made once ---------------------------------------------------------------------------- */

/* The interface that has this configured address, or -1. Link-local addresses are not among them. */
int own_interface(const struct ip *ip, const struct addr *addr);

bool prefix_has(const struct prefix *prefix, const struct addr *addr);

/* Is the address on the link of this interface (a prefix of it, or link-local)? */
bool is_on_link(const struct ip *ip, unsigned interface, const struct addr *addr);

static inline bool is_link_local(const struct addr *addr)
{
        return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

static inline bool is_zero(const struct addr *addr)
{
        static const struct addr zero;

        return addr_is_equal(addr, &zero);
}

/* Is this an address of ours at that interface, its link-local one among them? */
bool is_ours_at(const struct ip *ip, unsigned interface, const struct addr *addr);

/*
 * A token of a bucket that refills by one each interval and holds `burst`; *when_us is its only state, 0 at first (a generic
 * cell rate algorithm: the time at which the bucket would be full again).
 */
bool rate_take(uint64_t *when_us, uint64_t now_us, uint64_t interval_us, unsigned burst);

/* Somebody else claims one of our addresses: count, and announce ours again at most every 10 s (RFC 5227 2.4 c). */
void own_addr_conflict(struct ip *ip, const struct frame *frame);

/* --- ether.c ------------------------------------------------------------------------------------------- */

/* Prepend Ethernet (and the VLAN tag), and put the frame in the port's queue. */
enum ip_verdict ether_send(struct ip *ip, unsigned interface, struct packet *packet, const uint8_t mac[6],
                           uint16_t ethertype);

void frame_queue_push(struct frame_queue *queue, struct packet *packet);
unsigned frame_queue_pop(struct frame_queue *queue, struct packet **ret, unsigned max);

/* The end of a packet that we made ourselves: on any other verdict than IP_SENT it is counted and freed. */
void finish_own(struct ip *ip, struct packet *packet, enum ip_verdict verdict);

/* An empty packet for an answer, or NULL, counted. */
struct packet *answer_new(struct ip *ip);

/* Count a drop. */
void count_drop(struct ip *ip, enum ip_verdict verdict);

/* --- ipv4.c, ipv6.c ------------------------------------------------------------------------------------- */

enum ip_verdict ipv4_input(struct ip *ip, struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error);
enum ip_verdict ipv6_input(struct ip *ip, struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error);

/* Where a walk along IPv6 headers is. */
struct walk {
        uint8_t protocol; /* of the header that comes next */
        uint16_t offset;  /* of it in the packet */
        uint8_t walked;   /* headers */
        bool has_fragment_header;
};

/*
 * Walk the extension headers from where ret is to the upper layer, or to the header of a fragment that is not atomic:
 * protocol is WIRE_FRAGMENT then, and its 8 bytes are there. bytes: len of them, from the IPv6 header on. Bounded, and no further
 * than steer_frame() walks, so that both agree whose packet it is. Returns IP_DONE, or on malformed ones IP_DROP_EXTENSION;
 * on those that go on behind the end, is_cut.
 */
enum ip_verdict ipv6_walk(const uint8_t *bytes, uint16_t len, struct walk *ret, enum ip_verdict is_cut);

/* Prepend an IP header to a packet whose data begins at its L4 header. src and dst are of the header's family. Returns false: no room. */
bool ipv4_push(struct ip *ip, struct packet *packet, const struct addr *src, const struct addr *dst,
               uint8_t protocol, uint8_t ecn);
bool ipv6_push(struct packet *packet, const struct addr *src, const struct addr *dst, uint8_t protocol,
               uint8_t hops, uint8_t ecn);

/* The checks of a source address that both families share: not ours, and not of another interface's link. */
enum ip_verdict source_check(const struct ip *ip, unsigned interface, const struct addr *src);

/* The common end of a received TCP segment: data begins at its TCP header. */
enum ip_verdict tcp_segment_check(struct packet *packet);

/* --- fragment.c ---------------------------------------------------------------------------------------------- */

/* A fragment; its addresses are in meta and were checked. The data begins at the IPv4 header, whose options were checked too. */
enum ip_verdict fragment4_input(struct ip *ip, struct frame *frame, struct packet *packet);

/* The data begins at the IPv6 header; walk is at the fragment header. */
enum ip_verdict fragment6_input(struct ip *ip, struct frame *frame, struct packet *packet,
                                const struct walk *walk);

/* --- output.c ------------------------------------------------------------------------------------------- */

/* Send a packet whose data begins at its IP header to dst by this interface: next hop, neighbour, Ethernet. */
enum ip_verdict route_send(struct ip *ip, unsigned interface, struct packet *packet, const struct addr *dst,
                           uint64_t now_us);

/* --- icmp.c, icmp6.c -------------------------------------------------------------------------------------- */

/* Data begins at the ICMP header; the checksum is checked here. */
enum ip_verdict icmp_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error);
enum ip_verdict icmp6_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                            struct ip_icmp_error *ret_error);

/* Ports and seq of the TCP header that an error quotes, 8 readable bytes; local and remote are the quoted source and destination. */
void icmp_quote_tcp(const uint8_t *tcp, struct ip_icmp_error *error);

/* Answer an echo request: the same bytes, with another type. */
enum ip_verdict icmp_echo(struct ip *ip, const struct frame *frame, struct packet *packet,
                          uint8_t reply_type);

/* --- arp.c, nd.c, mld.c: questions go out by the interface's port ------------------------------------------- */

enum ip_verdict arp_input(struct ip *ip, const struct frame *frame, struct packet *packet);
void arp_ask(struct ip *ip, unsigned interface, const struct addr *target, const uint8_t *mac);
void arp_announce(struct ip *ip, unsigned interface, const struct addr *addr);

enum ip_verdict nd_input(struct ip *ip, const struct frame *frame, struct packet *packet);
void nd_ask(struct ip *ip, unsigned interface, const struct addr *target, const uint8_t *mac);
void nd_announce(struct ip *ip, unsigned interface, const struct addr *addr);

/* The multicast group and MAC address at which a neighbour listens for questions about its address (RFC 4291 2.7.1). */
struct addr nd_solicited_node(const struct addr *target);
void nd_multicast_mac(const struct addr *group, uint8_t ret[6]);

/* Tell switches that we listen to our solicited-node groups (RFC 3810), or they will not forward questions to us. */
void mld_report(struct ip *ip, unsigned interface, bool is_answer);

#endif
