/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces in, datagrams out: every order, every overlap, every bound, and no packet left behind. What fragments say of
 * themselves is ip_fragment_test's matter.
 */
#include "tests/unit/ip_rig.h"

#include "dataplane/port/fragments.h"

#define NOW_US 5000000u
#define BYTES  1600u

struct table {
        struct fragments *fragments;
        uint64_t counters[COUNTER_MAX];
};

static uint8_t pattern(unsigned at)
{
        return (uint8_t)(at * 167 + (at >> 8) * 13 + 5);
}

static void table_init(struct table *table, struct rte_mempool *pool)
{
        static const struct siphash_key key = { { 7, 9 } };

        memset(table, 0, sizeof(*table));
        table->fragments = fragments_new(pool, table->counters, &key);
        assert_non_null(table->fragments);
}

/* Nothing is leaked, and each fragment taken has had exactly one end. */
static void table_done(struct table *table, struct rte_mempool *pool)
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

static struct fragment fragment_of(bool is_v6, uint32_t id, unsigned offset, unsigned len, bool has_more)
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
static enum fragments_verdict give_bytes(struct table *table, struct rte_mempool *pool, const struct fragment *fragment,
                                         int turned, uint64_t now_us, struct packet **ret)
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

static enum fragments_verdict give(struct table *table, const struct fragment *fragment, uint64_t now_us)
{
        struct packet *whole = NULL;
        enum fragments_verdict verdict = give_bytes(table, rig_pool, fragment, -1, now_us, &whole);

        if (verdict == FRAGMENTS_WHOLE)
                packet_free(whole);
        return verdict;
}

/* The datagram is whole: its header, every byte, and nothing else. */
static void check_whole(struct packet *whole, bool is_v6, unsigned len)
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

/* --- whole ------------------------------------------------------------------------------------------------- */

/* All orders of four pieces, both families. */
static void test_every_order(void **state)
{
        static const struct {
                uint16_t offset, len;
                bool has_more;
        } pieces[] = { { 0, 64, true }, { 64, 8, true }, { 72, 800, true }, { 872, 3, false } };

        for (unsigned order = 0; order < 2 * 24; order++) {
                unsigned left[] = { 0, 1, 2, 3 }, n = 4, code = order % 24;
                bool is_v6 = order >= 24;
                struct table table;

                table_init(&table, rig_pool);
                while (n > 0) {
                        unsigned pick = code % n, at = left[pick];
                        struct fragment fragment =
                            fragment_of(is_v6, 9, pieces[at].offset, pieces[at].len, pieces[at].has_more);
                        struct packet *whole = NULL;
                        enum fragments_verdict got =
                            give_bytes(&table, rig_pool, &fragment, -1, NOW_US, &whole);

                        code /= n--;
                        memmove(left + pick, left + pick + 1, (n - pick) * sizeof(left[0]));
                        assert_int_equal(got, n == 0 ? FRAGMENTS_WHOLE : FRAGMENTS_KEPT);
                        if (n == 0)
                                check_whole(whole, is_v6, 875);
                }
                assert_int_equal(table.counters[COUNTER_fragments_joined], 4);
                assert_int_equal(table.counters[COUNTER_datagrams_joined], 1);
                assert_int_equal(fragments_next_due_us(table.fragments), UINT64_MAX);
                table_done(&table, rig_pool);
        }
}

static uint32_t random_below(uint32_t *seed, uint32_t below)
{
        *seed = *seed * 1664525 + 1013904223;
        return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

struct plan {
        struct fragment pieces[FRAGMENTS_PIECES * 2];
        unsigned n, given;
        unsigned len;
        bool is_v6, is_done;
};

/* A datagram of random length, cut at random, some pieces twice, in random order; the repeats never after the last new one. */
static void make_plan(struct plan *plan, uint32_t id, uint32_t *seed)
{
        unsigned pieces = 2 + random_below(seed, FRAGMENTS_PIECES - 1), at = 0;

        memset(plan, 0, sizeof(*plan));
        plan->is_v6 = random_below(seed, 2);
        for (unsigned i = 0; i < pieces; i++) {
                bool is_last = i + 1 == pieces;
                unsigned len = is_last ? 1 + random_below(seed, 150) : 8 * (1 + random_below(seed, 24));

                plan->pieces[plan->n++] = fragment_of(plan->is_v6, id, at, len, !is_last);
                at += len;
        }
        plan->len = at;
        for (unsigned i = plan->n; i > 1; i--) {
                unsigned other = random_below(seed, i);
                struct fragment swap = plan->pieces[i - 1];

                plan->pieces[i - 1] = plan->pieces[other];
                plan->pieces[other] = swap;
        }
        for (unsigned repeats = random_below(seed, 4); repeats > 0; repeats--) {
                unsigned from = random_below(seed, plan->n - 1);

                memmove(plan->pieces + from + 1, plan->pieces + from,
                        (plan->n - from) * sizeof(plan->pieces[0]));
                plan->n++;
        }
}

/* Several datagrams at once, mixed with each other: each comes out once and as it was. */
static void test_any_cut_in_any_order(void **state)
{
        for (uint32_t seed = 1; seed <= 3000; seed++) {
                uint32_t chance = seed * 2654435761u;
                struct plan plans[5];
                unsigned left = ARRAY_LEN(plans);
                struct table table;

                table_init(&table, rig_pool);
                for (unsigned i = 0; i < ARRAY_LEN(plans); i++)
                        make_plan(&plans[i], 100 + i / 2, &chance); /* now and then two families with one id */
                plans[1].pieces[0].src.bytes[15] ^= plans[1].is_v6 == plans[0].is_v6;
                for (unsigned i = 1; i < plans[1].n; i++)
                        plans[1].pieces[i].src = plans[1].pieces[0].src;
                for (unsigned i = 0; i < plans[3].n; i++)
                        plans[3].pieces[i].dst.bytes[15] ^= 1;
                while (left > 0) {
                        struct plan *plan = &plans[random_below(&chance, ARRAY_LEN(plans))];
                        struct packet *whole = NULL;

                        if (plan->is_done)
                                continue;
                        fragments_tick(table.fragments, NOW_US);
                        switch (give_bytes(&table, rig_pool, &plan->pieces[plan->given++], -1, NOW_US, &whole)) {
                        case FRAGMENTS_KEPT:
                        case FRAGMENTS_DUPLICATE:
                                if (plan->given == plan->n)
                                        fail_msg("seed %u: all given, nothing came", seed);
                                break;
                        case FRAGMENTS_WHOLE:
                                if (plan->given != plan->n)
                                        fail_msg("seed %u: whole before all was given", seed);
                                check_whole(whole, plan->is_v6, plan->len);
                                plan->is_done = true;
                                left--;
                                break;
                        default:
                                fail_msg("seed %u: dropped", seed);
                        }
                }
                assert_int_equal(table.counters[COUNTER_datagrams_joined], ARRAY_LEN(plans));
                table_done(&table, rig_pool);
        }
}

/* IPv4 names a datagram by its protocol too (RFC 791); IPv6 does not, and takes the first piece's word (RFC 8200 4.5). */
static void test_protocol(void **state)
{
        for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
                struct fragment first = fragment_of(is_v6, 9, 0, 64, true),
                                last = fragment_of(is_v6, 9, 64, 64, false);
                struct packet *whole = NULL;
                struct table table;

                table_init(&table, rig_pool);
                last.protocol = WIRE_ICMP;
                assert_int_equal(give_bytes(&table, rig_pool, &last, -1, NOW_US, &whole), FRAGMENTS_KEPT);
                assert_int_equal(give_bytes(&table, rig_pool, &first, -1, NOW_US, &whole),
                                 is_v6 ? FRAGMENTS_WHOLE : FRAGMENTS_KEPT);
                if (whole)
                        check_whole(whole, true, 128);
                table_done(&table, rig_pool);
        }
}

/* --- overlaps ------------------------------------------------------------------------------------------------ */

/* Whatever piece comes beside two that are held: at every offset, of every length, as the last one or not. */
static void test_every_overlap(void **state)
{
        for (unsigned offset = 0; offset <= 240; offset += 8) {
                for (unsigned len = 8; len <= 240; len += 8) {
                        for (unsigned kind = 0; kind < 4; kind++) {
                                bool is_v6 = kind & 1, has_more = kind & 2;
                                struct fragment held[] = { fragment_of(is_v6, 9, 64, 40, true),
                                                           fragment_of(is_v6, 9, 144, 48, true) };
                                struct fragment piece = fragment_of(is_v6, 9, offset, len, has_more);
                                enum fragments_verdict want = FRAGMENTS_KEPT, got;
                                struct table table;

                                table_init(&table, rig_pool);
                                for (unsigned i = 0; i < 2; i++) {
                                        unsigned end = held[i].offset + held[i].len;

                                        if (offset == held[i].offset && len == held[i].len && has_more)
                                                want = FRAGMENTS_DUPLICATE;
                                        else if (offset < end && held[i].offset < offset + len)
                                                want = FRAGMENTS_OVERLAP;
                                        else if (!has_more && end > offset + len)
                                                want = FRAGMENTS_OVERLAP;
                                        assert_int_equal(give(&table, &held[i], NOW_US), FRAGMENTS_KEPT);
                                }
                                got = give(&table, &piece, NOW_US);
                                if (got != want)
                                        fail_msg("offset %u, %u bytes, kind %u: got %d, want %d", offset, len, kind,
                                                 got, want);
                                if (want == FRAGMENTS_OVERLAP) {
                                        assert_int_equal(table.counters[COUNTER_fragments_held], 0);
                                        assert_int_equal(table.counters[COUNTER_fragments_abandoned], 2);
                                }
                                table_done(&table, rig_pool);
                        }
                }
        }
}

/* The end is said once: nothing may lie behind it, and no other end be said. */
static void test_ends(void **state)
{
        static const struct {
                uint16_t offset, len;
                bool has_more;
                enum fragments_verdict want;
        } cases[] = {
                { 128, 8, true, FRAGMENTS_OVERLAP },   { 128, 8, false, FRAGMENTS_OVERLAP },
                { 256, 16, true, FRAGMENTS_OVERLAP },  { 64, 32, false, FRAGMENTS_OVERLAP },
                { 64, 32, true, FRAGMENTS_KEPT },      { 96, 32, false, FRAGMENTS_DUPLICATE },
                { 96, 32, true, FRAGMENTS_OVERLAP },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct fragment last = fragment_of(true, 9, 96, 32, false),
                                piece = fragment_of(true, 9, cases[i].offset, cases[i].len, cases[i].has_more);
                struct table table;

                table_init(&table, rig_pool);
                assert_int_equal(give(&table, &last, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give(&table, &piece, NOW_US), cases[i].want);
                table_done(&table, rig_pool);
        }
}

/* A datagram that was given up stays so: what comes of it later is not put together, until its time is over. */
static void test_given_up(void **state)
{
        struct fragment first = fragment_of(true, 9, 0, 64, true), last = fragment_of(true, 9, 64, 64, false),
                        overlap = fragment_of(true, 9, 56, 64, true), other = fragment_of(true, 10, 0, 64, true);
        struct table table;

        table_init(&table, rig_pool);
        assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &overlap, NOW_US), FRAGMENTS_OVERLAP);
        assert_int_equal(table.counters[COUNTER_fragments_held], 0);
        assert_int_equal(give(&table, &last, NOW_US), FRAGMENTS_OVERLAP);
        assert_int_equal(give(&table, &first, NOW_US + FRAGMENTS_V6_US - 1), FRAGMENTS_OVERLAP);
        assert_int_equal(give(&table, &other, NOW_US), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &first, NOW_US + FRAGMENTS_V6_US), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &last, NOW_US + FRAGMENTS_V6_US), FRAGMENTS_WHOLE);
        table_done(&table, rig_pool);
}

/* The same place and length but for one byte is no duplicate, whichever byte it is. */
static void test_altered_duplicate(void **state)
{
        for (int turned = -1; turned < 64; turned++) {
                struct fragment first = fragment_of(false, 9, 0, 64, true);
                struct packet *whole;
                struct table table;

                table_init(&table, rig_pool);
                assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give_bytes(&table, rig_pool, &first, turned, NOW_US, &whole),
                                 turned < 0 ? FRAGMENTS_DUPLICATE : FRAGMENTS_OVERLAP);
                table_done(&table, rig_pool);
        }
}

/* RFC 3168 5.3. Codepoints: 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
static void test_ecn(void **state)
{
        for (unsigned all = 0; all < 64; all++) {
                uint8_t ecn[] = { all & 3, all >> 2 & 3, all >> 4 };
                enum fragments_verdict got = FRAGMENTS_KEPT;
                struct packet *whole = NULL;
                bool has_ce = false, has_none = false, has_ect0 = false;
                struct table table;

                table_init(&table, rig_pool);
                for (unsigned i = 0; i < 3; i++) {
                        struct fragment fragment = fragment_of(all % 2, 9, 64 * i, 64, i < 2);

                        fragment.ecn = ecn[i];
                        has_ce |= ecn[i] == 3;
                        has_none |= ecn[i] == 0;
                        has_ect0 |= ecn[i] == 2;
                        got = give_bytes(&table, rig_pool, &fragment, -1, NOW_US, &whole);
                }
                if (has_ce && has_none) {
                        assert_int_equal(got, FRAGMENTS_ECN);
                } else {
                        assert_int_equal(got, FRAGMENTS_WHOLE);
                        assert_int_equal(packet_meta(whole)->ecn, has_ce ? 3 : has_none ? 0 : has_ect0 ? 2 : 1);
                        packet_free(whole);
                }
                table_done(&table, rig_pool);
        }
}

/* --- bounds -------------------------------------------------------------------------------------------------- */

static void test_time(void **state)
{
        struct fragment v4 = fragment_of(false, 9, 0, 64, true), v6 = fragment_of(true, 9, 0, 64, true),
                        more = fragment_of(true, 9, 64, 64, true), late = fragment_of(false, 9, 64, 8, false);
        struct table table;

        table_init(&table, rig_pool);
        assert_int_equal(give(&table, &v6, NOW_US), FRAGMENTS_KEPT);
        assert_int_equal(fragments_next_due_us(table.fragments), NOW_US + FRAGMENTS_V6_US);
        assert_int_equal(give(&table, &v4, NOW_US + 1), FRAGMENTS_KEPT);
        assert_int_equal(fragments_next_due_us(table.fragments), NOW_US + 1 + FRAGMENTS_V4_US);
        assert_int_equal(give(&table, &more, NOW_US + 1000), FRAGMENTS_KEPT); /* and gives no more time */
        fragments_tick(table.fragments, NOW_US + FRAGMENTS_V4_US);
        assert_int_equal(table.counters[COUNTER_fragments_held], 3);
        fragments_tick(table.fragments, NOW_US + 1 + FRAGMENTS_V4_US);
        assert_int_equal(table.counters[COUNTER_fragments_expired], 1);
        assert_int_equal(give(&table, &late, NOW_US + 1 + FRAGMENTS_V4_US), FRAGMENTS_KEPT); /* alone, of a new one */
        fragments_tick(table.fragments, NOW_US + FRAGMENTS_V6_US);
        assert_int_equal(table.counters[COUNTER_fragments_expired], 4);
        assert_int_equal(fragments_next_due_us(table.fragments), UINT64_MAX);
        table_done(&table, rig_pool);
}

/* Too old is too old even before the tick has come. */
static void test_time_before_the_tick(void **state)
{
        struct fragment first = fragment_of(false, 9, 0, 64, true), last = fragment_of(false, 9, 64, 8, false);
        struct table table;

        table_init(&table, rig_pool);
        assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &last, NOW_US + FRAGMENTS_V4_US), FRAGMENTS_KEPT);
        assert_int_equal(table.counters[COUNTER_fragments_expired], 1);
        table_done(&table, rig_pool);
}

static void test_turn(void **state)
{
        struct table table;

        table_init(&table, rig_pool);
        for (unsigned turn = 0; turn < 3; turn++) {
                fragments_tick(table.fragments, NOW_US);
                for (unsigned i = 0; i < FRAGMENTS_TURN + 5; i++) {
                        struct fragment fragment = fragment_of(false, turn * 100 + i, 0, 64, true);

                        assert_int_equal(give(&table, &fragment, NOW_US),
                                         i < FRAGMENTS_TURN ? FRAGMENTS_KEPT : FRAGMENTS_LOAD);
                }
        }
        assert_int_equal(table.counters[COUNTER_fragments_held], 3 * FRAGMENTS_TURN);
        table_done(&table, rig_pool);
}

/* The table is full: the datagram that began first leaves, of either family, also one that was given up. */
static void test_datagrams(void **state)
{
        struct fragment late[] = { fragment_of(true, 0, 64, 8, false), fragment_of(false, 1, 64, 8, false),
                                   fragment_of(true, 2, 64, 8, false) };
        struct fragment overlap = fragment_of(true, 0, 0, 56, true);
        struct table table;

        table_init(&table, rig_pool);
        for (unsigned i = 0; i < FRAGMENTS_DATAGRAMS + 2; i++) {
                struct fragment fragment = fragment_of(i % 2 == 0, i, 0, 64, true);

                fragments_tick(table.fragments, NOW_US + i);
                assert_int_equal(give(&table, &fragment, NOW_US + i), FRAGMENTS_KEPT);
                if (i == 0)
                        assert_int_equal(give(&table, &overlap, NOW_US), FRAGMENTS_OVERLAP);
        }
        assert_int_equal(table.counters[COUNTER_fragments_evicted], 1);
        assert_int_equal(table.counters[COUNTER_fragments_held], FRAGMENTS_DATAGRAMS);
        fragments_tick(table.fragments, NOW_US + 500);
        assert_int_equal(give(&table, &late[2], NOW_US + 500), FRAGMENTS_WHOLE);
        assert_int_equal(give(&table, &late[0], NOW_US + 500), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &late[1], NOW_US + 500), FRAGMENTS_KEPT);
        table_done(&table, rig_pool);
}

/* So many packets and no more: of the pool, and by number. The datagram to which a piece comes does not make room for it. */
static void test_held(void **state)
{
        struct rte_mempool *few = pool_new("few", 1023, 2048, -1);
        struct {
                struct rte_mempool *pool;
                unsigned want;
        } cases[] = { { few, 1023 / FRAGMENTS_HELD_SHARE }, { rig_pool, FRAGMENTS_HELD_MAX } };

        assert_non_null(few);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rte_mempool *pool = cases[i].pool;
                struct packet *whole = NULL;
                unsigned given = 0;
                struct table table;

                table_init(&table, pool);
                for (unsigned id = 0; id < 100; id++) {
                        for (unsigned piece = 0; piece < 6; piece++) {
                                struct fragment fragment = fragment_of(id % 2, id, 8 * piece, 8, true);

                                fragments_tick(table.fragments, NOW_US);
                                assert_int_equal(give_bytes(&table, pool, &fragment, -1, NOW_US + id, &whole),
                                                 FRAGMENTS_KEPT);
                                given++;
                                assert_in_range(table.counters[COUNTER_fragments_held],
                                                MIN(given, cases[i].want - 6), cases[i].want);
                                assert_int_equal(rte_mempool_in_use_count(pool),
                                                 table.counters[COUNTER_fragments_held]);
                        }
                }
                for (unsigned id = 99; id > 97; id--) {
                        struct fragment last = fragment_of(id % 2, id, 48, 5, false);

                        fragments_tick(table.fragments, NOW_US);
                        assert_int_equal(give_bytes(&table, pool, &last, -1, NOW_US + 99, &whole), FRAGMENTS_WHOLE);
                        check_whole(whole, id % 2, 53);
                }
                table_done(&table, pool);
        }
        rte_mempool_free(few);
}

/* A pool whose share is less than one datagram: dropped, not evicted to no end. */
static void test_hardly_any_packets(void **state)
{
        struct rte_mempool *pool = pool_new("tiny", 63, 2048, -1);
        struct packet *whole = NULL;
        struct table table;

        assert_non_null(pool);
        table_init(&table, pool);
        for (unsigned piece = 0; piece < 6; piece++) {
                struct fragment fragment = fragment_of(true, 9, 8 * piece, 8, true);

                assert_int_equal(give_bytes(&table, pool, &fragment, -1, NOW_US, &whole),
                                 piece < 63 / FRAGMENTS_HELD_SHARE ? FRAGMENTS_KEPT : FRAGMENTS_LOAD);
        }
        table_done(&table, pool);
        rte_mempool_free(pool);
}

static void test_size(void **state)
{
        unsigned most = packet_pool_room(rig_pool) - WIRE_IPV6_BYTES - 8;
        struct packet *whole = NULL;
        struct table table;

        table_init(&table, rig_pool);
        for (unsigned len = most - 3; len <= most + 3; len++) {
                struct fragment first = fragment_of(true, len, 0, 1024, true),
                                last = fragment_of(true, len, 1024, len - 1024, false);
                bool is_fit = len <= most;

                fragments_tick(table.fragments, NOW_US);
                assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give_bytes(&table, rig_pool, &last, -1, NOW_US, &whole),
                                 is_fit ? FRAGMENTS_WHOLE : FRAGMENTS_LARGE);
                if (is_fit)
                        check_whole(whole, true, len);
        }
        assert_int_equal(table.counters[COUNTER_fragments_abandoned], 3);
        /* One that can never fit begins nothing. */
        struct fragment far = fragment_of(true, 1, 65000, 8, true);
        uint64_t due_us = fragments_next_due_us(table.fragments);

        assert_int_equal(give(&table, &far, NOW_US - 1), FRAGMENTS_LARGE);
        assert_int_equal(fragments_next_due_us(table.fragments), due_us);
        table_done(&table, rig_pool);
}

static void test_pieces(void **state)
{
        struct table table;

        table_init(&table, rig_pool);
        for (unsigned piece = 0; piece < FRAGMENTS_PIECES + 1; piece++) {
                struct fragment fragment = fragment_of(false, 9, 8 * piece, 8, piece < FRAGMENTS_PIECES);

                assert_int_equal(give(&table, &fragment, NOW_US),
                                 piece < FRAGMENTS_PIECES ? FRAGMENTS_KEPT : FRAGMENTS_LARGE);
        }
        assert_int_equal(table.counters[COUNTER_fragments_abandoned], FRAGMENTS_PIECES);
        table_done(&table, rig_pool);
}

/* Packets run short: what is held goes, and nothing is taken before the turn after they are back. */
static void test_load(void **state)
{
        static struct packet *taken[1024];
        struct rte_mempool *pool = pool_new("load", 1023, 2048, -1);
        struct fragment fragment = fragment_of(true, 9, 0, 64, true), last = fragment_of(true, 9, 64, 8, false);
        struct packet *whole = NULL;
        unsigned n = 0;
        struct table table;

        assert_non_null(pool);
        table_init(&table, pool);
        assert_int_equal(give_bytes(&table, pool, &fragment, -1, NOW_US, &whole), FRAGMENTS_KEPT);
        while (rte_mempool_avail_count(pool) >= 1023 / FRAGMENTS_SHORT)
                taken[n++] = packet_new(pool);
        fragments_tick(table.fragments, NOW_US);
        assert_int_equal(give_bytes(&table, pool, &last, -1, NOW_US, &whole), FRAGMENTS_LOAD);
        assert_int_equal(table.counters[COUNTER_fragments_evicted], 1);
        assert_int_equal(table.counters[COUNTER_fragments_held], 0);
        while (n > 0)
                packet_free(taken[--n]);
        assert_int_equal(give_bytes(&table, pool, &last, -1, NOW_US, &whole), FRAGMENTS_LOAD);
        fragments_tick(table.fragments, NOW_US);
        assert_int_equal(give_bytes(&table, pool, &last, -1, NOW_US, &whole), FRAGMENTS_KEPT);
        assert_int_equal(give_bytes(&table, pool, &fragment, -1, NOW_US, &whole), FRAGMENTS_WHOLE);
        packet_free(whole);
        table_done(&table, pool);
        rte_mempool_free(pool);
}

/* All pieces are here, but no packet to put them into: they go, and the table goes on. */
static void test_no_packet(void **state)
{
        static struct packet *taken[1024];
        struct rte_mempool *pool = pool_new("none", 1023, 2048, -1);
        struct fragment first = fragment_of(false, 9, 0, 64, true), last = fragment_of(false, 9, 64, 8, false);
        struct packet *whole = NULL, *packet;
        unsigned n = 0;
        struct table table;

        assert_non_null(pool);
        table_init(&table, pool);
        for (unsigned turn = 0; turn < 2; turn++) {
                fragments_tick(table.fragments, NOW_US);
                assert_int_equal(give_bytes(&table, pool, &first, -1, NOW_US, &whole), FRAGMENTS_KEPT);
                packet = packet_new(pool);
                memset(packet_append(packet, last.len), 1, last.len);
                while (turn == 0 && (taken[n] = packet_new(pool)) != NULL)
                        n++;
                assert_int_equal(fragments_add(table.fragments, packet, &last, NOW_US, &whole),
                                 turn == 0 ? FRAGMENTS_KEPT : FRAGMENTS_WHOLE);
                while (n > 0)
                        packet_free(taken[--n]);
        }
        packet_free(whole);
        assert_int_equal(table.counters[COUNTER_ip_no_packet], 1);
        assert_int_equal(table.counters[COUNTER_fragments_abandoned], 2);
        assert_int_equal(table.counters[COUNTER_fragments_joined], 2);
        table_done(&table, pool);
        rte_mempool_free(pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_order),
                cmocka_unit_test(test_any_cut_in_any_order),
                cmocka_unit_test(test_protocol),
                cmocka_unit_test(test_every_overlap),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_given_up),
                cmocka_unit_test(test_altered_duplicate),
                cmocka_unit_test(test_ecn),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_time_before_the_tick),
                cmocka_unit_test(test_turn),
                cmocka_unit_test(test_datagrams),
                cmocka_unit_test(test_held),
                cmocka_unit_test(test_hardly_any_packets),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_pieces),
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_no_packet),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
