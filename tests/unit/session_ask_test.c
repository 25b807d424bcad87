/* SPDX-License-Identifier: Apache-2.0 */
/* Open questions against a plain model, under random joining and leaving, with room for all and for a few. */
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

/* Session waits for address n; nobody is forgotten. */
static bool waits(struct asks *asks, uint32_t *place, uint32_t session, unsigned n, uint64_t now_us)
{
        struct addr addr = addr_of(n);
        uint32_t forgotten;
        bool sent = asks_wait(asks, &place[session], session, &addr, now_us, &forgotten);

        assert_int_equal(forgotten, 0);
        return sent;
}

static void test_one_question_for_many(void **state)
{
        struct siphash_key key = { { 1, 2 } };
        struct asks *asks = asks_new(SESSIONS, &key);
        struct addr a = addr_of(1);
        uint32_t place[SESSIONS];

        memset(place, 0xff, sizeof(place));
        assert_true(waits(asks, place, 0, 1, 0));
        assert_false(waits(asks, place, 1, 1, 10));
        assert_true(waits(asks, place, 2, 2, 10));
        assert_false(waits(asks, place, 3, 1, 999999));
        /* Unanswered for a second: the next one asks again. */
        assert_true(waits(asks, place, 4, 1, 1000000));
        assert_false(waits(asks, place, 5, 1, 1000001));
        for (unsigned i = 0; i < 6; i++)
                asks_leave(asks, place[i], i);
        assert_int_equal(asks_first(asks, &a), ASK_NONE);
        assert_int_equal(asks_waiting(asks), 0);
        assert_true(waits(asks, place, 0, 1, 1000002));
        /* A place that was given to another session is that one's. */
        asks_leave(asks, place[0], 0);
        assert_true(waits(asks, place, 7, 1, 1000003));
        assert_int_equal(place[7], place[0]);
        assert_false(asks_is_waiting(asks, place[0], 0));
        asks_leave(asks, place[0], 0);
        assert_true(asks_is_waiting(asks, place[7], 7));
        asks_free(asks);
}

/* Four can wait. The fifth costs the oldest question its waiters, and only them. */
static void test_full(void **state)
{
        static const struct {
                const char *name;
                unsigned address[4]; /* of the first four */
                uint32_t want_forgotten;
                bool want_waiting[4];
        } cases[] = {
                { "one each", { 1, 2, 3, 4 }, 1, { false, true, true, true } },
                { "the oldest has three", { 1, 2, 1, 1 }, 3, { false, true, false, false } },
                { "all the same", { 1, 1, 1, 1 }, 4, { false, false, false, false } },
                { "the youngest has three", { 1, 2, 2, 2 }, 1, { false, true, true, true } },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct siphash_key key = { { 5, i } };
                struct asks *asks = asks_new(4, &key);
                uint32_t place[5], forgotten;
                struct addr addr = addr_of(8);

                memset(place, 0xff, sizeof(place));
                for (unsigned s = 0; s < 4; s++)
                        waits(asks, place, s, cases[i].address[s], s);
                assert_true(asks_wait(asks, &place[4], 4, &addr, 10, &forgotten));
                assert_int_equal(forgotten, cases[i].want_forgotten);
                for (unsigned s = 0; s < 4; s++)
                        assert_int_equal(asks_is_waiting(asks, place[s], s), cases[i].want_waiting[s]);
                assert_int_equal(asks_first(asks, &addr), 4);
                assert_int_equal(asks_waiting(asks), 5 - forgotten);
                asks_free(asks);
        }
}

static void test_against_model(void **state)
{
        struct siphash_key key = { { 3, 4 } };
        struct asks *asks = asks_new(SESSIONS, &key);
        uint32_t place[SESSIONS];
        int waiting[SESSIONS];
        unsigned x = 1;

        memset(waiting, 0xff, sizeof(waiting));
        memset(place, 0xff, sizeof(place));
        for (unsigned step = 0; step < 50000; step++) {
                unsigned session, count[ADDRS] = { 0 }, all = 0;

                x = x * 1103515245u + 12345u;
                session = x >> 16 & (SESSIONS - 1);
                if (waiting[session] < 0) {
                        waiting[session] = (int)(x >> 8 & 0xff) % ADDRS;
                        waits(asks, place, session, (unsigned)waiting[session], step);
                } else {
                        waiting[session] = -1;
                        asks_leave(asks, place[session], session);
                }
                for (unsigned i = 0; i < SESSIONS; i++) {
                        assert_int_equal(asks_is_waiting(asks, place[i], i), waiting[i] >= 0);
                        all += waiting[i] >= 0;
                        if (waiting[i] >= 0)
                                count[waiting[i]]++;
                }
                assert_int_equal(asks_waiting(asks), all);
                for (unsigned n = 0; n < ADDRS; n++) {
                        struct addr addr = addr_of(n);
                        uint32_t first = asks_first(asks, &addr);

                        assert_int_equal(first != ASK_NONE, count[n] > 0);
                        if (first != ASK_NONE)
                                assert_int_equal(waiting[first], n);
                }
        }
        /* One answer reaches all who wait for it. */
        for (unsigned n = 0; n < ADDRS; n++) {
                struct addr addr = addr_of(n);
                uint32_t session;

                while ((session = asks_first(asks, &addr)) != ASK_NONE) {
                        assert_int_equal(waiting[session], n);
                        waiting[session] = -1;
                        asks_leave(asks, place[session], session);
                }
        }
        assert_int_equal(asks_waiting(asks), 0);
        for (unsigned i = 0; i < SESSIONS; i++)
                assert_int_equal(waiting[i], -1);
        asks_free(asks);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_question_for_many),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_against_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
