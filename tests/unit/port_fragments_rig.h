/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of port/fragments.c have in common: a table, fragments whose bytes tell where they belong, a look at the whole. */
#ifndef GREYLINE_TESTS_PORT_FRAGMENTS_RIG_H
#define GREYLINE_TESTS_PORT_FRAGMENTS_RIG_H

#include "dataplane/port/fragments.h"
#include "tests/unit/ip_rig.h"

#define NOW_US 5000000u

struct table {
        struct fragments *fragments;
        uint64_t counters[COUNTER_MAX];
};

static const struct siphash_key table_key = { { 7, 9 } };

static inline uint8_t pattern(unsigned at)
{
        return (uint8_t)(at * 167 + (at >> 8) * 13 + 5);
}

static inline void table_init(struct table *table, struct rte_mempool *pool)
{
        memset(table, 0, sizeof(*table));
        table->fragments = fragments_new(pool, table->counters, &table_key);
        assert_non_null(table->fragments);
}

/* Nothing is leaked, and each fragment taken has had exactly one end. */
static inline void table_done(struct table *table, struct rte_mempool *pool)
{
        const uint64_t *counters = table->counters;

        assert_int_equal(counters[COUNTER_fragments_taken],
                         counters[COUNTER_fragments_joined] + counters[COUNTER_fragments_expired] +
                             counters[COUNTER_fragments_evicted] + counters[COUNTER_fragments_abandoned] +
                             counters[COUNTER_fragments_held]);
        assert_int_equal(rte_mempool_in_use_count(pool), counters[COUNTER_fragments_held]);
        fragments_free(table->fragments);
        assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static inline struct fragment fragment_of(bool is_v6, uint32_t id, unsigned offset, unsigned len, bool has_more)
{
        static const uint8_t header[WIRE_IPV6_BYTES] = { 0x45, 0x60, [6] = WIRE_TCP, 7, [39] = 0x77 };

        return (struct fragment){
                .src = rig_addr(is_v6 ? "2001:2::77" : "198.18.0.77"),
                .dst = rig_addr(is_v6 ? "2001:2::25" : "198.18.0.25"),
                .id = id,
                .protocol = WIRE_TCP,
                .has_more = has_more,
                .offset = (uint16_t)offset,
                .len = (uint16_t)len,
                .header = header,
        };
}

/* turned: this byte of the piece is another one; -1: none. */
static inline enum fragments_verdict give_bytes(struct table *table, struct rte_mempool *pool,
                                                const struct fragment *fragment, int turned, uint64_t now_us,
                                                struct packet **ret)
{
        struct packet *packet = packet_new(pool);
        uint8_t *data = packet_append(packet, fragment->len);
        enum fragments_verdict verdict;

        assert_non_null(data);
        for (unsigned i = 0; i < fragment->len; i++)
                data[i] = (uint8_t)(pattern(fragment->offset + i) ^ ((int)i == turned));
        /* A driver may leave anything here. */
        packet->mbuf.l2_len = 77;
        packet->mbuf.l3_len = 99;
        verdict = fragments_add(table->fragments, packet, fragment, now_us, ret);
        if (verdict != FRAGMENTS_KEPT && verdict != FRAGMENTS_WHOLE)
                packet_free(packet);
        return verdict;
}

static inline enum fragments_verdict give(struct table *table, const struct fragment *fragment, uint64_t now_us)
{
        struct packet *whole = NULL;
        enum fragments_verdict verdict = give_bytes(table, rig_pool, fragment, -1, now_us, &whole);

        if (verdict == FRAGMENTS_WHOLE)
                packet_free(whole);
        return verdict;
}

/* The datagram is whole: its header, every byte, and nothing else. */
static inline void check_whole(struct packet *whole, bool is_v6, unsigned len)
{
        unsigned header_len = is_v6 ? WIRE_IPV6_BYTES : WIRE_IPV4_BYTES;
        const uint8_t *data = packet_data(whole);

        assert_int_equal(packet_total_len(whole), packet_len(whole));
        assert_int_equal(packet_len(whole), header_len + len);
        if (is_v6) {
                assert_int_equal(wire_load16(data + 4), len);
                assert_int_equal(data[6], WIRE_TCP);
                assert_int_equal(data[7], 7);
                assert_int_equal(data[39], 0x77);
        } else {
                assert_int_equal(wire_load16(data + 2), header_len + len);
                assert_int_equal(wire_load16(data + 6), 0);
        }
        for (unsigned i = 0; i < len; i++)
                if (data[header_len + i] != pattern(i))
                        fail_msg("byte %u of %u is wrong", i, len);
        assert_int_equal(packet_meta(whole)->flags, 0);
        packet_free(whole);
}

#endif
