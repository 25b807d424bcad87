/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/board.h"
#include "dataplane/tcp/conn.h"

#define SPACE 200
#define BASE  0xffffffc0u /* so that the ranges wrap */

/* Against one flag a byte. */
static void test_against_bytes(void **state)
{
        uint64_t seed = 5;

        for (unsigned run = 0; run < 3000; run++) {
                struct tcp_board board = { 0 };
                bool held[SPACE + 1] = { false };
                uint32_t una = 0;

                for (unsigned step = 0; step < 20; step++) {
                        uint32_t start, end, ranges = 0;
                        bool news = false;

                        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
                        start = una + (uint32_t)(seed >> 33) % (SPACE - una);
                        end = start + 1 + (uint32_t)(seed >> 50) % 20;
                        end = MIN(end, SPACE);
                        for (uint32_t i = start; i < end; i++)
                                news |= !held[i];
                        if (board.count < TCP_BOARD_RANGES) {
                                assert_int_equal(board_add(&board, BASE + start, BASE + end), news);
                                for (uint32_t i = start; i < end; i++)
                                        held[i] = true;
                        }
                        if (step % 5 == 4) {
                                una = MIN(una + (uint32_t)(seed >> 40) % 30, SPACE - 1);
                                board_trim(&board, BASE + una);
                        }
                        for (uint32_t i = una; i < SPACE; i++)
                                ranges += held[i] && (i == una || !held[i - 1]);
                        assert_int_equal(board.count, ranges);
                        for (uint32_t r = 0; r < board.count; r++)
                                for (uint32_t i = board.range[r].start; i != board.range[r].end; i++)
                                        assert_true(held[i - BASE]);
                }
        }
}

static void test_full(void **state)
{
        struct tcp_board board = { 0 };

        for (uint32_t i = 0; i < TCP_BOARD_RANGES; i++)
                assert_true(board_add(&board, 100 * i + 10, 100 * i + 20));
        assert_false(board_add(&board, 5000, 5010));
        assert_int_equal(board.count, TCP_BOARD_RANGES);
        assert_true(board_add(&board, 20, 110)); /* joins two */
        assert_int_equal(board.count, TCP_BOARD_RANGES - 1);
        assert_true(board_add(&board, 5000, 5010));
}

static void test_segments(void **state)
{
        struct tcp_board board = { .count = 3, .range = { { 1100, 1200 }, { 1300, 1301 }, { 1500, 1750 } } };

        assert_int_equal(board_segments(&board, 100), 1 + 1 + 3);
}

static void test_hole(void **state)
{
        struct tcp_board board = { .count = 2, .range = { { 1100, 1200 }, { 1300, 1600 } } };
        static const struct {
                uint32_t from, edge;
                bool want;
                uint32_t want_start, want_end;
        } cases[] = {
                { 1000, 1600, true, 1000, 1100 }, { 1050, 1600, true, 1050, 1100 }, { 1100, 1600, true, 1200, 1300 },
                { 1000, 1040, true, 1000, 1040 }, { 1250, 1600, true, 1250, 1300 }, { 1300, 1600, false, 0, 0 },
                { 1100, 1200, false, 0, 0 },         { 1300, 1700, true, 1600, 1700 },  { 1650, 1700, true, 1650, 1700 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint32_t start = 0, end = 0;

                assert_int_equal(board_hole(&board, cases[i].from, cases[i].edge, &start, &end), cases[i].want);
                assert_int_equal(start, cases[i].want_start);
                assert_int_equal(end, cases[i].want_end);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_against_bytes),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_segments),
                cmocka_unit_test(test_hole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
