/* SPDX-License-Identifier: Apache-2.0 */
/* More than there is room for: of one turn's work, of datagrams, of packets. Who goes first, and that the table goes on. */
#include "tests/unit/port_fragments_rig.h"

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

/* Who needs room takes it from those that hold packets: a datagram that was given up is not forgotten for it. */
static void test_given_up_is_not_evicted(void **state)
{
        struct fragment first = fragment_of(true, 9, 0, 64, true), last = fragment_of(true, 9, 64, 64, false),
                        overlap = fragment_of(true, 9, 56, 64, true);
        struct table table;

        table_init(&table, rig_pool);
        assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
        assert_int_equal(give(&table, &overlap, NOW_US), FRAGMENTS_OVERLAP);
        for (unsigned i = 0; i < FRAGMENTS_HELD_MAX + FRAGMENTS_PIECES; i++) {
                struct fragment other = fragment_of(true, 10 + i / FRAGMENTS_PIECES, i % FRAGMENTS_PIECES * 8, 8, true);

                fragments_tick(table.fragments, NOW_US);
                assert_int_equal(give(&table, &other, NOW_US + 1 + i), FRAGMENTS_KEPT);
        }
        assert_int_equal(table.counters[COUNTER_fragments_evicted], FRAGMENTS_PIECES);
        fragments_tick(table.fragments, NOW_US);
        assert_int_equal(give(&table, &last, NOW_US), FRAGMENTS_OVERLAP);
        table_done(&table, rig_pool);
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
                cmocka_unit_test(test_turn),
                cmocka_unit_test(test_datagrams),
                cmocka_unit_test(test_held),
                cmocka_unit_test(test_given_up_is_not_evicted),
                cmocka_unit_test(test_hardly_any_packets),
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_no_packet),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
