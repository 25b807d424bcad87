/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/dns/hostname.h"

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_valid(void **state)
{
        static const struct {
                const char *name;
                bool want;
        } cases[] = {
                { "mail.example.org", true },
                { "a.b", true },
                { "xn--bcher-kva.example", true },
                { "mx_1.example.org", true },
                { "1.example.org", true },
                { "a--b.example.org", true },
                { LABEL_63 ".org", true },
                { "localhost", false },
                { "", false },
                { ".", false },
                { "example.org.", false },
                { ".example.org", false },
                { "a..b", false },
                { "-a.org", false },
                { "a-.org", false },
                { "a.org-", false },
                { "192.0.2.1", false },
                { "a.1", false },
                { "a b.org", false },
                { "a\n.org", false },
                { "b\xc3\xbc.org", false },
                { "a/b.org", false },
                { LABEL_63 "a.org", false },
                { LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63, false },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
                if (dns_hostname_is_valid(cases[i].name) != cases[i].want)
                        fail_msg("%s: got %d", cases[i].name, !cases[i].want);
}

static void test_has_addr(void **state)
{
        static const struct {
                const char *name, *addr;
                bool want;
        } cases[] = {
                { "203-0-113-7.example.net", "203.0.113.7", true },
                { "7.113.0.203.example.net", "203.0.113.7", true },
                { "host7-113-0-203.example.net", "203.0.113.7", true },
                { "ip203000113007.example.net", "203.0.113.7", true },
                { "c-203-0-113.example.net", "203.0.113.7", true },
                { "cb007107.example.net", "203.0.113.7", true },
                { "x-cb-00-71-07.example.net", "203.0.113.7", true },
                { "mail.example.net", "203.0.113.7", false },
                { "mx7.example.net", "203.0.113.7", false },
                { "mx-113-7.example.net", "203.0.113.7", false },
                { "mail203.example.net", "203.0.113.7", false },
                { "2001-db8-1-2-a1b2-c3d4-e5f6-0718.example.net", "2001:db8:1:2:a1b2:c3d4:e5f6:718", true },
                { "2001-0db8-0001-0002-a1b2-c3d4-e5f6-0718.example.net", "2001:db8:1:2:a1b2:c3d4:e5f6:718",
                  true },
                { "8.1.7.0.6.f.5.e.4.d.3.c.2.b.1.a.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.example.net",
                  "2001:db8:1:2:a1b2:c3d4:e5f6:718", true },
                { "xa1b2c3d4e5f60718.example.net", "2001:db8:1:2:a1b2:c3d4:e5f6:718", true },
                { "mail.example.net", "2001:db8::25", false },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr;

                assert_int_equal(addr_parse(cases[i].addr, &addr), 0);
                if (dns_hostname_has_addr(cases[i].name, &addr) != cases[i].want)
                        fail_msg("%s of %s: got %d", cases[i].name, cases[i].addr, !cases[i].want);
        }
}

static void test_pool(void **state)
{
        static const struct {
                const char *name;
                const char *want; /* NULL: proves no pool */
        } cases[] = {
                { "mail-out-3.example.com", "example.com" },
                { "a.b.mail.example.co.uk", "example.co.uk" },
                { "example.com", "example.com" },
                { "co.uk", NULL },
                { "pool-4.example.com", NULL },
                { "x.dyn.example.com", NULL },
                { "dsl4.example.com", NULL },
                { "mail.dynamics.example.com", "example.com" },
                { "203-0-113-7.example.com", NULL },
                { "ec2-host.compute-1.amazonaws.com", NULL },
        };
        struct addr addr;

        assert_int_equal(addr_parse("203.0.113.7", &addr), 0);
        assert_non_null(dns_hostname_suffixes());
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                const char *got = dns_hostname_pool(dns_hostname_suffixes(), cases[i].name, &addr);

                if (cases[i].want == NULL)
                        assert_null(got);
                else if (got == NULL || strcmp(got, cases[i].want) != 0)
                        fail_msg("%s: got %s", cases[i].name, got ? got : "nothing");
        }
        assert_null(dns_hostname_pool(NULL, "mail.example.com", &addr));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_has_addr),
                cmocka_unit_test(test_pool),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
