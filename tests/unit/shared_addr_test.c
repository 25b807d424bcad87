/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/shared/addr.h"
#include "dataplane/shared/explain_id.h"

static void test_parse_prefix(void **state)
{
        static const struct {
                const char *text;
                int want_result;
                const char *want_addr;
                uint8_t want_len;
        } cases[] = {
                { "192.0.2.0/24", 0, "192.0.2.0", 120 },
                { "192.0.2.1", 0, "192.0.2.1", 128 },
                { "0.0.0.0/0", 0, "0.0.0.0", 96 },
                { "2001:db8::/32", 0, "2001:db8::", 32 },
                { "::/0", 0, "::", 0 },
                { "::1", 0, "::1", 128 },
                { "192.0.2.1/24", -22, NULL, 0 },
                { "192.0.2.0/33", -22, NULL, 0 },
                { "192.0.2.0/", -22, NULL, 0 },
                { "192.0.2.0/-1", -22, NULL, 0 },
                { "192.0.2.0/24x", -22, NULL, 0 },
                { "2001:db8::1/64", -22, NULL, 0 },
                { "", -22, NULL, 0 },
                { "example.org", -22, NULL, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr got;
                uint8_t got_len;
                char text[ADDR_TEXT_MAX];
                int r = addr_parse_prefix(cases[i].text, &got, &got_len);

                if (r != cases[i].want_result)
                        fail_msg("%s: got %d", cases[i].text, r);
                if (r < 0)
                        continue;
                assert_string_equal(addr_text(&got, text), cases[i].want_addr);
                assert_int_equal(got_len, cases[i].want_len);
        }
}

static void test_network(void **state)
{
        static const struct {
                const char *addr;
                uint8_t v4_len, v6_len;
                const char *want;
        } cases[] = {
                { "192.0.2.77", 24, 64, "192.0.2.0" },
                { "192.0.2.77", 32, 64, "192.0.2.77" },
                { "192.0.2.77", 0, 64, "0.0.0.0" },
                { "192.0.2.255", 25, 64, "192.0.2.128" },
                { "2001:db8:1:2:3:4:5:6", 24, 64, "2001:db8:1:2::" },
                { "2001:db8:1:2:3:4:5:6", 24, 48, "2001:db8:1::" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr, got;
                char text[ADDR_TEXT_MAX];

                assert_int_equal(addr_parse(cases[i].addr, &addr), 0);
                got = addr_network(&addr, cases[i].v4_len, cases[i].v6_len);
                assert_string_equal(addr_text(&got, text), cases[i].want);
        }
}

static void test_explain_id(void **state)
{
        static const struct explain_id cases[] = {
                { 0, 0, 0, 0, 0, EXPLAIN_EPOCH_SEC },
                { 63, 63, 255, 4095, 0x3ffff, EXPLAIN_EPOCH_SEC + 0x3fffffff },
                { 5, 6, 7, 1234, 99999, 1795500000 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct explain_id got;
                char text[EXPLAIN_ID_LEN];

                explain_id_build(&cases[i], text);
                assert_int_equal(explain_id_parse(text, &got), 0);
                assert_int_equal(got.node, cases[i].node);
                assert_int_equal(got.worker, cases[i].worker);
                assert_int_equal(got.rule, cases[i].rule);
                assert_int_equal(got.policy_version, cases[i].policy_version);
                assert_int_equal(got.sequence, cases[i].sequence);
                assert_int_equal(got.time_sec, cases[i].time_sec);
        }
        {
                struct explain_id got;

                assert_int_equal(explain_id_parse("3F9K2M7QX4TB8VW*", &got), -22);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse_prefix),
                cmocka_unit_test(test_network),
                cmocka_unit_test(test_explain_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
