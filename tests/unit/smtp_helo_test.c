/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/smtp/helo.h"

static void test_names(void **state)
{
        static const struct {
                const char *name;
                enum smtp_helo want;
        } cases[] = {
                { "mail.example.org", SMTP_HELO_FQDN },
                { "mail.example.org.", SMTP_HELO_FQDN },
                { "my_host.example.org", SMTP_HELO_FQDN },
                { "localhost", SMTP_HELO_SHORT },
                { "DESKTOP-1", SMTP_HELO_SHORT },
                { "[192.0.2.7]", SMTP_HELO_LITERAL },
                { "[192.0.2.8]", SMTP_HELO_LITERAL_OTHER },
                { "[IPv6:2001:db8::7]", SMTP_HELO_LITERAL_OTHER },
                { "[IPv6:::ffff:192.0.2.7]", SMTP_HELO_LITERAL },
                { "192.0.2.7", SMTP_HELO_BARE_IP },
                { "2001:db8::7", SMTP_HELO_BARE_IP },
                { "mx.example.net", SMTP_HELO_OURS },
                { "MX.Example.Net", SMTP_HELO_OURS },
                { "mx.example.net.", SMTP_HELO_OURS },
                { "node1", SMTP_HELO_OURS },
                { "198.18.0.25", SMTP_HELO_OURS },
                { "[198.18.0.25]", SMTP_HELO_OURS },
                { "mx.example.ne", SMTP_HELO_FQDN },
                { "amx.example.net", SMTP_HELO_FQDN },
                { "", SMTP_HELO_SYNTAX },
                { ".", SMTP_HELO_SYNTAX },
                { "a..b", SMTP_HELO_SYNTAX },
                { "a.example..", SMTP_HELO_SYNTAX },
                { "-a.example", SMTP_HELO_SYNTAX },
                { "a b", SMTP_HELO_SYNTAX },
                { "user@example.org", SMTP_HELO_SYNTAX },
                { "[192.0.2.300]", SMTP_HELO_SYNTAX },
                { "[192.0.2.7", SMTP_HELO_SYNTAX },
                { "[mail.example.org]", SMTP_HELO_SYNTAX },
                { "[x-tag:abc]", SMTP_HELO_SYNTAX },
                { "b\xc3\xbc.example", SMTP_HELO_SYNTAX },
        };
        static const struct smtp_helo_name ours[] = { { "mx.example.net", 14 }, { "NODE1", 5 } };
        struct addr client, front;

        assert_int_equal(addr_parse("192.0.2.7", &client), 0);
        assert_int_equal(addr_parse("198.18.0.25", &front), 0);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                enum smtp_helo got = smtp_helo_check(cases[i].name, strlen(cases[i].name), &client, &front,
                                                     ours, ARRAY_LEN(ours));

                if (got != cases[i].want)
                        print_message("  %s\n", cases[i].name);
                assert_string_equal(smtp_helo_verdict_name(got), smtp_helo_verdict_name(cases[i].want));
        }
        /* Without knowing the addresses nothing is ours or the client's by address. */
        assert_int_equal(smtp_helo_check("[192.0.2.7]", 11, NULL, NULL, NULL, 0), SMTP_HELO_LITERAL_OTHER);
        assert_int_equal(smtp_helo_check("198.18.0.25", 11, NULL, NULL, NULL, 0), SMTP_HELO_BARE_IP);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_names) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
