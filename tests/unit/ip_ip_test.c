/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that make no sense, token buckets, announcements. */
#include <errno.h>

#include "tests/unit/ip_rig.h"

static void change_nothing(struct ip_interface *interfaces)
{
}

static void change_vlan_twice(struct ip_interface *interfaces)
{
        interfaces[1].vlan = 0;
}

static void change_address_twice(struct ip_interface *interfaces)
{
        interfaces[2].addrs[0].addr = interfaces[0].addrs[0].addr;
}

static void change_prefix(struct ip_interface *interfaces)
{
        interfaces[0].addrs[0].prefix_len = 24; /* forgot the 96 */
}

static void change_gateway_off_link(struct ip_interface *interfaces)
{
        interfaces[0].gateway4 = rig_addr("192.0.2.1");
}

static void change_gateway_family(struct ip_interface *interfaces)
{
        interfaces[0].gateway6 = rig_addr("198.18.0.1");
}

static void change_gateway_ours(struct ip_interface *interfaces)
{
        interfaces[0].gateway4 = interfaces[0].addrs[0].addr;
}

static void change_gateway_link_local(struct ip_interface *interfaces)
{
        interfaces[0].gateway6 = rig_addr("fe80::1");
}

static void change_mac(struct ip_interface *interfaces)
{
        interfaces[0].mac[0] = 1;
}

static void change_port(struct ip_interface *interfaces)
{
        interfaces[0].port = IP_PORTS_MAX;
}

static void change_mtu(struct ip_interface *interfaces)
{
        interfaces[0].mtu = 576;
}

static void change_address_multicast(struct ip_interface *interfaces)
{
        interfaces[0].addrs[1].addr = rig_addr("ff02::1");
}

static void test_settings(void **state)
{
        static const struct {
                const char *name;
                void (*change)(struct ip_interface *interfaces);
                int want;
        } cases[] = {
                { "as they are", change_nothing, 0 },
                { "a VLAN twice", change_vlan_twice, -EINVAL },
                { "an address twice", change_address_twice, -EINVAL },
                { "prefix length of the short form", change_prefix, -EINVAL },
                { "gateway off the link", change_gateway_off_link, -EINVAL },
                { "gateway of the other family", change_gateway_family, -EINVAL },
                { "gateway is ourselves", change_gateway_ours, -EINVAL },
                { "link-local gateway", change_gateway_link_local, 0 },
                { "multicast MAC", change_mac, -EINVAL },
                { "port out of range", change_port, -EINVAL },
                { "MTU too small for IPv6", change_mtu, -EINVAL },
                { "multicast address", change_address_multicast, -EINVAL },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                static uint64_t counters[COUNTER_MAX];
                struct ip_interface interfaces[3];
                struct ip_settings settings = { .pool = rig_pool,
                                                .counters = counters,
                                                .interfaces = interfaces,
                                                .n_interfaces = 3,
                                                .neighbors = 64 };
                struct ip *ip = NULL;
                int got;

                rig_interfaces(interfaces);
                cases[i].change(interfaces);
                got = ip_new(&ip, &settings, RIG_NOW_US);
                if (got != cases[i].want || (got < 0) != (ip == NULL))
                        fail_msg("%s: got %d", cases[i].name, got);
                if (got == 0)
                        ip_free(ip);
        }
}

static void test_rate(void **state)
{
        static const struct {
                uint64_t now_us;
                bool want;
        } steps[] = { { 1000, true }, { 1000, true },  { 1000, true }, { 1000, false }, { 1099, false },
                      { 1100, true }, { 1100, false }, { 1350, true }, { 1350, true },  { 1350, false },
                      { 9000, true }, { 9000, true },  { 9000, true }, { 9000, false } };
        uint64_t when_us = 0;

        for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
                if (rate_take(&when_us, steps[i].now_us, 100, 3) != steps[i].want)
                        fail_msg("step %u: want %d", i, steps[i].want);
}

/* Every address is announced three times a second apart, and no more. */
static void test_announce(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        assert_int_equal(rig_drain(&rig, 0), 0);
        ip_announce(rig.ip, RIG_NOW_US);
        for (unsigned i = 0; i < 6; i++) {
                uint64_t now_us = RIG_NOW_US + i * IP_SECOND_US;
                unsigned n_arp = 0, n_nd = 0, n_mld = 0;
                struct packet *packet;

                ip_tick(rig.ip, now_us);
                while (ip_next_frames(rig.ip, 0, &packet, 1) > 0) {
                        const struct ip_frame *arp = rig_frame("arp_announce"),
                                              *na = rig_frame("na_announce");
                        const uint8_t *bytes = packet_data(packet);

                        if (packet_len(packet) == arp->len && memcmp(bytes, arp->bytes, arp->len) == 0)
                                n_arp++;
                        if (packet_len(packet) == na->len && memcmp(bytes, na->bytes, na->len) == 0)
                                n_nd++;
                        if (wire_load16(bytes + 12) == WIRE_ETHERTYPE_IPV6 && bytes[20] == WIRE_HOP_BY_HOP)
                                n_mld++;
                        packet_free(packet);
                }
                assert_int_equal(n_arp, i < IP_ANNOUNCE_TIMES);
                assert_int_equal(n_nd, i < IP_ANNOUNCE_TIMES);
                assert_int_equal(n_mld, i < IP_ANNOUNCE_TIMES);
                assert_int_equal(rig_drain(&rig, 1), i < IP_ANNOUNCE_TIMES); /* the back port's address */
        }
        rig_done(&rig);
}

static void test_own(void **state)
{
        static const struct {
                const char *addr;
                bool want;
        } cases[] = { { "198.18.0.25", true }, { "2001:2::25", true },      { "198.51.100.2", true },
                      { "203.0.113.2", true }, { "198.18.0.26", false },    { "2001:2::26", false },
                      { "::", false },         { "fe80::ff:fe00:1", false } };
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr = rig_addr(cases[i].addr);
                uint16_t mtu = 0;

                assert_int_equal(ip_is_ours(rig.ip, &addr), cases[i].want);
                assert_int_equal(ip_path_mtu(rig.ip, &addr, &mtu), cases[i].want);
                assert_int_equal(mtu, cases[i].want ? 1500 : 0);
        }
        rig_done(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settings),
                cmocka_unit_test(test_rate),
                cmocka_unit_test(test_announce),
                cmocka_unit_test(test_own),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
