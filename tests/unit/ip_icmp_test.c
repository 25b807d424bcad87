/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP and ICMPv6: what an error says, echo byte by byte, the rate of answers, MLD. */
#include "dataplane/port/checksum.h"
#include "tests/unit/ip_rig.h"

static void test_errors(void **state)
{
        static const struct {
                const char *frame;
                enum ip_icmp_kind want_kind;
                uint16_t want_mtu;
                const char *want_local, *want_remote;
        } cases[] = {
                { "too_big4", IP_ICMP_TOO_BIG, 1400, "198.18.0.25", "192.0.2.9" },
                { "port4", IP_ICMP_UNREACHABLE_HARD, 0, "198.18.0.25", "192.0.2.9" },
                { "host4", IP_ICMP_UNREACHABLE_SOFT, 0, "198.18.0.25", "192.0.2.9" },
                { "expired4", IP_ICMP_UNREACHABLE_SOFT, 0, "198.18.0.25", "192.0.2.9" },
                { "too_big6", IP_ICMP_TOO_BIG, 1400, "2001:2::25", "2001:db8::9" },
                { "port6", IP_ICMP_UNREACHABLE_HARD, 0, "2001:2::25", "2001:db8::9" },
                { "host6", IP_ICMP_UNREACHABLE_SOFT, 0, "2001:2::25", "2001:db8::9" },
                { "expired6", IP_ICMP_UNREACHABLE_SOFT, 0, "2001:2::25", "2001:db8::9" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const struct ip_frame *frame = rig_frame(cases[i].frame);
                struct ip_icmp_error error;
                char text[ADDR_TEXT_MAX];
                struct rig rig;

                rig_init(&rig, 0);
                memset(&error, 0xee, sizeof(error));
                assert_int_equal(rig_input_bytes(&rig, frame->bytes, frame->len, 0, RIG_NOW_US, &error, NULL),
                                 IP_ICMP_ERROR);
                if (error.kind != cases[i].want_kind || error.mtu != cases[i].want_mtu)
                        fail_msg("%s: kind %d, mtu %u", cases[i].frame, error.kind, error.mtu);
                assert_string_equal(addr_text(&error.local, text), cases[i].want_local);
                assert_string_equal(addr_text(&error.remote, text), cases[i].want_remote);
                assert_int_equal(error.local_port, 25);
                assert_int_equal(error.remote_port, 40000);
                assert_int_equal(error.seq, 0xdeadbeef);
                assert_int_equal(rig.counters[COUNTER_ip_icmp_errors], 1);
                rig_done(&rig);
        }
}

/* Where the router gives no MTU (RFC 1191 5): the next one below the packet it did not take, never below what TCP believes. */
static void test_plateaus(void **state)
{
        static const struct {
                uint16_t total_len, want_mtu;
        } cases[] = { { 1500, 1492 }, { 1493, 1492 }, { 1492, 1006 }, { 1007, 1006 }, { 1006, 552 },
                      { 576, 552 },   { 552, 552 },   { 0, 552 },     { 9000, 8166 }, { 65535, 8166 } };
        const struct ip_frame *frame = rig_frame("too_big4");
        unsigned at = WIRE_ETHER_BYTES + WIRE_IPV4_BYTES, len = frame->len - at;

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct ip_icmp_error error;
                uint8_t bytes[256];
                uint16_t checksum;
                struct rig rig;

                memcpy(bytes, frame->bytes, frame->len);
                wire_store16(bytes + at + 6, 0); /* the MTU */
                wire_store16(bytes + at + WIRE_ICMP_BYTES + 2, cases[i].total_len);
                memset(bytes + at + 2, 0, 2);
                checksum = checksum_finish(checksum_add(0, bytes + at, len));
                memcpy(bytes + at + 2, &checksum, 2);
                rig_init(&rig, 0);
                assert_int_equal(rig_input_bytes(&rig, bytes, frame->len, 0, RIG_NOW_US, &error, NULL),
                                 IP_ICMP_ERROR);
                if (error.mtu != cases[i].want_mtu)
                        fail_msg("%u bytes: got %u, want %u", cases[i].total_len, error.mtu, cases[i].want_mtu);
                rig_done(&rig);
        }
}

/* An error that is dropped leaves the caller's struct as it was. */
static void test_error_untouched_on_drop(void **state)
{
        const struct ip_frame *frame = rig_frame("port4_not_ours");
        struct ip_icmp_error error, before;
        struct rig rig;

        rig_init(&rig, 0);
        memset(&error, 0xee, sizeof(error));
        before = error;
        assert_int_equal(rig_input_bytes(&rig, frame->bytes, frame->len, 0, RIG_NOW_US, &error, NULL),
                         IP_DROP_ICMP);
        assert_memory_equal(&error, &before, sizeof(error));
        rig_done(&rig);
}

static void test_echo(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        assert_int_equal(rig_input(&rig, "echo4", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "echo4_reply");
        assert_int_equal(rig_input(&rig, "echo6", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "echo6_reply");
        rig_expect(&rig, 0, NULL);
        assert_int_equal(rig.counters[COUNTER_ip_echo_replies], 2);
        rig_done(&rig);
}

/* An echo from somebody unknown makes us ask for him; the answer goes when he has answered. */
static void test_echo_waits_for_neighbor(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(rig_input(&rig, "echo4", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "arp_ask");
        rig_expect(&rig, 0, NULL);
        assert_int_equal(rig_input(&rig, "arp_answer", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "echo4_reply");
        assert_int_equal(rig_input(&rig, "echo6", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "ns_ask");
        assert_int_equal(rig_input(&rig, "na_answer", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "echo6_reply");
        rig_done(&rig);
}

static void test_echo_rate(void **state)
{
        unsigned answered = 0;
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        for (unsigned i = 0; i < 2 * IP_ICMP_BURST; i++)
                answered += rig_input(&rig, "echo4", RIG_NOW_US) == IP_DONE;
        assert_int_equal(answered, IP_ICMP_BURST);
        assert_int_equal(rig.counters[COUNTER_ip_drop_icmp_rate], IP_ICMP_BURST);
        /* A while later the bucket holds as many as time has put in. */
        for (unsigned i = 0; i < IP_ICMP_BURST; i++)
                answered += rig_input(&rig, "echo4", RIG_NOW_US + 10 * IP_ICMP_INTERVAL_US) == IP_DONE;
        assert_int_equal(answered, IP_ICMP_BURST + 10);
        rig_drain(&rig, 0);
        rig_done(&rig);
}

/* An empty pool is no reason to fall over. */
static void test_no_packets(void **state)
{
        const struct ip_frame *frame = rig_frame("echo4");
        struct packet *held[8191], *packet;
        struct ip_icmp_error error;
        unsigned n = 0;
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        packet = rig_packet(frame->bytes, frame->len);
        while (n < ARRAY_LEN(held) && (held[n] = packet_new(rig_pool)) != NULL)
                n++;
        assert_int_equal(ip_input(rig.ip, packet, RIG_NOW_US, &error), IP_DONE);
        assert_int_equal(rig.counters[COUNTER_ip_no_packet], 1);
        rig_expect(&rig, 0, NULL);
        while (n > 0)
                packet_free(held[--n]);
        rig_done(&rig);
}

/* A router's question about multicast groups is answered, at most once a second. */
static void test_mld(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(rig_input(&rig, "mld_query", RIG_NOW_US), IP_DONE);
        rig_expect(&rig, 0, "mld_report");
        assert_int_equal(rig_input(&rig, "mld_query", RIG_NOW_US + IP_SECOND_US / 2), IP_DROP_ICMP);
        rig_expect(&rig, 0, NULL);
        assert_int_equal(rig_input(&rig, "mld_query", RIG_NOW_US + IP_SECOND_US), IP_DONE);
        rig_expect(&rig, 0, "mld_report");
        rig_done(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_errors),    cmocka_unit_test(test_error_untouched_on_drop),
                cmocka_unit_test(test_echo),      cmocka_unit_test(test_echo_waits_for_neighbor),
                cmocka_unit_test(test_echo_rate), cmocka_unit_test(test_no_packets),
                cmocka_unit_test(test_mld),       cmocka_unit_test(test_plateaus),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
