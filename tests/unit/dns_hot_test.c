/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/dns/hot.h"

#define LOOK_ALL (HOT_SETS * HOT_WAYS)

static const struct siphash_key key = { { 3, 4 } };

static struct addr numbered(unsigned i)
{
        return addr_from_v4_be(__builtin_bswap32(0x0a000000u + i));
}

/* How often a client is refreshed that was asked about at these times, each time with answers for 100 s. */
static void test_credits(void **state)
{
        static const struct {
                uint32_t asked_sec[5]; /* 0: no more */
                unsigned want;
        } cases[] = {
                { { 1000 }, 0 },       /* once: nobody knows whether it comes again */
                { { 1000, 1050 }, 0 }, /* while its answers last: something was missing, no return */
                { { 1000, 1110 }, 1 }, /* back soon after they expired */
                { { 1000, 1110, 1220 }, 2 },
                { { 1000, 1110, 1220, 1330, 1440 }, 8 },
                { { 1000, 1500 }, 0 }, /* back, but long after */
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr client = numbered(1), got;
                struct dns_hot hot;
                uint32_t now_sec = 0, ahead_sec;
                unsigned refreshed = 0;

                assert_int_equal(dns_hot_init(&hot, &key), 0);
                for (unsigned k = 0; k < 5 && cases[i].asked_sec[k] != 0; k++) {
                        now_sec = cases[i].asked_sec[k];
                        dns_hot_asked(&hot, &client, now_sec + 100, now_sec);
                }
                for (uint32_t end_sec = now_sec + 2000; now_sec < end_sec; now_sec++) {
                        if (!dns_hot_next(&hot, LOOK_ALL, now_sec, &got, &ahead_sec))
                                continue;
                        assert_true(addr_is_equal(&got, &client));
                        assert_int_equal(ahead_sec, 10); /* a tenth of the life before its end */
                        dns_hot_refreshed(&hot, &client, now_sec + 100, now_sec);
                        refreshed++;
                }
                if (refreshed != cases[i].want)
                        fail_msg("case %u: got %u", i, refreshed);
                dns_hot_done(&hot);
        }
}

/* A flood of strangers does not push out those who return. */
static void test_flood(void **state)
{
        struct addr client = numbered(1), other, got;
        struct dns_hot hot;
        uint32_t ahead_sec;

        assert_int_equal(dns_hot_init(&hot, &key), 0);
        dns_hot_asked(&hot, &client, 1100, 1000);
        dns_hot_asked(&hot, &client, 1210, 1110);
        for (unsigned i = 2; i < 100000; i++) {
                other = numbered(i);
                dns_hot_asked(&hot, &other, 9000, 1150);
        }
        assert_true(dns_hot_next(&hot, LOOK_ALL, 1205, &got, &ahead_sec));
        assert_true(addr_is_equal(&got, &client));
        assert_false(dns_hot_next(&hot, LOOK_ALL, 1205, &got, &ahead_sec));
        dns_hot_done(&hot);
}

static void test_short_lives_are_left_alone(void **state)
{
        struct addr client = numbered(1), got;
        struct dns_hot hot;
        uint32_t ahead_sec;

        assert_int_equal(dns_hot_init(&hot, &key), 0);
        dns_hot_asked(&hot, &client, 1008, 1000);
        dns_hot_asked(&hot, &client, 1018, 1010);
        for (uint32_t now_sec = 1010; now_sec < 1030; now_sec++)
                assert_false(dns_hot_next(&hot, LOOK_ALL, now_sec, &got, &ahead_sec));
        dns_hot_done(&hot);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_credits),
                cmocka_unit_test(test_flood),
                cmocka_unit_test(test_short_lives_are_left_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
