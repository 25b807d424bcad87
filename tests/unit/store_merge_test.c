/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/store/merge.h"

#define NOW 1800000000u

static void test_check(void **state)
{
        static const struct {
                struct grey_facts facts;
                enum merge_verdict want;
        } cases[] = {
                { { NOW, 0, 0, 1 }, MERGE_OK },
                { { NOW - 5, NOW, 15, 3 }, MERGE_OK },
                { { NOW + 120, NOW + 120, 1, 2 }, MERGE_OK },
                { { NOW + 125, 0, 0, 1 }, MERGE_FUTURE },
                { { NOW, NOW + 124, 0, 1 }, MERGE_FUTURE },
                { { UINT32_MAX, 0, 0, 1 }, MERGE_FUTURE },
                { { NOW, UINT32_MAX, 0, 1 }, MERGE_FUTURE },
                { { NOW, 0, 0, 0 }, MERGE_GARBAGE },
                { { NOW, 0, 0, 4 }, MERGE_GARBAGE },
                { { NOW, 0, 16, 1 }, MERGE_GARBAGE },
                { { 0, 0, 0, 1 }, MERGE_GARBAGE },
                { { GREY_EPOCH_SEC - 1, 0, 0, 1 }, MERGE_GARBAGE },
                { { NOW, 17, 0, 1 }, MERGE_GARBAGE },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                if (merge_check(&cases[i].facts, NOW) != cases[i].want)
                        fail_msg("case %u: got %d", i, merge_check(&cases[i].facts, NOW));
        }
        /* near the end of the clock nothing wraps around */
        assert_int_equal(merge_check(&(struct grey_facts){ UINT32_MAX, UINT32_MAX, 1, 1 }, UINT32_MAX - 5),
                         MERGE_OK);
}

static void test_text(void **state)
{
        static const struct {
                const char *text;
                int want_result;
                struct grey_facts want;
        } cases[] = {
                { "1800000000 0 0 1", 0, { 1800000000, 0, 0, 1 } },
                { "4294967295 4294967295 15 3", 0, { 4294967295, 4294967295, 15, 3 } },
                { "", -EBADMSG, { 0 } },
                { "1800000000 0 0", -EBADMSG, { 0 } },
                { "1800000000 0 0 1 ", -EBADMSG, { 0 } },
                { "1800000000 0 0 1x", -EBADMSG, { 0 } },
                { "1800000000  0 0 1", -EBADMSG, { 0 } },
                { " 1800000000 0 0 1", -EBADMSG, { 0 } },
                { "01 0 0 1", -EBADMSG, { 0 } },
                { "-1 0 0 1", -EBADMSG, { 0 } },
                { "+1 0 0 1", -EBADMSG, { 0 } },
                { "1e9 0 0 1", -EBADMSG, { 0 } },
                { "4294967296 0 0 1", -EBADMSG, { 0 } },
                { "18446744073709551617 0 0 1", -EBADMSG, { 0 } },
                { "1 0 256 1", -EBADMSG, { 0 } },
        };
        char text[MERGE_TEXT_MAX];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct grey_facts got = { 0 };
                int r = merge_parse_text(cases[i].text, strlen(cases[i].text), &got);

                if (r != cases[i].want_result)
                        fail_msg("%s: got %d", cases[i].text, r);
                if (r < 0)
                        continue;
                assert_int_equal(merge_build_text(&got, text), strlen(cases[i].text));
                assert_string_equal(text, cases[i].text);
                assert_int_equal(got.first_sec, cases[i].want.first_sec);
                assert_int_equal(got.last_pass_sec, cases[i].want.last_pass_sec);
                assert_int_equal(got.passes, cases[i].want.passes);
                assert_int_equal(got.kind, cases[i].want.kind);
        }
}

static void test_key(void **state)
{
        char text[MERGE_KEY_LEN + 1];
        uint64_t got;

        merge_build_key(0xabcdef0123456789, text);
        assert_string_equal(text, "abcdef0123456789");
        assert_int_equal(merge_parse_key(text, 16, &got), 0);
        assert_int_equal(got, 0xabcdef0123456789);
        assert_int_equal(merge_parse_key(text, 15, &got), -EBADMSG);
        assert_int_equal(merge_parse_key("ABCDEF0123456789", 16, &got), -EBADMSG);
        assert_int_equal(merge_parse_key("000000000000000g", 16, &got), -EBADMSG);
        assert_int_equal(merge_parse_key("0000000000000000", 16, &got), -EBADMSG); /* no entry has it */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_key),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
