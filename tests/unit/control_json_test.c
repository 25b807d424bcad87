/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "control/json.h"
#include "dataplane/shared/bug.h"

static void expect(const struct json *json, const char *want)
{
        assert_false(json->is_failed);
        if (json->len != strlen(want) || memcmp(json->text, want, json->len) != 0)
                fail_msg("got %.*s, want %s", (int)json->len, json->text, want);
}

static void test_structure(void **state)
{
        struct json json;

        json_init(&json, 1000);
        json_object_open(&json, NULL);
        json_put_string(&json, "a", "b");
        json_put_string(&json, "none", NULL);
        json_array_open(&json, "list");
        json_put_uint(&json, NULL, UINT64_MAX);
        json_put_int(&json, NULL, INT64_MIN);
        json_object_open(&json, NULL);
        json_object_close(&json);
        json_put_bool(&json, NULL, true);
        json_array_close(&json);
        json_put_time_us(&json, "t", 1795500000000007u);
        json_put_time_sec(&json, "s", 0);
        json_object_close(&json);
        json_newline(&json);
        expect(&json,
               "{\"a\":\"b\",\"none\":null,\"list\":[18446744073709551615,-9223372036854775808,{},true],"
               "\"t\":\"2026-11-24T06:00:00.000007Z\",\"s\":\"1970-01-01T00:00:00Z\"}\n");
        json_reset(&json);
        json_put_bool(&json, NULL, false);
        expect(&json, "false");
        json_done(&json);
}

static void test_escapes(void **state)
{
        static const struct {
                const char *bytes;
                size_t len;
                const char *want;
        } cases[] = {
                { "", 0, "\"\"" },
                { "plain", 5, "\"plain\"" },
                { "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
                { "\r\n\t\0\x7f", 5, "\"\\u000d\\u000a\\u0009\\ufffd\\u007f\"" },
                { "\x1b[31m", 5, "\"\\u001b[31m\"" },
                { "\xc2\x9b"
                  "31m",
                  5, "\"\\u009b31m\"" }, /* CSI as a C1 control */
                { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7\"" },
                { "\xff"
                  "a\xfe",
                  3, "\"\\ufffda\\ufffd\"" },
                { "\xc3", 1, "\"\\ufffd\"" },                                  /* cut short */
                { "\xc0\xaf", 2, "\"\\ufffd\\ufffd\"" },                       /* overlong */
                { "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },            /* a surrogate */
                { "\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" }, /* above U+10FFFF */
                { "\xe2\x28\xa1", 3, "\"\\ufffd(\\ufffd\"" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct json json;

                json_init(&json, 1000);
                json_put_string_len(&json, NULL, cases[i].bytes, cases[i].len);
                expect(&json, cases[i].want);
                json_done(&json);
        }
}

/* Random bytes as keys' values: a strict reader takes every line, and none holds a control character. */
static void test_any_bytes_are_read_back(void **state)
{
        uint32_t seed = 12345;

        for (unsigned round = 0; round < 2000; round++) {
                uint8_t bytes[40];
                struct json json;
                json_error_t error;
                json_t *got;

                for (unsigned i = 0; i < sizeof(bytes); i++) {
                        seed = seed * 1664525u + 1013904223u;
                        bytes[i] = (uint8_t)(seed >> 24);
                }
                json_init(&json, 1000);
                json_object_open(&json, NULL);
                json_put_string_len(&json, "x", bytes, round % sizeof(bytes));
                json_object_close(&json);
                for (size_t i = 0; i < json.len; i++)
                        assert_false((uint8_t)json.text[i] < 0x20 || json.text[i] == 0x7f);
                got = json_loadb(json.text, json.len, JSON_REJECT_DUPLICATES, &error);
                if (got == NULL)
                        fail_msg("%s: %.*s", error.text, (int)json.len, json.text);
                json_decref(got);
                json_done(&json);
        }
}

static void test_bound(void **state)
{
        struct json json;

        json_init(&json, 10);
        json_put_string(&json, NULL, "12345678");
        assert_false(json.is_failed);
        json_put_uint(&json, NULL, 1);
        assert_true(json.is_failed);
        assert_int_equal(json.len, 10);
        json_reset(&json);
        json_put_uint(&json, NULL, 12345);
        expect(&json, "12345");
        json_done(&json);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_structure),
                cmocka_unit_test(test_escapes),
                cmocka_unit_test(test_any_bytes_are_read_back),
                cmocka_unit_test(test_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
