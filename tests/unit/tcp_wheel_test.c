/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/tcp/wheel.h"

#define NODES 2000

struct element {
        uint32_t other;
        struct wheel_node node;
        uint64_t due_ms; /* 0: not armed */
};

static uint64_t roll(uint64_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

/* Against a list that is searched: every node comes out at its time, none early, none late, none twice. */
static void test_against_list(void **state)
{
        static const uint64_t starts[] = { 0, 63, 0xfffd0, 0xffffffff - 2000, 0x3ffffffffull };
        static const uint32_t ranges[] = { 3, 70, 5000, 300000, 1 << 28 };
        static struct element elements[NODES];

        for (unsigned c = 0; c < ARRAY_LEN(starts) * ARRAY_LEN(ranges); c++) {
                uint64_t seed = 88172645463325252ull + c, now_ms = starts[c / ARRAY_LEN(ranges)];
                uint32_t range = ranges[c % ARRAY_LEN(ranges)], armed = 0, come = 0;
                struct wheel wheel;

                wheel_init(&wheel, &elements[0].node, sizeof(elements[0]), now_ms);
                for (uint32_t i = 0; i < NODES; i++) {
                        wheel_node_init(&elements[i].node);
                        elements[i].due_ms = 0;
                }
                for (unsigned step = 0; step < 20000 || armed; step++) {
                        uint32_t i = (uint32_t)(roll(&seed) % NODES);
                        uint32_t out;

                        if (step < 20000 && !elements[i].due_ms) {
                                elements[i].due_ms = now_ms + 1 + roll(&seed) % range;
                                wheel_add(&wheel, i, elements[i].due_ms);
                                armed++;
                        } else if (step < 20000 && roll(&seed) % 4 == 0) {
                                wheel_remove(&wheel, i);
                                armed -= elements[i].due_ms != 0;
                                elements[i].due_ms = 0;
                        }
                        if (roll(&seed) % 8 == 0)
                                now_ms += roll(&seed) % (range / 4 + 2);
                        /* A few at a time, as the endpoint does; what is left over is due at once. */
                        for (unsigned n = roll(&seed) % 5; n > 0 && (out = wheel_next(&wheel, now_ms)) != WHEEL_NONE; n--) {
                                assert_true(elements[out].due_ms > 0 && elements[out].due_ms <= now_ms);
                                assert_false(wheel_node_is_armed(&elements[out].node));
                                elements[out].due_ms = 0;
                                armed--;
                                come++;
                        }
                        if (step % 16 == 0) {
                                uint64_t first_ms = UINT64_MAX;

                                while ((out = wheel_next(&wheel, now_ms)) != WHEEL_NONE) {
                                        assert_true(elements[out].due_ms > 0 && elements[out].due_ms <= now_ms);
                                        elements[out].due_ms = 0;
                                        armed--;
                                        come++;
                                }
                                for (uint32_t e = 0; step % 256 == 0 && e < NODES; e++) {
                                        if (!elements[e].due_ms)
                                                continue;
                                        assert_true(elements[e].due_ms > now_ms); /* none was forgotten */
                                        first_ms = elements[e].due_ms < first_ms ? elements[e].due_ms : first_ms;
                                }
                                if (step % 256 == 0)
                                        assert_true(wheel_due_ms(&wheel) <= first_ms);
                        }
                }
                assert_true(come > 0);
                assert_true(wheel_due_ms(&wheel) == UINT64_MAX);
        }
}

/* Nodes of a slot that was entered but not emptied are not overtaken by nearer ones. */
static void test_cascade_in_order(void **state)
{
        static struct element elements[3];
        struct wheel wheel;

        wheel_init(&wheel, &elements[0].node, sizeof(elements[0]), 0xfffdd);
        for (unsigned i = 0; i < ARRAY_LEN(elements); i++)
                wheel_node_init(&elements[i].node);
        wheel_add(&wheel, 0, 0x100037);
        wheel_add(&wheel, 1, 0x100007);
        wheel_add(&wheel, 2, 0x100017);
        assert_int_equal(wheel_next(&wheel, 0x100010), 1);
        assert_int_equal(wheel_next(&wheel, 0x100010), WHEEL_NONE);
        assert_int_equal(wheel_next(&wheel, 0x100040), 2);
        assert_int_equal(wheel_next(&wheel, 0x100040), 0);
        assert_int_equal(wheel_next(&wheel, 0x100040), WHEEL_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_against_list),
                cmocka_unit_test(test_cascade_in_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
