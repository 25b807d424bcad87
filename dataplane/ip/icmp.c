/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP for IPv4 (RFC 792, 1122 3.2.2), and what it has in common with ICMPv6. We answer echo and read errors
 * about TCP; redirects, source quench (RFC 6633) and the rest are dropped. We send no errors: TCP answers with
 * RST, and there is nothing else here to reach.
 */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

void icmp_quote_tcp(const uint8_t *tcp, struct ip_icmp_error *error)
{
        error->local_port = wire_load16(tcp);
        error->remote_port = wire_load16(tcp + 2);
        error->seq = wire_load32(tcp + 4);
}

/* What an unreachable's code means for a connection (RFC 1122 4.2.3.9). */
static enum ip_icmp_kind kind_of_unreachable(uint8_t code)
{
        switch (code) {
        case 4:
                return IP_ICMP_TOO_BIG;
        case 2: /* protocol */
        case 3: /* port */
        case 9: /* administratively prohibited: network, host, communication */
        case 10:
        case 13:
                return IP_ICMP_UNREACHABLE_HARD;
        default:
                return IP_ICMP_UNREACHABLE_SOFT;
        }
}

/*
 * The path MTU where an old router gives none (RFC 1191 5): the next of the MTUs in use below the packet that it
 * would not take. The table of RFC 1191 7.1 without what is larger than our largest MTU; and it ends at what TCP
 * still believes. Several packets of one flight give the same answer, so they do not step down twice.
 */
static uint16_t plateau_below(uint16_t total_len)
{
        static const uint16_t plateaus[] = { 8166, 4352, 2002, 1492, 1006, 552 };

        for (unsigned i = 0; i < ARRAY_LEN(plateaus); i++)
                if (plateaus[i] < total_len)
                        return plateaus[i];
        return plateaus[ARRAY_LEN(plateaus) - 1];
}

static enum ip_verdict icmp_error_input(const struct packet_meta *meta, const uint8_t *icmp, uint16_t len,
                                        struct ip_icmp_error *ret_error)
{
        const uint8_t *quoted = icmp + WIRE_ICMP_BYTES;
        unsigned left = len - WIRE_ICMP_BYTES, header_len;
        struct ip_icmp_error error = { .kind = IP_ICMP_UNREACHABLE_SOFT };

        if (left < WIRE_IPV4_BYTES || quoted[0] >> 4 != 4)
                return IP_DROP_ICMP;
        header_len = (quoted[0] & 15u) * 4u;
        if (header_len < WIRE_IPV4_BYTES || left < header_len + 8 || quoted[9] != WIRE_TCP ||
            (wire_load16(quoted + 6) & WIRE_IPV4_OFFSET_MASK) != 0)
                return IP_DROP_ICMP;
        error.local = error.remote = meta->dst; /* for the prefix of an IPv4 address */
        memcpy(error.local.bytes + 12, quoted + 12, 4);
        memcpy(error.remote.bytes + 12, quoted + 16, 4);
        if (!addr_is_equal(&error.local, &meta->dst))
                return IP_DROP_ICMP; /* an error goes to the sender of what it quotes */
        if (icmp[0] == WIRE_ICMP_UNREACHABLE)
                error.kind = kind_of_unreachable(icmp[1]);
        if (error.kind == IP_ICMP_TOO_BIG) {
                error.mtu = wire_load16(icmp + 6);
                if (error.mtu == 0)
                        error.mtu = plateau_below(wire_load16(quoted + 2));
                if (error.mtu < 68)
                        return IP_DROP_ICMP; /* no link has less (RFC 791) */
        }
        icmp_quote_tcp(quoted + header_len, &error);
        *ret_error = error;
        return IP_ICMP_ERROR;
}

enum ip_verdict icmp_echo(struct ip *ip, const struct frame *frame, struct packet *packet, uint8_t reply_type)
{
        const struct packet_meta *meta = packet_meta(packet);
        bool is_v4 = addr_is_v4(&meta->dst), has_room;
        uint16_t len = packet_len(packet), checksum;
        struct packet *answer;
        uint8_t *icmp;

        if (frame->learn_only)
                return IP_DROP_ICMP;
        if (!rate_take(&ip->icmp_rate_us, frame->now_us, IP_ICMP_INTERVAL_US, IP_ICMP_BURST))
                return IP_DROP_ICMP_RATE;
        if (len + (is_v4 ? WIRE_IPV4_BYTES : WIRE_IPV6_BYTES) > frame->interface->conf.mtu)
                return IP_DROP_ICMP;
        answer = answer_new(ip);
        if (!answer)
                return IP_DONE;
        icmp = packet_append(answer, len);
        if (!icmp) {
                packet_free(answer);
                return IP_DROP_ICMP;
        }
        memcpy(icmp, packet_data(packet), len);
        icmp[0] = reply_type;
        memset(icmp + 2, 0, 2);
        checksum = checksum_finish(
            checksum_add(is_v4 ? 0 : checksum_pseudo(&meta->dst, &meta->src, WIRE_ICMP6, len), icmp, len));
        memcpy(icmp + 2, &checksum, 2);
        has_room = is_v4 ? ipv4_push(ip, answer, &meta->dst, &meta->src, WIRE_ICMP, 0)
                         : ipv6_push(answer, &meta->dst, &meta->src, WIRE_ICMP6, IP_HOPS_DEFAULT, 0);
        finish_own(ip, answer,
                   has_room ? route_send(ip, frame->interface_index, answer, &meta->src, frame->now_us)
                            : IP_DROP_TOO_LONG);
        counter_inc(ip->counters, COUNTER_ip_echo_replies);
        return IP_DONE;
}

enum ip_verdict icmp_input(struct ip *ip, const struct frame *frame, struct packet *packet,
                           struct ip_icmp_error *ret_error)
{
        const uint8_t *icmp = packet_data(packet);
        uint16_t len = packet_len(packet);

        if (len < WIRE_ICMP_BYTES)
                return IP_DROP_L4_SHORT;
        if (checksum_fold(checksum_add(0, icmp, len)) != 0xffff)
                return IP_DROP_L4_CHECKSUM;
        switch (icmp[0]) {
        case WIRE_ICMP_ECHO:
                return icmp[1] == 0 ? icmp_echo(ip, frame, packet, WIRE_ICMP_ECHO_REPLY) : IP_DROP_ICMP;
        case WIRE_ICMP_UNREACHABLE:
        case WIRE_ICMP_TIME_EXCEEDED:
        case WIRE_ICMP_PARAMETER:
                return icmp_error_input(packet_meta(packet), icmp, len, ret_error);
        default:
                return IP_DROP_ICMP;
        }
}
