/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/tcp/table.h"

#define ENTRIES 4000

static bool contains(const struct table *table, uint64_t hash, uint32_t value)
{
        struct table_walk walk;
        uint32_t got;

        table_walk_start(table, hash, &walk);
        while (table_walk_next(table, &walk, &got))
                if (got == value)
                        return true;
        return false;
}

static uint64_t mix(uint64_t n)
{
        n *= 0x9e3779b97f4a7c15ull;
        return n ^ n >> 29;
}

static void test_against_array(void **state)
{
        static uint8_t present[ENTRIES];
        struct table table;
        uint64_t seed = 1;

        assert_int_equal(table_init(&table, ENTRIES), 0);
        for (unsigned step = 0; step < 100000; step++) {
                uint32_t i = (uint32_t)(mix(seed++) >> 20) % ENTRIES;

                assert_int_equal(contains(&table, mix(i), i), present[i]);
                if (present[i])
                        assert_true(table_remove(&table, mix(i), i));
                else
                        assert_true(table_add(&table, mix(i), i));
                present[i] = !present[i];
        }
        for (uint32_t i = 0; i < ENTRIES; i++) {
                assert_int_equal(contains(&table, mix(i), i), present[i]);
                assert_int_equal(table_remove(&table, mix(i), i), present[i]);
                assert_false(table_remove(&table, mix(i), i));
        }
        assert_int_equal(table.used, 0);
        for (uint64_t b = 0; b <= table.mask; b++)
                assert_int_equal(table.buckets[b].gone_on, 0);
        table_done(&table);
}

/* What was asked for fits, and half as much again. */
static void test_load(void **state)
{
        struct table table;

        assert_int_equal(table_init(&table, 5 << 12), 0);
        for (uint32_t i = 0; i < 7500u << 2; i++)
                assert_true(table_add(&table, mix(i), i));
        for (uint32_t i = 0; i < 7500u << 2; i++)
                assert_true(contains(&table, mix(i), i));
        table_done(&table);
}

/* All with one hash: forty fit, the rest is refused, and nothing is lost. */
static void test_full(void **state)
{
        struct table table;

        assert_int_equal(table_init(&table, 1000), 0);
        for (uint32_t i = 0; i < TABLE_PROBES * TABLE_WAYS; i++)
                assert_true(table_add(&table, 77, i));
        assert_false(table_add(&table, 77, 1000));
        for (uint32_t i = 0; i < TABLE_PROBES * TABLE_WAYS; i++)
                assert_true(contains(&table, 77, i));
        assert_true(table_replace(&table, 77, 15, 2000));
        assert_false(table_replace(&table, 77, 15, 2000));
        assert_true(contains(&table, 77, 2000));
        assert_false(contains(&table, 77, 15));
        /* A hash of 0 has a tag all the same. */
        assert_true(table_add(&table, 0, 5));
        assert_true(contains(&table, 0, 5));
        table_done(&table);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_against_array),
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_full),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
