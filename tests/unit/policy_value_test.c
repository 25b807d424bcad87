/* SPDX-License-Identifier: Apache-2.0 */
/* Written values: what is read, and that nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "control/policy/value.h"

#define BAD INT64_MIN

typedef bool (*number_reader)(const char *text, int64_t *ret);

static void test_numbers(void **state)
{
        static const struct {
                number_reader read;
                const char *text;
                int64_t want;
        } cases[] = {
                { value_integer, "0", 0 },
                { value_integer, "-30", -30 },
                { value_integer, "007", 7 },
                { value_integer, "", BAD },
                { value_integer, "-", BAD },
                { value_integer, "1 ", BAD },
                { value_integer, "+1", BAD },
                { value_integer, "1.5", BAD },
                { value_integer, "0x10", BAD },
                { value_integer, "9223372036854775807", INT64_MAX },
                { value_integer, "9223372036854775808", BAD },
                { value_count, "5000", 5000 },
                { value_count, "5k", 5000 },
                { value_count, "20M", 20000000 },
                { value_count, "1G", 1000000000 },
                { value_count, "1K", BAD },
                { value_count, "-1", BAD },
                { value_count, "k", BAD },
                { value_count, "9223372036854775807k", BAD },
                { value_size, "4096", 4096 },
                { value_size, "64kB", 65536 },
                { value_size, "20MB", 20 << 20 },
                { value_size, "1GB", 1 << 30 },
                { value_size, "2TB", 2ll << 40 },
                { value_size, "12B", 12 },
                { value_size, "20mb", BAD },
                { value_size, "20 MB", BAD },
                { value_size, "MB", BAD },
                { value_duration, "0", 0 },
                { value_duration, "500ms", 500 },
                { value_duration, "30s", 30000 },
                { value_duration, "4m", 240000 },
                { value_duration, "360m", 21600000 },
                { value_duration, "2h", 7200000 },
                { value_duration, "36d", 3110400000 },
                { value_duration, "30", BAD },
                { value_duration, "-1s", BAD },
                { value_duration, "1.5s", BAD },
                { value_duration, "4 m", BAD },
                { value_duration, "4min", BAD },
                { value_duration, "", BAD },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                int64_t got = 42;
                bool is_read = cases[i].read(cases[i].text, &got);

                if (is_read != (cases[i].want != BAD) || got != (is_read ? cases[i].want : 42))
                        fail_msg("\"%s\": got %lld", cases[i].text, (long long)got);
        }
}

static void test_names(void **state)
{
        static const struct {
                const char *text;
                const char *want_hostname; /* NULL: none */
                bool want_name;
        } cases[] = {
                { "mx.example.net", "mx.example.net", true },
                { "MX.Example.NET", "mx.example.net", true },
                { "localhost", "localhost", true },
                { "_dmarc.example.net", "_dmarc.example.net", false },
                { "a-b.c", "a-b.c", true },
                { "-a.b", NULL, false },
                { "a-.b", NULL, true },
                { "a..b", NULL, true },
                { ".a", NULL, false },
                { "a.", NULL, true },
                { "", NULL, false },
                { "a b", NULL, false },
                { "m\xc3\xbcller.example", NULL, false },
                { "*.example.org", NULL, false },
                { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },
                { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, false },
        };
        char long_name[300];

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                char got[256] = "";
                bool is_read = value_hostname(cases[i].text, got);

                if (is_read != (cases[i].want_hostname != NULL) ||
                    strcmp(got, is_read ? cases[i].want_hostname : "") != 0)
                        fail_msg("host name \"%s\": got \"%s\"", cases[i].text, got);
                if (value_is_name(cases[i].text) != cases[i].want_name)
                        fail_msg("name \"%s\"", cases[i].text);
        }
        for (unsigned i = 0; i < 254; i++)
                long_name[i] = i % 2 ? '.' : 'a';
        long_name[253] = '\0';
        assert_true(value_hostname(long_name, (char[256]){ 0 }));
        long_name[253] = '.';
        long_name[254] = 'a';
        long_name[255] = '\0';
        assert_false(value_hostname(long_name, (char[256]){ 0 }));
}

static void test_addresses(void **state)
{
        static const struct {
                const char *text;
                const char *want_addr; /* NULL: refused */
                uint16_t want_port;
        } cases[] = {
                { "192.0.2.1", "192.0.2.1", 53 },
                { "192.0.2.1:5353", "192.0.2.1", 5353 },
                { "2001:db8::1", "2001:db8::1", 53 },
                { "[2001:db8::1]:5353", "2001:db8::1", 5353 },
                { "[2001:db8::1]", "2001:db8::1", 53 },
                { "192.0.2.1:0", NULL, 0 },
                { "192.0.2.1:65536", NULL, 0 },
                { "192.0.2.1:", NULL, 0 },
                { "[192.0.2.1]:53", NULL, 0 },
                { "[2001:db8::1", NULL, 0 },
                { "[2001:db8::1]53", NULL, 0 },
                { "localhost:53", NULL, 0 },
                { "", NULL, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                char text[ADDR_TEXT_MAX];
                struct addr addr;
                uint16_t port = 0;
                bool is_read = value_address_port(cases[i].text, 53, &addr, &port);

                if (is_read != (cases[i].want_addr != NULL) || port != cases[i].want_port)
                        fail_msg("\"%s\": port %u", cases[i].text, port);
                if (is_read)
                        assert_string_equal(addr_text(&addr, text), cases[i].want_addr);
        }
}

static void test_interfaces(void **state)
{
        static const struct {
                const char *text;
                int want_len; /* -1: refused */
        } cases[] = {
                { "198.18.0.25/16", 112 }, { "2001:2::25/64", 64 }, { "198.18.0.25/32", 128 },
                { "198.18.0.25", -1 },     { "198.18.0.25/0", -1 }, { "198.18.0.25/33", -1 },
                { "2001:2::25/129", -1 },  { "x/8", -1 },           { "198.18.0.25/", -1 },
                { "198.18.0.25/8x", -1 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct addr addr;
                uint8_t len = 0;
                bool is_read = value_interface(cases[i].text, &addr, &len);

                if (is_read != (cases[i].want_len >= 0) || (is_read && len != cases[i].want_len))
                        fail_msg("\"%s\": got %d %u", cases[i].text, is_read, len);
        }
}

static void test_codes(void **state)
{
        static const struct {
                const char *text;
                uint32_t want_from, want_to; /* 0: refused */
        } cases[] = {
                { "127.0.0.2", 0x7f000002, 0x7f000002 },
                { "127.0.0.2-11", 0x7f000002, 0x7f00000b },
                { "127.0.0.2-127.0.1.255", 0x7f000002, 0x7f0001ff },
                { "127.0.0.11-2", 0, 0 },
                { "127.0.0.2-256", 0, 0 },
                { "127.0.0.2-", 0, 0 },
                { "127.0.0.2-x", 0, 0 },
                { "128.0.0.2", 0, 0 },
                { "127.0.0.2-128.0.0.1", 0, 0 },
                { "", 0, 0 },
                { "127.0.0", 0, 0 },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint32_t from = 0, to = 0;
                bool is_read = value_codes(cases[i].text, &from, &to);

                if (is_read != (cases[i].want_from != 0) || from != cases[i].want_from ||
                    to != cases[i].want_to)
                        fail_msg("\"%s\": got %x to %x", cases[i].text, from, to);
        }
}

static void test_rest(void **state)
{
        static const struct {
                const char *a, *b;
                unsigned want;
        } distances[] = { { "block", "block", 0 },
                          { "blok", "block", 1 },
                          { "wrokers", "workers", 2 },
                          { "", "ab", 2 },
                          { "abcdef", "uvwxyz", 4 } };
        uint8_t enhanced[3];
        bool is_set;

        assert_true(value_enhanced("4.7.1", enhanced) && enhanced[0] == 4 && enhanced[1] == 7 &&
                    enhanced[2] == 1);
        assert_false(value_enhanced("4.7", enhanced) || value_enhanced("4.7.1.2", enhanced) ||
                     value_enhanced("4.7.300", enhanced) || value_enhanced("a.b.c", enhanced));
        assert_true(value_bool("yes", &is_set) && is_set && value_bool("off", &is_set) && !is_set);
        assert_false(value_bool("True", &is_set) || value_bool("1", &is_set) || value_bool("", &is_set));
        assert_true(value_is_ascii("a b~", 4));
        assert_false(value_is_ascii("a b~", 3) || value_is_ascii("", 3) || value_is_ascii("\xc3\xbc", 3));
        for (unsigned i = 0; i < ARRAY_LEN(distances); i++)
                assert_int_equal(value_distance(distances[i].a, distances[i].b, 3), distances[i].want);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),   cmocka_unit_test(test_names),
                cmocka_unit_test(test_addresses), cmocka_unit_test(test_interfaces),
                cmocka_unit_test(test_codes),     cmocka_unit_test(test_rest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
