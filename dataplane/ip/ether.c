/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet and VLAN tags, in and out, and the one place where a received packet is freed or passed on.
 *
 * The devices are not trusted to filter: on a veth, frames to foreign MAC addresses arrive too.
 */
#include "dataplane/ip/private.h"

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* One row for each drop, in the order of enum ip_verdict. */
static const uint16_t drop_counters[IP_VERDICTS] = {
        [IP_DROP_ETHER_SHORT] = COUNTER_ip_drop_ether_short,
        [IP_DROP_ETHER_DESTINATION] = COUNTER_ip_drop_ether_destination,
        [IP_DROP_ETHER_SOURCE] = COUNTER_ip_drop_ether_source,
        [IP_DROP_VLAN] = COUNTER_ip_drop_vlan,
        [IP_DROP_ETHERTYPE] = COUNTER_ip_drop_ethertype,
        [IP_DROP_HEADER] = COUNTER_ip_drop_header,
        [IP_DROP_HEADER_CHECKSUM] = COUNTER_ip_drop_header_checksum,
        [IP_DROP_OPTIONS] = COUNTER_ip_drop_options,
        [IP_DROP_EXTENSION] = COUNTER_ip_drop_extension,
        [IP_DROP_FRAGMENT] = COUNTER_ip_drop_fragment,
        [IP_DROP_FRAGMENT_TINY] = COUNTER_ip_drop_fragment_tiny,
        [IP_DROP_FRAGMENT_OVERLAP] = COUNTER_ip_drop_fragment_overlap,
        [IP_DROP_FRAGMENT_DUPLICATE] = COUNTER_ip_drop_fragment_duplicate,
        [IP_DROP_FRAGMENT_LARGE] = COUNTER_ip_drop_fragment_large,
        [IP_DROP_FRAGMENT_ECN] = COUNTER_ip_drop_fragment_ecn,
        [IP_DROP_FRAGMENT_LOAD] = COUNTER_ip_drop_fragment_load,
        [IP_DROP_SOURCE] = COUNTER_ip_drop_source,
        [IP_DROP_INTERFACE] = COUNTER_ip_drop_interface,
        [IP_DROP_NOT_OURS] = COUNTER_ip_drop_not_ours,
        [IP_DROP_PROTOCOL] = COUNTER_ip_drop_protocol,
        [IP_DROP_L4_CHECKSUM] = COUNTER_ip_drop_l4_checksum,
        [IP_DROP_L4_SHORT] = COUNTER_ip_drop_l4_short,
        [IP_DROP_ICMP] = COUNTER_ip_drop_icmp,
        [IP_DROP_ICMP_RATE] = COUNTER_ip_drop_icmp_rate,
        [IP_DROP_ARP] = COUNTER_ip_drop_arp,
        [IP_DROP_ND] = COUNTER_ip_drop_nd,
        [IP_DROP_NO_ROUTE] = COUNTER_ip_drop_no_route,
        [IP_DROP_TOO_LONG] = COUNTER_ip_drop_too_long,
        [IP_DROP_UNRESOLVED] = COUNTER_ip_drop_unresolved,
        [IP_DROP_QUEUE_FULL] = COUNTER_ip_drop_queue_full,
};

void count_drop(struct ip *ip, enum ip_verdict verdict)
{
        BUG_ON_HOT(verdict >= IP_VERDICTS || drop_counters[verdict] == 0);
        counter_inc(ip->counters, drop_counters[verdict]);
}

/* --- out ------------------------------------------------------------------------------------------------- */

enum ip_verdict ether_send(struct ip *ip, unsigned interface, struct packet *packet, const uint8_t mac[6],
                           uint16_t ethertype)
{
        const struct ip_interface *conf = &ip->interfaces[interface].conf;
        struct frame_queue *queue = &ip->frames[conf->port];
        uint16_t header_len = (uint16_t)(WIRE_ETHER_BYTES + (conf->vlan ? WIRE_VLAN_BYTES : 0));
        uint8_t *header;

        if (queue->count >= IP_FRAMES_MAX)
                return IP_DROP_QUEUE_FULL;
        header = packet_prepend(packet, header_len);
        if (!header)
                return IP_DROP_TOO_LONG;
        memcpy(header, mac, 6);
        memcpy(header + 6, conf->mac, 6);
        if (conf->vlan) {
                wire_store16(header + 12, WIRE_ETHERTYPE_VLAN);
                wire_store16(header + 14, conf->vlan);
        }
        wire_store16(header + header_len - 2, ethertype);

        frame_queue_push(queue, packet);
        return IP_SENT;
}

void frame_queue_push(struct frame_queue *queue, struct packet *packet)
{
        packet_meta(packet)->next = NULL;
        if (queue->last)
                packet_meta(queue->last)->next = packet;
        else
                queue->first = packet;
        queue->last = packet;
        queue->count++;
}

unsigned frame_queue_pop(struct frame_queue *queue, struct packet **ret, unsigned max)
{
        unsigned n = 0;

        while (n < max && queue->first) {
                struct packet *packet = queue->first;

                queue->first = packet_meta(packet)->next;
                packet_meta(packet)->next = NULL;
                ret[n++] = packet;
        }
        if (!queue->first)
                queue->last = NULL;
        queue->count -= n;
        return n;
}

unsigned ip_next_frames(struct ip *ip, uint16_t port, struct packet **ret, unsigned max)
{
        return frame_queue_pop(&ip->frames[port], ret, max);
}

unsigned ip_next_whole(struct ip *ip, struct packet **ret, unsigned max)
{
        return frame_queue_pop(&ip->whole, ret, max);
}

void finish_own(struct ip *ip, struct packet *packet, enum ip_verdict verdict)
{
        if (verdict == IP_SENT)
                return;
        count_drop(ip, verdict);
        packet_free(packet);
}

struct packet *answer_new(struct ip *ip)
{
        struct packet *packet = packet_new(ip->pool);

        if (!packet)
                counter_inc(ip->counters, COUNTER_ip_no_packet);
        return packet;
}

/* --- in -------------------------------------------------------------------------------------------------- */

static int find_interface(const struct ip *ip, uint16_t port, uint16_t vlan)
{
        for (unsigned i = 0; i < ip->n_interfaces; i++)
                if (ip->interfaces[i].conf.port == port && ip->interfaces[i].conf.vlan == vlan)
                        return (int)i;
        return -1;
}

/* Which destination addresses a protocol may use: our own, broadcast for ARP alone, IPv6's multicast for IPv6 alone. */
static bool is_destination_right(const struct frame *frame, const uint8_t *mac, uint16_t ethertype)
{
        if (frame->is_unicast)
                return true;
        if (ethertype == WIRE_ETHERTYPE_ARP)
                return memcmp(mac, broadcast, sizeof(broadcast)) == 0;
        return ethertype == WIRE_ETHERTYPE_IPV6 && mac[0] == 0x33 && mac[1] == 0x33;
}

static enum ip_verdict ether_input(struct ip *ip, struct frame *frame, struct packet *packet,
                                   struct ip_icmp_error *ret_error)
{
        static const uint8_t zero[6];
        struct packet_meta *meta = packet_meta(packet);
        const uint8_t *bytes = packet_data(packet);
        uint16_t header_len = WIRE_ETHER_BYTES, ethertype;
        int interface;

        if (packet_len(packet) < WIRE_ETHER_BYTES || packet_total_len(packet) != packet_len(packet))
                return IP_DROP_ETHER_SHORT;
        ethertype = wire_load16(bytes + 12);
        if (ethertype == WIRE_ETHERTYPE_VLAN) {
                header_len += WIRE_VLAN_BYTES;
                if (packet_len(packet) < header_len)
                        return IP_DROP_ETHER_SHORT;
                /* The tag wins over what the device says of a tag it stripped: a second one inside is not for us. */
                meta->vlan = wire_load16(bytes + 14) & WIRE_VLAN_ID;
                ethertype = wire_load16(bytes + 16);
        }
        interface = find_interface(ip, meta->port, meta->vlan);
        if (interface < 0)
                return IP_DROP_VLAN;
        frame->interface_index = (unsigned)interface;
        frame->interface = &ip->interfaces[interface];
        frame->ether_src = bytes + 6;
        frame->is_unicast = memcmp(bytes, frame->interface->conf.mac, 6) == 0;
        if ((bytes[6] & 1) || memcmp(bytes + 6, zero, 6) == 0 ||
            memcmp(bytes + 6, frame->interface->conf.mac, 6) == 0)
                return IP_DROP_ETHER_SOURCE;
        if (!is_destination_right(frame, bytes, ethertype))
                return ethertype == WIRE_ETHERTYPE_ARP || ethertype == WIRE_ETHERTYPE_IPV4 ||
                               ethertype == WIRE_ETHERTYPE_IPV6
                           ? IP_DROP_ETHER_DESTINATION
                           : IP_DROP_ETHERTYPE;
        packet_pull(packet, header_len);
        switch (ethertype) {
        case WIRE_ETHERTYPE_IPV4:
                return ipv4_input(ip, frame, packet, ret_error);
        case WIRE_ETHERTYPE_IPV6:
                return ipv6_input(ip, frame, packet, ret_error);
        case WIRE_ETHERTYPE_ARP:
                return arp_input(ip, frame, packet);
        default:
                return IP_DROP_ETHERTYPE;
        }
}

enum ip_verdict ip_input(struct ip *ip, struct packet *packet, uint64_t now_us,
                         struct ip_icmp_error *ret_error)
{
        struct frame frame = {
                .now_us = now_us,
                .learn_only = (packet_meta(packet)->flags & PACKET_LEARN_ONLY) != 0,
                .is_reassembled = (packet_meta(packet)->flags & PACKET_REASSEMBLED) != 0,
        };
        enum ip_verdict verdict = ether_input(ip, &frame, packet, ret_error);

        if (verdict == IP_TCP) {
                if (!frame.learn_only)
                        return IP_TCP;
                verdict = IP_DROP_PROTOCOL;
        }
        if (verdict == IP_ICMP_ERROR)
                counter_inc(ip->counters, COUNTER_ip_icmp_errors);
        else if (verdict != IP_DONE)
                count_drop(ip, verdict);
        if (!frame.is_kept)
                packet_free(packet);
        return verdict;
}
