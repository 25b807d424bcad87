/* SPDX-License-Identifier: Apache-2.0 */
/* Segments out: headers and checksums byte by byte, the way to a neighbour or a gateway, and what cannot be sent. */
#include "dataplane/port/checksum.h"
#include "tests/unit/ip_rig.h"

#define L4_OFFSET4 (WIRE_ETHER_BYTES + WIRE_IPV4_BYTES)
#define L4_OFFSET6 (WIRE_ETHER_BYTES + WIRE_IPV6_BYTES)

/* The segment inside a wanted frame, as TCP would hand it over: in segments of at most piece_len bytes. */
static struct packet *segment_of(const char *name, unsigned l4_offset, const char *src, const char *dst,
                                 unsigned first_len, unsigned piece_len)
{
        const struct ip_frame *frame = rig_frame(name);
        unsigned len = frame->len - l4_offset, at = MIN(first_len, len);
        struct packet *packet = rig_packet(frame->bytes + l4_offset, (uint16_t)at);

        for (; at < len; at += piece_len)
                assert_true(packet_chain(
                    packet, rig_packet(frame->bytes + l4_offset + at, (uint16_t)MIN(piece_len, len - at))));
        packet_meta(packet)->src = rig_addr(src);
        packet_meta(packet)->dst = rig_addr(dst);
        return packet;
}

static void put_pseudo_sum(struct packet *packet)
{
        struct packet_meta *meta = packet_meta(packet);
        uint16_t sum =
            checksum_fold(checksum_pseudo(&meta->src, &meta->dst, WIRE_TCP, packet_total_len(packet)));

        memcpy(packet_data(packet) + 16, &sum, 2);
        meta->flags = PACKET_L4_PSEUDO;
}

/* The ready frame, whatever its segments, against the wanted one. */
static void expect_chain(struct rig *rig, const char *name)
{
        const struct ip_frame *want = rig_frame(name);
        uint8_t bytes[256];
        struct packet *packet;
        const void *got;

        assert_int_equal(ip_next_frames(rig->ip, 0, &packet, 1), 1);
        assert_int_equal(packet_total_len(packet), want->len);
        got = rte_pktmbuf_read(&packet->mbuf, 0, want->len, bytes);
        assert_memory_equal(got, want->bytes, want->len);
        packet_free(packet);
}

static void test_frames(void **state)
{
        static const struct {
                const char *frame;
                unsigned l4_offset;
                const char *src, *dst;
                bool pseudo;
                unsigned first_len, piece_len;
        } cases[] = {
                { "out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", false, 999, 999 },
                { "out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", true, 999, 999 },
                { "out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", true, 20, 999 },
                { "out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", true, 21, 7 }, /* odd pieces */
                { "out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", true, 20, 1 },
                { "out6", L4_OFFSET6, "2001:2::25", "2001:2::77", false, 999, 999 },
                { "out6", L4_OFFSET6, "2001:2::25", "2001:2::77", true, 999, 999 },
                { "out6", L4_OFFSET6, "2001:2::25", "2001:2::77", true, 23, 5 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct packet *packet = segment_of(cases[i].frame, cases[i].l4_offset, cases[i].src,
                                                   cases[i].dst, cases[i].first_len, cases[i].piece_len);
                struct rig rig;

                rig_init(&rig, 0);
                rig_know_peers(&rig, RIG_NOW_US);
                packet_meta(packet)->ecn = 2;
                if (cases[i].pseudo)
                        put_pseudo_sum(packet);
                assert_int_equal(ip_output(rig.ip, packet, RIG_NOW_US), IP_SENT);
                expect_chain(&rig, cases[i].frame);
                rig_done(&rig);
        }
}

/* Where the port finishes checksums, the field keeps the pseudo header's sum and the mbuf says so. */
static void test_offload(void **state)
{
        struct packet *packet = segment_of("out4", L4_OFFSET4, "198.18.0.25", "198.18.0.77", 999, 999);
        uint16_t sum;
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        rig.ip->interfaces[0].conf.tx_l4_checksum = true;
        put_pseudo_sum(packet);
        memcpy(&sum, packet_data(packet) + 16, 2);
        assert_int_equal(ip_output(rig.ip, packet, RIG_NOW_US), IP_SENT);
        assert_int_equal(ip_next_frames(rig.ip, 0, &packet, 1), 1);
        assert_memory_equal(packet_data(packet) + L4_OFFSET4 + 16, &sum, 2);
        assert_int_equal(packet->mbuf.ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IPV4),
                         RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4);
        assert_int_equal(packet->mbuf.l2_len, WIRE_ETHER_BYTES);
        assert_int_equal(packet->mbuf.l3_len, WIRE_IPV4_BYTES);
        packet_free(packet);
        rig_done(&rig);
}

static void test_vlan(void **state)
{
        struct packet *packet =
            segment_of("out4_vlan", L4_OFFSET4 + WIRE_VLAN_BYTES, "198.51.100.2", "198.51.100.9", 999, 999);
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(ip_output(rig.ip, packet, RIG_NOW_US), IP_SENT);
        assert_int_equal(rig_drain(&rig, 0), 1); /* the question, tagged */
        assert_int_equal(rig_input(&rig, "arp_answer_vlan", RIG_NOW_US), IP_DONE);
        expect_chain(&rig, "out4_vlan");
        rig_done(&rig);
}

/* Off-link destinations go to the gateway's MAC address. */
static void test_gateway(void **state)
{
        static const char *const dsts[][2] = { { "198.18.0.25", "192.0.2.9" },
                                               { "2001:2::25", "2001:db8::9" } };

        for (unsigned i = 0; i < ARRAY_LEN(dsts); i++) {
                struct packet *packet = segment_of("out4", L4_OFFSET4, dsts[i][0], dsts[i][1], 999, 999);
                struct addr gateway = rig_addr(i == 0 ? "198.18.0.1" : "2001:2::1");
                const uint8_t mac[6] = { 2, 0, 0, 0, 0, 0xfe };
                struct rig rig;

                rig_init(&rig, 0);
                neighbor_learn(rig.ip, 0, &gateway, mac, NEIGHBOR_ANSWERS, RIG_NOW_US);
                assert_int_equal(ip_output(rig.ip, packet, RIG_NOW_US), IP_SENT);
                assert_int_equal(ip_next_frames(rig.ip, 0, &packet, 1), 1);
                assert_memory_equal(packet_data(packet), mac, 6);
                packet_free(packet);
                rig_done(&rig);
        }
}

static void test_refusals(void **state)
{
        static const struct {
                const char *src, *dst;
                uint16_t len;
                enum ip_verdict want;
        } cases[] = {
                { "198.18.0.26", "198.18.0.77", 20, IP_DROP_NO_ROUTE }, /* not ours */
                { "203.0.113.2", "192.0.2.9", 20, IP_DROP_NO_ROUTE },   /* no gateway there */
                { "198.18.0.25", "2001:2::77", 20, IP_DROP_NO_ROUTE },
                { "198.18.0.25", "224.0.0.1", 20, IP_DROP_NO_ROUTE },
                { "198.18.0.25", "198.51.100.2", 20, IP_DROP_NO_ROUTE }, /* ourselves */
                { "2001:2::25", "ff02::1", 20, IP_DROP_NO_ROUTE },
                { "198.18.0.25", "198.18.0.77", 1481, IP_DROP_TOO_LONG },
                { "198.18.0.25", "198.18.0.77", 1480, IP_SENT },
                { "2001:2::25", "2001:2::77", 1461, IP_DROP_TOO_LONG },
                { "2001:2::25", "2001:2::77", 1460, IP_SENT },
        };
        static const uint8_t zeros[1500];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct packet *packet = rig_packet(zeros, cases[i].len);
                enum ip_verdict got;
                struct rig rig;

                rig_init(&rig, 0);
                rig_know_peers(&rig, RIG_NOW_US);
                packet_meta(packet)->src = rig_addr(cases[i].src);
                packet_meta(packet)->dst = rig_addr(cases[i].dst);
                got = ip_output(rig.ip, packet, RIG_NOW_US);
                if (got != cases[i].want)
                        fail_msg("%s to %s, %u bytes: got %d, want %d", cases[i].src, cases[i].dst,
                                 cases[i].len, got, cases[i].want);
                assert_int_equal(rig_drops(&rig), got != IP_SENT);
                rig_drain(&rig, 0);
                rig_done(&rig);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_frames),  cmocka_unit_test(test_offload),  cmocka_unit_test(test_vlan),
                cmocka_unit_test(test_gateway), cmocka_unit_test(test_refusals),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
