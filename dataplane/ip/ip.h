/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP as one worker sees it: Ethernet, VLAN, ARP, ND, IPv4, IPv6, ICMP, fragments. Knows no TCP but its checksum, how
 * long its header is, and where its ports lie in a quoted one.
 *
 * Called by the worker: ip_input() for each received frame, ip_next_whole() for what fragments have become,
 * ip_output() for each segment that tcp gives,
 * ip_next_frames() to fetch what is ready to send, ip_tick() when due. Answers that the layer makes by itself (ARP,
 * ND, echo) wait in the same queues as segments. Everything is one worker's own: no locks; workers learn from
 * each other's ARP and ND by copies marked PACKET_LEARN_ONLY. After ip_new(), nothing allocates (packets come from
 * the pool), nothing blocks, every table and queue is bounded.
 *
 * Strong host model (RFC 1122 3.3.4.2): a packet is for us only at the interface that has its destination
 * address, and leaves by the interface that has its source address. So traffic cannot cross from the clients'
 * side to the backends' side even when somebody forges addresses.
 *
 * Times are microseconds of any clock that only goes forward.
 */
#ifndef GREYLINE_IP_IP_H
#define GREYLINE_IP_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/packet.h"
#include "dataplane/shared/addr.h"
#include "dataplane/shared/bug.h"
#include "dataplane/shared/siphash.h"

#define IP_INTERFACES_MAX 16u
#define IP_ADDRS_MAX      64u /* of one interface */
#define IP_PORTS_MAX      8u  /* as PORT_MAX */
#define IP_WHOLE_MAX      32u /* datagrams put together that nobody has taken */

struct ip_addr {
        struct addr addr;
        uint8_t prefix_len; /* in the 128-bit form: an IPv4 /24 is 120 */
};

/* One port, or one VLAN of a port. */
struct ip_interface {
        uint16_t port; /* index of the port, below IP_PORTS_MAX */
        uint16_t vlan; /* 802.1Q id, 0: untagged */
        uint16_t mtu;  /* 1280 to 9000 */
        uint8_t mac[6];
        bool tx_l4_checksum; /* the port finishes TCP checksums (port.h) */
        uint8_t n_addrs;
        /* a link-local IPv6 address is added by itself where there is an IPv6 one */
        struct ip_addr addrs[IP_ADDRS_MAX];
        struct addr gateway4; /* all zero: none; must be on-link */
        struct addr gateway6; /* all zero: none; on-link or link-local */
};

struct ip_settings {
        struct rte_mempool *pool;              /* for ARP, ND and the like */
        uint64_t *counters;                    /* this worker's row (counters.h) */
        const struct ip_interface *interfaces; /* copied */
        unsigned n_interfaces;                 /* 1 to IP_INTERFACES_MAX */
        /* entries of the neighbour table, rounded up to a power of two, at least 64; 0: 65536 (5 MB) */
        unsigned neighbors;
        struct siphash_key hash_key; /* random */
        bool announce;               /* this worker announces the addresses at start (worker 0 does) */
};

struct ip;

/* Allocates. ret is set only on success. Returns 0, -EINVAL (settings contradict themselves) or -ENOMEM. */
int ip_new(struct ip **ret, const struct ip_settings *settings, uint64_t now_us) MUST_CHECK;

/* Frees every packet it holds. */
void ip_free(struct ip *ip);

/*
 * The drops of ip_input() and ip_output(). Each is a counter: IP_DROP_SOURCE is "ip_drop_source".
 */
enum ip_verdict {
        IP_TCP,        /* a TCP segment for one of our addresses: the caller owns the packet */
        IP_ICMP_ERROR, /* an ICMP error about a TCP segment of ours: *ret_error is set, the packet is freed */
        IP_DONE,       /* consumed: an answer may have been queued, something learned */
        IP_SENT,       /* ip_output(): the frame is ready, or waits for its neighbour's answer */

        IP_DROP_ETHER_SHORT,       /* shorter than its Ethernet header, or in several segments */
        IP_DROP_ETHER_DESTINATION, /* not our MAC address */
        IP_DROP_ETHER_SOURCE,      /* a multicast, zero or own source MAC address */
        IP_DROP_VLAN,              /* a VLAN that has no interface */
        IP_DROP_ETHERTYPE,         /* neither ARP, IPv4 nor IPv6 */
        IP_DROP_HEADER,            /* IP version, header length or total length wrong */
        IP_DROP_HEADER_CHECKSUM,   /* IPv4 header checksum wrong */
        IP_DROP_OPTIONS,           /* source route, or malformed options */
        /* IPv6 extension headers malformed, too many, or demanding to be understood */
        IP_DROP_EXTENSION,
        IP_DROP_FRAGMENT,           /* a fragment that is malformed, or of what may not be fragmented */
        IP_DROP_FRAGMENT_TINY,      /* headers missing from a first fragment, or another one that would hold them */
        IP_DROP_FRAGMENT_OVERLAP,   /* these five: see port/fragments.h */
        IP_DROP_FRAGMENT_DUPLICATE,
        IP_DROP_FRAGMENT_LARGE,
        IP_DROP_FRAGMENT_ECN,
        IP_DROP_FRAGMENT_LOAD,
        /* a source address that cannot be (multicast, loopback, broadcast, our own) */
        IP_DROP_SOURCE,
        IP_DROP_INTERFACE,   /* a source address that lives on another of our interfaces */
        IP_DROP_NOT_OURS,    /* a destination address that is not ours at this interface */
        IP_DROP_PROTOCOL,    /* neither TCP nor ICMP */
        IP_DROP_L4_CHECKSUM, /* TCP, ICMP or ICMPv6 checksum wrong */
        IP_DROP_L4_SHORT,    /* too short for its TCP or ICMP header */
        IP_DROP_ICMP,        /* an ICMP message that we have no use for, or malformed */
        IP_DROP_ICMP_RATE,   /* an answer beyond the rate of ICMP answers */
        IP_DROP_ARP,         /* ARP malformed, or not about us */
        IP_DROP_ND,          /* ND malformed, hop limit not 255, or not about us */
        /* ip_output(): source is not ours, or destination off-link without a gateway */
        IP_DROP_NO_ROUTE,
        IP_DROP_TOO_LONG, /* ip_output(): longer than the MTU, or no room for the headers */
        /* ip_output(): the neighbour does not answer, or too many packets wait for it */
        IP_DROP_UNRESOLVED,
        IP_DROP_QUEUE_FULL, /* ip_output(): nobody fetches the frames */
        IP_VERDICTS,
};

enum ip_icmp_kind {
        IP_ICMP_TOO_BIG,          /* fragmentation needed, or packet too big: see mtu */
        IP_ICMP_UNREACHABLE_HARD, /* port or protocol unreachable, or administratively prohibited */
        IP_ICMP_UNREACHABLE_SOFT, /* network or host unreachable, hop limit exceeded */
};

/* An ICMP error and the TCP segment of ours that it quotes. Nothing here is proven: believe it only with a live seq (RFC 5927). */
struct ip_icmp_error {
        enum ip_icmp_kind kind;
        /* TOO_BIG only, at least 68 or 1280: as the router says it, or a guess below the quoted packet's length */
        uint16_t mtu;
        struct addr local;
        struct addr remote;
        uint16_t local_port; /* host order */
        uint16_t remote_port;
        uint32_t seq; /* of the quoted segment, host order */
};

/*
 * Take one frame (data begins at the Ethernet header; meta as burst_rx() sets it).
 * On IP_TCP the packet is the caller's: its data begins at the TCP header and ends with the segment, its
 * checksum was right, and meta src, dst, ecn and hops are set. On every other verdict the packet has been taken.
 * ret_error is set on IP_ICMP_ERROR only. A packet marked PACKET_LEARN_ONLY only teaches: IP_DONE or a drop. Drops are counted here.
 */
enum ip_verdict ip_input(struct ip *ip, struct packet *packet, uint64_t now_us,
                         struct ip_icmp_error *ret_error);

/*
 * Take up to max frames that were put together from the fragments that ip_input() was given; the caller owns them. They are
 * frames as burst_rx() gives them, marked PACKET_REASSEMBLED: they go to the worker that owns them, to its ip_input().
 * Returns how many. What nobody takes is bounded: IP_WHOLE_MAX, then IP_DROP_FRAGMENT_LOAD.
 */
unsigned ip_next_whole(struct ip *ip, struct packet **ret, unsigned max);

/*
 * Send one TCP segment: data begins at the TCP header (chains are fine, the first segment is not shared), meta src
 * and dst set, ecn the bits to send. The packet is always taken. The checksum is complete, or with
 * PACKET_L4_PSEUDO the field holds the folded, not inverted sum of the pseudo header (rte_ipv4_phdr_cksum).
 * Returns IP_SENT or a drop, counted here.
 */
enum ip_verdict ip_output(struct ip *ip, struct packet *packet, uint64_t now_us);

/* Take up to max frames that are ready for this port; the caller owns them. Returns how many. */
unsigned ip_next_frames(struct ip *ip, uint16_t port, struct packet **ret, unsigned max);

/* Retry unanswered questions, give up on the dead and on fragments without the rest, announce. Once a turn. Bounded work. */
void ip_tick(struct ip *ip, uint64_t now_us);

/* When ip_tick() wants to be called next; UINT64_MAX: not before the next packet. */
uint64_t ip_next_due_us(const struct ip *ip);

/* Announce every address (gratuitous ARP, unsolicited NA), now and twice more a second apart: after a takeover. */
void ip_announce(struct ip *ip, uint64_t now_us);

/* Is this one of our addresses, at any interface? */
bool ip_is_ours(const struct ip *ip, const struct addr *addr);

/*
 * The MTU of the interface that has this address of ours, in ret_mtu. Returns false when the address is not ours.
 */
bool ip_path_mtu(const struct ip *ip, const struct addr *local, uint16_t *ret_mtu);

#endif
