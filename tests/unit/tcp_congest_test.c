/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/congest.h"
#include "dataplane/tcp/conn.h"

static void test_start(void **state)
{
        static const struct {
                uint16_t mss;
                bool syn_lost;
                uint32_t want;
        } cases[] = { { 1460, false, 14600 }, { 536, false, 5360 }, { 216, false, 2160 }, { 1448, false, 14480 }, { 8960, false, 17920 },
                      { 1460, true, 1460 } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_conn conn = { .mss = cases[i].mss };

                congest_start(&conn, cases[i].syn_lost);
                assert_int_equal(conn.cwnd, cases[i].want);
                assert_true(conn.ssthresh > 1u << 20);
        }
}

static void test_growth(void **state)
{
        static const struct {
                const char *name;
                uint32_t cwnd, ssthresh, acked, flight, want;
        } cases[] = {
                { "slow start: by what was acknowledged", 10000, 100000, 1000, 10000, 11000 },
                { "slow start: two segments at most", 10000, 100000, 9000, 10000, 12000 },
                { "slow start: window not used", 10000, 100000, 1000, 4999, 10000 },
                { "avoidance: a segment a round trip", 10000, 5000, 1000, 10000, 10100 },
                { "avoidance: window not used", 10000, 5000, 1000, 8000, 10000 },
                { "avoidance: at least a byte", 1u << 29, 5000, 1000, 1u << 29, (1u << 29) + 1 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_conn conn = { .mss = 1000, .cwnd = cases[i].cwnd, .ssthresh = cases[i].ssthresh };

                congest_acked(&conn, cases[i].acked, cases[i].flight);
                if (conn.cwnd != cases[i].want)
                        fail_msg("%s: got %u", cases[i].name, conn.cwnd);
        }
}

static void test_loss(void **state)
{
        struct tcp_conn conn = { .mss = 1000, .cwnd = 20000, .ssthresh = 50000 };

        congest_loss(&conn, 16000);
        assert_int_equal(conn.ssthresh, 8000);
        assert_int_equal(conn.cwnd, 8000);
        congest_timeout(&conn, 6000, false);
        assert_int_equal(conn.ssthresh, 3000);
        assert_int_equal(conn.cwnd, 1000);
        congest_timeout(&conn, 1000, true); /* the same data again */
        assert_int_equal(conn.ssthresh, 3000);
        congest_timeout(&conn, 1000, false);
        assert_int_equal(conn.ssthresh, 2000); /* never below two segments */
        conn.cwnd = 60000;
        congest_idle(&conn);
        assert_int_equal(conn.cwnd, 10000);
        conn.cwnd = 3000;
        congest_idle(&conn);
        assert_int_equal(conn.cwnd, 3000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),
                cmocka_unit_test(test_growth),
                cmocka_unit_test(test_loss),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
