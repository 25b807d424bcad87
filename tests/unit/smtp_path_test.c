/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/smtp/path.h"

#define SENDER (SMTP_PATH_MAY_BE_NULL | SMTP_PATH_MAY_BE_LONG)
#define RCPT   SMTP_PATH_MAY_BE_POSTMASTER

#define TEN      "0123456789"
#define SIXTY    TEN TEN TEN TEN TEN TEN
#define LABEL_63 SIXTY "abc"

static void test_paths(void **state)
{
        static const struct {
                const char *in;
                unsigned int may_be;
                enum smtp_path_verdict want;
                const char *want_text;
                const char *want_domain;
                uint8_t want_flags;
        } cases[] = {
                { "<john@example.org>", RCPT, SMTP_PATH_OK, "john@example.org", "example.org", 0 },
                { "<John.Doe@Example.ORG>", RCPT, SMTP_PATH_OK, "John.Doe@example.org", "example.org", 0 },
                { "<a+b=c#d@x-y.example>", RCPT, SMTP_PATH_OK, "a+b=c#d@x-y.example", "x-y.example", 0 },
                { "<a@host_1.example>", RCPT, SMTP_PATH_OK, "a@host_1.example", "host_1.example", 0 },
                { "<a@localhost>", RCPT, SMTP_PATH_OK, "a@localhost", "localhost", 0 },
                /* The null path and the postmaster, each only where it may be. */
                { "<>", SENDER, SMTP_PATH_OK, "", "", 0 },
                { "<>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<Postmaster>", RCPT, SMTP_PATH_OK, "Postmaster", "", 0 },
                { "<\"postmaster\">", RCPT, SMTP_PATH_OK, "postmaster", "", 0 },
                { "<postmaster>", SENDER, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<abuse>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                /* Quoting: gone where it is not needed, least where it is. */
                { "<\"john\"@example.org>", RCPT, SMTP_PATH_OK, "john@example.org", "example.org", 0 },
                { "<\"jo\\hn\"@example.org>", RCPT, SMTP_PATH_OK, "john@example.org", "example.org", 0 },
                { "<\"john doe\"@example.org>", RCPT, SMTP_PATH_OK, "\"john doe\"@example.org", "example.org",
                  SMTP_PATH_QUOTED },
                { "<\"a\\\"b\\\\c\"@example.org>", RCPT, SMTP_PATH_OK, "\"a\\\"b\\\\c\"@example.org",
                  "example.org", SMTP_PATH_QUOTED },
                { "<\"a>b\"@example.org>", RCPT, SMTP_PATH_OK, "\"a>b\"@example.org", "example.org",
                  SMTP_PATH_QUOTED },
                { "<\"\"@example.org>", RCPT, SMTP_PATH_OK, "\"\"@example.org", "example.org",
                  SMTP_PATH_QUOTED },
                { "<\"a..b\"@example.org>", RCPT, SMTP_PATH_OK, "\"a..b\"@example.org", "example.org",
                  SMTP_PATH_QUOTED },
                { "<\"a@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<\"a\\", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<\"a\"b@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<\"a\tb\"@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                /* Routing hidden in the local part. */
                { "<a%b.example@example.org>", RCPT, SMTP_PATH_OK, "a%b.example@example.org", "example.org",
                  SMTP_PATH_ROUTED },
                { "<b.example!a@example.org>", RCPT, SMTP_PATH_OK, "b.example!a@example.org", "example.org",
                  SMTP_PATH_ROUTED },
                { "<\"a@b.example\"@example.org>", RCPT, SMTP_PATH_OK, "\"a@b.example\"@example.org",
                  "example.org", SMTP_PATH_QUOTED | SMTP_PATH_ROUTED },
                /* Source routes are read over. */
                { "<@a.example:u@example.org>", RCPT, SMTP_PATH_OK, "u@example.org", "example.org",
                  SMTP_PATH_SOURCE },
                { "<@a.example,@b.example:u@example.org>", SENDER, SMTP_PATH_OK, "u@example.org",
                  "example.org", SMTP_PATH_SOURCE },
                { "<@a.example,b.example:u@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<@a.example>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<@a.example:>", SENDER, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<@:u@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                /* Address literals. */
                { "<a@[192.0.2.1]>", RCPT, SMTP_PATH_OK, "a@[192.0.2.1]", "[192.0.2.1]", SMTP_PATH_LITERAL },
                { "<a@[ipv6:2001:DB8::1]>", RCPT, SMTP_PATH_OK, "a@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]",
                  SMTP_PATH_LITERAL },
                { "<a@[X-tag:Abc]>", RCPT, SMTP_PATH_OK, "a@[x-tag:abc]", "[x-tag:abc]", SMTP_PATH_LITERAL },
                { "<a@[192.0.2.256]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[192.0.2]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[IPv6:192.0.2.1]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[IPv6:2001:db8::g]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[2001:db8::1]>", RCPT, SMTP_PATH_OK, "a@[2001:db8::1]", "[2001:db8::1]",
                  SMTP_PATH_LITERAL }, /* by the grammar a literal with the tag "2001" */
                { "<a@[:x]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[x:]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[]>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[192.0.2.1>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@[192.0.2.1]x>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                /* Malformed. */
                { "", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "john@example.org", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<john@example.org", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<john@>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<john>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<.john@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<john.@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<jo..hn@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<jo hn@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "< john@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<john@example.org >", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<<john@example.org>>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@b@example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@example..org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@.example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@example.org.>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@-example.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@example-.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@example.org->", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<a@exa$mple.org>", RCPT, SMTP_PATH_BAD, NULL, NULL, 0 },
                { "<j\xc3\xb6rg@example.org>", RCPT, SMTP_PATH_NON_ASCII, NULL, NULL, 0 },
                { "<\"j\xc3\xb6rg\"@example.org>", RCPT, SMTP_PATH_NON_ASCII, NULL, NULL, 0 },
                { "<a@b\xc3\xbc\x63her.example>", RCPT, SMTP_PATH_NON_ASCII, NULL, NULL, 0 },
                /* Limits, 4.5.3.1. */
                { "<" SIXTY "abcd@example.org>", RCPT, SMTP_PATH_OK, SIXTY "abcd@example.org", "example.org",
                  0 },
                { "<" SIXTY "abcde@example.org>", RCPT, SMTP_PATH_TOO_LONG, NULL, NULL, 0 },
                { "<\"" SIXTY "abcde\"@example.org>", RCPT, SMTP_PATH_TOO_LONG, NULL, NULL, 0 },
                { "<" SIXTY "abcde@example.org>", SENDER, SMTP_PATH_OK, SIXTY "abcde@example.org",
                  "example.org", 0 },
                { "<a@" LABEL_63 ".example>", RCPT, SMTP_PATH_OK, "a@" LABEL_63 ".example",
                  LABEL_63 ".example", 0 },
                { "<a@" LABEL_63 "d.example>", RCPT, SMTP_PATH_TOO_LONG, NULL, NULL, 0 },
                /* 1 + 1 + 1 + 252 + 1: the longest path. */
                { "<a@" SIXTY "." SIXTY "." SIXTY "." SIXTY ".12345678>", RCPT, SMTP_PATH_OK,
                  "a@" SIXTY "." SIXTY "." SIXTY "." SIXTY ".12345678",
                  SIXTY "." SIXTY "." SIXTY "." SIXTY ".12345678", 0 },
                { "<a@" SIXTY "." SIXTY "." SIXTY "." SIXTY ".123456789>", RCPT, SMTP_PATH_TOO_LONG, NULL,
                  NULL, 0 },
                { "<a@" SIXTY "." SIXTY "." SIXTY "." SIXTY "." SIXTY ">", RCPT, SMTP_PATH_TOO_LONG, NULL,
                  NULL, 0 },
                { "<@" SIXTY "." SIXTY "." SIXTY ":" SIXTY "@" TEN TEN ".example>", RCPT, SMTP_PATH_TOO_LONG,
                  NULL, NULL, 0 },
                { "<@" SIXTY "." SIXTY "." SIXTY ":" SIXTY "@123456789>", RCPT, SMTP_PATH_OK,
                  SIXTY "@123456789", "123456789", SMTP_PATH_SOURCE },
                { "<@" SIXTY "." SIXTY "." SIXTY ":" SIXTY "@1234567890>", RCPT, SMTP_PATH_TOO_LONG, NULL,
                  NULL, 0 },
                { "<" SIXTY SIXTY SIXTY SIXTY SIXTY "@b>", SENDER, SMTP_PATH_TOO_LONG, NULL, NULL, 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_path got;
                size_t used = 4711;
                /* Something behind it that is not the path's. */
                char line[512];
                size_t len = (size_t)snprintf(line, sizeof(line), "%s", cases[i].in);
                enum smtp_path_verdict verdict;

                memcpy(line + len, " X=1", 5);
                memset(&got, 0xee, sizeof(got));
                verdict = smtp_path_parse(line, len + 4, cases[i].may_be, &got, &used);
                if (verdict != cases[i].want)
                        print_message("  %s\n", cases[i].in);
                assert_int_equal(verdict, cases[i].want);
                if (verdict != SMTP_PATH_OK) {
                        assert_int_equal(used, 4711);
                        continue;
                }
                assert_int_equal(used, len);
                assert_string_equal(got.text, cases[i].want_text);
                assert_int_equal(got.len, strlen(cases[i].want_text));
                assert_string_equal(smtp_path_domain(&got), cases[i].want_domain);
                assert_int_equal(got.domain_len, strlen(cases[i].want_domain));
                assert_int_equal(got.local_len, got.domain_len ? got.len - got.domain_len - 1 : got.len);
                assert_int_equal(got.flags, cases[i].want_flags);
        }
}

/* Every beginning of a path, with nothing readable behind it: a sanitizer sees any look too far. */
static void test_cut_paths(void **state)
{
        static const char path[] = "<@a.example,@b.example:\"x\\y z\"@[IPv6:2001:db8::1]>";
        struct smtp_path got;
        size_t used;

        for (size_t len = 0; len < sizeof(path) - 1; len++) {
                char *copy = test_malloc(len + 1);

                memcpy(copy, path, len);
                assert_int_equal(smtp_path_parse(copy, len, RCPT, &got, &used), SMTP_PATH_BAD);
                test_free(copy);
        }
        assert_int_equal(smtp_path_parse(path, sizeof(path) - 1, RCPT, &got, &used), SMTP_PATH_OK);
        assert_string_equal(got.text, "\"xy z\"@[IPv6:2001:db8::1]");
}

/* A NUL or another control character is part of no path, wherever it stands. */
static void test_controls(void **state)
{
        static const char path[] = "<@a.example:john@[192.0.2.1]>";
        static const char behind[] = "<john@[192.0.2.1\0]>";
        struct smtp_path got;
        size_t used;

        assert_int_equal(smtp_path_parse(behind, sizeof(behind) - 1, RCPT, &got, &used), SMTP_PATH_BAD);
        for (size_t at = 1; at < sizeof(path) - 2; at++) {
                for (char c = 0; c < ' '; c++) {
                        char copy[sizeof(path)];

                        memcpy(copy, path, sizeof(path));
                        copy[at] = c;
                        assert_int_equal(smtp_path_parse(copy, sizeof(path) - 1, RCPT, &got, &used),
                                         SMTP_PATH_BAD);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_cut_paths),
                cmocka_unit_test(test_controls),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
