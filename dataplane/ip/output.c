/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out. A packet leaves by the interface that has its source address: to a neighbour when the
 * destination is on that link, else to that interface's gateway.
 *
 * Answers follow this table too; they are not reflected to the MAC address that a packet came from. Reflection would
 * spare a question when a flood of new on-link addresses arrives, but it would let anybody on the link point a
 * conversation at a MAC address of his choice, and a router that comes back with another one would be lost until each
 * connection had spoken. Clients behind a router cost no question at all: the gateway is kept resolved.
 */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

enum ip_verdict route_send(struct ip *ip, unsigned interface, struct packet *packet, const struct addr *dst,
                           uint64_t now_us)
{
        const struct interface *at = &ip->interfaces[interface];
        const struct addr *hop = dst;

        if (!is_on_link(ip, interface, dst)) {
                hop = addr_is_v4(dst) ? &at->conf.gateway4 : &at->conf.gateway6;
                if (is_zero(hop))
                        return IP_DROP_NO_ROUTE;
        }
        return neighbor_send(ip, interface, hop, packet, now_us);
}

static bool is_sendable_destination(const struct ip *ip, const struct addr *dst)
{
        bool is_multicast = addr_is_v4(dst)
                                ? dst->bytes[12] >= 224 || dst->bytes[12] == 127 || dst->bytes[12] == 0
                                : dst->bytes[0] == 0xff || is_zero(dst);

        return !is_multicast && own_interface(ip, dst) < 0;
}

/* Complete the checksum of a segment whose field holds the pseudo header's sum: by the port where it can, else here. */
static void finish_checksum(const struct interface *at, struct packet *packet, bool is_v4)
{
        uint8_t *tcp = packet_data(packet);
        uint16_t checksum;

        if (at->conf.tx_l4_checksum) {
                packet_offload_l4(packet,
                                  (uint16_t)(WIRE_ETHER_BYTES + (at->conf.vlan ? WIRE_VLAN_BYTES : 0)),
                                  is_v4 ? WIRE_IPV4_BYTES : WIRE_IPV6_BYTES, is_v4);
                return;
        }
        checksum = checksum_finish(checksum_packet(0, packet));
        memcpy(tcp + 16, &checksum, 2);
}

static enum ip_verdict output(struct ip *ip, struct packet *packet, uint64_t now_us)
{
        struct packet_meta *meta = packet_meta(packet);
        struct addr src = meta->src, dst = meta->dst;
        bool is_v4 = addr_is_v4(&src), has_room;
        int interface = own_interface(ip, &src);
        const struct interface *at;

        BUG_ON_HOT(packet_len(packet) < WIRE_TCP_BYTES || packet_is_shared(packet));
        if (interface < 0 || is_v4 != addr_is_v4(&dst) || !is_sendable_destination(ip, &dst))
                return IP_DROP_NO_ROUTE;
        at = &ip->interfaces[interface];
        if (packet_total_len(packet) + (is_v4 ? WIRE_IPV4_BYTES : WIRE_IPV6_BYTES) > at->conf.mtu)
                return IP_DROP_TOO_LONG;
        if (meta->flags & PACKET_L4_PSEUDO)
                finish_checksum(at, packet, is_v4);
        has_room = is_v4 ? ipv4_push(ip, packet, &src, &dst, WIRE_TCP, meta->ecn)
                         : ipv6_push(packet, &src, &dst, WIRE_TCP, IP_HOPS_DEFAULT, meta->ecn);
        if (!has_room)
                return IP_DROP_TOO_LONG;
        return route_send(ip, (unsigned)interface, packet, &dst, now_us);
}

enum ip_verdict ip_output(struct ip *ip, struct packet *packet, uint64_t now_us)
{
        enum ip_verdict verdict = output(ip, packet, now_us);

        finish_own(ip, packet, verdict);
        return verdict;
}
