/* SPDX-License-Identifier: Apache-2.0 */
/* The IPv4 header: checked on the way in (RFC 791, RFC 1122 3.2.1), built on the way out. */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

enum ipv4_option {
        OPTION_END = 0,
        OPTION_NOP = 1,
        OPTION_LOOSE_ROUTE = 131,
        OPTION_STRICT_ROUTE = 137,
};

/* Options are skipped, but their lengths must add up, and a source route is refused (RFC 7126 4.3, 4.4). */
static bool are_options_harmless(const uint8_t *options, unsigned len)
{
        for (unsigned at = 0; at < len;) {
                uint8_t kind = options[at];

                if (kind == OPTION_END)
                        return true;
                if (kind == OPTION_NOP) {
                        at++;
                        continue;
                }
                if (kind == OPTION_LOOSE_ROUTE || kind == OPTION_STRICT_ROUTE)
                        return false;
                if (at + 1 >= len || options[at + 1] < 2 || options[at + 1] > len - at)
                        return false;
                at += options[at + 1];
        }
        return true;
}

/* Broadcast and network address of a subnet of this interface, from which nobody can send. */
static bool is_subnet_broadcast(const struct ip *ip, unsigned interface, const struct addr *addr)
{
        uint32_t v4 = wire_load32(addr->bytes + 12);

        for (unsigned i = 0; i < ip->n_prefixes; i++) {
                const struct prefix *prefix = &ip->prefixes[i];
                uint32_t host_mask;

                if (prefix->interface != interface || prefix->len < 96 || prefix->len > 126 ||
                    !prefix_has(prefix, addr))
                        continue; /* a /31 has no broadcast address (RFC 3021) */
                host_mask = prefix->len == 96 ? UINT32_MAX : (1u << (128 - prefix->len)) - 1;
                if ((v4 & host_mask) == 0 || (v4 & host_mask) == host_mask)
                        return true;
        }
        return false;
}

/* RFC 1122 3.2.1.3, RFC 6890: "this network", loopback, multicast, reserved and broadcast are no sources. */
static bool is_possible_source(const uint8_t *v4)
{
        return v4[0] != 0 && v4[0] != 127 && v4[0] < 224;
}

enum ip_verdict source_check(const struct ip *ip, unsigned interface, const struct addr *src)
{
        bool is_elsewhere = false;

        if (own_interface(ip, src) >= 0)
                return IP_DROP_SOURCE;
        for (unsigned i = 0; i < ip->n_prefixes; i++) {
                if (!prefix_has(&ip->prefixes[i], src))
                        continue;
                if (ip->prefixes[i].interface == interface)
                        return IP_DONE;
                is_elsewhere = true;
        }
        return is_elsewhere ? IP_DROP_INTERFACE : IP_DONE;
}

enum ip_verdict tcp_segment_check(struct packet *packet)
{
        const struct packet_meta *meta = packet_meta(packet);
        uint16_t len = packet_len(packet);
        uint64_t sum;

        if (len < WIRE_TCP_BYTES)
                return IP_DROP_L4_SHORT;
        if (meta->flags & PACKET_L4_CHECKSUM_OK)
                return IP_TCP;
        sum = checksum_pseudo(&meta->src, &meta->dst, WIRE_TCP, len);
        return checksum_fold(checksum_add(sum, packet_data(packet), len)) == 0xffff ? IP_TCP
                                                                                    : IP_DROP_L4_CHECKSUM;
}

enum ip_verdict ipv4_input(struct ip *ip, struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error)
{
        struct packet_meta *meta = packet_meta(packet);
        const uint8_t *header = packet_data(packet);
        uint16_t header_len, total_len;
        enum ip_verdict verdict;

        if (packet_len(packet) < WIRE_IPV4_BYTES || header[0] >> 4 != 4)
                return IP_DROP_HEADER;
        header_len = (uint16_t)((header[0] & 15) * 4);
        total_len = wire_load16(header + 2);
        if (header_len < WIRE_IPV4_BYTES || total_len < header_len || total_len > packet_len(packet))
                return IP_DROP_HEADER;
        if (checksum_fold(checksum_add(0, header, header_len)) != 0xffff)
                return IP_DROP_HEADER_CHECKSUM;
        packet_trim(packet, total_len); /* Ethernet's padding */

        memcpy(meta->src.bytes, addr_v4_prefix, sizeof(addr_v4_prefix));
        memcpy(meta->src.bytes + 12, header + 12, 4);
        memcpy(meta->dst.bytes, addr_v4_prefix, sizeof(addr_v4_prefix));
        memcpy(meta->dst.bytes + 12, header + 16, 4);
        meta->ecn = header[1] & 3;
        meta->hops = header[8];
        if (own_interface(ip, &meta->dst) != (int)frame->interface_index)
                return IP_DROP_NOT_OURS;
        if (!is_possible_source(header + 12) || is_subnet_broadcast(ip, frame->interface_index, &meta->src))
                return IP_DROP_SOURCE;
        verdict = source_check(ip, frame->interface_index, &meta->src);
        if (verdict != IP_DONE)
                return verdict;
        if (!are_options_harmless(header + WIRE_IPV4_BYTES, header_len - WIRE_IPV4_BYTES))
                return IP_DROP_OPTIONS;
        if ((wire_load16(header + 6) & (WIRE_IPV4_MF | WIRE_IPV4_OFFSET_MASK)) != 0)
                return fragment4_input(ip, frame, packet);

        packet_pull(packet, header_len);
        switch (header[9]) {
        case WIRE_TCP:
                return tcp_segment_check(packet);
        case WIRE_ICMP:
                return icmp_input(ip, frame, packet, ret_error);
        default:
                return IP_DROP_PROTOCOL;
        }
}

bool ipv4_push(struct ip *ip, struct packet *packet, const struct addr *src, const struct addr *dst,
               uint8_t protocol, uint8_t ecn)
{
        uint8_t *header = packet_prepend(packet, WIRE_IPV4_BYTES);
        uint16_t checksum;

        if (!header)
                return false;
        header[0] = 0x45;
        header[1] = ecn & 3;
        wire_store16(header + 2, (uint16_t)packet_total_len(packet));
        wire_store16(header + 4, ip->ipv4_id++); /* never fragmented, so any value would do (RFC 6864 4.1) */
        wire_store16(header + 6, WIRE_IPV4_DF);
        header[8] = IP_HOPS_DEFAULT;
        header[9] = protocol;
        memset(header + 10, 0, 2);
        memcpy(header + 12, src->bytes + 12, 4);
        memcpy(header + 16, dst->bytes + 12, 4);
        checksum = checksum_finish(checksum_add(0, header, WIRE_IPV4_BYTES));
        memcpy(header + 10, &checksum, 2);
        return true;
}
