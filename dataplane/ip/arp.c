/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ARP (RFC 826, 5227). Whoever asks for one of our addresses is answered; what a packet says about its
 * sender is believed only where we want to send to him (neighbor.h).
 */
#include "dataplane/ip/private.h"

#define ARP_BYTES 28u

enum arp_operation {
        ARP_REQUEST = 1,
        ARP_REPLY = 2,
};

static const uint8_t arp_fixed[6] = {
        0, 1, 8, 0, 6, 4
}; /* Ethernet, IPv4, and the lengths of their addresses */
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t nobody[6];

/* mac: NULL asks everybody. */
static void arp_send(struct ip *ip, unsigned interface, enum arp_operation operation,
                     const struct addr *sender, const struct addr *target, const uint8_t *mac)
{
        struct packet *packet = answer_new(ip);
        uint8_t *arp;

        if (!packet)
                return;
        arp = packet_append(packet, ARP_BYTES);
        if (!arp) {
                packet_free(packet);
                return;
        }
        memcpy(arp, arp_fixed, sizeof(arp_fixed));
        wire_store16(arp + 6, (uint16_t)operation);
        memcpy(arp + 8, ip->interfaces[interface].conf.mac, 6);
        memcpy(arp + 14, sender->bytes + 12, 4);
        memcpy(arp + 18, operation == ARP_REPLY && mac ? mac : nobody, 6);
        memcpy(arp + 24, target->bytes + 12, 4);
        finish_own(ip, packet, ether_send(ip, interface, packet, mac ? mac : broadcast, WIRE_ETHERTYPE_ARP));
}

/* Ask from the address of ours that lives in the target's prefix. */
void arp_ask(struct ip *ip, unsigned interface, const struct addr *target, const uint8_t *mac)
{
        const struct ip_interface *conf = &ip->interfaces[interface].conf;
        const struct addr *sender = NULL;

        for (unsigned i = 0; i < conf->n_addrs; i++) {
                struct addr net = addr_mask(&conf->addrs[i].addr, conf->addrs[i].prefix_len);
                struct addr target_net = addr_mask(target, conf->addrs[i].prefix_len);

                if (addr_is_v4(&conf->addrs[i].addr) && addr_is_equal(&net, &target_net)) {
                        sender = &conf->addrs[i].addr;
                        break;
                }
        }
        if (sender)
                arp_send(ip, interface, ARP_REQUEST, sender, target, mac);
}

void arp_announce(struct ip *ip, unsigned interface, const struct addr *addr)
{
        arp_send(ip, interface, ARP_REQUEST, addr, addr,
                 NULL); /* RFC 5227 3: as a request, which no host ignores */
}

enum ip_verdict arp_input(struct ip *ip, const struct frame *frame, struct packet *packet)
{
        const uint8_t *arp = packet_data(packet);
        struct addr sender, target;
        uint16_t operation;
        bool is_for_us;
        uint32_t v4;

        if (packet_len(packet) < ARP_BYTES || memcmp(arp, arp_fixed, sizeof(arp_fixed)) != 0)
                return IP_DROP_ARP;
        operation = wire_load16(arp + 6);
        if ((operation != ARP_REQUEST && operation != ARP_REPLY) || (arp[8] & 1) ||
            memcmp(arp + 8, nobody, 6) == 0 || memcmp(arp + 8, frame->interface->conf.mac, 6) == 0)
                return IP_DROP_ARP;
        memcpy(&v4, arp + 14, 4);
        sender = addr_from_v4_be(v4);
        memcpy(&v4, arp + 24, 4);
        target = addr_from_v4_be(v4);
        is_for_us = own_interface(ip, &target) == (int)frame->interface_index;

        if (own_interface(ip, &sender) == (int)frame->interface_index) {
                own_addr_conflict(ip, frame);
                return IP_DONE;
        }
        if (addr_v4_be(&sender) != 0) /* a probe has no sender address (RFC 5227 2.1.1) */
                neighbor_learn(
                    ip, frame->interface_index, &sender, arp + 8,
                    NEIGHBOR_OVERRIDES |
                        (operation == ARP_REPLY && is_for_us && frame->is_unicast ? NEIGHBOR_ANSWERS : 0),
                    frame->now_us);
        if (operation == ARP_REQUEST && is_for_us && !frame->learn_only)
                arp_send(ip, frame->interface_index, ARP_REPLY, &target, &sender, arp + 8);
        return is_for_us || frame->learn_only ? IP_DONE : IP_DROP_ARP;
}
