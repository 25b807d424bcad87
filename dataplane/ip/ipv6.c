/* SPDX-License-Identifier: Apache-2.0 */
/* The IPv6 header and its extension headers: checked on the way in (RFC 8200, 4291, 6946, 5095), built on the way out. */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

enum ipv6_option {
        OPTION_PAD1 = 0,
};

/* Not 0: one who does not know the option must discard the packet (RFC 8200 4.2). */
#define OPTION_ACTION 0xc0u

/* We know no option, and none of those in use asks to be known. */
static bool are_options_harmless(const uint8_t *options, unsigned len)
{
        for (unsigned at = 0; at < len;) {
                if (options[at] == OPTION_PAD1) {
                        at++;
                        continue;
                }
                if (at + 1 >= len || options[at + 1] > len - at - 2 || (options[at] & OPTION_ACTION) != 0)
                        return false;
                at += 2u + options[at + 1];
        }
        return true;
}

enum ip_verdict ipv6_walk(const uint8_t *bytes, uint16_t len, struct walk *ret, enum ip_verdict is_cut)
{
        struct walk walk = *ret;

        for (;; walk.walked++) {
                const uint8_t *header = bytes + walk.offset;
                unsigned left = len - walk.offset, header_len;

                switch (walk.protocol) {
                case WIRE_HOP_BY_HOP:
                        if (walk.walked > 0)
                                return IP_DROP_EXTENSION; /* only as the first one */
                        break;
                case WIRE_DESTINATION:
                case WIRE_ROUTING:
                case WIRE_FRAGMENT:
                        break;
                default:
                        *ret = walk;
                        return IP_DONE;
                }
                if (walk.walked == WIRE_IPV6_HEADERS_MAX)
                        return IP_DROP_EXTENSION;
                if (left < 8)
                        return is_cut;
                header_len = walk.protocol == WIRE_FRAGMENT ? 8 : (header[1] + 1u) * 8u;
                if (header_len > left)
                        return is_cut;
                if (walk.protocol == WIRE_FRAGMENT) {
                        walk.has_fragment_header = true;
                        if ((wire_load16(header + 2) & WIRE_IPV6_OFFSET_MORE) != 0) {
                                *ret = walk;
                                return IP_DONE;
                        }
                } else if (walk.protocol == WIRE_ROUTING) {
                        if (header[3] != 0)
                                return IP_DROP_EXTENSION; /* we route for nobody (RFC 5095 for type 0) */
                } else if (!are_options_harmless(header + 2, header_len - 2)) {
                        return IP_DROP_EXTENSION;
                }
                walk.protocol = header[0];
                walk.offset = (uint16_t)(walk.offset + header_len);
        }
}

/* Unspecified, loopback, IPv4-mapped and -compatible (they would be taken for IPv4 addresses further up), multicast. */
static bool is_possible(const struct addr *addr)
{
        static const uint8_t zero[10];

        if (memcmp(addr->bytes, zero, sizeof(zero)) != 0)
                return true;
        return (addr->bytes[10] | addr->bytes[11]) != 0 && !addr_is_v4(addr);
}

/* May this ICMPv6 packet be for us: one of our addresses, all nodes, or a solicited-node group (ND checks whose). */
static bool is_icmp6_destination(const struct ip *ip, const struct frame *frame, const struct addr *dst)
{
        static const uint8_t solicited[13] = { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
        static const struct addr all_nodes = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 } };

        return is_ours_at(ip, frame->interface_index, dst) || addr_is_equal(dst, &all_nodes) ||
               memcmp(dst->bytes, solicited, sizeof(solicited)) == 0;
}

static enum ip_verdict check_addresses(const struct ip *ip, const struct frame *frame,
                                       const struct packet_meta *meta, uint8_t protocol)
{
        bool is_unspecified = is_zero(&meta->src);

        if (addr_is_v4(&meta->dst))
                return IP_DROP_NOT_OURS; /* an IPv4 address of ours in the form in which we keep it */
        if (protocol == WIRE_ICMP6) {
                if (!is_icmp6_destination(ip, frame, &meta->dst))
                        return IP_DROP_NOT_OURS;
        } else if (own_interface(ip, &meta->dst) != (int)frame->interface_index || !frame->is_unicast) {
                return IP_DROP_NOT_OURS;
        }
        /* Somebody who looks whether his address is free asks from the unspecified one (RFC 4862 5.4.2). */
        if (is_unspecified && protocol == WIRE_ICMP6 && meta->hops == IP_HOPS_LINK)
                return IP_DONE;
        if (!is_possible(&meta->src) || meta->src.bytes[0] == 0xff ||
            (is_link_local(&meta->src) && addr_is_equal(&meta->src, &frame->interface->link_local)))
                return IP_DROP_SOURCE;
        return is_link_local(&meta->src) ? IP_DONE : source_check(ip, frame->interface_index, &meta->src);
}

enum ip_verdict ipv6_input(struct ip *ip, struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error)
{
        struct packet_meta *meta = packet_meta(packet);
        const uint8_t *header = packet_data(packet);
        struct walk walk = { .offset = WIRE_IPV6_BYTES };
        enum ip_verdict verdict;
        uint32_t total_len;

        if (packet_len(packet) < WIRE_IPV6_BYTES || header[0] >> 4 != 6)
                return IP_DROP_HEADER;
        total_len = WIRE_IPV6_BYTES + wire_load16(header + 4);
        if (total_len > packet_len(packet))
                return IP_DROP_HEADER;
        packet_trim(packet, (uint16_t)total_len);
        memcpy(meta->src.bytes, header + 8, 16);
        memcpy(meta->dst.bytes, header + 24, 16);
        meta->ecn = (header[1] >> 4) & 3;
        meta->hops = header[7];
        if (!frame->interface->has_v6)
                return IP_DROP_NOT_OURS;

        walk.protocol = header[6];
        verdict = ipv6_walk(header, packet_len(packet), &walk, IP_DROP_EXTENSION);
        if (verdict != IP_DONE)
                return verdict;
        verdict = check_addresses(ip, frame, meta, walk.protocol);
        if (verdict != IP_DONE)
                return verdict;
        if (walk.protocol == WIRE_FRAGMENT)
                return fragment6_input(ip, frame, packet, &walk);
        frame->has_fragment_header = walk.has_fragment_header || frame->is_reassembled;
        packet_pull(packet, walk.offset);
        switch (walk.protocol) {
        case WIRE_TCP:
                return tcp_segment_check(packet);
        case WIRE_ICMP6:
                return icmp6_input(ip, frame, packet, ret_error);
        default:
                return IP_DROP_PROTOCOL;
        }
}

bool ipv6_push(struct packet *packet, const struct addr *src, const struct addr *dst, uint8_t protocol,
               uint8_t hops, uint8_t ecn)
{
        uint16_t payload_len = (uint16_t)packet_total_len(packet);
        uint8_t *header = packet_prepend(packet, WIRE_IPV6_BYTES);

        if (!header)
                return false;
        wire_store32(header, 6u << 28 | (uint32_t)(ecn & 3) << 20);
        wire_store16(header + 4, payload_len);
        header[6] = protocol;
        header[7] = hops;
        memcpy(header + 8, src->bytes, 16);
        memcpy(header + 24, dst->bytes, 16);
        return true;
}
