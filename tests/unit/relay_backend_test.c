/* SPDX-License-Identifier: Apache-2.0 */
/* Which server takes the next session, and when one counts as down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/relay/backend.h"
#include "tests/unit/image_rig.h"

#define REST                                                                                                 \
        "listeners: [{name: mx, front: [198.18.0.25]}]\n"                                                    \
        "domains: {example.org: {pool: main}}\n"

static const char least_yaml[] = IMAGE_RIG_SITE REST
    "pools: {main: {servers: [{address: 198.19.0.10, weight: 1}, {address: 198.19.0.11, weight: 3},\n"
    "                         {address: 198.19.0.12, weight: 1, connections: 2}]}}\n";
static const char hash_yaml[] = IMAGE_RIG_SITE REST
    "pools: {main: {balance: hash, servers: [{address: 198.19.0.10}, {address: 198.19.0.11}, {address: 198.19.0.12}]}}\n";

static struct backends *backends;
static uint16_t map[IMAGE_SERVERS_MAX];

static struct image *set_up(const char *yaml)
{
        struct image *image = image_rig_compile(yaml, 1);

        backends = calloc(1, sizeof(*backends));
        backends_apply(backends, image, map);
        return image;
}

static void test_least_sessions_by_weight(void **state)
{
        struct image *image = set_up(least_yaml);
        unsigned got[3] = { 0 };

        for (unsigned i = 0; i < 40; i++) {
                uint16_t server = backends_choose(backends, image, map, 0, 0, 0);

                assert_in_range(server, 0, 2);
                got[server]++;
                backend_take(&backends->backend[map[server]]);
        }
        assert_int_equal(got[2], 2); /* its limit */
        assert_in_range(got[1], 27, 30);
        for (unsigned i = 0; i < 3; i++) {
                while (got[i]-- > 0)
                        backend_give(&backends->backend[map[i]]);
                assert_int_equal(atomic_load(&backends->backend[map[i]].sessions), 0);
        }
        free(backends);
        free(image);
}

static void test_down_and_tried_are_left_out(void **state)
{
        struct image *image = set_up(least_yaml);

        assert_false(backend_failed(&backends->backend[map[0]], 2, 10));
        assert_int_not_equal(atomic_load(&backends->backend[map[0]].state), LINK_BACKEND_DOWN);
        assert_true(backend_failed(&backends->backend[map[0]], 2, 11));
        assert_int_equal(atomic_load(&backends->backend[map[0]].changed_sec), 11);
        assert_false(backend_failed(&backends->backend[map[0]], 2, 12));
        assert_int_not_equal(backends_choose(backends, image, map, 0, 0, 0), 0);
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 2), 2);
        /* With no other left, one session at a time may try it. */
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 6), 0);
        backend_take(&backends->backend[map[0]]);
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 6), BACKEND_NONE);
        backend_give(&backends->backend[map[0]]);
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 7), BACKEND_NONE);
        assert_true(backend_answered(&backends->backend[map[0]], 13));
        assert_false(backend_answered(&backends->backend[map[0]], 14));
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 6), 0);
        /* One failure after an answer begins the count anew. */
        assert_false(backend_failed(&backends->backend[map[0]], 2, 15));
        assert_int_equal(backends_choose(backends, image, map, 0, 0, 6), 0);
        free(backends);
        free(image);
}

static void test_hash_keeps_networks_and_moves_few(void **state)
{
        struct image *image = set_up(hash_yaml);
        uint16_t before[300];
        unsigned got[3] = { 0 };

        for (uint64_t i = 0; i < 300; i++) {
                before[i] = backends_choose(backends, image, map, 0, i * 0x9e3779b97f4a7c15ull, 0);
                got[before[i]]++;
                assert_int_equal(backends_choose(backends, image, map, 0, i * 0x9e3779b97f4a7c15ull, 0), before[i]);
        }
        for (unsigned i = 0; i < 3; i++)
                assert_in_range(got[i], 50, 150);
        backend_failed(&backends->backend[map[1]], 1, 1);
        for (uint64_t i = 0; i < 300; i++) {
                uint16_t after = backends_choose(backends, image, map, 0, i * 0x9e3779b97f4a7c15ull, 0);

                if (before[i] != 1)
                        assert_int_equal(after, before[i]);
                else
                        assert_int_not_equal(after, 1);
        }
        free(backends);
        free(image);
}

static void test_entries_outlive_a_push(void **state)
{
        struct image *image = set_up(least_yaml), *next = image_rig_compile(hash_yaml, 2);
        uint16_t moved[IMAGE_SERVERS_MAX];

        backend_take(&backends->backend[map[2]]);
        backends_apply(backends, next, moved);
        assert_int_equal(atomic_load(&backends->count), 3);
        assert_int_equal(moved[2], map[2]);
        assert_int_equal(atomic_load(&backends->backend[moved[2]].sessions), 1);
        free(backends);
        free(image);
        free(next);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_least_sessions_by_weight),
                cmocka_unit_test(test_down_and_tried_are_left_out),
                cmocka_unit_test(test_hash_keeps_networks_and_moves_few),
                cmocka_unit_test(test_entries_outlive_a_push),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
