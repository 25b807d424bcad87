/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of SMTP towards a backend: scripts of what it says and what we say, for each identity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/relay/dialogue.h"
#include "dataplane/shared/bug.h"

static struct dialogue_identity identity_for(enum image_identity mode, const char *client, const char *helo,
                                             const char *host)
{
        struct dialogue_identity identity = {
                .mode = mode,
                .client_port = 4711,
                .front_port = 25,
                .is_ehlo = true,
                .helo = helo,
                .host = host,
                .hostname = "mx.greyline.test",
        };

        assert_int_equal(addr_parse(client, &identity.client), 0);
        assert_int_equal(addr_parse("198.18.0.25", &identity.front), 0);
        return identity;
}

/* Feed bytes in pieces of `cut`; what we said meanwhile is appended to out. Returns the last event that says something. */
static enum dialogue_event feed(struct dialogue *dialogue, const struct dialogue_identity *identity, const char *bytes,
                                size_t cut, char *out, enum dialogue_step *ret_step)
{
        enum dialogue_event last = DIALOGUE_EV_MORE;
        size_t len = strlen(bytes), at = 0;

        while (at < len) {
                size_t part = MIN(cut, len - at), used = 0, said;
                enum dialogue_step step;
                enum dialogue_event event =
                    dialogue_input(dialogue, identity, (const uint8_t *)bytes + at, part, &used, &step);
                const char *reply = dialogue_out(dialogue, &said);

                strncat(out, reply, said);
                if (event != DIALOGUE_EV_MORE) {
                        last = event;
                        *ret_step = step;
                }
                if (used == 0 && event == DIALOGUE_EV_MORE)
                        fail_msg("no progress at %zu", at);
                at += used;
        }
        return last;
}

#define EHLO_PLAIN   "250-back\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"
#define EHLO_XCLIENT "250-back\r\n250-XCLIENT NAME ADDR PORT PROTO HELO\r\n250 PIPELINING\r\n"

static void test_opening(void **state)
{
        static const struct {
                const char *name;
                enum image_identity mode;
                const char *client, *helo, *host;
                const char *backend; /* everything it says */
                const char *want_said;
                enum dialogue_event want;
                bool want_known;
        } cases[] = {
                { "none", IMAGE_IDENTITY_NONE, "192.0.2.1", "c.test", "", "220 hi\r\n" EHLO_PLAIN,
                  "EHLO mx.greyline.test\r\n", DIALOGUE_EV_READY, true },
                { "none: banner refuses us", IMAGE_IDENTITY_NONE, "192.0.2.1", "c.test", "", "554 no\r\n", "",
                  DIALOGUE_EV_REFUSED, false },
                { "none: EHLO refuses us", IMAGE_IDENTITY_NONE, "192.0.2.1", "c.test", "", "220 hi\r\n550 no\r\n",
                  "EHLO mx.greyline.test\r\n", DIALOGUE_EV_REFUSED, false },
                { "xclient", IMAGE_IDENTITY_XCLIENT, "192.0.2.1", "c.test", "host.c.test",
                  "220 hi\r\n" EHLO_XCLIENT "220 again\r\n" EHLO_PLAIN,
                  "EHLO mx.greyline.test\r\n"
                  "XCLIENT ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP NAME=host.c.test HELO=c.test\r\n"
                  "EHLO c.test\r\n",
                  DIALOGUE_EV_READY, true },
                { "xclient: IPv6, no name, xtext", IMAGE_IDENTITY_XCLIENT, "2001:2::1", "a+b=c", "",
                  "220 hi\r\n" EHLO_XCLIENT "220 again\r\n" EHLO_PLAIN,
                  "EHLO mx.greyline.test\r\n"
                  "XCLIENT ADDR=IPV6:2001:2::1 PORT=4711 PROTO=ESMTP NAME=[UNAVAILABLE] HELO=a+2Bb+3Dc\r\n"
                  "EHLO a+b=c\r\n",
                  DIALOGUE_EV_READY, true },
                { "xclient: not offered, so never as ourselves", IMAGE_IDENTITY_XCLIENT, "192.0.2.1", "c.test", "",
                  "220 hi\r\n" EHLO_PLAIN, "EHLO mx.greyline.test\r\n", DIALOGUE_EV_REFUSED, false },
                { "xclient: refused is our fault", IMAGE_IDENTITY_XCLIENT, "192.0.2.1", "c.test", "",
                  "220 hi\r\n" EHLO_XCLIENT "550 insufficient authorization\r\n",
                  "EHLO mx.greyline.test\r\nXCLIENT ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP NAME=[UNAVAILABLE] HELO=c.test\r\n",
                  DIALOGUE_EV_REFUSED, false },
                { "xclient: the client is refused", IMAGE_IDENTITY_XCLIENT, "192.0.2.1", "c.test", "",
                  "220 hi\r\n" EHLO_XCLIENT "220 again\r\n550 not you\r\n",
                  "EHLO mx.greyline.test\r\nXCLIENT ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP NAME=[UNAVAILABLE] HELO=c.test\r\n"
                  "EHLO c.test\r\n",
                  DIALOGUE_EV_REFUSED, true },
                { "garbage", IMAGE_IDENTITY_NONE, "192.0.2.1", "c.test", "", "HTTP/1.1 400 what\r\n", "",
                  DIALOGUE_EV_GARBAGE, false },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                for (size_t cut = 1; cut < 200; cut += cut < 3 ? 1 : 61) {
                        struct dialogue_identity identity =
                            identity_for(cases[i].mode, cases[i].client, cases[i].helo, cases[i].host);
                        static struct dialogue dialogue;
                        char said[4096] = "";
                        enum dialogue_step step = DIALOGUE_STEP_NONE;
                        enum dialogue_event got;

                        dialogue_open(&dialogue, &identity);
                        got = feed(&dialogue, &identity, cases[i].backend, cut, said, &step);
                        if (got != cases[i].want || strcmp(said, cases[i].want_said) != 0 ||
                            (got != DIALOGUE_EV_GARBAGE &&
                             dialogue_is_known(&dialogue, cases[i].mode) != cases[i].want_known))
                                fail_msg("%s, cut %zu: event %d, said:\n%s", cases[i].name, cut, got, said);
                }
        }
}

static void test_proxy_header(void **state)
{
        static const struct {
                const char *client;
                uint8_t want_family;
                uint8_t want_len;
        } cases[] = { { "192.0.2.1", 0x11, 12 }, { "2001:2::1", 0x21, 36 } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct dialogue_identity identity =
                    identity_for(IMAGE_IDENTITY_PROXY, cases[i].client, "c.test", "");
                static struct dialogue dialogue;
                size_t len;
                const uint8_t *header;

                dialogue_open(&dialogue, &identity);
                header = (const uint8_t *)dialogue_out(&dialogue, &len);
                assert_int_equal(len, 16 + cases[i].want_len);
                assert_memory_equal(header, "\r\n\r\n\0\r\nQUIT\n", 12);
                assert_int_equal(header[12], 0x21);
                assert_int_equal(header[13], cases[i].want_family);
                assert_int_equal(header[14] << 8 | header[15], cases[i].want_len);
                /* source port, then destination port */
                assert_int_equal(header[len - 4] << 8 | header[len - 3], 4711);
                assert_int_equal(header[len - 2] << 8 | header[len - 1], 25);
        }
}

static struct smtp_path path_of(const char *text)
{
        struct smtp_path path;
        size_t used;

        assert_int_equal(smtp_path_parse(text, strlen(text), SMTP_PATH_MAY_BE_NULL, &path, &used), SMTP_PATH_OK);
        return path;
}

static void open_plain(struct dialogue *dialogue, struct dialogue_identity *identity, const char *ehlo)
{
        char said[4096] = "", backend[512];
        enum dialogue_step step;

        *identity = identity_for(IMAGE_IDENTITY_NONE, "192.0.2.1", "c.test", "");
        dialogue_open(dialogue, identity);
        snprintf(backend, sizeof(backend), "220 hi\r\n%s", ehlo);
        assert_int_equal(feed(dialogue, identity, backend, 1000, said, &step), DIALOGUE_EV_READY);
}

static void test_transaction(void **state)
{
        static struct dialogue dialogue;
        struct dialogue_identity identity;
        struct smtp_path sender = path_of("<a@s.test>"), recipient = path_of("<b@example.org>");
        struct dialogue_mail mail = { .sender = &sender, .has_size = true, .size = 99, .has_body = true, .is_8bit = true };
        enum dialogue_step step;
        char said[4096] = "";
        const char *out;
        size_t len;

        open_plain(&dialogue, &identity, EHLO_PLAIN);
        assert_true(dialogue_may_take(&dialogue, true, true));
        assert_true(dialogue_mail(&dialogue, &mail, &recipient));
        out = dialogue_out(&dialogue, &len);
        assert_memory_equal(out, "MAIL FROM:<a@s.test> SIZE=99 BODY=8BITMIME\r\nRCPT TO:<b@example.org>\r\n", len);
        assert_int_equal(feed(&dialogue, &identity, "250 ok\r\n", 3, said, &step), DIALOGUE_EV_REPLY);
        assert_int_equal(step, DIALOGUE_STEP_MAIL);
        assert_int_equal(feed(&dialogue, &identity, "550 5.1.1 who\r\n", 3, said, &step), DIALOGUE_EV_REPLY);
        assert_int_equal(step, DIALOGUE_STEP_RCPT);
        assert_int_equal(dialogue.answer.code, 550);
        assert_string_equal(dialogue.answer.text, "5.1.1 who");
        dialogue_data(&dialogue);
        dialogue_out(&dialogue, &len);
        assert_int_equal(feed(&dialogue, &identity, "354 go\r\n", 1, said, &step), DIALOGUE_EV_REPLY);
        assert_int_equal(step, DIALOGUE_STEP_DATA);
        dialogue_end(&dialogue);
        assert_int_equal(feed(&dialogue, &identity, "250 2.0.0 queued\r\n", 1, said, &step), DIALOGUE_EV_REPLY);
        assert_int_equal(step, DIALOGUE_STEP_END);
        /* What answers nothing is garbage, whatever it says. */
        assert_int_equal(feed(&dialogue, &identity, "250 2.0.0 queued\r\n", 99, said, &step), DIALOGUE_EV_GARBAGE);
        assert_string_equal(said, "");
}

static void test_without_extensions(void **state)
{
        static struct dialogue dialogue;
        struct dialogue_identity identity;
        struct smtp_path sender = path_of("<>"), recipient = path_of("<b@example.org>");
        struct dialogue_mail mail = { .sender = &sender };
        const char *out;
        size_t len;

        open_plain(&dialogue, &identity, "250 back\r\n");
        assert_false(dialogue_may_take(&dialogue, true, false));
        assert_false(dialogue_may_take(&dialogue, false, true));
        assert_true(dialogue_may_take(&dialogue, false, false));
        assert_false(dialogue_mail(&dialogue, &mail, &recipient));
        out = dialogue_out(&dialogue, &len);
        assert_int_equal(len, 14);
        assert_memory_equal(out, "MAIL FROM:<>\r\n", 14);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_opening),
                cmocka_unit_test(test_proxy_header),
                cmocka_unit_test(test_transaction),
                cmocka_unit_test(test_without_extensions),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
