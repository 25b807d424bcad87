/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <cmocka.h>

#include "dataplane/policy/limits.h"

static const struct siphash_key key = { { 1, 2 } };

static struct addr network(unsigned n)
{
        struct addr addr = { { 0x20, 0x01, 0, 2, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                               (uint8_t)n } };

        return addr;
}

static void test_steps(void **state)
{
        static const struct {
                const char *name;
                char step; /* 'o' open, 'c' close the oldest still open */
                unsigned network;
                uint32_t now_sec;
                enum limits_verdict want;
        } cases[] = {
                { "first", 'o', 1, 0, LIMITS_OPEN },
                { "second", 'o', 1, 0, LIMITS_OPEN },
                { "third is one too many", 'o', 1, 0, LIMITS_TOO_MANY },
                { "another network has its own count", 'o', 2, 0, LIMITS_OPEN },
                { "one ends", 'c', 1, 0, LIMITS_OPEN },
                { "room again", 'o', 1, 0, LIMITS_OPEN },
                { "the next ends", 'c', 1, 0, LIMITS_OPEN },
                { "four in this minute was the limit", 'o', 1, 59, LIMITS_OPEN },
                { "and one more ends", 'c', 1, 59, LIMITS_OPEN },
                { "too fast", 'o', 1, 59, LIMITS_TOO_FAST },
                { "the next minute", 'o', 1, 60, LIMITS_OPEN },
        };
        struct limits *limits = limits_new(64, &key);
        uint32_t slots[16] = { 0 };
        unsigned opened = 0, closed = 0;

        assert_non_null(limits);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr = network(cases[i].network);
                uint32_t slot;
                enum limits_verdict got;

                if (cases[i].step == 'c') {
                        limits_close(limits, slots[closed++]);
                        continue;
                }
                got = limits_open(limits, &addr, 2, 4, cases[i].now_sec, &slot);
                if (got != cases[i].want)
                        fail_msg("%s: got %d, want %d", cases[i].name, got, cases[i].want);
                if (got == LIMITS_OPEN && cases[i].network == 1)
                        slots[opened++] = slot;
        }
        limits_free(limits);
}

static void test_full_bucket_lets_through(void **state)
{
        struct limits *limits = limits_new(64, &key);
        unsigned uncounted = 0, open = 0;
        uint32_t slot[1000];

        for (unsigned i = 0; i < 1000; i++) {
                struct addr addr = network(i);
                enum limits_verdict got = limits_open(limits, &addr, 1, 0, 0, &slot[i]);

                uncounted += got == LIMITS_UNCOUNTED;
                open += got == LIMITS_OPEN;
        }
        assert_int_equal(uncounted + open, 1000);
        assert_int_equal(open, 64);
        for (unsigned i = 0; i < 1000; i++)
                limits_close(limits, slot[i]);
        for (unsigned i = 0; i < 1000; i++) {
                struct addr addr = network(i);

                assert_int_equal(limits_count(limits, &addr), 0);
        }
        /* A minute later every slot is free for others. */
        {
                struct addr addr = network(5000);
                uint32_t one;

                assert_int_equal(limits_open(limits, &addr, 1, 0, 60, &one), LIMITS_OPEN);
        }
        limits_free(limits);
}

struct hammer {
        struct limits *limits;
        unsigned seed;
};

static void *hammer(void *arg)
{
        struct hammer *h = arg;
        unsigned x = h->seed;

        for (unsigned i = 0; i < 20000; i++) {
                struct addr addr;
                uint32_t slot;

                x = x * 1103515245u + 12345u;
                addr = network(x >> 16 & 127);
                limits_open(h->limits, &addr, 3, 0, i / 50, &slot);
                limits_close(h->limits, slot);
        }
        return NULL;
}

static void test_threads_leave_nothing(void **state)
{
        struct limits *limits = limits_new(64, &key);
        struct hammer hammers[4];
        pthread_t threads[4];

        for (unsigned i = 0; i < 4; i++) {
                hammers[i] = (struct hammer){ limits, i + 1 };
                assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < 128; i++) {
                struct addr addr = network(i);

                assert_int_equal(limits_count(limits, &addr), 0);
        }
        limits_free(limits);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steps),
                cmocka_unit_test(test_full_bucket_lets_through),
                cmocka_unit_test(test_threads_leave_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
