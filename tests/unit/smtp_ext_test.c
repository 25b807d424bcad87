/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/ext.h"

static void test_lookup(void **state)
{
        static const struct {
                const char *name;
                uint32_t want;
        } cases[] = {
                { "PIPELINING", SMTP_EXT_PIPELINING },
                { "pipelining", SMTP_EXT_PIPELINING },
                { "SIZE", SMTP_EXT_SIZE },
                { "8BitMime", SMTP_EXT_8BITMIME },
                { "XCLIENT", SMTP_EXT_XCLIENT },
                { "SMTPUTF8", SMTP_EXT_SMTPUTF8 },
                { "SIZ", 0 },
                { "SIZES", 0 },
                { "", 0 },
                { "NAME", 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                assert_int_equal(smtp_ext_lookup(cases[i].name, strlen(cases[i].name)), cases[i].want);
        /* The length counts, not a NUL. */
        assert_int_equal(smtp_ext_lookup("SIZE=1", 4), SMTP_EXT_SIZE);
        assert_int_equal(smtp_xclient_lookup("destaddr", 8), SMTP_XCLIENT_DESTADDR);
        assert_int_equal(smtp_xclient_lookup("dest", 4), 0);
}

/* Every bit that may be offered has a name that leads back to it. */
static void test_names(void **state)
{
        for (uint32_t bit = 1; bit; bit <<= 1) {
                const char *name = smtp_ext_name((enum smtp_ext)bit);

                if (bit & SMTP_EXT_IMPLEMENTED)
                        assert_non_null(name);
                if (name)
                        assert_int_equal(smtp_ext_lookup(name, strlen(name)), bit);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_lookup), cmocka_unit_test(test_names) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
