/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/conn.h"
#include "dataplane/tcp/cookie.h"

static const struct siphash_key key = { { 1, 2 } };

static struct tcp_tuple tuple_of(uint16_t port)
{
        struct tcp_tuple tuple = { .remote = addr_from_v4_be(0x010012c6), .local = addr_from_v4_be(0x190012c6), port, 25 };

        return tuple;
}

static void test_options(void **state)
{
        static const struct {
                struct cookie_options in, want;
        } cases[] = {
                { { 1460, true, 7, true }, { 1460, true, 7, true } },   { { 9000, true, 14, false }, { 1460, true, 8, false } },
                { { 1459, false, 0, true }, { 1452, false, 0, true } }, { { 536, true, 0, false }, { 536, true, 0, false } },
                { { 100, true, 3, true }, { 216, true, 2, true } },     { { 1399, true, 5, true }, { 1360, true, 4, true } },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct tcp_tuple tuple = tuple_of(1000);
                struct cookie_options got;
                uint32_t isn = cookie_build(&key, &tuple, 5, &cases[i].in, 1000000);

                assert_true(cookie_check(&key, &tuple, 5, isn, 1000000, &got));
                assert_int_equal(got.mss, cases[i].want.mss);
                assert_int_equal(got.has_scale, cases[i].want.has_scale);
                assert_int_equal(got.scale, cases[i].want.scale);
                assert_int_equal(got.has_sack, cases[i].want.has_sack);
        }
}

static void test_life(void **state)
{
        struct tcp_tuple tuple = tuple_of(1000);
        struct cookie_options options = { 1460, true, 7, true }, got;

        /* From any moment of an epoch: good for one whole epoch at least, for two at most. */
        for (uint64_t at_ms = 0; at_ms < 4 * TCP_COOKIE_EPOCH_MS; at_ms += 777) {
                uint32_t isn = cookie_build(&key, &tuple, 9, &options, at_ms);

                assert_true(cookie_check(&key, &tuple, 9, isn, at_ms, &got));
                assert_true(cookie_check(&key, &tuple, 9, isn, at_ms + TCP_COOKIE_EPOCH_MS, &got));
                assert_false(cookie_check(&key, &tuple, 9, isn, at_ms + 2 * TCP_COOKIE_EPOCH_MS, &got));
        }
}

/* Nothing but the right one: no other bit pattern nearby, tuple, client ISN or key. */
static void test_forgery(void **state)
{
        static const struct siphash_key other_key = { { 1, 3 } };
        struct tcp_tuple tuple = tuple_of(1000), other = tuple_of(1001);
        struct cookie_options options = { 1460, true, 7, true }, got;
        uint32_t isn = cookie_build(&key, &tuple, 9, &options, 50000);
        unsigned hits = 0;

        assert_false(cookie_check(&key, &other, 9, isn, 50000, &got));
        assert_false(cookie_check(&key, &tuple, 10, isn, 50000, &got));
        assert_false(cookie_check(&other_key, &tuple, 9, isn, 50000, &got));
        for (unsigned bit = 0; bit < 32; bit++)
                assert_false(cookie_check(&key, &tuple, 9, isn ^ 1u << bit, 50000, &got));
        for (uint32_t guess = 0; guess < 100000; guess++)
                hits += cookie_check(&key, &tuple, 9, guess * 2654435761u, 50000, &got);
        assert_true(hits <= 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options),
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_forgery),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
