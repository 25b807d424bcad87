/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
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
                uint32_t cwnd, ssthresh, acked, flight, flags, want;
        } cases[] = {
                { "slow start: by what was acknowledged", 10000, 100000, 1000, 10000, 0, 11000 },
                { "slow start: two segments at most", 10000, 100000, 9000, 10000, 0, 12000 },
                { "slow start: window not used", 10000, 100000, 1000, 4999, 0, 10000 },
                { "avoidance without a loss before: a segment a round trip, as Reno", 10000, 5000, 1000, 10000, 0, 10100 },
                { "avoidance: window not used", 10000, 5000, 1000, 8000, 0, 10000 },
                { "avoidance: the window stopped us, though a burst of ACKs has emptied it", 10000, 5000, 1000, 8000,
                  CONN_CWND_FULL, 10100 },
                { "avoidance: no more than one window counts", 10000, 5000, 90000, 10000, 0, 11000 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_flight flight = { .board = BOARD_NONE };
                struct tcp_conn conn = { .mss = 1000,
                                         .cwnd = cases[i].cwnd,
                                         .ssthresh = cases[i].ssthresh,
                                         .flags = cases[i].flags,
                                         .flight = &flight };

                congest_acked(&conn, cases[i].acked, cases[i].flight, 5000);
                if (conn.cwnd != cases[i].want)
                        fail_msg("%s: got %u", cases[i].name, conn.cwnd);
        }
}

static void test_cube_root(void **state)
{
        static const struct {
                uint64_t value;
                uint32_t want;
        } cases[] = { { 0, 0 }, { 1, 1 }, { 7, 1 }, { 8, 2 }, { 26, 2 }, { 27, 3 }, { 999999999, 999 }, { 1000000000, 1000 },
                      { 750000000000, 9085 }, { UINT64_MAX, 2642245 } };
        uint64_t seed = 9;

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
                assert_int_equal(congest_cube_root(cases[i].value), cases[i].want);
        for (unsigned i = 0; i < 100000; i++) {
                uint64_t value, root;

                seed = seed * 6364136223846793005ull + 1442695040888963407ull;
                value = (seed >> 1) >> (seed % 60);
                root = congest_cube_root(value);
                assert_true(root * root * root <= value && (root + 1) * (root + 1) * (root + 1) > value);
        }
}

/* RFC 9438 in floating point and segments, as its text has it; shares nothing with the program. */
struct model {
        double cwnd, w_max, w_est, prior, k, epoch;
};

static double model_w(const struct model *m, double t)
{
        return 0.4 * pow(t - m->epoch - m->k, 3) + m->w_max;
}

static void model_begin(struct model *m, double t)
{
        m->w_max = fmax(m->w_max, m->cwnd);
        m->epoch = t;
        m->k = cbrt((m->w_max - m->cwnd) / 0.4);
        m->w_est = m->cwnd;
}

static void model_ack(struct model *m, double t, double rtt, double segments)
{
        double target;

        m->w_est += (m->w_est < m->prior ? 3 * (1 - 0.7) / (1 + 0.7) : 1) * segments / m->cwnd;
        if (model_w(m, t) < m->w_est) {
                m->cwnd = fmax(m->cwnd, m->w_est);
                return;
        }
        target = fmin(fmax(model_w(m, t + rtt), m->cwnd), 1.5 * m->cwnd);
        m->cwnd += segments * (target - m->cwnd) / m->cwnd;
}

/* One loss at a window of so many segments, then a minute or so without; every second segment is acknowledged. */
static void test_curve(void **state)
{
        static const struct {
                const char *name;
                double window, rtt_sec, end_sec;
                unsigned mss;
        } cases[] = {
                { "far and fat: concave, then convex", 1000, 0.1, 25, 1448 },
                { "very far", 300, 0.6, 40, 1448 },
                { "near and thin: Reno", 20, 0.01, 3, 1448 },
                { "jumbo frames", 120, 0.05, 15, 8948 },
                { "small segments", 500, 0.08, 20, 536 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_flight flight = { .board = BOARD_NONE };
                struct tcp_conn conn = { .mss = (uint16_t)cases[i].mss,
                                         .srtt_us = (uint32_t)(cases[i].rtt_sec * 1e6),
                                         .cwnd = (uint32_t)(cases[i].window * cases[i].mss),
                                         .flight = &flight };
                struct model m = { .cwnd = cases[i].window * 0.7, .w_max = cases[i].window, .prior = cases[i].window };
                double k = cbrt(0.3 * cases[i].window / 0.4), t;
                uint32_t began_ms = UINT32_MAX - 3000; /* wraps on the way */

                congest_loss(&conn, conn.cwnd);
                assert_true(fabs(conn.cwnd - cases[i].window * cases[i].mss * 0.7) <= 1);
                model_begin(&m, 0);
                for (t = 0; t < cases[i].end_sec; t += cases[i].rtt_sec * 2 / m.cwnd) {
                        double got, closed = 0.4 * pow(t - k, 3) + cases[i].window;

                        congest_acked(&conn, 2 * cases[i].mss, conn.cwnd, began_ms + (uint32_t)(t * 1000));
                        model_ack(&m, t, cases[i].rtt_sec, 2);
                        got = (double)conn.cwnd / cases[i].mss;
                        if (fabs(got - m.cwnd) > 0.01 * m.cwnd + 0.5)
                                fail_msg("%s: at %.2f s %.2f segments, should be %.2f", cases[i].name, t, got, m.cwnd);
                        /* Figure 1 itself: the window follows it a round trip early or late at most. */
                        if (got + 1 < 0.985 * (0.4 * pow(t - cases[i].rtt_sec - k, 3) + cases[i].window))
                                fail_msg("%s: at %.2f s %.2f segments, below the curve: %.2f", cases[i].name, t, got, closed);
                }
                assert_true(m.cwnd > cases[i].window);
        }
}

/* Points of figures 1, 2, 4, worked out by hand: a loss at 1000 segments of 1000 bytes, so K = (300 / 0.4)^(1/3) = 9.086 s. */
static void test_points(void **state)
{
        struct tcp_flight flight = { .board = BOARD_NONE };
        struct tcp_conn conn = { .mss = 1000, .srtt_us = 100000, .cwnd = 1000000, .flight = &flight };

        congest_loss(&conn, 1000000);
        congest_acked(&conn, 1000, 700000, 10000);
        assert_int_equal(flight.w_max, 1000000);
        assert_int_equal(flight.w_prior, 1000000);
        assert_int_equal(flight.w_max_ms, 10000 + 9085);
        /* W(0) = 700, W(0.1) = 1000 - 0.4 * 8.985^3 = 709.85: a thousandth and a half of 9.8 segments. */
        assert_in_range(conn.cwnd, 700013, 700015);
        assert_int_equal(flight.w_est, 700001); /* 9 / 17 * 1 / 700 segment = 0.76 byte */
        /* Ten seconds in which the sender had nothing to send move the curve by ten seconds (5.8). */
        congest_acked(&conn, 1000, 1000, 20000);
        assert_in_range(conn.cwnd, 700013, 700015);
        assert_int_equal(flight.w_max_ms, 20000 + 9085);
        /* At the middle W(K + RTT) = 1000.0004. */
        conn.cwnd = 999000;
        congest_acked(&conn, 999000, 999000, 29085);
        assert_int_equal(conn.cwnd, 1000000);
        /* Ten seconds later 0.4 * 10.1^3 = 412 above it. */
        conn.cwnd = 1300000;
        congest_acked(&conn, 1300000, 1300000, 39085);
        assert_in_range(conn.cwnd, 1412000, 1412200);
        /* No more than half as much again in a round trip (4.2). */
        congest_acked(&conn, 1412000, 1412000, 59085);
        assert_in_range(conn.cwnd, 2117000, 2119000);
}

static void test_loss(void **state)
{
        struct tcp_flight flight = { .board = BOARD_NONE };
        struct tcp_conn conn = { .mss = 1000, .cwnd = 20000, .ssthresh = 50000, .flight = &flight };

        congest_loss(&conn, 16000);
        assert_int_equal(conn.ssthresh, 11200);
        assert_int_equal(conn.cwnd, 11200);
        assert_int_equal(flight.w_max, 20000);
        /* Fast convergence (4.7): lost again below the last maximum, 0.85 of the window is the new one. */
        conn.cwnd = 18000;
        congest_loss(&conn, 18000);
        assert_int_equal(flight.w_max, 15300);
        assert_int_equal(flight.w_prior, 18000);
        conn.cwnd = 16000;
        congest_loss(&conn, 16000);
        assert_int_equal(flight.w_max, 16000);
        congest_timeout(&conn, 6000, false);
        assert_int_equal(conn.ssthresh, 4200);
        assert_int_equal(conn.cwnd, 1000);
        congest_timeout(&conn, 1000, true); /* the same data again */
        assert_int_equal(conn.ssthresh, 4200);
        /* After a timeout the stage begins at its own window, with K = 0 (4.8). */
        conn.cwnd = 5000;
        congest_acked(&conn, 1000, 5000, 777);
        assert_int_equal(flight.w_max, 5000);
        assert_int_equal(flight.w_max_ms, 777);
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
                cmocka_unit_test(test_cube_root),
                cmocka_unit_test(test_curve),
                cmocka_unit_test(test_points),
                cmocka_unit_test(test_loss),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
