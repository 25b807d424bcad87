/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of SipHash-1-3 over the bytes 0, 1, 2 ... of each length: with the key 0 ... 15 of the reference
 * program, and with the key zero, which two other implementations (CPython's hash() and OCaml's tests) give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/siphash.h"

static void test_reference_values(void **state)
{
        static const struct {
                size_t len;
                uint64_t want_zero_key;
                uint64_t want;
        } cases[] = {
                { 0, 0xd1fba762150c532c, 0xabac0158050fc4dc },
                { 1, 0x68a914128e01e473, 0xc9f49bf37d57ca93 },
                { 2, 0x010bac45c41e3669, 0x82cb9b024dc7d44d },
                { 3, 0x4d4c9a4a8ef6e0ad, 0x8bf80ab8e7ddf7fb },
                { 4, 0x7cc43f98813e4dbd, 0xcf75576088d38328 },
                { 5, 0x5abe2169dff36275, 0xdef9d52f49533b67 },
                { 6, 0xe3c25f87624f1cdb, 0xc50d2b50c59f22a7 },
                { 7, 0x2f098ab0c751325a, 0xd3927d989bb11140 },
                { 8, 0xead411e67ebe2eea, 0x369095118d299a8e },
                { 9, 0x75927f9d95124362, 0x25a48eb36c063de4 },
                { 15, 0xf30eb725bb91c9ea, 0xd320d86d2a519956 },
                { 16, 0x8972188433a5c5b7, 0xcc4fdd1a7d908b66 },
                { 17, 0x4883c49a2c009c1d, 0x9cf2689063dbd80c },
                { 27, 0x2454d97d299299df, 0xa91dc74e4ade3b35 },
                { 63, 0x385d3e39e5f37359, 0x9d199062b7bbb3a8 },
        };
        static const struct siphash_key zero = { { 0, 0 } };
        struct siphash_key key;
        uint8_t bytes[64];

        for (unsigned i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)i;
        memcpy(&key, bytes, sizeof(key));
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                assert_int_equal(siphash(&zero, bytes, cases[i].len), cases[i].want_zero_key);
                assert_int_equal(siphash(&key, bytes, cases[i].len), cases[i].want);
        }
}

static void test_every_bit_counts(void **state)
{
        static const struct siphash_key key = { { 1, 2 } };
        uint8_t bytes[24] = { 0 };
        uint64_t plain = siphash(&key, bytes, sizeof(bytes));

        for (unsigned bit = 0; bit < 8 * sizeof(bytes); bit++) {
                bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_not_equal(siphash(&key, bytes, sizeof(bytes)), plain);
                bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_not_equal(siphash(&key, bytes, sizeof(bytes) - 1), plain);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reference_values),
                cmocka_unit_test(test_every_bit_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
