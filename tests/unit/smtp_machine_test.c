/* SPDX-License-Identifier: Apache-2.0 */
/* What the scripts in tests/session do not show: the calls between lines, the fields of actions, and any cut of any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/smtp/machine.h"

static size_t give(struct smtp_machine *m, const char *text, struct smtp_action *ret)
{
        struct smtp_conf conf;

        smtp_conf_init(&conf);
        return smtp_input(m, &conf, (const uint8_t *)text, strlen(text), ret);
}

/* Give whole lines that are all accepted. */
static void accept_all(struct smtp_machine *m, const char *text)
{
        while (*text) {
                struct smtp_action action;
                size_t used = give(m, text, &action);

                assert_true(used > 0);
                text += used;
                smtp_decide(m, SMTP_ACCEPT);
        }
}

static void start(struct smtp_machine *m, const char *text)
{
        smtp_init(m);
        smtp_greet(m, SMTP_ACCEPT);
        accept_all(m, text);
}

static void test_nothing_before_greeting(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;

        smtp_init(&m);
        assert_int_equal(give(&m, "EHLO x\r\n", &action), 0);
        assert_int_equal(action.act, SMTP_ACT_NONE);
        smtp_greet(&m, SMTP_ACCEPT);
        assert_int_equal(give(&m, "EHLO x\r\n", &action), 8);
        assert_int_equal(action.act, SMTP_ACT_HELLO);
        /* A second greeting changes nothing. */
        smtp_greet(&m, SMTP_CLOSE);
        assert_int_equal(smtp_state(&m), SMTP_ST_GREETED);
}

/* Each decision: what it returns and where it leads. */
static void test_decisions(void **state)
{
        static const struct {
                const char *before;
                const char *line;
                enum smtp_act want_act;
                enum smtp_decision decision;
                enum smtp_reply want_reply;
                enum smtp_state want_state;
        } cases[] = {
                { "", "EHLO x\r\n", SMTP_ACT_HELLO, SMTP_ACCEPT, SMTP_REPLY_EHLO, SMTP_ST_HELLO },
                { "", "HELO x\r\n", SMTP_ACT_HELLO, SMTP_ACCEPT, SMTP_REPLY_HELO, SMTP_ST_HELLO },
                { "", "EHLO x\r\n", SMTP_ACT_HELLO, SMTP_REFUSE, SMTP_REPLY_NONE, SMTP_ST_GREETED },
                { "", "EHLO x\r\n", SMTP_ACT_HELLO, SMTP_CLOSE, SMTP_REPLY_NONE, SMTP_ST_CLOSED },
                { "HELO x\r\n", "MAIL FROM:<>\r\n", SMTP_ACT_MAIL, SMTP_ACCEPT, SMTP_REPLY_MAIL_OK,
                  SMTP_ST_MAIL },
                { "HELO x\r\n", "MAIL FROM:<>\r\n", SMTP_ACT_MAIL, SMTP_REFUSE_ERROR, SMTP_REPLY_NONE,
                  SMTP_ST_HELLO },
                { "HELO x\r\nMAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\n", SMTP_ACT_RCPT, SMTP_ACCEPT,
                  SMTP_REPLY_RCPT_OK, SMTP_ST_RCPT },
                { "HELO x\r\nMAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\n", SMTP_ACT_RCPT, SMTP_REFUSE,
                  SMTP_REPLY_NONE, SMTP_ST_MAIL },
                { "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "RCPT TO:<c@b>\r\n", SMTP_ACT_RCPT,
                  SMTP_REFUSE, SMTP_REPLY_NONE, SMTP_ST_RCPT },
                { "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "DATA\r\n", SMTP_ACT_DATA, SMTP_ACCEPT,
                  SMTP_REPLY_DATA_GO, SMTP_ST_DATA },
                { "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "DATA\r\n", SMTP_ACT_DATA, SMTP_REFUSE,
                  SMTP_REPLY_NONE, SMTP_ST_RCPT },
                { "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "EHLO y\r\n", SMTP_ACT_HELLO, SMTP_REFUSE,
                  SMTP_REPLY_NONE, SMTP_ST_RCPT },
                { "HELO x\r\n", "GET / HTTP/1.0\r\n", SMTP_ACT_NON_SMTP, SMTP_ACCEPT, SMTP_REPLY_NONE,
                  SMTP_ST_HELLO },
                { "HELO x\r\n", "RSET\r\n", SMTP_ACT_RSET, SMTP_CLOSE, SMTP_REPLY_NONE, SMTP_ST_HELLO },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_machine m;
                struct smtp_action action;

                start(&m, cases[i].before);
                assert_int_equal(give(&m, cases[i].line, &action), strlen(cases[i].line));
                assert_int_equal(action.act, cases[i].want_act);
                assert_int_equal(smtp_decide(&m, cases[i].decision), cases[i].want_reply);
                assert_string_equal(smtp_state_name(smtp_state(&m)), smtp_state_name(cases[i].want_state));
                assert_int_equal(smtp_pending(&m), SMTP_ACT_NONE);
        }
}

static void test_nothing_while_a_decision_waits(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;

        start(&m, "EHLO x\r\n");
        assert_int_equal(give(&m, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", &action), 17);
        assert_int_equal(smtp_pending(&m), SMTP_ACT_MAIL);
        assert_int_equal(give(&m, "RCPT TO:<c@d>\r\n", &action), 0);
        assert_int_equal(action.act, SMTP_ACT_NONE);
        smtp_decide(&m, SMTP_ACCEPT);
        assert_int_equal(give(&m, "RCPT TO:<c@d>\r\n", &action), 15);
        assert_int_equal(action.act, SMTP_ACT_RCPT);
        assert_string_equal(action.path.text, "c@d");
}

static void test_calls_out_of_place(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;

        start(&m, "EHLO x\r\n");
        assert_int_equal(smtp_decide(&m, SMTP_ACCEPT), SMTP_REPLY_NONE);
        assert_int_equal(smtp_data_end(&m, SMTP_ACCEPT), SMTP_REPLY_NONE);
        smtp_drop_transaction(&m);
        assert_int_equal(smtp_state(&m), SMTP_ST_HELLO);
        /* The backend is lost while RCPT waits, and the decision comes late. */
        accept_all(&m, "MAIL FROM:<>\r\n");
        give(&m, "RCPT TO:<a@b>\r\n", &action);
        smtp_drop_transaction(&m);
        assert_int_equal(smtp_decide(&m, SMTP_ACCEPT), SMTP_REPLY_NONE);
        assert_int_equal(smtp_state(&m), SMTP_ST_HELLO);
        assert_int_equal(give(&m, "RCPT TO:<a@b>\r\n", &action), 15);
        assert_int_equal(action.reply, SMTP_REPLY_MAIL_FIRST);
        /* Closed is final, and closing twice is fine. */
        give(&m, "MAIL FROM:<>\r\n", &action);
        smtp_close(&m);
        smtp_close(&m);
        assert_int_equal(smtp_decide(&m, SMTP_ACCEPT), SMTP_REPLY_NONE);
        assert_int_equal(smtp_state(&m), SMTP_ST_CLOSED);
        assert_int_equal(give(&m, "NOOP\r\n", &action), 0);
}

static void test_data_end(void **state)
{
        static const struct {
                enum smtp_decision decision;
                enum smtp_reply want_reply;
                enum smtp_state want_state;
        } cases[] = {
                { SMTP_ACCEPT, SMTP_REPLY_DATA_OK, SMTP_ST_HELLO },
                { SMTP_REFUSE, SMTP_REPLY_NONE, SMTP_ST_HELLO },
                { SMTP_REFUSE_ERROR, SMTP_REPLY_NONE, SMTP_ST_HELLO },
                { SMTP_CLOSE, SMTP_REPLY_NONE, SMTP_ST_CLOSED },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_machine m;
                struct smtp_action action;

                start(&m, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
                /* Message octets are not commands, whatever they look like; nor is the transaction dropped. */
                assert_int_equal(give(&m, "QUIT\r\n", &action), 0);
                smtp_drop_transaction(&m);
                assert_int_equal(smtp_state(&m), SMTP_ST_DATA);
                assert_int_equal(smtp_data_end(&m, cases[i].decision), cases[i].want_reply);
                assert_int_equal(smtp_state(&m), cases[i].want_state);
        }
}

static void test_action_fields(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;

        smtp_init(&m);
        smtp_greet(&m, SMTP_ACCEPT);
        give(&m, "EHLO Client.Example.com\r\n", &action);
        assert_true(action.is_ehlo);
        assert_string_equal(action.name, "Client.Example.com");
        assert_int_equal(action.name_len, strlen(action.name));
        assert_false(smtp_is_ehlo(&m));
        smtp_decide(&m, SMTP_ACCEPT);
        assert_true(smtp_is_ehlo(&m));
        give(&m, "MAIL FROM:<A@B.Example> SIZE=4711 BODY=8BITMIME\r\n", &action);
        assert_string_equal(action.path.text, "A@b.example");
        assert_true(action.has_size && action.has_body && action.is_8bit);
        assert_int_equal(action.size, 4711);
        smtp_decide(&m, SMTP_REFUSE);
        give(&m, "MAIL FROM:<A@B.Example> BODY=7BIT\r\n", &action);
        assert_true(!action.has_size && action.has_body && !action.is_8bit);
        assert_int_equal(action.size, 0);
        smtp_decide(&m, SMTP_REFUSE);
        give(&m, "HELO x\r\n", &action);
        assert_false(action.is_ehlo);
        smtp_decide(&m, SMTP_ACCEPT);
        assert_false(smtp_is_ehlo(&m));
}

static void test_faults(void **state)
{
        static const struct {
                const char *line;
                enum smtp_act want_act;
                enum smtp_fault want_fault;
                bool want_error; /* counts as one */
        } cases[] = {
                { "NOOP\r\n", SMTP_ACT_REPLY, SMTP_FAULT_NONE, false },
                { "FOO\r\n", SMTP_ACT_REPLY, SMTP_FAULT_UNKNOWN, true },
                { "AUTH\r\n", SMTP_ACT_REPLY, SMTP_FAULT_UNKNOWN, true },
                { "DATA\r\n", SMTP_ACT_REPLY, SMTP_FAULT_SEQUENCE, true },
                { "MAIL FROM:x\r\n", SMTP_ACT_REPLY, SMTP_FAULT_SYNTAX, true },
                { "MAIL FROM:<> X\r\n", SMTP_ACT_REPLY, SMTP_FAULT_SYNTAX, true },
                { "MAIL FROM:<> SIZE=6\r\n", SMTP_ACT_REPLY, SMTP_FAULT_SIZE, false },
                { "NOOP\tx\r\n", SMTP_ACT_REPLY, SMTP_FAULT_LINE, true },
                { "\x16\x03", SMTP_ACT_NON_SMTP, SMTP_FAULT_NON_SMTP, true },
                { "POST / HTTP/1.1\r\n", SMTP_ACT_NON_SMTP, SMTP_FAULT_NON_SMTP, true },
                { "User-Agent: x\r\n", SMTP_ACT_NON_SMTP, SMTP_FAULT_NON_SMTP, true },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_conf conf;
                struct smtp_machine m;
                struct smtp_action action;

                start(&m, "EHLO x\r\n");
                smtp_conf_init(&conf);
                conf.size_max = 5;
                smtp_input(&m, &conf, (const uint8_t *)cases[i].line, strlen(cases[i].line), &action);
                assert_int_equal(action.act, cases[i].want_act);
                assert_int_equal(action.fault, cases[i].want_fault);
                assert_int_equal(m.errors, cases[i].want_error);
        }
}

/* RFC 2920, 3.1: which commands may have others behind them, and for whom. */
static void test_early(void **state)
{
        static const struct {
                const char *before;
                const char *in;
                bool want;
        } cases[] = {
                { "", "EHLO x\r\n", false },
                { "", "EHLO x\r\nM", true },
                { "", "HELO x\r\nM", true },
                { "EHLO x\r\n", "MAIL FROM:<>\r\nR", false },
                { "HELO x\r\n", "MAIL FROM:<>\r\nR", true },
                { "HELO x\r\n", "MAIL FROM:<>\r\n", false },
                { "EHLO x\r\nMAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\nD", false },
                { "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "DATA\r\n", false },
                { "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", "DATA\r\nSubject", true },
                { "EHLO x\r\n", "RSET\r\nM", false },
                { "EHLO x\r\n", "NOOP\r\nM", true },
                { "EHLO x\r\n", "QUIT\r\n", false },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_machine m;
                struct smtp_action action;

                start(&m, cases[i].before);
                assert_true(give(&m, cases[i].in, &action) > 0);
                assert_int_equal(action.early, cases[i].want);
        }
}

/* With SMTP_LINE_MAX octets there is always progress, whatever they are; and a line is never run in parts. */
static void test_progress(void **state)
{
        static const char fills[] = { 'x', ' ', '\r', '\n', '\0', '.' };

        for (size_t i = 0; i < sizeof(fills); i++) {
                struct smtp_conf conf;
                struct smtp_machine m;
                struct smtp_action action;
                uint8_t in[SMTP_LINE_MAX];
                size_t total = 0;

                smtp_conf_init(&conf);
                memset(in, fills[i], sizeof(in));
                memcpy(in, "NOOP ", 5);
                start(&m, "EHLO x\r\n");
                while (smtp_state(&m) != SMTP_ST_CLOSED) {
                        size_t used = smtp_input(&m, &conf, in, sizeof(in), &action);

                        assert_true(used > 0);
                        assert_true(action.act == SMTP_ACT_NONE || action.act == SMTP_ACT_CLOSE);
                        total += used;
                        memset(in, fills[i], sizeof(in));
                }
                assert_int_equal(total, SMTP_DISCARD_MAX);
                assert_int_equal(action.reply, SMTP_REPLY_ERROR_LIMIT);
        }
}

/* Endless RCPT beyond the limit ends the session, though each of them is answered 452. */
static void test_endless_rcpt(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;
        int refused = 0;

        start(&m, "EHLO x\r\nMAIL FROM:<>\r\n");
        for (int i = 0; i < SMTP_RCPT_MAX; i++)
                accept_all(&m, "RCPT TO:<a@b>\r\n");
        do {
                assert_int_equal(give(&m, "RCPT TO:<a@b>\r\n", &action), 15);
                refused += action.reply == SMTP_REPLY_RCPT_LIMIT;
                assert_in_range(refused, 0, 2 * SMTP_RCPT_OVERSHOOT_MAX);
        } while (action.act == SMTP_ACT_REPLY);
        assert_int_equal(action.act, SMTP_ACT_CLOSE);
        assert_in_range(refused, SMTP_RCPT_OVERSHOOT_MAX, SMTP_RCPT_OVERSHOOT_MAX + SMTP_ERRORS_MAX);
}

/* Recipients that are all refused are limited too, so that nobody tries a dictionary in one message. */
static void test_many_refused_rcpts(void **state)
{
        struct smtp_machine m;
        struct smtp_action action;
        int tried = 0;

        start(&m, "EHLO x\r\nMAIL FROM:<>\r\n");
        for (;;) {
                give(&m, "RCPT TO:<a@b>\r\n", &action);
                if (action.act != SMTP_ACT_RCPT)
                        break;
                tried++;
                smtp_decide(&m, SMTP_REFUSE);
                assert_in_range(tried, 1, 1000);
        }
        assert_int_equal(action.reply, SMTP_REPLY_RCPT_LIMIT);
        assert_int_equal(tried, 2 * SMTP_RCPT_MAX);
}

/* --- any bytes, any cut ---------------------------------------------------------------------------------- */

struct trace {
        size_t n;
        struct {
                enum smtp_act act;
                enum smtp_reply reply;
                size_t at; /* octets consumed behind it */
                char text[80];
        } step[512];
        enum smtp_state state;
};

/* Run bytes of which `piece` more come in each time; decisions follow from the bytes alone. */
static void run(struct trace *t, const uint8_t *bytes, size_t len, size_t piece)
{
        struct smtp_conf conf;
        struct smtp_machine m;
        size_t at = 0, there = 0;

        smtp_conf_init(&conf);
        conf.errors_max = 200;
        memset(t, 0, sizeof(*t));
        smtp_init(&m);
        smtp_greet(&m, SMTP_ACCEPT);
        while (t->n < ARRAY_LEN(t->step)) {
                struct smtp_action action;
                size_t n = MIN(there - at, (size_t)SMTP_LINE_MAX);
                /* A heap copy of its own, so that a sanitizer sees any look behind the piece. */
                uint8_t *copy = malloc(n + 1);
                size_t used;

                memcpy(copy, bytes + at, n);
                used = smtp_input(&m, &conf, copy, n, &action);
                free(copy);
                assert_true(used <= n);
                at += used;
                if (action.act == SMTP_ACT_NONE && used == 0) {
                        if (there == len || smtp_state(&m) == SMTP_ST_CLOSED)
                                break;
                        there = MIN(there + piece, len);
                        continue;
                }
                if (action.act == SMTP_ACT_NONE)
                        continue;
                t->step[t->n].act = action.act;
                t->step[t->n].reply = action.reply;
                t->step[t->n].at = at;
                snprintf(t->step[t->n].text, sizeof(t->step[t->n].text), "%.30s %.30s", action.name,
                         action.path.text);
                t->n++;
                smtp_decide(&m, at % 5 ? SMTP_ACCEPT : SMTP_REFUSE);
                if (smtp_state(&m) == SMTP_ST_DATA)
                        smtp_data_end(&m, SMTP_ACCEPT);
        }
        t->state = smtp_state(&m);
}

static uint32_t next_random(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static void test_any_cut(void **state)
{
        static const char *const words[] = {
                "EHLO client.example\r\n",
                "HELO x\r\n",
                "MAIL FROM:<a@b>\r\n",
                "MAIL FROM:<a@b> SIZE=5\r\n",
                "RCPT TO:<c@d>\r\n",
                "RCPT TO:<\"x y\"@d>\r\n",
                "DATA\r\n",
                "RSET\r\n",
                "NOOP\r\n",
                "\r",
                "\n",
                "\r\n",
                " ",
                "MAIL",
                "<",
                ">",
                "@",
                "GET / HTTP/1.1\r\n",
                "\x16\x03\x01",
                "\xff",
                "xxxxxxxxxxxxxxxxxxxxxxxx",
                "[IPv6:::1]",
                "\"",
                "\\",
                "EHLO ",
                "RCPT TO:",
                "VRFY x\r\n",
                "FOO\r\n",
        };
        static struct trace whole, cut;
        static uint8_t in[6000];

        for (uint32_t round = 1; round <= 400; round++) {
                uint32_t seed = round * 2654435761u;
                size_t len = 0;
                size_t pieces[] = { 1, 2, 7, 100, 600 };

                while (len < 3000) {
                        const char *word = words[next_random(&seed) % ARRAY_LEN(words)];
                        size_t times = next_random(&seed) % 40 ? 1 : next_random(&seed) % 40;

                        for (size_t i = 0; i < times; i++) {
                                memcpy(in + len, word, strlen(word));
                                len += strlen(word);
                        }
                }
                run(&whole, in, len, len);
                assert_true(whole.n > 0);
                for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
                        run(&cut, in, len, pieces[i]);
                        if (memcmp(&whole, &cut, sizeof(whole)) != 0)
                                print_message("  seed %u, pieces of %zu\n", round, pieces[i]);
                        assert_memory_equal(&whole, &cut, sizeof(whole));
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_before_greeting),
                cmocka_unit_test(test_decisions),
                cmocka_unit_test(test_nothing_while_a_decision_waits),
                cmocka_unit_test(test_calls_out_of_place),
                cmocka_unit_test(test_data_end),
                cmocka_unit_test(test_action_fields),
                cmocka_unit_test(test_faults),
                cmocka_unit_test(test_early),
                cmocka_unit_test(test_progress),
                cmocka_unit_test(test_endless_rcpt),
                cmocka_unit_test(test_many_refused_rcpts),
                cmocka_unit_test(test_any_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
