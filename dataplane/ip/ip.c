/* SPDX-License-Identifier: Apache-2.0 */
/* One worker's IP: what is made once from the settings, the tick, and what several files need. */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/ip/private.h"

static void init_prefix(struct prefix *prefix, unsigned interface, const struct ip_addr *from)
{
        struct addr ones, net = addr_mask(&from->addr, from->prefix_len);
        struct addr mask;

        memset(&ones, 0xff, sizeof(ones));
        mask = addr_mask(&ones, from->prefix_len);
        memcpy(prefix->net, net.bytes, sizeof(prefix->net));
        memcpy(prefix->mask, mask.bytes, sizeof(prefix->mask));
        prefix->interface = (uint8_t)interface;
        prefix->len = from->prefix_len;
}

bool prefix_has(const struct prefix *prefix, const struct addr *addr)
{
        uint64_t word[2];

        memcpy(word, addr->bytes, sizeof(word));
        return (((word[0] ^ prefix->net[0]) & prefix->mask[0]) |
                ((word[1] ^ prefix->net[1]) & prefix->mask[1])) == 0;
}

bool is_on_link(const struct ip *ip, unsigned interface, const struct addr *addr)
{
        if (is_link_local(addr))
                return ip->interfaces[interface].has_v6;
        for (unsigned i = 0; i < ip->n_prefixes; i++)
                if (ip->prefixes[i].interface == interface && prefix_has(&ip->prefixes[i], addr))
                        return true;
        return false;
}

/*
 * Where the search for an own address starts. No key is needed: what lies in the table is the operator's alone, and it
 * is at most half full, so a stranger's address meets no long run that he has made.
 */
static unsigned own_slot(const struct addr *addr)
{
        uint64_t low, high;

        memcpy(&high, addr->bytes, sizeof(high));
        memcpy(&low, addr->bytes + 8, sizeof(low));
        return (unsigned)(((low ^ high * 3) * 0x9e3779b97f4a7c15u) >> 40) % IP_OWN_SLOTS;
}

static const struct own_addr *own_lookup(const struct ip *ip, const struct addr *addr)
{
        for (unsigned i = own_slot(addr); ip->own[i].interface != 0; i = (i + 1) % IP_OWN_SLOTS)
                if (addr_is_equal(&ip->own[i].addr, addr))
                        return &ip->own[i];
        return NULL;
}

int own_interface(const struct ip *ip, const struct addr *addr)
{
        const struct own_addr *own = own_lookup(ip, addr);

        return own ? own->interface - 1 : -1;
}

bool is_ours_at(const struct ip *ip, unsigned interface, const struct addr *addr)
{
        const struct interface *at = &ip->interfaces[interface];

        return own_interface(ip, addr) == (int)interface ||
               (at->has_v6 && addr_is_equal(&at->link_local, addr));
}

bool ip_is_ours(const struct ip *ip, const struct addr *addr)
{
        return own_interface(ip, addr) >= 0;
}

bool ip_path_mtu(const struct ip *ip, const struct addr *local, uint16_t *ret_mtu)
{
        int interface = own_interface(ip, local);

        if (interface < 0)
                return false;
        *ret_mtu = ip->interfaces[interface].conf.mtu;
        return true;
}

bool rate_take(uint64_t *when_us, uint64_t now_us, uint64_t interval_us, unsigned burst)
{
        uint64_t when = MAX(*when_us, now_us);

        if (when - now_us > interval_us * (burst - 1))
                return false;
        *when_us = when + interval_us;
        return true;
}

/* fe80:: and the modified EUI-64 of the MAC address (RFC 4291, appendix A). */
static struct addr link_local_of(const uint8_t mac[6])
{
        struct addr addr = { { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, (uint8_t)(mac[0] ^ 2), mac[1], mac[2], 0xff,
                               0xfe, mac[3], mac[4], mac[5] } };

        return addr;
}

static int add_address(struct ip *ip, unsigned interface, const struct ip_addr *from)
{
        struct interface *at = &ip->interfaces[interface];
        unsigned slot;

        if (from->prefix_len > 128 || (addr_is_v4(&from->addr) && from->prefix_len < 96) ||
            is_zero(&from->addr) || is_link_local(&from->addr) || from->addr.bytes[0] == 0xff ||
            own_lookup(ip, &from->addr))
                return -EINVAL;
        for (slot = own_slot(&from->addr); ip->own[slot].interface != 0; slot = (slot + 1) % IP_OWN_SLOTS)
                continue;
        ip->own[slot].addr = from->addr;
        ip->own[slot].interface = (uint8_t)(interface + 1);
        init_prefix(&ip->prefixes[ip->n_prefixes], interface, from);
        ip->n_prefixes++;
        for (unsigned i = 0; i + 1 < ip->n_prefixes; i++)
                if (memcmp(&ip->prefixes[i], &ip->prefixes[ip->n_prefixes - 1], sizeof(ip->prefixes[i])) ==
                    0) {
                        ip->n_prefixes--;
                        break;
                }
        if (addr_is_v4(&from->addr))
                at->has_v4 = true;
        else
                at->has_v6 = true;
        return 0;
}

static int add_interface(struct ip *ip, const struct ip_interface *conf)
{
        unsigned index = ip->n_interfaces;
        struct interface *at = &ip->interfaces[index];
        int r = 0;

        if (conf->port >= IP_PORTS_MAX || conf->vlan > WIRE_VLAN_ID || conf->mtu < 1280 || conf->mtu > 9000 ||
            conf->n_addrs > IP_ADDRS_MAX || (conf->mac[0] & 1))
                return -EINVAL;
        for (unsigned i = 0; i < index; i++)
                if (ip->interfaces[i].conf.port == conf->port && ip->interfaces[i].conf.vlan == conf->vlan)
                        return -EINVAL;
        at->conf = *conf;
        at->link_local = link_local_of(conf->mac);
        ip->n_interfaces++;
        for (unsigned i = 0; r == 0 && i < conf->n_addrs; i++)
                r = add_address(ip, index, &conf->addrs[i]);
        return r;
}

/* A gateway off the link could never be asked for. */
static int add_gateway(struct ip *ip, unsigned interface, const struct addr *gateway, uint64_t now_us)
{
        if (is_zero(gateway))
                return 0;
        if (!is_on_link(ip, interface, gateway) || own_interface(ip, gateway) >= 0)
                return -EINVAL;
        return neighbor_add_gateway(ip, interface, gateway, now_us);
}

int ip_new(struct ip **ret, const struct ip_settings *settings, uint64_t now_us)
{
        struct ip *ip;
        int r;

        if (settings->n_interfaces < 1 || settings->n_interfaces > IP_INTERFACES_MAX)
                return -EINVAL;
        ip = calloc(1, sizeof(*ip));
        if (!ip)
                return -ENOMEM;
        ip->pool = settings->pool;
        ip->counters = settings->counters;
        ip->announce_due_us = UINT64_MAX;
        r = neighbors_init(&ip->neighbors, settings->neighbors, &settings->hash_key);
        if (r == 0) {
                ip->fragments = fragments_new(ip->pool, ip->counters, &settings->hash_key);
                r = ip->fragments ? 0 : -ENOMEM;
        }
        for (unsigned i = 0; r == 0 && i < settings->n_interfaces; i++)
                r = add_interface(ip, &settings->interfaces[i]);
        for (unsigned i = 0; r == 0 && i < settings->n_interfaces; i++) {
                const struct ip_interface *conf = &settings->interfaces[i];

                if ((!is_zero(&conf->gateway4) && !addr_is_v4(&conf->gateway4)) ||
                    addr_is_v4(&conf->gateway6))
                        r = -EINVAL;
                if (r == 0)
                        r = add_gateway(ip, i, &conf->gateway4, now_us);
                if (r == 0)
                        r = add_gateway(ip, i, &conf->gateway6, now_us);
        }
        if (r < 0) {
                ip_free(ip);
                return r;
        }
        if (settings->announce)
                ip_announce(ip, now_us);
        *ret = ip;
        return 0;
}

void ip_free(struct ip *ip)
{
        struct packet *packet;

        if (!ip)
                return;
        for (uint16_t port = 0; port < IP_PORTS_MAX; port++)
                while (ip_next_frames(ip, port, &packet, 1) > 0)
                        packet_free(packet);
        while (ip_next_whole(ip, &packet, 1) > 0)
                packet_free(packet);
        fragments_free(ip->fragments);
        neighbors_done(&ip->neighbors);
        free(ip);
}

void ip_announce(struct ip *ip, uint64_t now_us)
{
        ip->announce_left = IP_ANNOUNCE_TIMES;
        ip->announce_due_us = now_us;
}

static void announce_all(struct ip *ip)
{
        for (unsigned i = 0; i < ip->n_interfaces; i++) {
                const struct interface *at = &ip->interfaces[i];

                if (at->has_v6) {
                        mld_report(ip, i, false);
                        nd_announce(ip, i, &at->link_local);
                }
                for (unsigned j = 0; j < at->conf.n_addrs; j++) {
                        if (addr_is_v4(&at->conf.addrs[j].addr))
                                arp_announce(ip, i, &at->conf.addrs[j].addr);
                        else
                                nd_announce(ip, i, &at->conf.addrs[j].addr);
                }
        }
}

void own_addr_conflict(struct ip *ip, const struct frame *frame)
{
        if (frame->learn_only)
                return; /* the worker that received it counts and answers */
        counter_inc(ip->counters, COUNTER_ip_address_conflicts);
        if (ip->defended_us != 0 && frame->now_us - ip->defended_us < IP_CONFLICT_INTERVAL_US)
                return;
        ip->defended_us = frame->now_us;
        announce_all(ip);
}

void ip_tick(struct ip *ip, uint64_t now_us)
{
        neighbor_tick(ip, now_us);
        fragments_tick(ip->fragments, now_us);
        if (now_us < ip->announce_due_us)
                return;
        announce_all(ip);
        ip->announce_left--;
        ip->announce_due_us = ip->announce_left > 0 ? now_us + IP_SECOND_US : UINT64_MAX;
}

uint64_t ip_next_due_us(const struct ip *ip)
{
        uint64_t due_us = MIN(ip->announce_due_us, neighbor_next_due_us(&ip->neighbors));

        return MIN(due_us, fragments_next_due_us(ip->fragments));
}
