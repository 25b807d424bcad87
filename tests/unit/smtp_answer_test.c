/* SPDX-License-Identifier: Apache-2.0 */
/* Every case runs whole, and in single octets; what it gives must be the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/answer.h"

/* Feed in pieces of `step` octets; returns the octets consumed. */
static size_t feed(struct smtp_answer *answer, const char *in, size_t len, size_t step,
                   enum smtp_answer_result *ret_result)
{
        size_t at = 0;

        *ret_result = SMTP_ANSWER_MORE;
        while (at < len && *ret_result == SMTP_ANSWER_MORE) {
                size_t n = MIN(step, len - at);
                size_t used;

                *ret_result = smtp_answer_input(answer, (const uint8_t *)in + at, n, &used);
                assert_true(used <= n);
                assert_true(*ret_result != SMTP_ANSWER_MORE || used == n);
                at += used;
        }
        return at;
}

static void test_answers(void **state)
{
        static const struct {
                const char *in;
                enum smtp_answer_result want;
                size_t want_used; /* 0: everything */
                uint16_t want_code;
                uint16_t want_lines;
                const char *want_first;
                const char *want_text;
                uint16_t want_enhanced[3];
                enum smtp_answer_error want_error;
        } cases[] = {
                { "250 2.1.0 Ok\r\n", SMTP_ANSWER_DONE, 0, 250, 1, "2.1.0 Ok", "2.1.0 Ok", { 2, 1, 0 }, 0 },
                { "250 Ok\r\n250 next\r\n", SMTP_ANSWER_DONE, 8, 250, 1, "Ok", "Ok", { 0 }, 0 },
                { "250\r\n", SMTP_ANSWER_DONE, 0, 250, 1, "", "", { 0 }, 0 },
                { "250 \r\n", SMTP_ANSWER_DONE, 0, 250, 1, "", "", { 0 }, 0 },
                { "354 go\r\n", SMTP_ANSWER_DONE, 0, 354, 1, "go", "go", { 0 }, 0 },
                { "220-a\r\n220-b\r\n220 c\r\n", SMTP_ANSWER_DONE, 0, 220, 3, "a", "c", { 0 }, 0 },
                { "550-5.1.1 no\r\n550 5.1.2 never\r\n",
                  SMTP_ANSWER_DONE,
                  0,
                  550,
                  2,
                  "5.1.1 no",
                  "5.1.2 never",
                  { 5, 1, 2 },
                  0 },
                { "550-5.1.1 no\r\n550\r\n", SMTP_ANSWER_DONE, 0, 550, 2, "5.1.1 no", "", { 0 }, 0 },
                { "451 4.7.606 later\r\n",
                  SMTP_ANSWER_DONE,
                  0,
                  451,
                  1,
                  "4.7.606 later",
                  "4.7.606 later",
                  { 4, 7, 606 },
                  0 },
                { "451 4.7.1\r\n", SMTP_ANSWER_DONE, 0, 451, 1, "4.7.1", "4.7.1", { 4, 7, 1 }, 0 },
                { "451 5.7.1 class of another code\r\n",
                  SMTP_ANSWER_DONE,
                  0,
                  451,
                  1,
                  "5.7.1 class of another code",
                  "5.7.1 class of another code",
                  { 0 },
                  0 },
                { "451 4.7. x\r\n", SMTP_ANSWER_DONE, 0, 451, 1, "4.7. x", "4.7. x", { 0 }, 0 },
                { "451 4.7.1x\r\n", SMTP_ANSWER_DONE, 0, 451, 1, "4.7.1x", "4.7.1x", { 0 }, 0 },
                { "250 a\r\r\n", SMTP_ANSWER_ERROR, 7, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_NEWLINE },
                { "250 a\n", SMTP_ANSWER_ERROR, 0, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_NEWLINE },
                { "250\n", SMTP_ANSWER_ERROR, 0, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "250 a\rb\r\n", SMTP_ANSWER_ERROR, 7, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_NEWLINE },
                { "250x\r\n", SMTP_ANSWER_ERROR, 4, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "25 x\r\n", SMTP_ANSWER_ERROR, 3, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "150 x\r\n", SMTP_ANSWER_ERROR, 1, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "650 x\r\n", SMTP_ANSWER_ERROR, 1, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "HTTP/1.1 400\r\n", SMTP_ANSWER_ERROR, 1, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "\r\n", SMTP_ANSWER_ERROR, 1, 0, 0, NULL, NULL, { 0 }, SMTP_ANSWER_BAD_CODE },
                { "250-a\r\n251 b\r\n",
                  SMTP_ANSWER_ERROR,
                  14,
                  0,
                  0,
                  NULL,
                  NULL,
                  { 0 },
                  SMTP_ANSWER_CODE_CHANGED },
                { "250-a\r\n250-b", SMTP_ANSWER_MORE, 0, 0, 0, NULL, NULL, { 0 }, 0 },
                { "250 a\r", SMTP_ANSWER_MORE, 0, 0, 0, NULL, NULL, { 0 }, 0 },
                { "25", SMTP_ANSWER_MORE, 0, 0, 0, NULL, NULL, { 0 }, 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                size_t len = strlen(cases[i].in);

                for (size_t step = 1; step <= len; step++) {
                        struct smtp_answer got;
                        enum smtp_answer_result result;
                        size_t used;

                        memset(&got, 0xee, sizeof(got));
                        smtp_answer_init(&got, false);
                        used = feed(&got, cases[i].in, len, step, &result);
                        if (result != cases[i].want)
                                print_message("  %s\n", cases[i].in);
                        assert_int_equal(result, cases[i].want);
                        assert_int_equal(used, cases[i].want_used ? cases[i].want_used : len);
                        assert_int_equal(got.error, cases[i].want_error);
                        if (result != SMTP_ANSWER_DONE)
                                continue;
                        assert_int_equal(got.code, cases[i].want_code);
                        assert_int_equal(got.lines, cases[i].want_lines);
                        assert_string_equal(got.first, cases[i].want_first);
                        assert_int_equal(got.first_len, strlen(got.first));
                        assert_string_equal(got.text, cases[i].want_text);
                        assert_int_equal(got.text_len, strlen(got.text));
                        assert_memory_equal(got.enhanced, cases[i].want_enhanced, sizeof(got.enhanced));
                }
        }
}

static void test_ehlo(void **state)
{
        static const char postfix[] =
            "250-mx PIPELINING\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-VRFY\r\n250-ETRN\r\n"
            "250-starttls\r\n250-XCLIENT NAME ADDR PROTO HELO PORT LOGIN DESTADDR DESTPORT NEW\r\n"
            "250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
            "250 CHUNKING\r\n";
        static const struct {
                const char *in;
                uint32_t want_ext;
                uint64_t want_size;
                uint32_t want_xclient;
        } cases[] = {
                { postfix,
                  SMTP_EXT_PIPELINING | SMTP_EXT_SIZE | SMTP_EXT_STARTTLS | SMTP_EXT_XCLIENT |
                      SMTP_EXT_ENHANCEDSTATUSCODES | SMTP_EXT_8BITMIME | SMTP_EXT_DSN | SMTP_EXT_SMTPUTF8 |
                      SMTP_EXT_CHUNKING,
                  52428800, 0xff },
                /* The first line is a name, whatever it says; a name of PIPELINING offers nothing. */
                { "250 PIPELINING\r\n", 0, 0, 0 },
                { "250-mx\r\n250 SIZE\r\n", SMTP_EXT_SIZE, 0, 0 },
                { "250-mx\r\n250 SIZE 0\r\n", SMTP_EXT_SIZE, 0, 0 },
                { "250-mx\r\n250 SIZE 99999999999999999999999\r\n", SMTP_EXT_SIZE, 0, 0 },
                { "250-mx\r\n250 SIZE 12x\r\n", SMTP_EXT_SIZE, 0, 0 },
                { "250-mx\r\n250-\r\n250   SIZE   5  \r\n", SMTP_EXT_SIZE, 5, 0 },
                { "250-mx\r\n250-SIZES\r\n250 PIPELININGX\r\n", 0, 0, 0 },
                { "250-mx\r\n250 XCLIENT ADDR\r\n", SMTP_EXT_XCLIENT, 0, SMTP_XCLIENT_ADDR },
                { "502-no\r\n502 SIZE\r\n", 0, 0, 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                for (size_t step = 1; step <= strlen(cases[i].in); step += 1 + step / 4) {
                        struct smtp_answer got;
                        enum smtp_answer_result result;

                        smtp_answer_init(&got, true);
                        feed(&got, cases[i].in, strlen(cases[i].in), step, &result);
                        assert_int_equal(result, SMTP_ANSWER_DONE);
                        assert_int_equal(got.ext, cases[i].want_ext);
                        assert_int_equal(got.size_max, cases[i].want_size);
                        assert_int_equal(got.xclient, cases[i].want_xclient);
                }
        }
}

/* Keywords count in the answer to EHLO only. */
static void test_keywords_elsewhere(void **state)
{
        static const char in[] = "250-mx\r\n250 SIZE 5\r\n";
        struct smtp_answer got;
        enum smtp_answer_result result;

        smtp_answer_init(&got, false);
        feed(&got, in, strlen(in), 5, &result);
        assert_int_equal(result, SMTP_ANSWER_DONE);
        assert_int_equal(got.ext, 0);
}

static void test_bounds(void **state)
{
        static char line[SMTP_ANSWER_LINE_MAX + 16];
        struct smtp_answer got;
        enum smtp_answer_result result;
        int lines;

        /* A line of exactly the limit is read, its text cut; one octet more is an error. */
        memset(line, 'x', sizeof(line));
        memcpy(line, "250 ", 4);
        memcpy(line + SMTP_ANSWER_LINE_MAX - 2, "\r\n", 2);
        smtp_answer_init(&got, false);
        assert_int_equal(feed(&got, line, sizeof(line), 7, &result), SMTP_ANSWER_LINE_MAX);
        assert_int_equal(result, SMTP_ANSWER_DONE);
        assert_int_equal(got.text_len, SMTP_ANSWER_TEXT_MAX);
        memset(line + 4, 'x', sizeof(line) - 4);
        smtp_answer_init(&got, false);
        feed(&got, line, sizeof(line), 7, &result);
        assert_int_equal(result, SMTP_ANSWER_ERROR);
        assert_int_equal(got.error, SMTP_ANSWER_LONG_LINE);
        /* An error is final. */
        feed(&got, "250 ok\r\n", 8, 8, &result);
        assert_int_equal(result, SMTP_ANSWER_ERROR);

        smtp_answer_init(&got, false);
        for (lines = 0; lines < 1000; lines++) {
                feed(&got, "250-x\r\n", 7, 7, &result);
                if (result != SMTP_ANSWER_MORE)
                        break;
        }
        assert_int_equal(lines, SMTP_ANSWER_LINES_MAX);
        assert_int_equal(result, SMTP_ANSWER_ERROR);
        assert_int_equal(got.error, SMTP_ANSWER_MANY_LINES);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_ehlo),
                cmocka_unit_test(test_keywords_elsewhere),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
