/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Neighbour discovery (RFC 4861 7): solicitations for our addresses are answered, advertisements teach.
 * Router advertisements and redirects are not read: routes are the operator's.
 *
 * We do not look for duplicates before using an address (RFC 4862 5.4): an address that is taken over must work at once.
 * One that somebody else claims is counted and defended.
 */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

#define ND_BYTES        24u /* of the ICMPv6 message without options */
#define ND_OPTION_BYTES 8u  /* a link-layer address option */

enum nd_option {
        ND_SOURCE_ADDRESS = 1,
        ND_TARGET_ADDRESS = 2,
};

#define ND_SOLICITED 0x40u
#define ND_OVERRIDE  0x20u

static const struct addr all_nodes = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } };

struct addr nd_solicited_node(const struct addr *target)
{
        struct addr group = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff } };

        memcpy(group.bytes + 13, target->bytes + 13, 3);
        return group;
}

void nd_multicast_mac(const struct addr *group, uint8_t ret[6])
{
        ret[0] = ret[1] = 0x33; /* RFC 2464 7 */
        memcpy(ret + 2, group->bytes + 12, 4);
}

/* Send a solicitation or an advertisement, with our MAC address as its option. */
static void nd_send(struct ip *ip, unsigned interface, uint8_t type, uint8_t flags, const struct addr *src,
                    const struct addr *dst, const struct addr *target, const uint8_t mac[6])
{
        const uint16_t len = ND_BYTES + ND_OPTION_BYTES;
        struct packet *packet = answer_new(ip);
        uint16_t checksum;
        uint8_t *icmp;

        if (!packet)
                return;
        icmp = packet_append(packet, len);
        if (!icmp) {
                packet_free(packet);
                return;
        }
        memset(icmp, 0, len);
        icmp[0] = type;
        icmp[4] = flags;
        memcpy(icmp + 8, target->bytes, 16);
        icmp[ND_BYTES] = type == WIRE_ICMP6_SOLICIT ? ND_SOURCE_ADDRESS : ND_TARGET_ADDRESS;
        icmp[ND_BYTES + 1] = 1; /* in units of 8 bytes */
        memcpy(icmp + ND_BYTES + 2, ip->interfaces[interface].conf.mac, 6);
        checksum = checksum_finish(checksum_add(checksum_pseudo(src, dst, WIRE_ICMP6, len), icmp, len));
        memcpy(icmp + 2, &checksum, 2);
        finish_own(ip, packet,
                   ipv6_push(packet, src, dst, WIRE_ICMP6, IP_HOPS_LINK, 0)
                       ? ether_send(ip, interface, packet, mac, WIRE_ETHERTYPE_IPV6)
                       : IP_DROP_TOO_LONG);
}

void nd_ask(struct ip *ip, unsigned interface, const struct addr *target, const uint8_t *mac)
{
        const struct addr *src = &ip->interfaces[interface].link_local;
        struct addr group = nd_solicited_node(target);
        uint8_t group_mac[6];

        nd_multicast_mac(&group, group_mac);
        nd_send(ip, interface, WIRE_ICMP6_SOLICIT, 0, src, mac ? target : &group, target,
                mac ? mac : group_mac);
}

void nd_announce(struct ip *ip, unsigned interface, const struct addr *addr)
{
        uint8_t mac[6];

        nd_multicast_mac(&all_nodes, mac);
        nd_send(ip, interface, WIRE_ICMP6_ADVERTISE, ND_OVERRIDE, addr, &all_nodes, addr, mac);
}

/* The link-layer address option of this kind, or NULL in *ret_mac. Returns false when the options are malformed. */
static bool find_option(const uint8_t *options, unsigned len, enum nd_option wanted, const uint8_t **ret_mac)
{
        *ret_mac = NULL;
        for (unsigned at = 0; at < len;) {
                unsigned option_len;

                if (len - at < 2)
                        return false;
                option_len = options[at + 1] * 8u;
                if (option_len == 0 || option_len > len - at)
                        return false;
                if (options[at] == wanted && option_len == ND_OPTION_BYTES && !*ret_mac)
                        *ret_mac = options + at + 2;
                at += option_len;
        }
        return !*ret_mac || !((*ret_mac)[0] & 1);
}

static enum ip_verdict solicit_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                                     const struct addr *target)
{
        const struct packet_meta *meta = packet_meta(packet);
        const uint8_t *icmp = packet_data(packet), *mac;
        struct addr group;
        uint8_t all_mac[6];

        if (!find_option(icmp + ND_BYTES, packet_len(packet) - ND_BYTES, ND_SOURCE_ADDRESS, &mac))
                return IP_DROP_ND;
        if (mac && !is_zero(&meta->src))
                neighbor_learn(ip, frame->interface_index, &meta->src, mac, NEIGHBOR_OVERRIDES,
                               frame->now_us);
        if (!is_ours_at(ip, frame->interface_index, target))
                return frame->learn_only ? IP_DONE : IP_DROP_ND;
        group = nd_solicited_node(target);
        if (!addr_is_equal(&meta->dst, &group) && (is_zero(&meta->src) || !addr_is_equal(&meta->dst, target)))
                return IP_DROP_ND;
        if (is_zero(&meta->src)) {
                /* Somebody is about to take our address; everybody hears that it is ours (RFC 4861 7.2.4). */
                if (mac)
                        return IP_DROP_ND;
                nd_multicast_mac(&all_nodes, all_mac);
                if (!frame->learn_only)
                        nd_send(ip, frame->interface_index, WIRE_ICMP6_ADVERTISE, ND_OVERRIDE, target,
                                &all_nodes, target, all_mac);
                return IP_DONE;
        }
        if (!frame->learn_only)
                nd_send(ip, frame->interface_index, WIRE_ICMP6_ADVERTISE, ND_SOLICITED | ND_OVERRIDE, target,
                        &meta->src, target, mac ? mac : frame->ether_src);
        return IP_DONE;
}

static enum ip_verdict advertise_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                                       const struct addr *target)
{
        const struct packet_meta *meta = packet_meta(packet);
        const uint8_t *icmp = packet_data(packet), *mac;
        bool is_multicast = meta->dst.bytes[0] == 0xff, is_solicited = (icmp[4] & ND_SOLICITED) != 0;

        if (is_zero(&meta->src) || (is_multicast && is_solicited) ||
            !find_option(icmp + ND_BYTES, packet_len(packet) - ND_BYTES, ND_TARGET_ADDRESS, &mac))
                return IP_DROP_ND;
        if (is_ours_at(ip, frame->interface_index, target)) {
                own_addr_conflict(ip, frame);
                return IP_DONE;
        }
        if (!mac && is_solicited)
                mac = frame->ether_src; /* an answer to a unicast question may leave the option out */
        if (mac)
                neighbor_learn(ip, frame->interface_index, target, mac,
                               ((icmp[4] & ND_OVERRIDE) ? NEIGHBOR_OVERRIDES : 0) |
                                   (is_solicited ? NEIGHBOR_ANSWERS : 0),
                               frame->now_us);
        return IP_DONE;
}

enum ip_verdict nd_input(struct ip *ip, const struct frame *frame, struct packet *packet)
{
        const uint8_t *icmp = packet_data(packet);
        struct addr target;

        /* RFC 4861 7.1.1, 7.1.2; no fragment header: RFC 6980. */
        if (packet_meta(packet)->hops != IP_HOPS_LINK || icmp[1] != 0 || packet_len(packet) < ND_BYTES ||
            frame->has_fragment_header)
                return IP_DROP_ND;
        memcpy(target.bytes, icmp + 8, 16);
        /* The IPv4-mapped form is how we keep IPv4 addresses: of those, ours or a neighbour's, only ARP may speak. */
        if (target.bytes[0] == 0xff || addr_is_v4(&target))
                return IP_DROP_ND;
        return icmp[0] == WIRE_ICMP6_SOLICIT ? solicit_input(ip, frame, packet, &target)
                                             : advertise_input(ip, frame, packet, &target);
}
