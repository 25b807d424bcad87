/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/grey_tokens.h"

#define NOW     1800000000u
#define SENDERS 200u

static const struct siphash_key key = { { 3, 4 } };
static const struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 36 * 86400 };
static struct grey_tokens tokens;

static uint64_t hash(uint64_t what, uint64_t number)
{
        uint64_t message[2] = { what, number };

        return siphash(&key, message, sizeof(message)) | 1;
}

static unsigned take(unsigned n, uint64_t network, bool passed_before, uint32_t now_sec)
{
        unsigned taken = 0;

        while (n-- > 0)
                taken += grey_tokens_take(&tokens, network, passed_before, now_sec);
        return taken;
}

static void test_network(void **state)
{
        unsigned got;

        grey_tokens_init(&tokens, 1000000, 21600, 1, NOW);
        /* one network gets its burst, whatever it wants, and another network does not feel it */
        assert_int_equal(take(10000, 7, false, NOW), 1000000 / 256);
        assert_int_equal(take(100, 8, false, NOW), 100);
        /* later it gets what faded: half of it in a quarter of the window */
        got = take(10000, 7, false, NOW + 5400);
        assert_in_range(got, 1000000 / 512, 1000000 / 512 + 1);
        assert_int_equal(take(10000, 7, false, NOW + 100), 0); /* a clock that goes back refills nothing */
        /* a network that passed before is bound by the table only */
        assert_int_equal(take(10000, 9, true, NOW + 100), 10000);
}

static void test_shed_order(void **state)
{
        unsigned busy = 0, quiet = 0, known = 0;

        grey_tokens_init(&tokens, 1000000, 21600, 2, NOW);
        /* busy: 100 networks that want 2000 new triplets each must leave most to others */
        for (unsigned i = 1; i <= 100; i++)
                busy += take(2000, hash(1, i), false, NOW);
        assert_in_range(busy, 1000, 125000 / 2);
        /* quiet: one each leaves the share kept for those who passed before; those use it up */
        for (unsigned i = 1; i <= 200000; i++)
                quiet += take(1, hash(2, i), false, NOW);
        assert_in_range(busy + quiet, 125000 * 7 / 8 - 2, 125000 * 7 / 8 + 2);
        known = take(1000000, hash(3, 1), true, NOW);
        assert_in_range(busy + quiet + known, 125000 - 1, 125000);
        /* the rate: entries / (2 x window), half of it for this worker of two */
        assert_in_range(take(1000000, hash(3, 1), true, NOW + 3600), 3600 * 1000000.0 / 43200 / 2 - 2,
                        3600 * 1000000.0 / 43200 / 2 + 2);
}

/*
 * A flood: 20 times the table's size of new triplets at 100 times the normal rate (that which fills the table
 * to one half in a window), while 200 legitimate senders of 100 networks, none of them known, make a first try
 * and retry once, 5 to 60 minutes later. All of them pass. Their first tries fall at random moments of the
 * flood; where it comes from so many networks that each looks like a newcomer (2000 and 100000 of them, on a
 * table for 4000), it cannot be told from the 200, and they made their first try just before it.
 */
struct sender {
        uint64_t network, triplet;
        uint32_t first_sec, retry_sec;
};

static struct grey_facts facts_of(const struct grey_table *table, uint64_t which)
{
        struct grey_query query = { .key = which };

        grey_table_lookup(table, &query, 1);
        return query.facts;
}

/* As a session does it. Returns the verdict; ret_stored: a NEW one was given a token and written. */
static enum grey_verdict attempt(struct grey_table *table, uint64_t network, uint64_t triplet,
                                 uint32_t now_sec, bool *ret_stored)
{
        struct grey_facts facts = facts_of(table, triplet), exempt = facts_of(table, network);
        uint32_t wait_sec;
        enum grey_verdict verdict = grey_judge(&facts, &params, now_sec, &wait_sec);

        *ret_stored = false;
        if (verdict == GREY_NEW && grey_tokens_take(&tokens, network, exempt.kind != GREY_KIND_NONE, now_sec))
                *ret_stored = grey_table_record(table, triplet, GREY_KIND_NETWORK, GREY_EVENT_FIRST, &params,
                                                now_sec) <= GREY_RECORD_EVICTED;
        if (verdict == GREY_PASS || verdict == GREY_KNOWN) {
                grey_table_record(table, triplet, GREY_KIND_NETWORK, GREY_EVENT_PASS, &params, now_sec);
                grey_table_record(table, network, GREY_KIND_EXEMPT, GREY_EVENT_PASS, &params, now_sec);
        }
        return verdict;
}

static void run_flood(unsigned flood_networks, bool first_before_flood)
{
        char dir[] = "/dev/shm/grey_tokens_test.XXXXXX", path[64], lock[64];
        struct sender sender[SENDERS];
        struct grey_table table;
        uint64_t entries = 4000, flood = 0, stored = 0, seed = flood_networks;
        double rate;
        uint32_t start_sec = NOW, seconds;
        unsigned passed = 0;
        bool was_stored;

        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/grey", dir);
        snprintf(lock, sizeof(lock), "%s/lock", dir);
        assert_int_equal(grey_table_open(&table, path, entries, &key, NULL), 0);
        entries = grey_table_entries(&table);
        rate = 100.0 * (double)entries / (2.0 * params.window_sec);
        seconds = (uint32_t)(20.0 * (double)entries / rate);
        grey_tokens_init(&tokens, entries, params.window_sec, 1, start_sec);
        for (unsigned i = 0; i < SENDERS; i++) {
                sender[i].network = hash(10, i / 2);
                sender[i].triplet = hash(11, i);
                sender[i].first_sec =
                    start_sec + (uint32_t)(hash(seed, 2 * i) % (first_before_flood ? 60 : seconds - 1000));
                sender[i].retry_sec = sender[i].first_sec + 300 + (uint32_t)(hash(seed, 2 * i + 1) % 3300);
        }
        for (uint32_t now_sec = start_sec; now_sec <= start_sec + seconds + 3660; now_sec++) {
                uint32_t flooded_sec = now_sec - start_sec + 1;

                if (first_before_flood)
                        flooded_sec = flooded_sec > 60 ? flooded_sec - 60 : 0;
                while (flooded_sec <= seconds && flood < (uint64_t)(rate * flooded_sec)) {
                        attempt(&table, hash(20, hash(22, flood) % flood_networks), hash(21, flood), now_sec,
                                &was_stored);
                        stored += was_stored;
                        flood++;
                }
                for (unsigned i = 0; i < SENDERS; i++) {
                        if (now_sec == sender[i].first_sec)
                                assert_int_equal(attempt(&table, sender[i].network, sender[i].triplet,
                                                         now_sec, &was_stored),
                                                 GREY_NEW);
                        if (now_sec == sender[i].retry_sec)
                                passed += attempt(&table, sender[i].network, sender[i].triplet, now_sec,
                                                  &was_stored) == GREY_PASS;
                }
        }
        print_message("%u networks, %u s: %lu new triplets on %lu entries, %lu stored, %u of 200 passed\n",
                      flood_networks, seconds, (unsigned long)flood, (unsigned long)entries,
                      (unsigned long)stored, passed);
        assert_true(flood >= 20 * entries - 100);
        assert_int_equal(passed, SENDERS);
        grey_table_close(&table);
        unlink(path);
        unlink(lock);
        rmdir(dir);
}

static void test_flood(void **state)
{
        run_flood(1, false);
        run_flood(16, false);
        run_flood(256, false);
        run_flood(2000, true);
        run_flood(100000, true);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_network),
                cmocka_unit_test(test_shed_order),
                cmocka_unit_test(test_flood),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
