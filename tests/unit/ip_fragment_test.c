/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames with fragments in, frames of whole datagrams out, through all checks of ip_input(). What pieces are to each other
 * is port_fragments_test's matter.
 */
#include "tests/unit/ip_rig.h"

#include "dataplane/port/checksum.h"

#define PAYLOAD_MAX 1600u

/* A datagram to cut: what lies behind its IP header, and behind the fragment header for IPv6. */
struct datagram {
        bool is_v6;
        uint8_t protocol;
        uint32_t id;
        uint16_t len;
        uint8_t payload[PAYLOAD_MAX];
};

/* One fragment of it. */
struct cut {
        uint16_t offset, len;
        bool has_more;
        uint8_t ecn;
        uint8_t before; /* IPv6: bytes of destination options before the fragment header; IPv4: of options (no-operation) */
};

static void put_checksum(struct datagram *datagram, unsigned l4, unsigned at)
{
        struct addr src = rig_addr(datagram->is_v6 ? "2001:2::77" : "198.18.0.77"),
                    dst = rig_addr(datagram->is_v6 ? "2001:2::25" : "198.18.0.25");
        uint16_t len = (uint16_t)(datagram->len - l4), checksum;
        uint64_t sum = datagram->protocol == WIRE_ICMP
                           ? 0
                           : checksum_pseudo(&src, &dst, at == 16 ? WIRE_TCP : WIRE_ICMP6, len);

        checksum = checksum_finish(checksum_add(sum, datagram->payload + l4, len));
        memcpy(datagram->payload + l4 + at, &checksum, 2);
}

static void put_header_checksum(uint8_t *ip)
{
        uint16_t checksum;

        memset(ip + 10, 0, 2);
        checksum = checksum_finish(checksum_add(0, ip, (ip[0] & 15) * 4u));
        memcpy(ip + 10, &checksum, 2);
}

/* A TCP segment of len bytes, header and options included. */
static void make_segment(struct datagram *datagram, bool is_v6, uint16_t len, unsigned options)
{
        memset(datagram, 0, sizeof(*datagram));
        datagram->is_v6 = is_v6;
        datagram->protocol = WIRE_TCP;
        datagram->id = 0x1234;
        datagram->len = len;
        for (unsigned i = 0; i < len; i++)
                datagram->payload[i] = (uint8_t)(i * 31 + (i >> 8));
        wire_store16(datagram->payload, 40000);
        wire_store16(datagram->payload + 2, 25);
        datagram->payload[12] = (uint8_t)((WIRE_TCP_BYTES + options) / 4 << 4);
        datagram->payload[13] = 0x18;
        memset(datagram->payload + 16, 0, 4);
        memset(datagram->payload + WIRE_TCP_BYTES, 1, options);
        put_checksum(datagram, 0, 16);
}

static void make_echo(struct datagram *datagram, bool is_v6, uint16_t len)
{
        make_segment(datagram, is_v6, len, 0);
        datagram->protocol = is_v6 ? WIRE_ICMP6 : WIRE_ICMP;
        memset(datagram->payload, 0, 4);
        datagram->payload[0] = is_v6 ? (uint8_t)WIRE_ICMP6_ECHO : (uint8_t)WIRE_ICMP_ECHO;
        put_checksum(datagram, 0, 2);
}

static uint16_t make_frame(uint8_t *frame, const struct datagram *datagram, const struct cut *cut)
{
        struct addr src = rig_addr(datagram->is_v6 ? "2001:2::77" : "198.18.0.77"),
                    dst = rig_addr(datagram->is_v6 ? "2001:2::25" : "198.18.0.25");
        uint8_t *ip = frame + WIRE_ETHER_BYTES, *payload;

        memset(frame, 0, 128);
        memcpy(frame, (const uint8_t[]){ 2, 0, 0, 0, 0, 1 }, 6);
        memcpy(frame + 6, rig_peer_mac, 6);
        if (datagram->is_v6) {
                wire_store16(frame + 12, WIRE_ETHERTYPE_IPV6);
                wire_store32(ip, 6u << 28 | (uint32_t)cut->ecn << 20);
                wire_store16(ip + 4, (uint16_t)(cut->before + 8 + cut->len));
                ip[6] = cut->before ? WIRE_DESTINATION : WIRE_FRAGMENT;
                ip[7] = 60;
                memcpy(ip + 8, src.bytes, 16);
                memcpy(ip + 24, dst.bytes, 16);
                payload = ip + WIRE_IPV6_BYTES;
                if (cut->before) {
                        payload[0] = WIRE_FRAGMENT;
                        payload[1] = (uint8_t)(cut->before / 8 - 1);
                }
                payload += cut->before;
                payload[0] = datagram->protocol;
                wire_store16(payload + 2, (uint16_t)(cut->offset | cut->has_more));
                wire_store32(payload + 4, datagram->id);
                payload += 8;
        } else {
                unsigned header_len = WIRE_IPV4_BYTES + cut->before;

                wire_store16(frame + 12, WIRE_ETHERTYPE_IPV4);
                ip[0] = (uint8_t)(0x40 | header_len / 4);
                ip[1] = cut->ecn;
                wire_store16(ip + 2, (uint16_t)(header_len + cut->len));
                wire_store16(ip + 4, (uint16_t)datagram->id);
                wire_store16(ip + 6, (uint16_t)(cut->offset / 8 | (cut->has_more ? WIRE_IPV4_MF : 0)));
                ip[8] = 61;
                ip[9] = datagram->protocol;
                memcpy(ip + 12, src.bytes + 12, 4);
                memcpy(ip + 16, dst.bytes + 12, 4);
                memset(ip + WIRE_IPV4_BYTES, 1, cut->before);
                put_header_checksum(ip);
                payload = ip + header_len;
        }
        if (cut->offset + cut->len <= datagram->len)
                memcpy(payload, datagram->payload + cut->offset, cut->len);
        else
                memset(payload, 0, cut->len);
        return (uint16_t)(payload + cut->len - frame);
}

static enum ip_verdict give(struct rig *rig, const struct datagram *datagram, const struct cut *cut)
{
        uint8_t frame[2048];
        uint16_t len = make_frame(frame, datagram, cut);

        return rig_input_bytes(rig, frame, len, 0, RIG_NOW_US, NULL, NULL);
}

/* What has become whole must be one frame; returns the verdict on it. */
static enum ip_verdict take_whole(struct rig *rig, struct packet **ret)
{
        struct ip_icmp_error error;
        struct packet *extra;

        if (ip_next_whole(rig->ip, ret, 1) != 1)
                fail_msg("nothing has become whole");
        assert_int_equal(ip_next_whole(rig->ip, &extra, 1), 0);
        assert_true(packet_meta(*ret)->flags & PACKET_REASSEMBLED);
        return ip_input(rig->ip, *ret, RIG_NOW_US, &error);
}

static void take_segment(struct rig *rig, const struct datagram *datagram, uint8_t want_ecn)
{
        struct packet *packet;
        struct addr src = rig_addr(datagram->is_v6 ? "2001:2::77" : "198.18.0.77"),
                    dst = rig_addr(datagram->is_v6 ? "2001:2::25" : "198.18.0.25");

        assert_int_equal(take_whole(rig, &packet), IP_TCP);
        assert_int_equal(packet_len(packet), datagram->len);
        assert_int_equal(packet_total_len(packet), datagram->len);
        assert_memory_equal(packet_data(packet), datagram->payload, datagram->len);
        assert_true(addr_is_equal(&packet_meta(packet)->src, &src));
        assert_true(addr_is_equal(&packet_meta(packet)->dst, &dst));
        assert_int_equal(packet_meta(packet)->ecn, want_ecn);
        assert_int_equal(packet_meta(packet)->hops, datagram->is_v6 ? 60 : 61);
        assert_int_equal(rig_drops(rig), 0);
        packet_free(packet);
}

/* --- what comes through ----------------------------------------------------------------------------------------- */

/* Any segment cut at any place where it may be cut, either half first; ECN and headers in front do not matter. */
static void test_two_halves(void **state)
{
        static const uint8_t before[] = { 0, 8, 40 };

        for (unsigned kind = 0; kind < 4; kind++) {
                bool is_v6 = kind & 1, is_last_first = kind & 2;

                for (uint16_t at = 24; at < 300; at += 8) {
                        struct cut cuts[] = { { 0, at, true, 2, before[at / 8 % 3] },
                                              { at, (uint16_t)(300 - at), false, 3, before[at / 16 % 3] } };
                        struct datagram datagram;
                        struct rig rig;

                        rig_init(&rig, 0);
                        make_segment(&datagram, is_v6, 300, 0);
                        assert_int_equal(give(&rig, &datagram, &cuts[is_last_first]), IP_DONE);
                        assert_int_equal(give(&rig, &datagram, &cuts[!is_last_first]), IP_DONE);
                        take_segment(&rig, &datagram, 3);
                        rig_done(&rig);
                }
        }
}

/* Pieces of another's making, the later ones first: what comes out is what the same maker sends whole. */
static void test_of_another_maker(void **state)
{
        static const char *const cuts[2][4] = { { "cut4_d", "cut4_b", "cut4_c", "cut4_a" },
                                                { "cut6_d", "cut6_b", "cut6_c", "cut6_a" } };

        for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                const struct ip_frame *whole = rig_frame(is_v6 ? "cut6_whole" : "cut4_whole");
                unsigned headers = WIRE_ETHER_BYTES + (is_v6 ? WIRE_IPV6_BYTES : WIRE_IPV4_BYTES);
                struct packet *packet;
                struct rig rig;

                rig_init(&rig, 0);
                for (unsigned i = 0; i < 4; i++)
                        assert_int_equal(rig_input(&rig, cuts[is_v6][i], RIG_NOW_US), IP_DONE);
                assert_int_equal(take_whole(&rig, &packet), IP_TCP);
                assert_int_equal(packet_len(packet), whole->len - headers);
                assert_memory_equal(packet_data(packet), whole->bytes + headers, whole->len - headers);
                packet_free(packet);
                rig_done(&rig);
        }
}

static uint32_t random_below(uint32_t *seed, uint32_t below)
{
        *seed = *seed * 1664525 + 1013904223;
        return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

/* By seed: a segment of any length, cut anywhere, in any order, is the segment that comes whole. */
static void test_any_cut(void **state)
{
        struct rig rig;

        rig_init(&rig, 0);
        for (uint32_t seed = 1; seed <= 2000; seed++) {
                uint32_t chance = seed * 2654435761u;
                unsigned options = 4 * random_below(&chance, 11), n = 0;
                uint16_t first = (uint16_t)((WIRE_TCP_BYTES + options + 7) / 8 * 8);
                uint16_t len = (uint16_t)(first + 8 + random_below(&chance, PAYLOAD_MAX - first - 7)), at = 0;
                struct datagram datagram;
                struct cut cuts[FRAGMENTS_PIECES];

                ip_tick(rig.ip, RIG_NOW_US);
                make_segment(&datagram, random_below(&chance, 2), len, options);
                datagram.id = seed;
                while (at < len) {
                        uint16_t piece = (uint16_t)(8 * (1 + random_below(&chance, 60)));

                        if (n == 0)
                                piece = (uint16_t)(piece + first);
                        if (at + piece >= len || n + 1 == FRAGMENTS_PIECES)
                                piece = n == 0 ? first : (uint16_t)(len - at);
                        cuts[n] = (struct cut){ at, piece, at + piece < len, 2, (uint8_t)(8 * random_below(&chance, 5)) };
                        n++;
                        at = (uint16_t)(at + piece);
                }
                while (n > 0) {
                        unsigned pick = random_below(&chance, n);

                        if (give(&rig, &datagram, &cuts[pick]) != IP_DONE)
                                fail_msg("seed %u: %u bytes at %u were dropped", seed, cuts[pick].len, cuts[pick].offset);
                        cuts[pick] = cuts[--n];
                }
                take_segment(&rig, &datagram, 2);
        }
        assert_int_equal(rig.counters[COUNTER_datagrams_joined], 2000);
        rig_done(&rig);
}

/* A VLAN's fragments become a frame of that VLAN; an owner on another interface does not get it. */
static void test_vlan(void **state)
{
        const struct ip_frame *frame = rig_frame("tcp4_vlan");
        struct ip_icmp_error error;
        struct packet *packet;
        uint8_t bytes[128];
        struct rig rig;

        rig_init(&rig, 0);
        for (unsigned half = 0; half < 2; half++) {
                uint8_t *ip = bytes + WIRE_ETHER_BYTES + WIRE_VLAN_BYTES;

                memcpy(bytes, frame->bytes, frame->len);
                /* 24 bytes of payload are the TCP header and its option: with 8 more there is something to cut. */
                memset(bytes + frame->len, 0, 8);
                if (half)
                        memmove(ip + WIRE_IPV4_BYTES, bytes + frame->len, 8);
                wire_store16(ip + 2, half ? WIRE_IPV4_BYTES + 8 : WIRE_IPV4_BYTES + 24);
                wire_store16(ip + 6, half ? 3 : WIRE_IPV4_MF);
                put_header_checksum(ip);
                assert_int_equal(rig_input_bytes(&rig, bytes, half ? 14 + 4 + 28 : 14 + 4 + 44, 0, RIG_NOW_US, NULL, NULL),
                                 IP_DONE);
        }
        assert_int_equal(ip_next_whole(rig.ip, &packet, 1), 1);
        assert_int_equal(packet_meta(packet)->vlan, 7);
        packet_meta(packet)->flags |= PACKET_L4_CHECKSUM_OK; /* of the segment without the 8 bytes */
        assert_int_equal(ip_input(rig.ip, packet, RIG_NOW_US, &error), IP_TCP);
        assert_int_equal(packet_len(packet), 32);
        assert_int_equal(packet_meta(packet)->vlan, 7);
        packet_free(packet);
        rig_done(&rig);
}

/* At the other port, what has become whole is a frame of that port: only there it is ours. */
static void test_port(void **state)
{
        static const uint8_t back_mac[6] = { 2, 0, 0, 0, 0, 2 };
        struct cut cuts[] = { { 0, 64, true, 0, 0 }, { 64, 236, false, 0, 0 } };
        struct addr src = rig_addr("203.0.113.10"), dst = rig_addr("203.0.113.2");
        struct datagram datagram;
        struct ip_icmp_error error;
        struct packet *packet;
        struct rig rig;

        rig_init(&rig, 0);
        make_segment(&datagram, false, 300, 0);
        for (unsigned i = 0; i < 2; i++) {
                uint8_t frame[2048], *ip = frame + WIRE_ETHER_BYTES;
                uint16_t len = make_frame(frame, &datagram, &cuts[i]);

                memcpy(frame, back_mac, 6);
                memcpy(ip + 12, src.bytes + 12, 4);
                memcpy(ip + 16, dst.bytes + 12, 4);
                put_header_checksum(ip);
                packet = rig_packet(frame, len);
                packet_meta(packet)->port = 1;
                assert_int_equal(ip_input(rig.ip, packet, RIG_NOW_US, &error), IP_DONE);
        }
        assert_int_equal(ip_next_whole(rig.ip, &packet, 1), 1);
        assert_int_equal(packet_meta(packet)->port, 1);
        packet_meta(packet)->flags |= PACKET_L4_CHECKSUM_OK; /* it is of other addresses */
        assert_int_equal(ip_input(rig.ip, packet, RIG_NOW_US, &error), IP_TCP);
        assert_true(addr_is_equal(&packet_meta(packet)->dst, &dst));
        packet_free(packet);
        rig_done(&rig);
}

/* What has come whole is checked like what came so: a wrong checksum, an option that must be understood. */
static void test_whole_is_checked(void **state)
{
        for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                struct cut cuts[] = { { 0, 64, true, 0, 0 }, { 64, 236, false, 0, 0 } };
                struct datagram datagram;
                struct packet *packet;
                struct rig rig;

                rig_init(&rig, 0);
                make_segment(&datagram, is_v6, 300, 0);
                datagram.payload[250] ^= 1;
                assert_int_equal(give(&rig, &datagram, &cuts[0]), IP_DONE);
                assert_int_equal(give(&rig, &datagram, &cuts[1]), IP_DONE);
                assert_int_equal(take_whole(&rig, &packet), IP_DROP_L4_CHECKSUM);
                rig_done(&rig);
        }
}

/* Headers behind the fragment header: in the first piece, they come through. */
static void test_destination_options(void **state)
{
        struct cut cuts[] = { { 0, 72, true, 2, 0 }, { 72, 228, false, 2, 8 } };
        struct datagram datagram, segment;
        struct packet *packet;
        struct rig rig;

        rig_init(&rig, 0);
        make_segment(&segment, true, 260, 0);
        datagram = segment;
        datagram.protocol = WIRE_DESTINATION;
        datagram.len = 300;
        memset(datagram.payload, 0, 40);
        datagram.payload[0] = WIRE_TCP;
        datagram.payload[1] = 4;
        memcpy(datagram.payload + 40, segment.payload, 260);
        assert_int_equal(give(&rig, &datagram, &cuts[1]), IP_DONE);
        assert_int_equal(give(&rig, &datagram, &cuts[0]), IP_DONE);
        assert_int_equal(take_whole(&rig, &packet), IP_TCP);
        assert_int_equal(packet_len(packet), 260);
        assert_memory_equal(packet_data(packet), segment.payload, 260);
        packet_free(packet);
        rig_done(&rig);
}

/* An echo request in pieces is answered whole, where the answer fits into a frame. */
static void test_echo(void **state)
{
        for (unsigned kind = 0; kind < 4; kind++) {
                bool is_v6 = kind & 1, is_large = kind & 2;
                uint16_t len = is_large ? 1560 : 1000;
                struct cut cuts[] = { { 0, 504, true, 0, 0 }, { 504, (uint16_t)(len - 504), false, 0, 0 } };
                struct packet *packet, *answer;
                struct datagram datagram;
                struct rig rig;

                rig_init(&rig, 0);
                rig_know_peers(&rig, RIG_NOW_US);
                make_echo(&datagram, is_v6, len);
                assert_int_equal(give(&rig, &datagram, &cuts[0]), IP_DONE);
                assert_int_equal(give(&rig, &datagram, &cuts[1]), IP_DONE);
                assert_int_equal(take_whole(&rig, &packet), is_large ? IP_DROP_ICMP : IP_DONE);
                assert_int_equal(ip_next_frames(rig.ip, 0, &answer, 1), !is_large);
                if (!is_large) {
                        const uint8_t *icmp =
                            packet_data(answer) + WIRE_ETHER_BYTES + (is_v6 ? WIRE_IPV6_BYTES : WIRE_IPV4_BYTES);

                        assert_memory_equal(icmp + 8, datagram.payload + 8, len - 8u);
                        packet_free(answer);
                }
                rig_done(&rig);
        }
}

/* RFC 6946: an atomic fragment is a packet of its own, whatever else has its id. */
static void test_atomic(void **state)
{
        struct cut halves[] = { { 0, 64, true, 2, 0 }, { 64, 236, false, 2, 0 } }, atomic = { 0, 300, false, 2, 0 };
        struct datagram datagram;
        struct packet *packet = NULL;
        uint8_t frame[2048];
        struct rig rig;

        rig_init(&rig, 0);
        make_segment(&datagram, true, 300, 0);
        assert_int_equal(give(&rig, &datagram, &halves[0]), IP_DONE);
        assert_int_equal(rig_input_bytes(&rig, frame, make_frame(frame, &datagram, &atomic), 0, RIG_NOW_US, NULL, &packet),
                         IP_TCP);
        assert_memory_equal(packet_data(packet), datagram.payload, 300);
        packet_free(packet);
        assert_int_equal(rig.counters[COUNTER_fragments_held], 1);
        assert_int_equal(give(&rig, &datagram, &halves[1]), IP_DONE);
        take_segment(&rig, &datagram, 2);
        rig_done(&rig);
}

/* --- what does not ------------------------------------------------------------------------------------------------ */

struct refusal {
        const char *name;
        bool is_v6;
        uint8_t protocol;
        struct cut cut;
        enum ip_verdict want;
        uint8_t then; /* behind a header of destination options; 0: another one */
};

static void test_refused(void **state)
{
        static const struct refusal cases[] = {
                { "no payload", false, WIRE_TCP, { 0, 0, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "no payload", true, WIRE_TCP, { 0, 0, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "empty end", false, WIRE_TCP, { 64, 0, false, 0, 0 }, IP_DROP_FRAGMENT },
                { "empty end", true, WIRE_TCP, { 64, 0, false, 0, 0 }, IP_DROP_FRAGMENT },
                { "odd length", false, WIRE_TCP, { 0, 63, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "odd length", true, WIRE_TCP, { 64, 12, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "beyond 65535", false, WIRE_TCP, { 65528, 8, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "beyond 65535 with the header", false, WIRE_TCP, { 65512, 4, false, 0, 0 }, IP_DROP_FRAGMENT },
                { "beyond 65535", true, WIRE_TCP, { 65528, 8, false, 0, 0 }, IP_DROP_FRAGMENT },
                { "the last byte", true, WIRE_TCP, { 65528, 7, false, 0, 0 }, IP_DROP_FRAGMENT_LARGE },
                { "the last byte", false, WIRE_TCP, { 65512, 3, false, 0, 0 }, IP_DROP_FRAGMENT_LARGE },
                { "tiny first", false, WIRE_TCP, { 0, 8, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "tiny first", false, WIRE_TCP, { 0, 16, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "first without its options", false, WIRE_TCP, { 0, 24, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "first with its options", false, WIRE_TCP, { 0, 32, true, 0, 0 }, IP_DONE },
                { "tiny first", true, WIRE_TCP, { 0, 8, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "first without its options", true, WIRE_TCP, { 0, 24, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "first with its options", true, WIRE_TCP, { 0, 32, true, 0, 0 }, IP_DONE },
                { "in the header", false, WIRE_TCP, { 8, 64, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "in the header", false, WIRE_TCP, { 16, 64, false, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "behind the header", false, WIRE_TCP, { 24, 64, true, 0, 0 }, IP_DONE },
                { "tiny ICMP", false, WIRE_ICMP, { 0, 8, true, 0, 0 }, IP_DONE },
                { "early ICMP", false, WIRE_ICMP, { 8, 8, true, 0, 0 }, IP_DONE },
                { "UDP", false, 17, { 0, 64, true, 0, 0 }, IP_DROP_PROTOCOL },
                { "UDP", false, 17, { 64, 64, true, 0, 0 }, IP_DROP_PROTOCOL },
                { "UDP", true, 17, { 0, 64, true, 0, 0 }, IP_DROP_PROTOCOL },
                { "next header of a later one", true, 17, { 64, 64, true, 0, 0 }, IP_DONE },
                { "fragment in a fragment", true, WIRE_FRAGMENT, { 0, 64, true, 0, 0 }, IP_DROP_FRAGMENT },
                { "hop by hop in a fragment", true, WIRE_HOP_BY_HOP, { 0, 64, true, 0, 0 }, IP_DROP_EXTENSION },
                { "chain without an end", true, WIRE_DESTINATION, { 0, 8, true, 0, 0 }, IP_DROP_FRAGMENT_TINY },
                { "ICMP behind the end", true, WIRE_DESTINATION, { 0, 8, true, 0, 0 }, IP_DROP_FRAGMENT_TINY, WIRE_ICMP6 },
                { "ICMP within", true, WIRE_DESTINATION, { 0, 16, true, 0, 0 }, IP_DONE, WIRE_ICMP6 },
                { "TCP behind the end", true, WIRE_DESTINATION, { 0, 24, true, 0, 0 }, IP_DROP_FRAGMENT_TINY, WIRE_TCP },
                { "five headers", true, WIRE_DESTINATION, { 0, 104, true, 0, 8 }, IP_DROP_EXTENSION },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct datagram datagram;
                enum ip_verdict got;
                struct rig rig;

                rig_init(&rig, 0);
                make_segment(&datagram, cases[i].is_v6, 300, 12);
                datagram.protocol = cases[i].protocol;
                if (datagram.protocol == WIRE_FRAGMENT) {
                        datagram.payload[0] = WIRE_TCP;
                        wire_store16(datagram.payload + 2, 1);
                } else if (datagram.protocol == WIRE_DESTINATION) {
                        memset(datagram.payload, 0, 104);
                        for (unsigned header = 0; header < 104; header += 8)
                                datagram.payload[header] = cases[i].then ? cases[i].then : WIRE_DESTINATION;
                }
                got = give(&rig, &datagram, &cases[i].cut);
                if (got != cases[i].want)
                        fail_msg("%s (IPv%d): got %d, want %d", cases[i].name, cases[i].is_v6 ? 6 : 4, got,
                                 cases[i].want);
                assert_int_equal(rig_drops(&rig), got != IP_DONE);
                rig_done(&rig);
        }
}

/* What the table says is counted, each by its own counter. */
static void test_counted(void **state)
{
        static const struct {
                struct cut cut;
                enum ip_verdict want;
                enum counter counter;
        } cases[] = {
                { { 0, 64, true, 2, 0 }, IP_DROP_FRAGMENT_DUPLICATE, COUNTER_ip_drop_fragment_duplicate },
                { { 56, 64, true, 2, 0 }, IP_DROP_FRAGMENT_OVERLAP, COUNTER_ip_drop_fragment_overlap },
                { { 4000, 64, true, 2, 0 }, IP_DROP_FRAGMENT_LARGE, COUNTER_ip_drop_fragment_large },
                { { 64, 64, true, 0, 0 }, IP_DONE, COUNTER_fragments_taken },
                { { 128, 64, true, 3, 0 }, IP_DROP_FRAGMENT_ECN, COUNTER_ip_drop_fragment_ecn },
        };

        for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                        struct cut first = { 0, 64, true, 2, 0 }, none = { 64, 64, true, 0, 0 };
                        struct datagram datagram;
                        uint64_t before;
                        struct rig rig;

                        rig_init(&rig, 0);
                        make_segment(&datagram, is_v6, 300, 0);
                        assert_int_equal(give(&rig, &datagram, &first), IP_DONE);
                        if (cases[i].want == IP_DROP_FRAGMENT_ECN)
                                assert_int_equal(give(&rig, &datagram, &none), IP_DONE);
                        before = rig.counters[cases[i].counter];
                        assert_int_equal(give(&rig, &datagram, &cases[i].cut), cases[i].want);
                        assert_int_equal(rig.counters[cases[i].counter], before + 1);
                        rig_done(&rig);
                }
        }
}

/* More than a turn's worth is dropped; what nobody fetches is bounded; then a tick, and it goes on. */
static void test_bounds(void **state)
{
        struct packet *packets[IP_WHOLE_MAX + 8];
        struct cut cuts[] = { { 0, 64, true, 0, 0 }, { 64, 236, false, 0, 0 } };
        struct datagram datagram;
        unsigned n;
        struct rig rig;

        rig_init(&rig, 0);
        make_segment(&datagram, false, 300, 0);
        for (unsigned i = 0; i < FRAGMENTS_TURN + 3; i++) {
                datagram.id = i;
                assert_int_equal(give(&rig, &datagram, &cuts[0]), i < FRAGMENTS_TURN ? IP_DONE : IP_DROP_FRAGMENT_LOAD);
        }
        ip_tick(rig.ip, RIG_NOW_US);
        for (unsigned i = 0; i < FRAGMENTS_TURN; i++) {
                datagram.id = i;
                assert_int_equal(give(&rig, &datagram, &cuts[1]), IP_DONE);
        }
        for (unsigned i = 0; i < 3; i++) {
                ip_tick(rig.ip, RIG_NOW_US);
                assert_int_equal(give(&rig, &datagram, &cuts[0]), IP_DONE);
                assert_int_equal(give(&rig, &datagram, &cuts[1]), IP_DONE);
        }
        assert_int_equal(rig.counters[COUNTER_ip_drop_fragment_load], 3 + 3);
        n = ip_next_whole(rig.ip, packets, ARRAY_LEN(packets));
        assert_int_equal(n, IP_WHOLE_MAX);
        while (n > 0)
                packet_free(packets[--n]);
        rig_done(&rig);
}

/* A fragment is waited for: the tick is wanted when its time is over, and lets it go. */
static void test_time(void **state)
{
        for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                uint64_t due_us = RIG_NOW_US + (is_v6 ? FRAGMENTS_V6_US : FRAGMENTS_V4_US);
                struct cut first = { 0, 64, true, 0, 0 };
                struct datagram datagram;
                struct rig rig;

                rig_init(&rig, 0);
                make_segment(&datagram, is_v6, 300, 0);
                while (ip_next_due_us(rig.ip) < due_us) { /* until its gateways are given up: nothing else has a time */
                        ip_tick(rig.ip, ip_next_due_us(rig.ip));
                        rig_drain(&rig, 0);
                }
                assert_int_equal(give(&rig, &datagram, &first), IP_DONE);
                assert_int_equal(ip_next_due_us(rig.ip), due_us);
                ip_tick(rig.ip, due_us);
                assert_int_equal(rig.counters[COUNTER_fragments_expired], 1);
                rig_done(&rig);
        }
}

/* To a stranger's address, from an impossible one, to many: a fragment gets no further than a whole packet. */
static void test_addresses(void **state)
{
        static const struct {
                bool is_v6;
                unsigned at; /* byte of the IP header */
                uint8_t value;
                enum ip_verdict want;
        } cases[] = {
                { false, 19, 26, IP_DROP_NOT_OURS }, { false, 12, 127, IP_DROP_SOURCE }, { true, 39, 0x26, IP_DROP_NOT_OURS },
                { true, 24, 0xff, IP_DROP_NOT_OURS }, { true, 8, 0xff, IP_DROP_SOURCE },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct cut first = { 0, 64, true, 2, 0 };
                struct datagram datagram;
                uint8_t frame[2048], *ip = frame + WIRE_ETHER_BYTES;
                uint16_t len;
                struct rig rig;

                rig_init(&rig, 0);
                make_segment(&datagram, cases[i].is_v6, 300, 0);
                len = make_frame(frame, &datagram, &first);
                ip[cases[i].at] = cases[i].value;
                if (!cases[i].is_v6)
                        put_header_checksum(ip);
                assert_int_equal(rig_input_bytes(&rig, frame, len, 0, RIG_NOW_US, NULL, NULL), cases[i].want);
                assert_int_equal(rig.counters[COUNTER_fragments_taken], 0);
                rig_done(&rig);
        }
}

/* ND in fragments is refused (RFC 6980 5), also when it has been put together; a learning copy teaches nothing. */
static void test_neighbour_discovery(void **state)
{
        const struct ip_frame *frame = rig_frame("ns");
        struct cut cuts[] = { { 0, 16, true, 0, 0 }, { 16, 16, false, 0, 0 } };
        struct datagram datagram = { .is_v6 = true, .protocol = WIRE_ICMP6, .id = 5, .len = 32 };
        struct packet *packet;
        uint8_t bytes[2048];
        struct rig rig;

        rig_init(&rig, 0);
        assert_int_equal(frame->len, WIRE_ETHER_BYTES + WIRE_IPV6_BYTES + 32);
        memcpy(datagram.payload, frame->bytes + WIRE_ETHER_BYTES + WIRE_IPV6_BYTES, 32);
        memset(datagram.payload + 2, 0, 2);
        put_checksum(&datagram, 0, 2);
        for (unsigned i = 0; i < 2; i++) {
                uint16_t len = make_frame(bytes, &datagram, &cuts[i]);

                bytes[WIRE_ETHER_BYTES + 7] = 255;
                assert_int_equal(rig_input_bytes(&rig, bytes, len, PACKET_LEARN_ONLY, RIG_NOW_US, NULL, NULL),
                                 IP_DROP_FRAGMENT);
                assert_int_equal(rig_input_bytes(&rig, bytes, len, 0, RIG_NOW_US, NULL, NULL), IP_DONE);
        }
        assert_int_equal(take_whole(&rig, &packet), IP_DROP_ND);
        rig_expect(&rig, 0, NULL);
        rig_done(&rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_halves),
                cmocka_unit_test(test_of_another_maker),
                cmocka_unit_test(test_any_cut),
                cmocka_unit_test(test_vlan),
                cmocka_unit_test(test_port),
                cmocka_unit_test(test_whole_is_checked),
                cmocka_unit_test(test_destination_options),
                cmocka_unit_test(test_echo),
                cmocka_unit_test(test_atomic),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_counted),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_neighbour_discovery),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
