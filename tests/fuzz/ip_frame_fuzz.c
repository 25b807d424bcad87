/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from a stranger through steer_frame() and ip_input(), with segments of ours going out in between, and what
 * fragments become once more through both.
 *
 * An input is a row of steps: one byte of STEP_* bits, two bytes of length, then so many bytes of a frame.
 * Frames lie in memory of exactly their length, outside the packet pool, so that a sanitizer sees a read beyond
 * their end. Checksums are repaired where a step says so, or nearly no changed frame would get past them.
 */
#include <stdlib.h>

#include <rte_eal.h>

#include "dataplane/ip/private.h"
#include "dataplane/port/checksum.h"
#include "dataplane/port/pool.h"
#include "dataplane/port/steer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STEP_LEARN_ONLY  0x01u
#define STEP_CHECKSUM_OK 0x02u
#define STEP_REPAIR      0x04u
#define STEP_PORT1       0x08u
#define STEP_LATER       0x10u /* ten seconds pass first */
#define STEP_SEND        0x20u /* a segment goes to where the frame's addresses point */

#define POOL_PACKETS 16383u /* more than every bounded queue can hold */

static struct rte_mempool *pool;
static struct steer steer;

static void start(void)
{
        char *argv[] = { "fuzz", "--no-huge", "--no-shconf",   "-m", "128", "--no-pci", "--no-telemetry",
                         "-l",   "0",         "--log-level=4", NULL };
        static const uint8_t key[STEER_KEY_BYTES] = { 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2 };

        if (pool)
                return;
        BUG_ON(rte_eal_init((int)ARRAY_LEN(argv) - 1, argv) < 0);
        pool = pool_new("fuzz", POOL_PACKETS, 2048, -1);
        BUG_ON(!pool);
        steer_init(&steer, 5, key);
}

static struct ip *new_ip(uint64_t counters[COUNTER_MAX])
{
        struct ip_interface interfaces[3] = {
                { .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 1 }, .n_addrs = 2 },
                { .vlan = 7, .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 1 }, .n_addrs = 1 },
                { .port = 1, .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 2 }, .n_addrs = 1 },
        };
        struct ip_settings settings = { .pool = pool,
                                        .counters = counters,
                                        .interfaces = interfaces,
                                        .n_interfaces = 3,
                                        .neighbors = 64,
                                        .announce = true };
        struct ip *ip;

        BUG_ON(addr_parse("198.18.0.25", &interfaces[0].addrs[0].addr) < 0);
        BUG_ON(addr_parse("2001:2::25", &interfaces[0].addrs[1].addr) < 0);
        BUG_ON(addr_parse("198.18.0.1", &interfaces[0].gateway4) < 0);
        BUG_ON(addr_parse("fe80::1", &interfaces[0].gateway6) < 0);
        BUG_ON(addr_parse("198.51.100.2", &interfaces[1].addrs[0].addr) < 0);
        BUG_ON(addr_parse("203.0.113.2", &interfaces[2].addrs[0].addr) < 0);
        interfaces[0].addrs[0].prefix_len = 112;
        interfaces[0].addrs[1].prefix_len = 64;
        interfaces[1].addrs[0].prefix_len = interfaces[2].addrs[0].prefix_len = 120;
        BUG_ON(ip_new(&ip, &settings, 1) < 0);
        return ip;
}

/* Make the checksums of a plain IPv4 header and of ICMP and ICMPv6 behind a plain header right. */
static void repair(uint8_t *frame, size_t len)
{
        uint8_t *l3 = frame + WIRE_ETHER_BYTES, *l4;
        struct addr src, dst;
        uint16_t checksum;

        if (len >= WIRE_ETHER_BYTES + WIRE_IPV4_BYTES && wire_load16(frame + 12) == WIRE_ETHERTYPE_IPV4) {
                size_t header_len = (l3[0] & 15u) * 4u, total_len = wire_load16(l3 + 2);

                if (header_len < WIRE_IPV4_BYTES || total_len < header_len ||
                    WIRE_ETHER_BYTES + total_len > len)
                        return;
                memset(l3 + 10, 0, 2);
                checksum = checksum_finish(checksum_add(0, l3, header_len));
                memcpy(l3 + 10, &checksum, 2);
                l4 = l3 + header_len;
                if (l3[9] != WIRE_ICMP || total_len < header_len + WIRE_ICMP_BYTES)
                        return;
                memset(l4 + 2, 0, 2);
                checksum = checksum_finish(checksum_add(0, l4, total_len - header_len));
                memcpy(l4 + 2, &checksum, 2);
        } else if (len >= WIRE_ETHER_BYTES + WIRE_IPV6_BYTES &&
                   wire_load16(frame + 12) == WIRE_ETHERTYPE_IPV6) {
                size_t payload_len = wire_load16(l3 + 4);

                l4 = l3 + WIRE_IPV6_BYTES;
                if (l3[6] != WIRE_ICMP6 || payload_len < WIRE_ICMP_BYTES ||
                    WIRE_ETHER_BYTES + WIRE_IPV6_BYTES + payload_len > len)
                        return;
                memcpy(src.bytes, l3 + 8, 16);
                memcpy(dst.bytes, l3 + 24, 16);
                memset(l4 + 2, 0, 2);
                checksum = checksum_finish(checksum_add(
                    checksum_pseudo(&src, &dst, WIRE_ICMP6, (uint32_t)payload_len), l4, payload_len));
                memcpy(l4 + 2, &checksum, 2);
        }
}

/* A frame, until its packet is freed: a fragment may be kept beyond its step. The rest stays until the end of the input. */
struct received {
        struct received *next;
        struct rte_mbuf_ext_shared_info info;
        uint8_t *frame;
        uint16_t len;
};

static void free_frame(void *addr, void *opaque)
{
        free(addr);
}

/* A packet over memory of exactly the frame's length. */
static struct packet *outside_packet(uint8_t *frame, uint16_t len, struct rte_mbuf_ext_shared_info *info)
{
        struct packet *packet = packet_new(pool);

        BUG_ON(!packet); /* every queue is bounded, and the pool holds more than all of them */
        info->free_cb = free_frame;
        info->fcb_opaque = NULL;
        rte_mbuf_ext_refcnt_set(info, 1);
        rte_pktmbuf_attach_extbuf(&packet->mbuf, frame, RTE_BAD_IOVA, len, info);
        packet->mbuf.data_off = 0;
        packet->mbuf.data_len = len;
        packet->mbuf.pkt_len = len;
        return packet;
}

/* What the frame says is to its sender and back: so the fuzzer chooses where we send. */
static void send_segment(struct ip *ip, const struct addr *src, const struct addr *dst, uint64_t now_us)
{
        struct packet *packet = packet_new(pool);
        uint8_t *bytes = packet ? packet_append(packet, 40) : NULL;

        BUG_ON(!bytes);
        memset(bytes, 0, 40);
        packet_meta(packet)->src = *src;
        packet_meta(packet)->dst = *dst;
        packet_meta(packet)->flags = PACKET_L4_PSEUDO;
        (void)ip_output(ip, packet, now_us);
}

static void drain(struct ip *ip)
{
        struct packet *packet;

        for (uint16_t port = 0; port < IP_PORTS_MAX; port++) {
                while (ip_next_frames(ip, port, &packet, 1) > 0) {
                        BUG_ON(packet_total_len(packet) < WIRE_ETHER_BYTES ||
                               packet_total_len(packet) > 1518);
                        packet_free(packet);
                }
        }
}

/* One frame that has been received, by whomever owner is. Frees what comes of it. */
static void take(struct ip *ip, unsigned step, struct packet *packet, int owner, uint64_t now_us)
{
        struct ip_icmp_error error;
        struct addr src = { 0 }, dst = { 0 };
        enum ip_verdict verdict = ip_input(ip, packet, now_us, &error);

        BUG_ON(verdict == IP_SENT || verdict >= IP_VERDICTS);
        if (verdict == IP_ICMP_ERROR) {
                BUG_ON(!ip_is_ours(ip, &error.local));
                /* The owner of the connection got it, or else nobody would ever hear of the error. */
                BUG_ON(owner != (int)steer_tuple_owner(&steer, &error.local, error.local_port, &error.remote,
                                                       error.remote_port));
        }
        if (verdict != IP_TCP)
                return;
        BUG_ON((step & STEP_LEARN_ONLY) || packet_len(packet) < WIRE_TCP_BYTES);
        src = packet_meta(packet)->src;
        dst = packet_meta(packet)->dst;
        BUG_ON(!ip_is_ours(ip, &dst) || ip_is_ours(ip, &src) || addr_is_v4(&src) != addr_is_v4(&dst));
        BUG_ON(owner != (int)steer_tuple_owner(&steer, &dst, wire_load16(packet_data(packet) + 2), &src,
                                               wire_load16(packet_data(packet))));
        packet_free(packet);
        if (step & STEP_SEND)
                send_segment(ip, &dst, &src, now_us);
}

static int steered(const uint8_t *frame, uint32_t len)
{
        int owner = steer_frame(&steer, frame, len);

        BUG_ON(owner < STEER_ALL || owner >= (int)steer.workers);
        return owner;
}

static void run_step(struct ip *ip, unsigned step, struct received *received, uint64_t now_us)
{
        struct packet *packet;
        int owner;

        if (step & STEP_REPAIR)
                repair(received->frame, received->len);
        owner = steered(received->frame, received->len);
        packet = outside_packet(received->frame, received->len, &received->info);
        packet_meta(packet)->port = (step & STEP_PORT1) ? 1 : 0;
        packet_meta(packet)->flags = (uint16_t)(((step & STEP_LEARN_ONLY) ? PACKET_LEARN_ONLY : 0) |
                                                ((step & STEP_CHECKSUM_OK) ? PACKET_L4_CHECKSUM_OK : 0));
        take(ip, step, packet, owner, now_us);
        while (ip_next_whole(ip, &packet, 1) > 0) {
                BUG_ON((step & STEP_LEARN_ONLY) || packet_len(packet) != packet_total_len(packet));
                if (step & STEP_CHECKSUM_OK)
                        packet_meta(packet)->flags |= PACKET_L4_CHECKSUM_OK; /* or hardly one would get further */
                take(ip, step, packet, steered(packet_data(packet), packet_len(packet)), now_us);
                BUG_ON(ip_next_whole(ip, &packet, 1) > 0); /* nothing comes whole twice */
        }
}

/* Each fragment that was kept has had one end, or is kept still. */
static void check_fragments(const uint64_t *counters)
{
        BUG_ON(counters[COUNTER_fragments_held] > FRAGMENTS_HELD_MAX);
        BUG_ON(counters[COUNTER_fragments_taken] !=
               counters[COUNTER_fragments_joined] + counters[COUNTER_fragments_expired] +
                   counters[COUNTER_fragments_evicted] + counters[COUNTER_fragments_abandoned] +
                   counters[COUNTER_fragments_held]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        uint64_t counters[COUNTER_MAX] = { 0 };
        struct received *first = NULL, *received;
        uint64_t now_us = 1000;
        struct ip *ip;

        start();
        ip = new_ip(counters);
        for (size_t at = 0; len - at >= 3;) {
                unsigned step = data[at];
                size_t frame_len = MIN(wire_load16(data + at + 1) % 2048u, len - at - 3);

                received = malloc(sizeof(*received));
                BUG_ON(!received);
                received->frame = malloc(frame_len ? frame_len : 1);
                BUG_ON(!received->frame);
                received->len = (uint16_t)frame_len;
                received->next = first;
                first = received;
                memcpy(received->frame, data + at + 3, frame_len);
                at += 3 + frame_len;
                now_us += (step & STEP_LATER) ? 10000000 : 1000;
                run_step(ip, step, received, now_us);
                ip_tick(ip, now_us);
                check_fragments(counters);
                drain(ip);
        }
        ip_free(ip);
        BUG_ON(rte_mempool_in_use_count(pool) != 0);
        while ((received = first) != NULL) {
                first = received->next;
                free(received);
        }
        return 0;
}
