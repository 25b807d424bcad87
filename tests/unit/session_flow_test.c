/* SPDX-License-Identifier: Apache-2.0 */
/* Whole sessions with a backend that does what it should: what clients see, and what arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/session_rig.h"

#define POLICY(greet, extra)                                                                                 \
        IMAGE_RIG_SITE "listeners: [{name: mx, front: [198.18.0.25], greet_delay: " greet "}]\n"            \
        "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10}]},\n"                           \
        "        other: {identity: none, servers: [{address: 198.19.0.11}]}}\n"                             \
        "domains: {example.org: {pool: main}, example.net: {pool: other}, open.org: {pool: main, policy: open}}\n"                       \
        "zones: [{zone: bl.test, smtp_blocking: true}, {zone: score.test, score: 12}]\n"                     \
        "networks: {deny: [198.18.66.0/24], trusted: [198.18.90.0/24]}\n"                                    \
        "limits: {connections_per_network: 3}\n"                                                             \
        "policies:\n"                                                                                        \
        "  default:\n"                                                                                       \
        "    greylist: {block: 4m, window: 360m}\n"                                                          \
        "    reverse_dns: {missing: reject, unconfirmed: score}\n"                                           \
        "    pregreet: {action: reject}\n" extra                                                             \
        "  open: {greylist: {enabled: false}, bare_newline: reject}\n"

#define NO_DELAY POLICY("0s", "")

static void hello(struct rig *rig, struct rig_client *c)
{
        rig_expect(rig, c, "220 mx.greyline.test ESMTP");
        rig_say(rig, c, "EHLO c.test\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
}

static void mail(struct rig *rig, struct rig_client *c, const char *recipient, const char *want)
{
        char line[256];

        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\n");
        rig_expect(rig, c, "250 2.1.0");
        snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", recipient);
        rig_say(rig, c, line);
        rig_expect(rig, c, want);
}

static void test_greylist(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c;

        rig_know(rig, "198.18.1.1", 0, CLIENT_PTR_CONFIRMED);
        c = rig_connect(rig, "198.18.1.1");
        hello(rig, c);
        mail(rig, c, "u@example.org", "451 4.7.1 Greylisted, please try again in 240 seconds [");
        rig_pass(rig, 100 * 1000000ull);
        rig_say(rig, c, "RCPT TO:<u@example.org>\r\n");
        rig_expect(rig, c, "451 4.7.1 Greylisted, please try again in 140 seconds [");
        /* Another recipient has a wait of its own. */
        rig_say(rig, c, "RCPT TO:<v@example.org>\r\n");
        rig_expect(rig, c, "451 4.7.1 Greylisted, please try again in 240 seconds [");
        rig_pass(rig, 140 * 1000000ull);
        rig_say(rig, c, "RCPT TO:<u@example.org>\r\nRCPT TO:<v@example.org>\r\n");
        rig_expect(rig, c, "250 2.1.5");
        rig_expect(rig, c, "451 4.7.1 Greylisted, please try again in 100 seconds [");
        rig_say(rig, c, "DATA\r\n");
        rig_expect(rig, c, "354 ");
        rig_say(rig, c, "Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
        rig_expect(rig, c, "250 2.0.0 kept");
        rig_expect(rig, c, "221 ");
        assert_int_equal(c->end, RIG_EOF);
        assert_int_equal(rig->kept, 1);
        assert_int_equal(rig->kept_len, strlen("Subject: x\r\n\r\n..dot\r\n"));
        assert_memory_equal(rig->kept_data, "Subject: x\r\n\r\n..dot\r\n", rig->kept_len);
        assert_non_null(strstr(rig->kept_log, "XCLIENT ADDR=198.18.1.1 PORT="));
        assert_non_null(strstr(rig->kept_log, "NAME=host.client.test HELO=c.test\n"));
        /* Known from now on, for this recipient. */
        c = rig_connect(rig, "198.18.1.77");
        rig_know(rig, "198.18.1.77", 0, CLIENT_PTR_CONFIRMED);
        hello(rig, c);
        mail(rig, c, "u@example.org", "250 2.1.5");
        rig_quiet(rig);
        rig_free(rig);
}

static void test_verdicts_at_rcpt(void **state)
{
        static const struct {
                const char *client;
                uint32_t listed;
                enum client_ptr ptr;
                const char *recipient, *want;
        } cases[] = {
                { "198.18.2.1", 1, CLIENT_PTR_CONFIRMED, "u@example.org",
                  "554 5.7.1 Sending address not accepted due to spam filter" },
                { "198.18.2.2", 0, CLIENT_PTR_NONE, "u@example.org",
                  "554 5.7.1 Sending address not accepted due to spam filter" },
                { "198.18.2.3", 1, CLIENT_PTR_CONFIRMED, "u@elsewhere.test", "550 5.7.1 <u@elsewhere.test>: relaying denied" },
                { "198.18.2.4", 0, CLIENT_PTR_CONFIRMED, "u%elsewhere.test@example.org", "550 5.7.1" },
                { "198.18.2.5", 2, CLIENT_PTR_UNCONFIRMED, "u@open.org", "250 2.1.5" },
                { "198.18.90.1", 1, CLIENT_PTR_NONE, "u@example.org", "250 2.1.5" },
                { "198.18.90.1", 1, CLIENT_PTR_NONE, "u@elsewhere.test", "550 5.7.1" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig *rig = rig_new(NO_DELAY);
                struct rig_client *c;

                rig_know(rig, cases[i].client, cases[i].listed, cases[i].ptr);
                c = rig_connect(rig, cases[i].client);
                hello(rig, c);
                mail(rig, c, cases[i].recipient, cases[i].want);
                rig_quiet(rig);
                rig_free(rig);
        }
}

static void test_lists_and_limits_at_connect(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c = rig_connect(rig, "198.18.66.1"), *same[4];

        rig_expect(rig, c, "554 5.7.1 Mail from 198.18.66.1 is not accepted");
        assert_int_equal(c->end, RIG_OPEN); /* held until QUIT (RFC 5321 3.1) */
        rig_say(rig, c, "EHLO c.test\r\n");
        rig_expect(rig, c, "503 ");
        rig_say(rig, c, "QUIT\r\n");
        rig_expect(rig, c, "221 ");
        assert_int_equal(c->end, RIG_EOF);
        for (unsigned i = 0; i < 4; i++)
                same[i] = rig_connect(rig, "198.18.7.1");
        for (unsigned i = 0; i < 3; i++)
                rig_expect(rig, same[i], "220 ");
        rig_expect(rig, same[3], "421 4.7.0 mx.greyline.test Too many connections");
        assert_int_equal(same[3]->end, RIG_EOF);
        rig_say(rig, same[0], "QUIT\r\n");
        c = rig_connect(rig, "198.18.7.1");
        rig_expect(rig, c, "220 ");
        rig_quiet(rig);
        rig_free(rig);
}

static void test_greet_delay(void **state)
{
        struct rig *rig = rig_new(POLICY("2s", ""));
        struct rig_client *patient, *early, *trusted;

        rig_know(rig, "198.18.3.1", 0, CLIENT_PTR_CONFIRMED);
        patient = rig_connect(rig, "198.18.3.1");
        early = rig_connect(rig, "198.18.3.2");
        trusted = rig_connect(rig, "198.18.90.2");
        rig_expect(rig, trusted, "220 ");
        rig_pass(rig, 1000000);
        assert_null(rig_reply(patient));
        rig_say(rig, early, "EHLO c.test\r\n");
        rig_expect(rig, early, "554 5.5.1 Protocol error: data received before the greeting");
        assert_null(rig_reply(patient));
        rig_pass(rig, 1100000);
        hello(rig, patient);
        rig_quiet(rig);
        rig_free(rig);
}

static void take_question(struct rig *rig, struct msg_ask *ret)
{
        struct ring reader;
        const void *slot;

        assert_int_equal(
            ring_attach_reader(&reader, link_ask_ring(&rig->link, 0), LINK_ASK_SLOTS, sizeof(struct msg_ask)), 0);
        slot = ring_read_slot(&reader);
        if (slot == NULL)
                fail_msg("no question was asked");
        memcpy(ret, slot, sizeof(*ret));
        ring_read_release(&reader);
}

static bool has_question(struct rig *rig)
{
        struct ring reader;

        assert_int_equal(
            ring_attach_reader(&reader, link_ask_ring(&rig->link, 0), LINK_ASK_SLOTS, sizeof(struct msg_ask)), 0);
        return ring_read_slot(&reader) != NULL;
}

/* A recipient waits for the answers, is judged when they come, and not later than the deadline. */
static void test_answers(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c = rig_connect(rig, "198.18.4.1"), *same = rig_connect(rig, "198.18.4.1");
        struct rig_client *late = rig_connect(rig, "198.18.4.2");
        struct msg_answer answer = { .kind = MSG_ANSWER_CLIENT };
        struct msg_ask ask;

        take_question(rig, &ask);
        answer.client = rig_addr("198.18.4.1");
        assert_true(addr_is_equal(&ask.client, &answer.client));
        take_question(rig, &ask);
        assert_false(has_question(rig)); /* one for each address */
        hello(rig, c);
        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\nRCPT TO:<u@example.org>\r\nNOOP\r\n");
        rig_expect(rig, c, "250 2.1.0");
        assert_null(rig_reply(c));
        hello(rig, same);
        hello(rig, late);
        rig_say(rig, late, "MAIL FROM:<a@s.test>\r\nRCPT TO:<u@example.org>\r\n");
        rig_expect(rig, late, "250 2.1.0");
        rig_know(rig, "198.18.4.1", 1, CLIENT_PTR_CONFIRMED);
        sessions_begin(rig->sessions, &rig->runtime, false, rig->now_us, rig->wall_us);
        sessions_answer(rig->sessions, &answer);
        rig_pump(rig);
        rig_expect(rig, c, "554 5.7.1");
        rig_expect(rig, c, "250 2.0.0");
        assert_null(rig_reply(late));
        rig_pass(rig, 4900000);
        assert_null(rig_reply(late));
        rig_pass(rig, 200000);
        rig_expect(rig, late, "451 4.7.1 Greylisted");
        assert_int_equal(rig->counters[0][COUNTER_answers_late], 1);
        /* Messages from control that make no sense change nothing. */
        answer.kind = 77;
        sessions_answer(rig->sessions, &answer);
        assert_int_equal(rig->counters[0][COUNTER_answers_bad], 1);
        rig_quiet(rig);
        rig_free(rig);
}

/* Several transactions, several recipients, two pools, all pipelined. */
static void test_transactions(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c = rig_connect(rig, "198.18.90.5");

        hello(rig, c);
        rig_say(rig, c, "MAIL FROM:<a@s.test>\r\nRCPT TO:<u@example.org>\r\nRCPT TO:<v@elsewhere.test>\r\n"
                        "RCPT TO:<w@example.org>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n");
        rig_expect(rig, c, "250 2.1.0");
        rig_expect(rig, c, "250 2.1.5");
        rig_expect(rig, c, "550 5.7.1");
        rig_expect(rig, c, "250 2.1.5");
        rig_expect(rig, c, "452 4.5.3"); /* another pool: in a message of its own */
        rig_expect(rig, c, "354 ");
        rig_say(rig, c, "one\r\n.\r\nMAIL FROM:<b@s.test>\r\nRCPT TO:<u@example.org>\r\nRSET\r\n"
                        "MAIL FROM:<c@s.test>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n");
        rig_expect(rig, c, "250 2.0.0 kept");
        assert_int_equal(rig->kept, 1);
        rig_expect(rig, c, "250 2.1.0");
        rig_expect(rig, c, "250 2.1.5");
        rig_expect(rig, c, "250 2.0.0");
        rig_expect(rig, c, "250 2.1.0");
        rig_expect(rig, c, "250 2.1.5");
        rig_expect(rig, c, "354 ");
        rig_say(rig, c, ".\r\nQUIT\r\n");
        rig_expect(rig, c, "250 2.0.0 kept");
        rig_expect(rig, c, "221 ");
        assert_int_equal(rig->kept, 2);
        assert_int_equal(rig->kept_len, 0);
        assert_non_null(strstr(rig->kept_log, "MAIL FROM:<c@s.test>\nRCPT TO:<x@example.net>\nDATA\n"));
        rig_quiet(rig);
        rig_free(rig);
}

static char *random_message(size_t lines, size_t *ret_len)
{
        char *text = malloc(lines * 80 + 16);
        size_t len = 0;
        unsigned x = 7;

        for (size_t i = 0; i < lines; i++) {
                size_t line = (x = x * 1103515245u + 12345u) >> 16 & 63;

                for (size_t k = 0; k < line; k++)
                        text[len++] = (char)('!' + ((x = x * 1103515245u + 12345u) >> 16) % 90);
                if (line > 0 && text[len - line] == '.')
                        text[len - line] = ',';
                memcpy(text + len, "\r\n", 2);
                len += 2;
        }
        *ret_len = len;
        return text;
}

/* Any size arrives byte for byte, in bounded memory: the client's window closes while the backend is slow. */
static void test_large_message(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c = rig_connect(rig, "198.18.90.6");
        size_t len;
        char *message = random_message(100000, &len);

        hello(rig, c);
        mail(rig, c, "u@example.org", "250 2.1.5");
        rig_say(rig, c, "DATA\r\n");
        rig_expect(rig, c, "354 ");
        rig_say_bytes(rig, c, message, len);
        rig_say(rig, c, ".\r\n");
        rig_pass(rig, 1000000);
        rig_expect(rig, c, "250 2.0.0 kept");
        assert_int_equal(rig->kept_len, len);
        assert_memory_equal(rig->kept_data, message, len);
        free(message);
        rig_quiet(rig);
        rig_free(rig);
}

/* What is no CR LF . CR LF ends nothing, and never reaches a backend as it is. */
static void test_smuggling(void **state)
{
        static const char *const ends[] = { "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n\0.\r\n" };

        for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
                for (int normalize = 0; normalize < 2; normalize++) {
                        struct rig *rig = rig_new(normalize ? POLICY("0s", "    bare_newline: normalize\n")
                                                            : POLICY("0s", "    bare_newline: reject\n"));
                        struct rig_client *c = rig_connect(rig, "198.18.90.7");
                        char message[256];
                        size_t end_len = i == 6 ? 6 : strlen(ends[i]);
                        int len = snprintf(message, sizeof(message), "one\r\ntwo");

                        memcpy(message + len, ends[i], end_len);
                        len += (int)end_len;
                        len += snprintf(message + len, sizeof(message) - (size_t)len,
                                        "MAIL FROM:<evil@s.test>\r\nRCPT TO:<u@example.org>\r\nDATA\r\nevil\r\n.\r\n");
                        hello(rig, c);
                        mail(rig, c, "u@example.org", "250 2.1.5");
                        rig_say(rig, c, "DATA\r\n");
                        rig_expect(rig, c, "354 ");
                        rig_say_bytes(rig, c, message, (size_t)len);
                        rig_expect(rig, c, normalize ? "250 2.0.0 kept" : "550 5.5.2");
                        assert_null(rig_reply(c)); /* one message, one reply */
                        assert_int_equal(rig->kept, normalize);
                        for (size_t k = 0; k < rig->kept_len; k++) {
                                char at = rig->kept_data[k];

                                if ((at == '\n' && (k == 0 || rig->kept_data[k - 1] != '\r')) || at == '\0' ||
                                    (at == '\r' && (k + 1 == rig->kept_len || rig->kept_data[k + 1] != '\n')))
                                        fail_msg("case %u: not canonical at %zu", i, k);
                        }
                        rig_say(rig, c, "NOOP\r\n");
                        rig_expect(rig, c, "250 2.0.0");
                        rig_quiet(rig);
                        rig_free(rig);
                }
        }
}

/* A client that leaves before its final dot leaves nothing; one that leaves after it leaves a message, and a word in the log. */
static void test_client_leaves(void **state)
{
        for (int with_dot = 0; with_dot < 2; with_dot++) {
                for (int orderly = 0; orderly < 2; orderly++) {
                        struct rig *rig = rig_new(NO_DELAY);
                        struct rig_client *c = rig_connect(rig, "198.18.90.8");

                        hello(rig, c);
                        mail(rig, c, "u@example.org", "250 2.1.5");
                        rig_say(rig, c, "DATA\r\n");
                        rig_expect(rig, c, "354 ");
                        rig_say(rig, c, "half a message\r\n");
                        if (with_dot && !tcp_send_copy(rig->client_tcp, c->conn, ".\r\n", 3))
                                fail_msg("no room");
                        if (orderly)
                                tcp_close(rig->client_tcp, c->conn);
                        else if (!with_dot)
                                tcp_abort(rig->client_tcp, c->conn);
                        c->is_used = false;
                        rig_pass(rig, 1000000);
                        assert_int_equal(rig->kept, with_dot);
                        rig_quiet(rig);
                        rig_free(rig);
                }
        }
}

static void test_timeouts(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *silent = rig_connect(rig, "198.18.90.9"), *stops = rig_connect(rig, "198.18.90.10");

        hello(rig, silent);
        hello(rig, stops);
        mail(rig, stops, "u@example.org", "250 2.1.5");
        rig_say(rig, stops, "DATA\r\n");
        rig_expect(rig, stops, "354 ");
        rig_say(rig, stops, "half\r\n");
        rig_pass(rig, 1200ull * 1000000);
        rig_expect(rig, silent, "421 4.4.2");
        rig_expect(rig, stops, "421 4.4.2");
        assert_int_equal(rig->kept, 0);
        rig_quiet(rig);
        rig_free(rig);
}

/*
 * A message obeys the strictest policy of the recipients that were accepted, and its record names one of them: not
 * who was named last and refused, whose policy anybody could borrow. The default policy makes bare LF canonical
 * here, that of open.org refuses it.
 */
static void test_message_of_the_accepted(void **state)
{
        static const struct {
                const char *client, *recipients[2], *want[2], *want_end, *want_recorded;
        } cases[] = {
                { "198.18.90.7", { "u@example.org" }, { "250 " }, "250 2.0.0 kept", "u@example.org" },
                { "198.18.90.7", { "u@open.org" }, { "250 " }, "550 5.5.2", "u@open.org" },
                { "198.18.90.7", { "u@open.org", "u@example.org" }, { "250 ", "250 " }, "550 5.5.2", "u@example.org" },
                { "198.18.90.7", { "u@example.org", "u@open.org" }, { "250 ", "250 " }, "550 5.5.2", "u@open.org" },
                { "198.18.1.1", { "u@open.org", "u@example.org" }, { "250 ", "451 " }, "550 5.5.2", "u@open.org" },
                { "198.18.90.7", { "u@open.org", "u@evil.test" }, { "250 ", "550 " }, "550 5.5.2", "u@open.org" },
                { "198.18.90.7", { "u@example.org", "u@evil.test" }, { "250 ", "550 " }, "250 2.0.0 kept", "u@example.org" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig *rig = rig_new(POLICY("0s", "    bare_newline: normalize\n"));
                struct ring reader;
                struct rig_client *c;
                const struct msg_log *log;
                char line[128], got[128] = "";

                rig_know(rig, cases[i].client, 0, CLIENT_PTR_CONFIRMED);
                c = rig_connect(rig, cases[i].client);
                hello(rig, c);
                rig_say(rig, c, "MAIL FROM:<a@s.test>\r\n");
                rig_expect(rig, c, "250 2.1.0");
                for (unsigned k = 0; k < ARRAY_LEN(cases[i].recipients) && cases[i].recipients[k]; k++) {
                        snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", cases[i].recipients[k]);
                        rig_say(rig, c, line);
                        rig_expect(rig, c, cases[i].want[k]);
                }
                rig_say(rig, c, "DATA\r\n");
                rig_expect(rig, c, "354 ");
                rig_say(rig, c, "one\ntwo\r\n.\r\n");
                rig_expect(rig, c, cases[i].want_end);
                assert_int_equal(ring_attach_reader(&reader, link_log_ring(&rig->link, 0), LINK_LOG_SLOTS,
                                                    sizeof(struct msg_log)), 0);
                while ((log = ring_read_slot(&reader)) != NULL) {
                        if (log->kind == MSG_LOG_DATA)
                                snprintf(got, sizeof(got), "%.*s", log->recipient_len,
                                         (const char *)log->text + log->helo_len + log->sender_len);
                        ring_read_release(&reader);
                }
                if (strcmp(got, cases[i].want_recorded) != 0)
                        fail_msg("case %u: recorded %s", i, got);
                rig_quiet(rig);
                rig_free(rig);
        }
}

/* A message that drips in so slowly that it would never end is cut off, as is one that never ends after a refusal. */
static void test_message_without_end(void **state)
{
        struct rig *rig = rig_new(POLICY("0s", "    bare_newline: reject\n"));
        struct rig_client *drips = rig_connect(rig, "198.18.90.14"), *endless = rig_connect(rig, "198.18.90.15");
        static char lines[1 << 16];
        unsigned minutes;

        hello(rig, drips);
        mail(rig, drips, "u@example.org", "250 2.1.5");
        rig_say(rig, drips, "DATA\r\n");
        rig_expect(rig, drips, "354 ");
        for (minutes = 0; minutes < 60 && drips->end == RIG_OPEN; minutes++) {
                rig_say(rig, drips, "x");
                rig_pass(rig, 60000000);
        }
        rig_expect(rig, drips, "421 4.4.2");
        assert_int_equal(rig->kept, 0);

        hello(rig, endless);
        mail(rig, endless, "u@example.org", "250 2.1.5");
        rig_say(rig, endless, "DATA\r\n");
        rig_expect(rig, endless, "354 ");
        rig_say(rig, endless, "bare\nnewline\r\n");
        memset(lines, 'x', sizeof(lines));
        for (unsigned i = 0; i < 4000 && endless->end == RIG_OPEN; i++)
                rig_say_bytes(rig, endless, lines, sizeof(lines));
        assert_int_not_equal(endless->end, RIG_OPEN);
        rig_expect(rig, endless, "550 5.5.2"); /* told before it has ended, or it would come again for days */
        rig_quiet(rig);
        rig_free(rig);
}

/* A push in the middle: the next recipient is judged by the new policy, the open message goes its way. */
static void test_policy_push(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *c = rig_connect(rig, "198.18.90.11"), *open = rig_connect(rig, "198.18.90.12");

        hello(rig, c);
        hello(rig, open);
        mail(rig, open, "u@example.org", "250 2.1.5");
        rig_say(rig, open, "DATA\r\n");
        rig_expect(rig, open, "354 ");
        rig_say(rig, open, "before\r\n");
        mail(rig, c, "u@new.org", "550 5.7.1");
        rig_policy(rig, POLICY("0s", "") "  late: {inherit: open}\n", 2);
        rig_policy(rig,
                   IMAGE_RIG_SITE "listeners: [{name: mx, front: [198.18.0.25]}]\n"
                                  "pools: {main: {servers: [{address: 198.19.0.10}]}}\n"
                                  "domains: {new.org: {pool: main}}\n",
                   3);
        rig_pump(rig);
        rig_say(rig, c, "RCPT TO:<u@new.org>\r\n");
        rig_expect(rig, c, "250 2.1.5");
        rig_say(rig, open, "after\r\n.\r\n");
        rig_expect(rig, open, "250 2.0.0 kept");
        assert_memory_equal(rig->kept_data, "before\r\nafter\r\n", rig->kept_len);
        rig_quiet(rig);
        rig_free(rig);
}

static void test_draining(void **state)
{
        struct rig *rig = rig_new(NO_DELAY);
        struct rig_client *before = rig_connect(rig, "198.18.90.13"), *after;

        hello(rig, before);
        rig->draining = true;
        after = rig_connect(rig, "198.18.90.13");
        rig_expect(rig, after, "421 4.3.2");
        mail(rig, before, "u@example.org", "250 2.1.5");
        rig_quiet(rig);
        rig_free(rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_greylist),
                cmocka_unit_test(test_verdicts_at_rcpt),
                cmocka_unit_test(test_lists_and_limits_at_connect),
                cmocka_unit_test(test_greet_delay),
                cmocka_unit_test(test_answers),
                cmocka_unit_test(test_transactions),
                cmocka_unit_test(test_large_message),
                cmocka_unit_test(test_smuggling),
                cmocka_unit_test(test_message_of_the_accepted),
                cmocka_unit_test(test_client_leaves),
                cmocka_unit_test(test_timeouts),
                cmocka_unit_test(test_message_without_end),
                cmocka_unit_test(test_policy_push),
                cmocka_unit_test(test_draining),
        };

        if (rig_eal() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
