/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STARTTLS in whole sessions, with an OpenSSL client at the other end of a simulated link: the order of things, mail
 * through TLS in any cut, injected commands, ends of every kind, bounds, certificates that change, handshakes that
 * wait for each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/session_secure.h"

static void test_mail(void **state)
{
        static const size_t pieces[] = { 0, 1, 100 };

        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
                        struct rig *rig = rig_secure(POLICY("offered"), 4);
                        struct secure s;

                        secure_ask(&s, rig, version);
                        s.piece = pieces[i];
                        exchange(&s);
                        secure_say(&s, "MAIL FROM:<a@client.test>\r\n");
                        rig_expect(rig, &s.plain, "503 5.5.1 Send HELO or EHLO first");
                        to_data(&s);
                        secure_say(&s, "Subject: x\r\n\r\nhello\r\n..dot\r\n.\r\n");
                        rig_expect(rig, &s.plain, "250 2.0.0 kept");
                        assert_int_equal(rig->kept, 1);
                        assert_int_equal(rig->kept_len, 28);
                        assert_memory_equal(rig->kept_data, "Subject: x\r\n\r\nhello\r\n..dot\r\n", 28);
                        secure_say(&s, "STARTTLS\r\n");
                        rig_expect(rig, &s.plain, "503 5.5.1 TLS is in use already");
                        secure_say(&s, "QUIT\r\n");
                        rig_expect(rig, &s.plain, "221");
                        assert_true(SSL_get_shutdown(s.tls.ssl) & SSL_RECEIVED_SHUTDOWN);
                        assert_int_equal(s.c->end, RIG_EOF);
                        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], 1);
                        tls_client_done(&s.tls);
                        rig_secure_free(rig);
                }
        }
}

/* A message of many records, larger than every buffer on the way, with a backend that gets it whole. */
static void test_long_message(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        size_t len = 0, at = 0;
        char *message = malloc(700000);
        struct secure s;

        for (unsigned i = 0; len < 600000; i++)
                len += (size_t)sprintf(message + len, "%s line %u of the message\r\n", i % 7 ? "a" : "..", i);
        secure_open(&s, rig, TLS1_3_VERSION);
        to_data(&s);
        while (at < len) {
                int part = (int)MIN(len - at, 30000u);

                assert_int_equal(SSL_write(s.tls.ssl, message + at, part), part);
                at += (size_t)part;
                exchange(&s);
                rig_pass(rig, 1000);
        }
        secure_say(&s, ".\r\n");
        rig_pass(rig, 1000000);
        exchange(&s);
        rig_expect(rig, &s.plain, "250 2.0.0 kept");
        assert_int_equal(rig->kept_len, len);
        assert_memory_equal(rig->kept_data, message, len);
        free(message);
        tls_client_done(&s.tls);
        rig_secure_free(rig);
}

/* What lies behind STARTTLS, in the same segment or before the handshake, never counts as said in TLS. */
static void test_injection(void **state)
{
        static const char *const injected[] = {
                "EHLO evil.test\r\n",
                "EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<b@example.org>\r\n",
                "x",
        };

        for (unsigned i = 0; i < sizeof(injected) / sizeof(injected[0]); i++) {
                struct rig *rig = rig_secure(POLICY("offered"), 4);
                struct secure s = { .rig = rig };
                char text[256];

                s.c = rig_connect(rig, CLIENT);
                rig_expect(rig, s.c, "220 ");
                rig_say(rig, s.c, "EHLO client.test\r\n");
                rig_expect(rig, s.c, "250 STARTTLS");
                snprintf(text, sizeof(text), "STARTTLS\r\n%s", injected[i]);
                rig_say(rig, s.c, text);
                rig_expect(rig, s.c, "220 2.0.0 ");
                assert_null(rig_reply(s.c));
                s.fed = s.c->len;
                tls_client_init(&s.tls, TLS1_3_VERSION, NULL);
                exchange(&s);
                assert_true(SSL_is_init_finished(s.tls.ssl));
                assert_int_equal(s.plain.len, 0); /* no answer to what was injected */
                secure_say(&s, "RCPT TO:<b@example.org>\r\n");
                rig_expect(rig, &s.plain, "503 5.5.1 Send HELO");
                assert_int_equal(rig->backends_used, 0);
                tls_client_done(&s.tls);
                rig_secure_free(rig);
        }
}

/* The same a moment later: it is the first thing that TLS sees, and no TLS. */
static void test_late_injection(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct secure s;

        secure_ask(&s, rig, TLS1_3_VERSION);
        rig_say(rig, s.c, "EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n");
        assert_int_equal(rig->counters[0][COUNTER_tls_fail_protocol], 1);
        assert_true(s.c->end != RIG_OPEN);
        assert_int_equal(sessions_open(rig->sessions), 0);
        tls_client_done(&s.tls);
        rig_secure_free(rig);
}

/* However TLS ends in the middle of a message, a command or nothing: no message, and the session is over. */
static void test_ends(void **state)
{
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                for (enum end end = END_FIN; end <= END_IN_RECORD; end++) {
                        for (unsigned stage = 0; stage < 3; stage++) {
                                struct rig *rig = rig_secure(POLICY("offered"), 4);
                                struct secure s;

                                secure_open(&s, rig, version);
                                if (stage == 1)
                                        to_data(&s);
                                if (stage == 1)
                                        secure_say(&s, "Subject: x\r\n\r\nhalf\r\n");
                                if (stage == 2)
                                        secure_say(&s, "EHLO cli");
                                end_with(&s, end);
                                assert_int_equal(rig->kept, 0);
                                assert_int_equal(sessions_open(rig->sessions), 0);
                                if (stage == 1)
                                        assert_int_equal(rig->counters[0][COUNTER_messages_accepted], 0);
                                if (end == END_ALTERED)
                                        assert_int_equal(rig->counters[0][COUNTER_tls_broken], 1);
                                if (end == END_FIN || end == END_IN_RECORD)
                                        assert_int_equal(rig->counters[0][COUNTER_tls_truncated], 1);
                                tls_client_done(&s.tls);
                                rig_secure_free(rig);
                        }
                }
        }
}

/* The whole message came, and the client cut the line: the backend's word counts, as in clear. */
static void test_end_after_dot(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct secure s;

        secure_open(&s, rig, TLS1_3_VERSION);
        to_data(&s);
        rig->fault_stage = RIG_STAGE_DOT;
        rig->fault = RIG_FAULT_HANG;
        secure_say(&s, "Subject: x\r\n\r\nwhole\r\n.\r\n");
        end_with(&s, END_RESET);
        assert_int_equal(sessions_open(rig->sessions), 1);
        tls_client_done(&s.tls);
        rig_secure_free(rig);
}

static void test_required(void **state)
{
        struct rig *rig = rig_secure(POLICY("required"), 4);
        struct secure s = { .rig = rig };
        struct tls_set *set = rig->runtime.tls[0];
        struct rig_client *c = rig_connect(rig, CLIENT);

        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO client.test\r\n");
        rig_expect(rig, c, "250 STARTTLS");
        rig_say(rig, c, "MAIL FROM:<a@client.test>\r\n");
        rig_expect(rig, c, "530 5.7.0 Must issue a STARTTLS command first");
        rig_say(rig, c, "NOOP\r\nQUIT\r\n");
        rig_expect(rig, c, "250 2.0.0");
        rig_expect(rig, c, "221");
        secure_open(&s, rig, TLS1_3_VERSION);
        to_data(&s);
        secure_say(&s, "\r\nx\r\n.\r\n");
        rig_expect(rig, &s.plain, "250 2.0.0 kept");
        tls_client_done(&s.tls);

        /* No certificate: for now. */
        rig->runtime.tls[0] = NULL;
        c = rig_connect(rig, CLIENT);
        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO client.test\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
        rig_say(rig, c, "MAIL FROM:<a@client.test>\r\n");
        rig_expect(rig, c, "454 4.7.0");
        rig->runtime.tls[0] = set;
        rig_secure_free(rig);
}

static void test_off(void **state)
{
        struct rig *rig = rig_secure(POLICY("'off'"), 4);
        struct rig_client *c = rig_connect(rig, CLIENT);

        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO client.test\r\nSTARTTLS\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
        rig_expect(rig, c, "502");
        rig_secure_free(rig);
}

/* A certificate that has run out is not offered. */
static void test_expired(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct tls_set *set = rig->runtime.tls[0];
        struct rig_client *c;

        rig->runtime.tls[0] = make_set("old");
        c = rig_connect(rig, CLIENT);
        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO client.test\r\nSTARTTLS\r\n");
        rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
        rig_expect(rig, c, "454 4.7.0");
        tls_set_give(rig->runtime.tls[0]);
        rig->runtime.tls[0] = set;
        rig_secure_free(rig);
}

/* All TLS connections in use: 454, and the client may go on in clear. */
static void test_bounded(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 2);
        struct secure s[2];
        struct rig_client *c;

        secure_open(&s[0], rig, TLS1_3_VERSION);
        secure_ask(&s[1], rig, TLS1_3_VERSION); /* a handshake that does not begin holds one too */
        c = rig_connect(rig, CLIENT);
        rig_expect(rig, c, "220 ");
        rig_say(rig, c, "EHLO client.test\r\n");
        rig_expect(rig, c, "250 STARTTLS");
        rig_say(rig, c, "STARTTLS\r\nMAIL FROM:<a@client.test>\r\n");
        rig_expect(rig, c, "454 4.7.0");
        rig_expect(rig, c, "250 2.1.0");
        assert_int_equal(rig->counters[0][COUNTER_tls_unavailable], 1);
        /* It is given up in time, and then there is room again. */
        rig_pass(rig, 31 * 1000000);
        assert_int_equal(rig->counters[0][COUNTER_tls_open], 1);
        rig_say(rig, c, "RSET\r\nSTARTTLS\r\n");
        rig_expect(rig, c, "250 2.0.0");
        rig_expect(rig, c, "220 2.0.0");
        tls_client_done(&s[0].tls);
        tls_client_done(&s[1].tls);
        rig_secure_free(rig);
}

/* Certificates are exchanged while a session is open: it goes on, the next one sees the new. */
static void test_certificates_change(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct secure s, next;

        secure_open(&s, rig, TLS1_3_VERSION);
        tls_set_give(rig->runtime.tls[0]);
        rig->runtime.tls[0] = make_set("new");
        to_data(&s);
        secure_say(&s, "\r\nx\r\n.\r\n");
        rig_expect(rig, &s.plain, "250 2.0.0 kept");
        secure_open(&next, rig, TLS1_3_VERSION);
        assert_int_equal(X509_check_host(SSL_get0_peer_certificate(s.tls.ssl), "mx.test", 0, 0, NULL), 1);
        assert_int_equal(X509_check_host(SSL_get0_peer_certificate(next.tls.ssl), "mx.new.test", 0, 0, NULL),
                         1);
        tls_client_done(&s.tls);
        tls_client_done(&next.tls);
        rig_secure_free(rig);
}

/* Twenty handshakes at once: a turn does a step of one, and answers the plain session in any case. */
static void test_handshakes_wait(void **state)
{
        enum { MANY = 20 };
        struct rig *rig = rig_secure(POLICY("offered"), MANY);
        static struct secure s[MANY];
        struct rig_client *plain = rig_connect(rig, "198.18.7.8");

        rig_expect(rig, plain, "220 ");
        for (unsigned i = 0; i < MANY; i++)
                secure_ask(&s[i], rig, TLS1_3_VERSION);
        for (unsigned i = 0; i < MANY; i++) {
                uint8_t hello[4096];
                int len;

                SSL_do_handshake(s[i].tls.ssl);
                len = BIO_read(s[i].tls.out, hello, sizeof(hello));
                assert_true(tcp_send_copy(rig->client_tcp, s[i].c->conn, hello, (uint32_t)len));
        }
        assert_true(tcp_send_copy(rig->client_tcp, plain->conn, "NOOP\r\n", 6));
        while (rig_deliver(rig, rig->client_tcp))
                ;
        for (unsigned turn = 1; turn <= MANY; turn++) {
                struct tcp_event event;
                unsigned answered = 0;

                rig_turn(rig);
                while (rig_deliver(rig, rig->ours))
                        ;
                while (tcp_next_event(rig->client_tcp, &event))
                        rig_client_event(rig, &event);
                if (turn == 1)
                        rig_expect(rig, plain, "250 2.0.0");
                for (unsigned i = 0; i < MANY; i++)
                        answered += s[i].c->len > s[i].fed;
                assert_int_equal(answered, turn);
                /* While some wait, the worker does not sleep. */
                assert_int_equal(sessions_due_us(rig->sessions) <= rig->now_us, turn < MANY);
        }
        for (unsigned i = 0; i < MANY; i++) {
                exchange(&s[i]);
                assert_true(SSL_is_init_finished(s[i].tls.ssl));
                tls_client_done(&s[i].tls);
        }
        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], MANY);
        rig_secure_free(rig);
}

static int setup(void **state)
{
        tls_rig_certificate("ec", "mx.test", false, 86400L * 3650);
        tls_rig_certificate("new", "mx.new.test", false, 86400L * 3650);
        tls_rig_certificate("old", "mx.test", false, -3600);
        return rig_eal();
}

static int teardown(void **state)
{
        tls_rig_done();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mail),
                cmocka_unit_test(test_long_message),
                cmocka_unit_test(test_injection),
                cmocka_unit_test(test_late_injection),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_end_after_dot),
                cmocka_unit_test(test_required),
                cmocka_unit_test(test_off),
                cmocka_unit_test(test_expired),
                cmocka_unit_test(test_bounded),
                cmocka_unit_test(test_certificates_change),
                cmocka_unit_test(test_handshakes_wait),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
