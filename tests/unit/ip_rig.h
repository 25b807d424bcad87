/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of ip/ have in common: an EAL without hugepages or devices, one worker's IP with three interfaces
 * (as make_ip_frames.py knows them), frames by name in, frames compared by name out.
 */
#ifndef GREYLINE_TESTS_IP_RIG_H
#define GREYLINE_TESTS_IP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/ip/private.h"
#include "dataplane/port/pool.h"
#include "tests/unit/ip_frames.h"

#define RIG_NOW_US 100000000u

struct rig {
        struct ip *ip;
        uint64_t counters[COUNTER_MAX];
};

static struct rte_mempool *rig_pool;
static const uint8_t rig_peer_mac[6] = { 2, 0, 0, 0, 0, 0xaa };

static inline int rig_start(void **state)
{
        char *argv[] = { "test", "--no-huge", "--no-shconf", "-m", "64", "--no-pci", "--no-telemetry", "-l", "0", "--log-level=4", NULL };

        if (rte_eal_init((int)ARRAY_LEN(argv) - 1, argv) < 0)
                return -1;
        rig_pool = pool_new("rig", 8191, 2048, -1);
        return rig_pool ? 0 : -1;
}

static inline struct addr rig_addr(const char *text)
{
        struct addr addr;

        if (addr_parse(text, &addr) < 0)
                fail_msg("%s is no address", text);
        return addr;
}

static inline void rig_interfaces(struct ip_interface interfaces[3])
{
        memset(interfaces, 0, 3 * sizeof(interfaces[0]));
        interfaces[0] = (struct ip_interface){ .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 1 }, .n_addrs = 2 };
        interfaces[0].addrs[0] = (struct ip_addr){ rig_addr("198.18.0.25"), 112 };
        interfaces[0].addrs[1] = (struct ip_addr){ rig_addr("2001:2::25"), 64 };
        interfaces[0].gateway4 = rig_addr("198.18.0.1");
        interfaces[0].gateway6 = rig_addr("2001:2::1");
        interfaces[1] = (struct ip_interface){ .vlan = 7, .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 1 }, .n_addrs = 1 };
        interfaces[1].addrs[0] = (struct ip_addr){ rig_addr("198.51.100.2"), 120 };
        interfaces[2] = (struct ip_interface){ .port = 1, .mtu = 1500, .mac = { 2, 0, 0, 0, 0, 2 }, .n_addrs = 1 };
        interfaces[2].addrs[0] = (struct ip_addr){ rig_addr("203.0.113.2"), 120 };
}

/* neighbors: size of the table, 0 for a small one. */
static inline void rig_init(struct rig *rig, unsigned neighbors)
{
        struct ip_interface interfaces[3];
        struct ip_settings settings = { .pool = rig_pool,
                                        .counters = rig->counters,
                                        .interfaces = interfaces,
                                        .n_interfaces = 3,
                                        .neighbors = neighbors ? neighbors : 64,
                                        .hash_key = { { 1, 2 } } };

        memset(rig, 0, sizeof(*rig));
        rig_interfaces(interfaces);
        assert_int_equal(ip_new(&rig->ip, &settings, RIG_NOW_US), 0);
}

/* Every packet is back in the pool: nothing leaked, nothing freed twice. */
static inline void rig_done(struct rig *rig)
{
        ip_free(rig->ip);
        assert_int_equal(rte_mempool_in_use_count(rig_pool), 0);
}

static inline const struct ip_frame *rig_frame(const char *name)
{
        for (unsigned i = 0; i < ARRAY_LEN(ip_frames); i++)
                if (strcmp(ip_frames[i].name, name) == 0)
                        return &ip_frames[i];
        fail_msg("no frame %s", name);
        return NULL;
}

static inline struct packet *rig_packet(const void *bytes, uint16_t len)
{
        struct packet *packet = packet_new(rig_pool);
        uint8_t *data;

        assert_non_null(packet);
        data = packet_append(packet, len);
        assert_non_null(data);
        memcpy(data, bytes, len);
        return packet;
}

/* ip_input() of the first len bytes of a frame; flags as packet_meta. On IP_TCP the packet is given in ret_packet or freed. */
static inline enum ip_verdict rig_input_bytes(struct rig *rig, const uint8_t *bytes, uint16_t len, uint16_t flags,
                                              uint64_t now_us, struct ip_icmp_error *ret_error,
                                              struct packet **ret_packet)
{
        struct packet *packet = rig_packet(bytes, len);
        struct ip_icmp_error error;
        enum ip_verdict got;

        packet_meta(packet)->flags = flags;
        got = ip_input(rig->ip, packet, now_us, ret_error ? ret_error : &error);
        if (got == IP_TCP) {
                if (ret_packet)
                        *ret_packet = packet;
                else
                        packet_free(packet);
        }
        return got;
}

static inline enum ip_verdict rig_input(struct rig *rig, const char *name, uint64_t now_us)
{
        const struct ip_frame *frame = rig_frame(name);

        return rig_input_bytes(rig, frame->bytes, frame->len, 0, now_us, NULL, NULL);
}

static inline uint64_t rig_drops(const struct rig *rig)
{
        uint64_t sum = 0;

        for (enum counter counter = COUNTER_ip_drop_ether_short; counter <= COUNTER_ip_drop_queue_full; counter++)
                sum += rig->counters[counter];
        return sum;
}

/* The next ready frame of the port must be this one, byte by byte; NULL: there must be none. */
static inline void rig_expect(struct rig *rig, uint16_t port, const char *name)
{
        const struct ip_frame *want = name ? rig_frame(name) : NULL;
        struct packet *packet;

        if (ip_next_frames(rig->ip, port, &packet, 1) == 0) {
                if (want)
                        fail_msg("no frame, want %s", name);
                return;
        }
        if (!want)
                fail_msg("a frame where none was wanted (type %04x)", wire_load16(packet_data(packet) + 12));
        else if (packet_total_len(packet) != want->len)
                fail_msg("%s: got %u bytes, want %u", name, packet_total_len(packet), want->len);
        else
                assert_memory_equal(packet_data(packet), want->bytes, want->len);
        packet_free(packet);
}

/* Drop what is ready on a port; returns how many frames there were. */
static inline unsigned rig_drain(struct rig *rig, uint16_t port)
{
        struct packet *packet;
        unsigned n = 0;

        while (ip_next_frames(rig->ip, port, &packet, 1) > 0) {
                packet_free(packet);
                n++;
        }
        return n;
}

/* Make the peers' MAC addresses known at interface 0, as answers to questions of ours would. */
static inline void rig_know_peers(struct rig *rig, uint64_t now_us)
{
        const char *peers[] = { "198.18.0.77", "2001:2::77", "198.18.0.1", "2001:2::1" };

        for (unsigned i = 0; i < ARRAY_LEN(peers); i++) {
                struct addr addr = rig_addr(peers[i]);

                struct packet *packet = rig_packet("a packet that asks", 18);

                if (neighbor_send(rig->ip, 0, &addr, packet, now_us) != IP_SENT)
                        packet_free(packet);
                neighbor_learn(rig->ip, 0, &addr, rig_peer_mac, NEIGHBOR_ANSWERS, now_us);
        }
        rig_drain(rig, 0);
}

#endif
