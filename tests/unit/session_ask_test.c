/* SPDX-License-Identifier: Apache-2.0 */
/* Open questions against a plain model, under random joining and leaving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/session/ask.h"
#include "dataplane/shared/bug.h"

#define SESSIONS 64
#define ADDRS    9

static struct addr addr_of(unsigned n)
{
        struct addr addr = { { 0x20, 0x01, 0, 2, [15] = (uint8_t)n } };

        return addr;
}

static void test_one_question_for_many(void **state)
{
        struct siphash_key key = { { 1, 2 } };
        struct asks *asks = asks_new(SESSIONS, &key);
        struct addr a = addr_of(1), b = addr_of(2);

        assert_true(asks_wait(asks, 0, &a, 0));
        assert_false(asks_wait(asks, 1, &a, 10));
        assert_true(asks_wait(asks, 2, &b, 10));
        assert_false(asks_wait(asks, 3, &a, 999999));
        /* Unanswered for a second: the next one asks again. */
        assert_true(asks_wait(asks, 4, &a, 1000000));
        assert_false(asks_wait(asks, 5, &a, 1000001));
        for (unsigned i = 0; i < 6; i++)
                asks_leave(asks, i);
        assert_int_equal(asks_first(asks, &a), ASK_NONE);
        assert_true(asks_wait(asks, 0, &a, 1000002));
        asks_free(asks);
}

static void test_against_model(void **state)
{
        struct siphash_key key = { { 3, 4 } };
        struct asks *asks = asks_new(SESSIONS, &key);
        int waits[SESSIONS];
        unsigned x = 1;

        memset(waits, 0xff, sizeof(waits));
        for (unsigned step = 0; step < 50000; step++) {
                unsigned session;

                x = x * 1103515245u + 12345u;
                session = x >> 16 & (SESSIONS - 1);
                if (waits[session] < 0) {
                        waits[session] = (int)(x >> 8 & 0xff) % ADDRS;
                        struct addr addr = addr_of((unsigned)waits[session]);

                        asks_wait(asks, session, &addr, step);
                } else {
                        waits[session] = -1;
                        asks_leave(asks, session);
                }
                if (step % 97 != 0)
                        continue;
                for (unsigned n = 0; n < ADDRS; n++) {
                        struct addr addr = addr_of(n);
                        unsigned got = 0, want = 0;

                        for (uint32_t at = asks_first(asks, &addr); at != ASK_NONE; at = asks_next(asks, at)) {
                                assert_int_equal(waits[at], n);
                                assert_true(asks_is_waiting(asks, at));
                                got++;
                        }
                        for (unsigned i = 0; i < SESSIONS; i++)
                                want += waits[i] == (int)n;
                        assert_int_equal(got, want);
                }
        }
        asks_free(asks);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_question_for_many),
                cmocka_unit_test(test_against_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
