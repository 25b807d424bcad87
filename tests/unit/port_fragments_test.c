/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces in, datagrams out: every order, every overlap, every end, and no packet left behind. What fragments say of
 * themselves is ip_fragment_test's matter, who must go when there is no room port_fragments_room_test's.
 */
#include "tests/unit/port_fragments_rig.h"

#define BYTES 1600u

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

/* One that differs in a single bit of what names its datagram is of another: of the addresses, and of all of the id. */
static void test_names(void **state)
{
        for (unsigned bit = 0; bit < 2 * 128 + 32; bit++) {
                struct fragment first = fragment_of(true, 9, 0, 64, true), last = fragment_of(true, 9, 64, 64, false),
                                other = last;
                struct table table;

                if (bit < 256)
                        (bit < 128 ? &other.src : &other.dst)->bytes[bit % 128 / 8] ^= (uint8_t)(1u << bit % 8);
                else
                        other.id ^= 1u << (bit - 256);
                table_init(&table, rig_pool);
                assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give(&table, &other, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give(&table, &last, NOW_US), FRAGMENTS_WHOLE);
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

/* The table's tag of a datagram in which everything but the id is the same: 31 bits of its keyed hash. */
static uint32_t tag_of(uint32_t id)
{
        struct {
                struct addr src, dst;
                uint32_t id, protocol;
        } name = { .src = rig_addr("2001:2::77"), .dst = rig_addr("2001:2::25"), .id = id };

        return (uint32_t)siphash(&table_key, &name, sizeof(name)) | 1;
}

/* Two datagrams may have the same tag: what is theirs must be told apart by all of their name. */
static void test_same_tag(void **state)
{
        static uint32_t ids[1u << 20]; /* by the upper bits of their tags */
        unsigned pairs = 0;

        for (uint32_t id = 1; id < 1u << 18; id++) {
                uint32_t tag = tag_of(id), other = ids[tag >> 12];
                struct fragment first = fragment_of(true, other, 0, 64, true),
                                last = fragment_of(true, id, 64, 64, false);
                struct table table;

                ids[tag >> 12] = id;
                if (other == 0 || tag_of(other) != tag)
                        continue;
                pairs++;
                table_init(&table, rig_pool);
                assert_int_equal(give(&table, &first, NOW_US), FRAGMENTS_KEPT);
                assert_int_equal(give(&table, &last, NOW_US), FRAGMENTS_KEPT);
                table_done(&table, rig_pool);
        }
        assert_true(pairs > 0);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_order),
                cmocka_unit_test(test_any_cut_in_any_order),
                cmocka_unit_test(test_protocol),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_every_overlap),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_given_up),
                cmocka_unit_test(test_same_tag),
                cmocka_unit_test(test_altered_duplicate),
                cmocka_unit_test(test_ecn),
                cmocka_unit_test(test_time),
                cmocka_unit_test(test_time_before_the_tick),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_pieces),
        };

        return cmocka_run_group_tests(tests, rig_start, NULL);
}
