/* SPDX-License-Identifier: Apache-2.0 */
/* ICMPv6 (RFC 4443): echo, errors about TCP, and the way to ND. */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

static enum ip_verdict icmp6_error_input(const struct packet_meta *meta, const uint8_t *icmp, uint16_t len,
                                         struct ip_icmp_error *ret_error)
{
        const uint8_t *quoted = icmp + WIRE_ICMP_BYTES;
        struct ip_icmp_error error = { .kind = IP_ICMP_UNREACHABLE_SOFT };

        /* We send no extension headers, so none is quoted. */
        if (len < WIRE_ICMP_BYTES + WIRE_IPV6_BYTES + 8 || quoted[0] >> 4 != 6 || quoted[6] != WIRE_TCP)
                return IP_DROP_ICMP;
        memcpy(error.local.bytes, quoted + 8, 16);
        memcpy(error.remote.bytes, quoted + 24, 16);
        if (!addr_is_equal(&error.local, &meta->dst))
                return IP_DROP_ICMP;
        if (icmp[0] == WIRE_ICMP6_TOO_BIG) {
                uint32_t mtu = wire_load32(icmp + 4);

                if (mtu < 1280)
                        return IP_DROP_ICMP; /* RFC 8201 4: no IPv6 link has less */
                error.kind = IP_ICMP_TOO_BIG;
                error.mtu = (uint16_t)MIN(mtu, UINT16_MAX);
        } else if (icmp[0] == WIRE_ICMP6_UNREACHABLE && (icmp[1] == 1 || icmp[1] >= 4)) {
                error.kind = IP_ICMP_UNREACHABLE_HARD; /* prohibited, port, policy, reject route */
        }
        icmp_quote_tcp(quoted + WIRE_IPV6_BYTES, &error);
        *ret_error = error;
        return IP_ICMP_ERROR;
}

enum ip_verdict icmp6_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                            struct ip_icmp_error *ret_error)
{
        const struct packet_meta *meta = packet_meta(packet);
        const uint8_t *icmp = packet_data(packet);
        uint16_t len = packet_len(packet);
        uint64_t sum;

        if (len < WIRE_ICMP_BYTES)
                return IP_DROP_L4_SHORT;
        sum = checksum_pseudo(&meta->src, &meta->dst, WIRE_ICMP6, len);
        if (checksum_fold(checksum_add(sum, icmp, len)) != 0xffff)
                return IP_DROP_L4_CHECKSUM;
        switch (icmp[0]) {
        case WIRE_ICMP6_SOLICIT:
        case WIRE_ICMP6_ADVERTISE:
                return nd_input(ip, frame, packet);
        case WIRE_ICMP6_MLD_QUERY:
                /* One answer a second tells all groups; a query is sent again where an answer was lost. */
                if (frame->learn_only || !is_link_local(&meta->src) ||
                    !rate_take(&ip->mld_rate_us, frame->now_us, IP_SECOND_US, 1))
                        return IP_DROP_ICMP;
                mld_report(ip, frame->interface_index, true);
                return IP_DONE;
        default:
                break;
        }
        /* Only one of our own addresses is pinged or told errors; a multicast ping would find and amplify. */
        if (is_zero(&meta->src) || !is_ours_at(ip, frame->interface_index, &meta->dst) || !frame->is_unicast)
                return IP_DROP_ICMP;
        if (icmp[0] == WIRE_ICMP6_ECHO && icmp[1] == 0)
                return icmp_echo(ip, frame, packet, WIRE_ICMP6_ECHO_REPLY);
        if (icmp[0] >= WIRE_ICMP6_UNREACHABLE && icmp[0] <= WIRE_ICMP6_PARAMETER)
                return icmp6_error_input(meta, icmp, len, ret_error);
        return IP_DROP_ICMP;
}
