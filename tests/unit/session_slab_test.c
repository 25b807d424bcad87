/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks against a plain model: contents kept, nothing lost, room given back to every class, and who is refused first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/session/slab.h"

#define PAGE   4096u
#define BLOCKS 600u

/* Take blocks of one length until there is none. Returns how many; the blocks are in block. */
static unsigned fill(struct slab *slab, size_t bytes, uint32_t *block, unsigned max)
{
        unsigned n = 0;

        while (n < max && (block[n] = slab_take(slab, bytes)) != SLAB_NONE)
                n++;
        return n;
}

static void test_classes(void **state)
{
        static const struct {
                size_t bytes, want_class;
                unsigned want_blocks; /* of 16 pages */
        } cases[] = {
                { 1, 32, 16 * 128 },  { 32, 32, 16 * 128 },   { 33, 48, 16 * 85 },   { 65, 96, 16 * 42 },
                { 128, 128, 16 * 32 }, { 129, 192, 14 * 21 },  { 256, 256, 14 * 16 }, { 529, 576, 14 * 7 },
                { 1024, 1024, 14 * 4 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct slab *slab = slab_new(16 * PAGE);
                uint32_t *block = calloc(16 * 128 + 1, sizeof(*block));
                unsigned n = fill(slab, cases[i].bytes, block, 16 * 128 + 1);

                assert_int_equal(slab_class_bytes(cases[i].bytes), cases[i].want_class);
                assert_int_equal(n, cases[i].want_blocks);
                assert_int_equal(slab_used_bytes(slab), n * cases[i].want_class);
                for (unsigned b = 0; b < n; b++) {
                        assert_int_equal((uintptr_t)slab_at(slab, block[b]) % 8, 0);
                        slab_give(slab, block[b]);
                }
                assert_int_equal(slab_used_bytes(slab), 0);
                /* Every page is free again, for another class too. */
                assert_int_equal(fill(slab, 32, block, 16 * 128 + 1), 16 * 128);
                free(block);
                slab_free(slab);
        }
}

/* Long blocks leave an eighth to short ones, which take it all. */
static void test_full(void **state)
{
        struct slab *slab = slab_new(32 * PAGE);
        uint32_t block[28 * 4 + 1], short_block[4 * 32 + 1];

        assert_int_equal(fill(slab, 1000, block, ARRAY_LEN(block)), 28 * 4);
        assert_int_equal(fill(slab, SLAB_SHORT_MAX, short_block, ARRAY_LEN(short_block)), 4 * 32);
        assert_int_equal(slab_take(slab, 1), SLAB_NONE);
        /* One long block given back is one that can be had again. */
        slab_give(slab, block[0]);
        block[0] = slab_take(slab, 1000);
        assert_int_not_equal(block[0], SLAB_NONE);
        assert_int_equal(slab_take(slab, 1000), SLAB_NONE);
        slab_free(slab);
}

static void test_against_model(void **state)
{
        static const size_t lengths[] = { 3, 20, 40, 64, 90, 120, 180, 250, 300, 500, 900 };
        struct slab *slab = slab_new(16 * PAGE);
        struct {
                uint32_t block;
                size_t bytes;
                uint8_t byte;
        } model[BLOCKS];
        unsigned x = 1, refused = 0;
        size_t used = 0;

        for (unsigned i = 0; i < BLOCKS; i++)
                model[i].block = SLAB_NONE;
        for (unsigned step = 0; step < 200000; step++) {
                unsigned at;

                x = x * 1103515245u + 12345u;
                at = (x >> 16) % BLOCKS;
                if (model[at].block == SLAB_NONE) {
                        model[at].bytes = lengths[(x >> 8) % ARRAY_LEN(lengths)];
                        model[at].byte = (uint8_t)step;
                        model[at].block = slab_take(slab, model[at].bytes);
                        if (model[at].block == SLAB_NONE) {
                                refused++;
                                continue;
                        }
                        used += slab_class_bytes(model[at].bytes);
                        memset(slab_at(slab, model[at].block), model[at].byte, model[at].bytes);
                } else {
                        const uint8_t *bytes = slab_at(slab, model[at].block);

                        for (size_t b = 0; b < model[at].bytes; b++)
                                assert_int_equal(bytes[b], model[at].byte);
                        slab_give(slab, model[at].block);
                        used -= slab_class_bytes(model[at].bytes);
                        model[at].block = SLAB_NONE;
                }
                assert_int_equal(slab_used_bytes(slab), used);
        }
        assert_true(refused > 0); /* or the model never saw it full */
        slab_free(slab);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_classes),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_against_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
