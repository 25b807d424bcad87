/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MLDv2 reports (RFC 3810): which solicited-node groups we listen to. Without them a switch that snoops
 * would not let neighbour solicitations through to us.
 */
#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"

#define RECORD_BYTES 20u
#define RECORDS_MAX  56u /* of one report: fits the smallest MTU */

enum mld_record {
        RECORD_IS_EXCLUDE = 2,        /* in an answer: we listen to every source */
        RECORD_CHANGE_TO_EXCLUDE = 4, /* unasked: we begin to */
};

static const struct addr all_mld2_routers = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x16 } };

/* Hop-by-hop header with a router alert for MLD (RFC 2711), padded to 8 bytes. */
static const uint8_t router_alert[8] = { WIRE_ICMP6, 0, 5, 2, 0, 0, 1, 0 };

static void send_records(struct ip *ip, unsigned interface, uint8_t kind, const struct addr *addrs,
                         unsigned n)
{
        const struct addr *src = &ip->interfaces[interface].link_local;
        uint16_t len = (uint16_t)(8 + n * RECORD_BYTES), checksum;
        struct packet *packet = answer_new(ip);
        uint8_t *icmp, *alert, mac[6];
        bool has_room = false;

        if (!packet)
                return;
        icmp = packet_append(packet, len);
        if (icmp) {
                memset(icmp, 0, len);
                icmp[0] = WIRE_ICMP6_MLD2_REPORT;
                wire_store16(icmp + 6, (uint16_t)n);
                for (unsigned i = 0; i < n; i++) {
                        struct addr group = nd_solicited_node(&addrs[i]);

                        icmp[8 + i * RECORD_BYTES] = kind;
                        memcpy(icmp + 8 + i * RECORD_BYTES + 4, group.bytes, 16);
                }
                checksum = checksum_finish(
                    checksum_add(checksum_pseudo(src, &all_mld2_routers, WIRE_ICMP6, len), icmp, len));
                memcpy(icmp + 2, &checksum, 2);
                alert = packet_prepend(packet, sizeof(router_alert));
                if (alert) {
                        memcpy(alert, router_alert, sizeof(router_alert));
                        has_room = ipv6_push(packet, src, &all_mld2_routers, WIRE_HOP_BY_HOP, 1, 0);
                }
        }
        nd_multicast_mac(&all_mld2_routers, mac);
        finish_own(ip, packet,
                   has_room ? ether_send(ip, interface, packet, mac, WIRE_ETHERTYPE_IPV6) : IP_DROP_TOO_LONG);
}

void mld_report(struct ip *ip, unsigned interface, bool is_answer)
{
        const struct interface *at = &ip->interfaces[interface];
        uint8_t kind = is_answer ? RECORD_IS_EXCLUDE : RECORD_CHANGE_TO_EXCLUDE;
        struct addr addrs[RECORDS_MAX];
        unsigned n = 0;

        addrs[n++] = at->link_local;
        for (unsigned i = 0; i < at->conf.n_addrs; i++) {
                if (addr_is_v4(&at->conf.addrs[i].addr))
                        continue;
                if (n == RECORDS_MAX) {
                        send_records(ip, interface, kind, addrs, n);
                        n = 0;
                }
                addrs[n++] = at->conf.addrs[i].addr;
        }
        send_records(ip, interface, kind, addrs, n);
}
