/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in, a verdict out: every named frame of both families, whole and cut at every length. */
#include "tests/unit/ip_rig.h"

struct verdict_case {
        const char *frame;
        enum ip_verdict want;
};

static const struct verdict_case verdict_cases[] = {
        { "tcp4", IP_TCP },
        { "tcp4_data", IP_TCP },
        { "tcp4_far", IP_TCP },
        { "tcp4_vlan", IP_TCP },
        { "tcp4_priority_tag", IP_TCP },
        { "tcp4_record_route", IP_TCP },
        { "tcp6", IP_TCP },
        { "tcp6_data", IP_TCP },
        { "tcp6_link_local_source", IP_TCP },
        { "tcp6_hop_by_hop", IP_TCP },
        { "tcp6_destination", IP_TCP },
        { "tcp6_atomic", IP_TCP },
        { "tcp6_skip_unknown", IP_TCP },
        { "tcp6_routed_here", IP_TCP },
        { "other_mac", IP_DROP_ETHER_DESTINATION },
        { "broadcast_tcp", IP_DROP_ETHER_DESTINATION },
        { "multicast_source", IP_DROP_ETHER_SOURCE },
        { "own_source_mac", IP_DROP_ETHER_SOURCE },
        { "unknown_vlan", IP_DROP_VLAN },
        { "double_tag", IP_DROP_ETHERTYPE },
        { "lldp", IP_DROP_ETHERTYPE },
        { "tcp4_bad_header_sum", IP_DROP_HEADER_CHECKSUM },
        { "tcp4_bad_sum", IP_DROP_L4_CHECKSUM },
        { "tcp6_bad_sum", IP_DROP_L4_CHECKSUM },
        { "tcp4_version", IP_DROP_HEADER },
        { "tcp4_too_long", IP_DROP_HEADER },
        { "tcp4_source_route", IP_DROP_OPTIONS },
        { "tcp4_first_fragment", IP_DONE },
        { "tcp4_later_fragment", IP_DROP_PROTOCOL },
        { "tcp4_other_address", IP_DROP_NOT_OURS },
        { "tcp4_back_address", IP_DROP_NOT_OURS },
        { "tcp4_from_loopback", IP_DROP_SOURCE },
        { "tcp4_from_zero", IP_DROP_SOURCE },
        { "tcp4_from_multicast", IP_DROP_SOURCE },
        { "tcp4_from_broadcast", IP_DROP_SOURCE },
        { "tcp4_from_subnet_broadcast", IP_DROP_SOURCE },
        { "tcp4_from_us", IP_DROP_SOURCE },
        { "tcp4_from_back", IP_DROP_INTERFACE },
        { "udp4", IP_DROP_PROTOCOL },
        { "tcp4_short", IP_DROP_L4_SHORT },
        { "tcp6_fragment", IP_DONE },
        { "cut4_a", IP_DONE },
        { "cut4_d", IP_DONE },
        { "cut6_a", IP_DONE },
        { "cut6_d", IP_DONE },
        { "tcp6_route", IP_DROP_EXTENSION },
        { "tcp6_must_know", IP_DROP_EXTENSION },
        { "tcp6_jumbo", IP_DROP_EXTENSION },
        { "tcp6_late_hop_by_hop", IP_DROP_EXTENSION },
        { "tcp6_five_headers", IP_DROP_EXTENSION },
        { "tcp6_to_mapped", IP_DROP_NOT_OURS },
        { "tcp6_from_mapped", IP_DROP_SOURCE },
        { "tcp6_from_loopback", IP_DROP_SOURCE },
        { "tcp6_from_multicast", IP_DROP_SOURCE },
        { "tcp6_from_zero", IP_DROP_SOURCE },
        { "tcp6_from_us", IP_DROP_SOURCE },
        { "tcp6_other_address", IP_DROP_NOT_OURS },
        { "tcp6_link_local", IP_DROP_NOT_OURS },
        { "udp6", IP_DROP_PROTOCOL },
        { "too_big4", IP_ICMP_ERROR },
        { "too_big4_tiny", IP_DROP_ICMP },
        { "port4", IP_ICMP_ERROR },
        { "host4", IP_ICMP_ERROR },
        { "expired4", IP_ICMP_ERROR },
        { "port4_short", IP_DROP_ICMP },
        { "port4_not_ours", IP_DROP_ICMP },
        { "quench4", IP_DROP_ICMP },
        { "redirect4", IP_DROP_ICMP },
        { "too_big6", IP_ICMP_ERROR },
        { "too_big6_tiny", IP_DROP_ICMP },
        { "port6", IP_ICMP_ERROR },
        { "host6", IP_ICMP_ERROR },
        { "expired6", IP_ICMP_ERROR },
        { "port6_short", IP_DROP_ICMP },
        { "echo4", IP_DONE },
        { "echo4_bad_sum", IP_DROP_L4_CHECKSUM },
        { "echo4_reply", IP_DROP_ETHER_SOURCE },
        { "echo6", IP_DONE },
        { "echo6_multicast", IP_DROP_ICMP },
        { "arp_request", IP_DONE },
        { "arp_other", IP_DROP_ARP },
        { "arp_probe", IP_DONE },
        { "arp_conflict", IP_DONE },
        { "arp_gratuitous", IP_DROP_ARP },
        { "arp_answer", IP_DONE },
        { "arp_multicast_sender", IP_DROP_ARP },
        { "ns", IP_DONE },
        { "ns_link_local", IP_DONE },
        { "ns_dad", IP_DONE },
        { "ns_dad_option", IP_DROP_ND },
        { "ns_hops", IP_DROP_ND },
        { "ns_other", IP_DROP_ND },
        { "ns_option_zero", IP_DROP_ND },
        { "ns_atomic", IP_DROP_ND },
        { "ns_mapped", IP_DROP_ND },
        { "na_answer", IP_DONE },
        { "na_multicast_solicited", IP_DROP_ND },
        { "na_conflict", IP_DROP_SOURCE },
        { "na_claim", IP_DONE },
        { "na_multicast_target", IP_DROP_ND },
        { "na_claim_mapped", IP_DROP_ND },
        { "na_move_mapped", IP_DROP_ND },
        { "mld_query", IP_DONE },
};

static void test_verdicts(void **state)
{
        for (unsigned i = 0; i < ARRAY_LEN(verdict_cases); i++) {
                struct rig rig;
                enum ip_verdict got;

                rig_init(&rig, 0);
                got = rig_input(&rig, verdict_cases[i].frame, RIG_NOW_US);
                if (got != verdict_cases[i].want)
                        fail_msg("%s: got %d, want %d", verdict_cases[i].frame, got, verdict_cases[i].want);
                /* Each drop is counted once, and only drops are. */
                assert_int_equal(rig_drops(&rig), got >= IP_DROP_ETHER_SHORT);
                rig_done(&rig);
        }
}

/* A frame cut short is never taken for more than it is, nor read beyond its end (the sanitizer build sees that). */
static void test_cut_everywhere(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned i = 0; i < ARRAY_LEN(ip_frames); i++) {
                for (uint16_t len = 0; len < ip_frames[i].len; len++) {
                        enum ip_verdict got =
                            rig_input_bytes(&rig, ip_frames[i].bytes, len, 0, RIG_NOW_US, NULL, NULL);

                        if (got == IP_TCP || got == IP_ICMP_ERROR || got == IP_SENT)
                                fail_msg("%s cut to %u bytes: verdict %d", ip_frames[i].name, len, got);
                        rig_drain(&rig, 0);
                        rig_drain(&rig, 1);
                }
        }
        rig_done(&rig);
}

/* The same with every single bit turned: no crash, no leak, and no turned bit gets a segment through but where no checksum looks. */
static void test_every_bit_turned(void **state)
{
        const struct ip_frame *frame = rig_frame("tcp4_data");
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned bit = 0; bit < frame->len * 8u; bit++) {
                uint8_t bytes[128];
                enum ip_verdict got;

                memcpy(bytes, frame->bytes, frame->len);
                bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                got = rig_input_bytes(&rig, bytes, frame->len, 0, RIG_NOW_US, NULL, NULL);
                if (got == IP_TCP && bit / 8 >= WIRE_ETHER_BYTES)
                        fail_msg("byte %u changed, and the segment got through", bit / 8);
                rig_drain(&rig, 0);
        }
        rig_done(&rig);
}

static void test_segment_is_trimmed(void **state)
{
        static const struct {
                const char *frame;
                uint16_t padding;
                const char *want_src, *want_dst;
                uint16_t want_len;
                uint8_t want_ecn, want_hops;
                uint16_t want_vlan;
        } cases[] = {
                { "tcp4", 6, "198.18.0.77", "198.18.0.25", 24, 2, 61, 0 },
                { "tcp4_data", 0, "198.18.0.77", "198.18.0.25", 42, 2, 61, 0 },
                { "tcp4_record_route", 30, "198.18.0.77", "198.18.0.25", 42, 2, 61, 0 },
                { "tcp4_vlan", 2, "198.51.100.9", "198.51.100.2", 24, 2, 61, 7 },
                { "tcp6", 1, "2001:2::77", "2001:2::25", 24, 3, 60, 0 },
                { "tcp6_destination", 4, "2001:2::77", "2001:2::25", 42, 3, 60, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const struct ip_frame *frame = rig_frame(cases[i].frame);
                struct packet *packet = NULL;
                uint8_t bytes[256] = { 0 };
                char text[ADDR_TEXT_MAX];
                struct rig rig;

                rig_init(&rig, 0);
                memcpy(bytes, frame->bytes, frame->len);
                memset(bytes + frame->len, 0xee, cases[i].padding);
                assert_int_equal(
                    rig_input_bytes(&rig, bytes, frame->len + cases[i].padding, 0, RIG_NOW_US, NULL, &packet),
                    IP_TCP);
                assert_int_equal(packet_len(packet), cases[i].want_len);
                assert_int_equal(wire_load16(packet_data(packet)), 40000);
                assert_int_equal(wire_load16(packet_data(packet) + 2), 25);
                assert_string_equal(addr_text(&packet_meta(packet)->src, text), cases[i].want_src);
                assert_string_equal(addr_text(&packet_meta(packet)->dst, text), cases[i].want_dst);
                assert_int_equal(packet_meta(packet)->ecn, cases[i].want_ecn);
                assert_int_equal(packet_meta(packet)->hops, cases[i].want_hops);
                assert_int_equal(packet_meta(packet)->vlan, cases[i].want_vlan);
                packet_free(packet);
                rig_done(&rig);
        }
}

/* A device that has checked the checksum is believed, about the checksum alone. */
static void test_device_checksum(void **state)
{
        const struct ip_frame *bad = rig_frame("tcp4_bad_sum"), *short_one = rig_frame("tcp4_short");
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(
            rig_input_bytes(&rig, bad->bytes, bad->len, PACKET_L4_CHECKSUM_OK, RIG_NOW_US, NULL, NULL),
            IP_TCP);
        assert_int_equal(rig_input_bytes(&rig, short_one->bytes, short_one->len, PACKET_L4_CHECKSUM_OK,
                                         RIG_NOW_US, NULL, NULL),
                         IP_DROP_L4_SHORT);
        rig_done(&rig);
}

/* A tag that the device stripped counts as one in the frame. */
static void test_stripped_tag(void **state)
{
        const struct ip_frame *frame = rig_frame("tcp4_vlan");
        static const struct {
                uint16_t vlan;
                enum ip_verdict want;
        } cases[] = { { 7, IP_TCP }, { 0, IP_DROP_NOT_OURS }, { 9, IP_DROP_VLAN } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct packet *packet;
                struct ip_icmp_error error;
                uint8_t bytes[128];
                enum ip_verdict got;
                struct rig rig;

                rig_init(&rig, 0);
                memcpy(bytes, frame->bytes, 12);
                memcpy(bytes + 12, frame->bytes + 16, frame->len - 16u);
                packet = rig_packet(bytes, frame->len - 4);
                packet_meta(packet)->vlan = cases[i].vlan;
                got = ip_input(rig.ip, packet, RIG_NOW_US, &error);
                assert_int_equal(got, cases[i].want);
                if (got == IP_TCP)
                        packet_free(packet);
                rig_done(&rig);
        }
}

static void test_several_segments_refused(void **state)
{
        const struct ip_frame *frame = rig_frame("tcp4_data");
        struct packet *head = rig_packet(frame->bytes, 60),
                      *tail = rig_packet(frame->bytes + 60, frame->len - 60);
        struct ip_icmp_error error;
        struct rig rig;

        rig_init(&rig, 0);
        assert_true(packet_chain(head, tail));
        assert_int_equal(ip_input(rig.ip, head, RIG_NOW_US, &error), IP_DROP_ETHER_SHORT);
        rig_done(&rig);
}

/* A copy for learning neither answers nor passes a segment on. */
static void test_learn_only(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        rig_know_peers(&rig, RIG_NOW_US);
        for (unsigned i = 0; i < ARRAY_LEN(ip_frames); i++) {
                enum ip_verdict got = rig_input_bytes(&rig, ip_frames[i].bytes, ip_frames[i].len,
                                                      PACKET_LEARN_ONLY, RIG_NOW_US, NULL, NULL);

                if (got == IP_TCP)
                        fail_msg("%s: a learning copy came through", ip_frames[i].name);
                if (rig_drain(&rig, 0) + rig_drain(&rig, 1) > 0)
                        fail_msg("%s: a learning copy was answered", ip_frames[i].name);
        }
        rig_done(&rig);
}

/* Frames that nobody fetches do not pile up. */
static void test_queue_is_bounded(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned i = 0; i < IP_FRAMES_MAX + 10; i++)
                rig_input(&rig, "arp_request", RIG_NOW_US);
        assert_int_equal(rig.counters[COUNTER_ip_drop_queue_full], 10);
        assert_int_equal(rig_drain(&rig, 0), IP_FRAMES_MAX);
        rig_done(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_cut_everywhere),
                cmocka_unit_test(test_every_bit_turned),
                cmocka_unit_test(test_segment_is_trimmed),
                cmocka_unit_test(test_device_checksum),
                cmocka_unit_test(test_stripped_tag),
                cmocka_unit_test(test_several_segments_refused),
                cmocka_unit_test(test_learn_only),
                cmocka_unit_test(test_queue_is_bounded),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
