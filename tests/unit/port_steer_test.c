/* SPDX-License-Identifier: Apache-2.0 */
/* Whose packet is it: Toeplitz against DPDK's own, frames against their 4-tuples, every length, the spread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include <rte_thash.h>

#include "dataplane/port/steer.h"
#include "dataplane/port/wire.h"
#include "tests/unit/ip_frames.h"

/* The key in Microsoft's verification suite for RSS, whose results are published with it. */
static const uint8_t rss_key[STEER_KEY_BYTES] = {
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
        0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
        0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static struct addr parsed(const char *text)
{
        struct addr addr;

        if (addr_parse(text, &addr) < 0)
                fail_msg("%s is no address", text);
        return addr;
}

static const struct ip_frame *frame_named(const char *name)
{
        for (unsigned i = 0; i < ARRAY_LEN(ip_frames); i++)
                if (strcmp(ip_frames[i].name, name) == 0)
                        return &ip_frames[i];
        fail_msg("no frame %s", name);
        return NULL;
}

static void test_published_hashes(void **state)
{
        static const struct {
                const char *remote;
                uint16_t remote_port;
                const char *local;
                uint16_t local_port;
                uint32_t want;
        } cases[] = {
                { "66.9.149.187", 2794, "161.142.100.80", 1766, 0x51ccc178 },
                { "199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626b0ea },
                { "24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b394a },
                { "38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7327f },
                { "153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e828a2 },
                { "3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207d3d },
                { "3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0xdde51bbf },
                { "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024,
                  0x02d1feef },
        };
        struct steer steer;

        steer_init(&steer, 4, rss_key);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr local = parsed(cases[i].local), remote = parsed(cases[i].remote);
                uint32_t got = steer_hash(&steer, &local, cases[i].local_port, &remote, cases[i].remote_port);

                if (got != cases[i].want)
                        fail_msg("%s: got %08x, want %08x", cases[i].remote, got, cases[i].want);
                assert_int_equal(
                    steer_tuple_owner(&steer, &local, cases[i].local_port, &remote, cases[i].remote_port),
                    got % STEER_RETA % 4);
        }
}

/* The same as rte_softrss() for addresses and ports of no pattern. */
static void test_against_softrss(void **state)
{
        uint32_t words[9], seed = 1;
        struct steer steer;

        steer_init(&steer, 3, rss_key);
        for (unsigned i = 0; i < 1000; i++) {
                struct addr local, remote;
                uint8_t bytes[STEER_INPUT_BYTES];

                for (unsigned j = 0; j < sizeof(bytes); j++)
                        bytes[j] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
                memcpy(remote.bytes, bytes, 16);
                memcpy(local.bytes, bytes + 16, 16);
                for (unsigned j = 0; j < ARRAY_LEN(words); j++)
                        words[j] = wire_load32(bytes + 4 * j);
                assert_int_equal(
                    steer_hash(&steer, &local, wire_load16(bytes + 34), &remote, wire_load16(bytes + 32)),
                    rte_softrss(words, 9, rss_key));
        }
}

struct owner_case {
        const char *frame;
        const char *local, *remote; /* NULL: want is a verdict */
        int want;
};

static void test_frames(void **state)
{
        static const struct owner_case cases[] = {
                { "tcp4", "198.18.0.25", "198.18.0.77", 0 },
                { "tcp4_data", "198.18.0.25", "198.18.0.77", 0 },
                { "tcp4_far", "198.18.0.25", "192.0.2.9", 0 },
                { "tcp4_vlan", "198.51.100.2", "198.51.100.9", 0 },
                { "tcp4_record_route", "198.18.0.25", "198.18.0.77", 0 },
                { "tcp6", "2001:2::25", "2001:2::77", 0 },
                { "tcp6_hop_by_hop", "2001:2::25", "2001:2::77", 0 },
                { "tcp6_destination", "2001:2::25", "2001:2::77", 0 },
                { "tcp6_atomic", "2001:2::25", "2001:2::77", 0 },
                { "tcp6_routed_here", "2001:2::25", "2001:2::77", 0 },
                { "too_big4", "198.18.0.25", "192.0.2.9", 0 },
                { "port4", "198.18.0.25", "192.0.2.9", 0 },
                { "expired4", "198.18.0.25", "192.0.2.9", 0 },
                { "too_big6", "2001:2::25", "2001:db8::9", 0 },
                { "port6", "2001:2::25", "2001:db8::9", 0 },
                { "arp_request", NULL, NULL, STEER_ALL },
                { "arp_answer", NULL, NULL, STEER_ALL },
                { "ns", NULL, NULL, STEER_ALL },
                { "na_answer", NULL, NULL, STEER_ALL },
                { "echo4", NULL, NULL, STEER_ANY },
                { "echo6", NULL, NULL, STEER_ANY },
                { "mld_query", NULL, NULL, STEER_ANY },
                { "udp4", NULL, NULL, STEER_ANY },
                { "udp6", NULL, NULL, STEER_ANY },
                { "redirect4", NULL, NULL, STEER_ANY },
                { "lldp", NULL, NULL, STEER_ANY },
                { "double_tag", NULL, NULL, STEER_ANY },
                { "tcp6_five_headers", NULL, NULL, STEER_ANY },
        };
        struct steer steer;

        steer_init(&steer, 64, rss_key); /* many workers: a wrong tuple would hardly fall to the right one */
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const struct ip_frame *frame = frame_named(cases[i].frame);
                int want = cases[i].want, got = steer_frame(&steer, frame->bytes, frame->len);

                if (cases[i].local) {
                        struct addr local = parsed(cases[i].local), remote = parsed(cases[i].remote);

                        want = (int)steer_tuple_owner(&steer, &local, 25, &remote, 40000);
                }
                if (got != want)
                        fail_msg("%s: got %d, want %d", cases[i].frame, got, want);
        }
}

static void test_cut_everywhere(void **state)
{
        struct steer steer;

        steer_init(&steer, 64, rss_key);
        for (unsigned i = 0; i < ARRAY_LEN(ip_frames); i++) {
                for (uint16_t len = 0; len <= ip_frames[i].len; len++) {
                        uint8_t *bytes =
                            test_malloc(len ? len : 1); /* so that a sanitizer sees a read beyond */
                        int got;

                        memcpy(bytes, ip_frames[i].bytes, len);
                        got = steer_frame(&steer, bytes, len);
                        test_free(bytes);
                        assert_in_range(got - STEER_ALL, 0, 64 - 1 - STEER_ALL);
                }
        }
}

/* All pieces of one datagram meet at one worker, whether they hold ports or not; another datagram's need not. */
static void test_fragments(void **state)
{
        const struct ip_frame *first = frame_named("tcp4_first_fragment"),
                              *later = frame_named("tcp4_later_fragment");
        uint8_t bytes[128];
        unsigned others = 0;
        struct steer steer;
        int owner;

        steer_init(&steer, 64, rss_key);
        owner = steer_frame(&steer, first->bytes, first->len);
        assert_in_range(owner, 0, 63);
        assert_int_equal(steer_frame(&steer, later->bytes, later->len), owner);
        memcpy(bytes, first->bytes, first->len);
        for (uint8_t id = 2; id < 66; id++) {
                bytes[WIRE_ETHER_BYTES + 5] = id;
                others += steer_frame(&steer, bytes, first->len) != owner;
        }
        assert_in_range(others, 48, 64);
        assert_in_range(
            steer_frame(&steer, frame_named("tcp6_fragment")->bytes, frame_named("tcp6_fragment")->len), 0,
            63);
}

/* Each worker gets its share of connections. */
static void test_spread(void **state)
{
        struct addr local = parsed("198.18.0.25");
        unsigned counts[5] = { 0 };
        struct steer steer;

        steer_init(&steer, 5, rss_key);
        for (unsigned i = 0; i < 20000; i++) {
                struct addr remote = addr_from_v4_be(0x0200000au + ((i / 200) << 16));

                counts[steer_tuple_owner(&steer, &local, 25, &remote, (uint16_t)(32768 + i % 200))]++;
        }
        for (unsigned i = 0; i < 5; i++)
                assert_in_range(counts[i], 3000, 5000);
}

static void test_local_port(void **state)
{
        static const struct {
                uint16_t first, last, start;
                bool want_any;
        } cases[] = {
                { 1024, 65535, 1024, true }, { 1024, 65535, 65535, true }, { 32768, 60999, 40000, true },
                { 32768, 60999, 5, true },   { 0, 65535, 1, false },       { 2000, 1999, 2000, false },
        };
        struct addr local = parsed("203.0.113.2"), remote = parsed("203.0.113.10");
        struct steer steer;

        steer_init(&steer, 4, rss_key);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                for (unsigned worker = 0; worker < 4; worker++) {
                        uint16_t port = steer_local_port(&steer, worker, &local, &remote, 25, cases[i].first,
                                                         cases[i].last, cases[i].start);

                        assert_int_equal(port != 0, cases[i].want_any);
                        if (port == 0)
                                continue;
                        assert_in_range(port, cases[i].first, cases[i].last);
                        assert_int_equal(steer_tuple_owner(&steer, &local, port, &remote, 25), worker);
                }
        }
        /* The first that fits at or after the start: going on from the next one gives all of them, each once. */
        for (uint16_t at = 5000, n = 0; n < 50; n++) {
                uint16_t port = steer_local_port(&steer, 2, &local, &remote, 25, 5000, 65535, at);

                for (uint16_t skipped = at; skipped < port; skipped++)
                        assert_int_not_equal(steer_tuple_owner(&steer, &local, skipped, &remote, 25), 2);
                at = (uint16_t)(port + 1);
        }
}

/* One worker owns everything, and a range of one port holds it or not. */
static void test_single(void **state)
{
        struct addr local = parsed("2001:2::25"), remote = parsed("2001:2::77");
        struct steer one, two;
        unsigned owner;

        steer_init(&one, 1, rss_key);
        assert_int_equal(steer_local_port(&one, 0, &local, &remote, 25, 4000, 4000, 4000), 4000);
        steer_init(&two, 2, rss_key);
        owner = steer_tuple_owner(&two, &local, 4000, &remote, 25);
        assert_int_equal(steer_local_port(&two, owner, &local, &remote, 25, 4000, 4000, 4000), 4000);
        assert_int_equal(steer_local_port(&two, 1 - owner, &local, &remote, 25, 4000, 4000, 4000), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_published_hashes), cmocka_unit_test(test_against_softrss),
                cmocka_unit_test(test_frames),           cmocka_unit_test(test_cut_everywhere),
                cmocka_unit_test(test_fragments),        cmocka_unit_test(test_spread),
                cmocka_unit_test(test_local_port),       cmocka_unit_test(test_single),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
