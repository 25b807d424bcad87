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
#include "dataplane/smtp/reply.h"

#define ID "3F9K2M7Q3F9K2M7Q"

static void test_replies(void **state)
{
        static const struct smtp_reply_override text_only = { .text = "Go away, {address}", .text_len = 18 };
        static const struct smtp_reply_override code_only = { .code = 421 };
        static const struct smtp_reply_override both = { .code = 550,
                                                         .text = "5.7.606 Blocked by {zone}",
                                                         .text_len = 25 };
        static const struct smtp_reply_override other_class = { .code = 451,
                                                                .text = "5.7.1 Later",
                                                                .text_len = 11 };
        static const struct smtp_reply_override bad_code = { .code = 250, .text = "Fine", .text_len = 4 };
        static const struct smtp_reply_override not_enhanced = { .text = "5.7.x no code", .text_len = 13 };
        static const struct smtp_reply_override bad_names = { .text = "{nobody} {host {} {", .text_len = 19 };
        static const struct smtp_reply_override newline = { .text = "a\r\n250 b", .text_len = 8 };
        static const struct {
                enum smtp_reply reply;
                struct smtp_reply_args args;
                const char *want;
        } cases[] = {
                { SMTP_REPLY_NONE, { .host = "mx" }, "" },
                { SMTP_REPLY_GREETING, { .host = "mx.example.net" }, "220 mx.example.net ESMTP\r\n" },
                { SMTP_REPLY_TEASER, { .host = "mx.example.net" }, "220-mx.example.net ESMTP\r\n" },
                { SMTP_REPLY_DATA_GO, { .host = NULL }, "354 End data with <CR><LF>.<CR><LF>\r\n" },
                { SMTP_REPLY_QUIT, { .host = "mx" }, "221 2.0.0 mx closing connection\r\n" },
                { SMTP_REPLY_GREYLISTED,
                  { .number = 240, .explain_id = ID },
                  "451 4.7.1 Greylisted, please try again in 240 seconds [" ID "]\r\n" },
                { SMTP_REPLY_SPAM_FILTER,
                  { .explain_id = ID },
                  "554 5.7.1 Sending address not accepted due to spam filter [" ID "]\r\n" },
                { SMTP_REPLY_SPAM_FILTER,
                  { .host = NULL },
                  "554 5.7.1 Sending address not accepted due to spam filter\r\n" },
                { SMTP_REPLY_RELAY_DENIED,
                  { .text = "a@b.example", .text_len = 11 },
                  "550 5.7.1 <a@b.example>: relaying denied\r\n" },
                { SMTP_REPLY_RELAY_DENIED,
                  { .text = "a\r\n\x80\t\0b", .text_len = 7 },
                  "550 5.7.1 <a?????b>: relaying denied\r\n" },
                { SMTP_REPLY_PTR_MISSING,
                  { .address = "192.0.2.1" },
                  "550 5.7.25 No reverse DNS name for 192.0.2.1\r\n" },
                { SMTP_REPLY_OVERLOAD,
                  { .host = "mx" },
                  "421 4.3.2 mx Too busy, please try again later\r\n" },
                { SMTP_REPLY_SIZE_LIMIT,
                  { .number = UINT64_MAX },
                  "552 5.3.4 Message size exceeds the limit of 18446744073709551615 bytes\r\n" },
                /* An id is for refusals. */
                { SMTP_REPLY_OK, { .explain_id = ID }, "250 2.0.0 Ok\r\n" },
                /* The policy's words. */
                { SMTP_REPLY_SPAM_FILTER,
                  { .address = "192.0.2.1", .override = &text_only, .explain_id = ID },
                  "554 5.7.1 Go away, 192.0.2.1 [" ID "]\r\n" },
                { SMTP_REPLY_SPAM_FILTER,
                  { .override = &code_only },
                  "421 4.7.1 Sending address not accepted due to spam filter\r\n" },
                { SMTP_REPLY_GREYLISTED,
                  { .zone = "bl.example", .override = &both },
                  "550 5.7.606 Blocked by bl.example\r\n" },
                { SMTP_REPLY_SPAM_FILTER, { .override = &other_class }, "451 4.7.1 Later\r\n" },
                { SMTP_REPLY_SPAM_FILTER, { .override = &bad_code }, "554 5.7.1 Fine\r\n" },
                { SMTP_REPLY_SPAM_FILTER, { .override = &not_enhanced }, "554 5.7.1 5.7.x no code\r\n" },
                { SMTP_REPLY_SPAM_FILTER,
                  { .host = "mx", .override = &bad_names },
                  "554 5.7.1 {nobody} {host {} {\r\n" },
                { SMTP_REPLY_SPAM_FILTER, { .override = &newline }, "554 5.7.1 a??250 b\r\n" },
                /* Never for what is no refusal: a policy cannot turn an acceptance into something else. */
                { SMTP_REPLY_OK, { .override = &both }, "250 2.0.0 Ok\r\n" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char buf[SMTP_REPLY_LINE_MAX + 1];
                size_t len;

                memset(buf, 0x55, sizeof(buf));
                len = smtp_reply_build(cases[i].reply, &cases[i].args, buf, SMTP_REPLY_LINE_MAX);
                assert_int_equal(buf[len], 0x55);
                buf[len] = '\0';
                assert_string_equal(buf, cases[i].want);
                assert_int_equal(smtp_reply_code_with(cases[i].reply, cases[i].args.override),
                                 len ? (buf[0] - '0') * 100 + (buf[1] - '0') * 10 + buf[2] - '0' : 0);
        }
}

/* Every row: a code, an enhanced code of the same class, printable text, under the limit with everything in it. */
static void test_table(void **state)
{
        char longest[300];
        struct smtp_reply_args args = { .host = longest,
                                        .address = longest,
                                        .zone = longest,
                                        .text = longest,
                                        .text_len = sizeof(longest) - 1,
                                        .number = UINT64_MAX,
                                        .explain_id = ID };

        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        for (int i = SMTP_REPLY_NONE + 1; i < SMTP_REPLY_USED; i++) {
                enum smtp_reply reply = (enum smtp_reply)i;
                uint16_t code = smtp_reply_code(reply);
                const char *enhanced = smtp_reply_enhanced(reply);
                char buf[SMTP_REPLY_LINE_MAX];
                size_t len = smtp_reply_build(reply, &args, buf, sizeof(buf));

                assert_in_range(code, 200, 599);
                /* RFC 2034, 3: not on greetings, HELO, EHLO and 3xx; on everything else. */
                if (reply == SMTP_REPLY_GREETING || reply == SMTP_REPLY_TEASER || code == 354 ||
                    reply == SMTP_REPLY_HELO || reply == SMTP_REPLY_EHLO)
                        assert_string_equal(enhanced, "");
                else
                        assert_int_equal(enhanced[0], '0' + code / 100);
                assert_in_range(len, 8, SMTP_REPLY_LINE_MAX);
                assert_memory_equal(buf + len - 2, "\r\n", 2);
                for (size_t at = 0; at < len - 2; at++)
                        assert_in_range(buf[at], ' ', '~');
                if (code >= 400)
                        assert_memory_equal(buf + len - 3 - 16, ID "]\r\n", 19);
        }
}

/* However little room there is, a line is whole, and its id with it. */
static void test_little_room(void **state)
{
        struct smtp_reply_args args = { .number = 240, .explain_id = ID };

        for (size_t size = 0; size <= 100; size++) {
                char buf[128];
                size_t len;

                memset(buf, 0x55, sizeof(buf));
                len = smtp_reply_build(SMTP_REPLY_GREYLISTED, &args, buf, size);
                assert_true(len <= size);
                assert_int_equal(buf[len], 0x55);
                if (size < 64) {
                        assert_int_equal(len, 0);
                        continue;
                }
                assert_memory_equal(buf, "451 4.7.1 Greylisted", 20);
                assert_memory_equal(buf + len - 21, " [" ID "]\r\n", 21);
        }
}

static void test_ehlo(void **state)
{
        static const struct {
                uint32_t ext;
                uint64_t size_max;
                const char *want;
        } cases[] = {
                { SMTP_EXT_IMPLEMENTED, 52428800,
                  "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-"
                  "ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n" },
                { SMTP_EXT_SIZE, 0, "250-mx.example.net\r\n250 SIZE\r\n" },
                { 0, 100, "250 mx.example.net\r\n" },
                /* Never more than what is implemented. */
                { SMTP_EXT_CHUNKING | SMTP_EXT_SMTPUTF8 | SMTP_EXT_8BITMIME | SMTP_EXT_XCLIENT, 0,
                  "250-mx.example.net\r\n250 8BITMIME\r\n" },
        };
        char host[400];

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char buf[SMTP_REPLY_EHLO_MAX];
                size_t len = smtp_reply_build_ehlo("mx.example.net", cases[i].ext, cases[i].size_max, buf,
                                                   sizeof(buf));

                assert_int_equal(len, strlen(cases[i].want));
                assert_memory_equal(buf, cases[i].want, len);
        }
        memset(host, 'h', sizeof(host) - 1);
        host[sizeof(host) - 1] = '\0';
        for (size_t size = 0; size <= SMTP_REPLY_EHLO_MAX; size++) {
                char buf[SMTP_REPLY_EHLO_MAX];
                size_t len = smtp_reply_build_ehlo(host, SMTP_EXT_IMPLEMENTED, UINT64_MAX, buf, size);

                assert_true(len <= size);
                if (size == SMTP_REPLY_EHLO_MAX)
                        assert_memory_equal(buf + len - 15, "\n250 STARTTLS\r\n", 15);
        }
}

static void test_backend_lines(void **state)
{
        static const struct {
                uint16_t code;
                bool more;
                const char *text;
                const char *id;
                const char *want;
        } cases[] = {
                { 250, false, "2.0.0 Ok: queued as 1234", NULL, "250 2.0.0 Ok: queued as 1234\r\n" },
                { 550, true, "5.1.1 No such user", NULL, "550-5.1.1 No such user\r\n" },
                { 550, false, "5.1.1 No such user", ID, "550 5.1.1 No such user [" ID "]\r\n" },
                { 250, false, "ok", ID, "250 ok\r\n" },
                { 250, false, "a\tb\x7f", NULL, "250 a?b?\r\n" },
                { 100, false, "what", ID, "451 Local error, please try again later [" ID "]\r\n" },
                { 999, false, "what", NULL, "451 Local error, please try again later\r\n" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char buf[SMTP_REPLY_LINE_MAX];
                size_t len = smtp_reply_build_line(cases[i].code, cases[i].more, cases[i].text,
                                                   strlen(cases[i].text), cases[i].id, buf, sizeof(buf));

                assert_int_equal(len, strlen(cases[i].want));
                assert_memory_equal(buf, cases[i].want, len);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replies),       cmocka_unit_test(test_table),
                cmocka_unit_test(test_little_room),   cmocka_unit_test(test_ehlo),
                cmocka_unit_test(test_backend_lines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
