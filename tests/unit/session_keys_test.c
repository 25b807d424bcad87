/* SPDX-License-Identifier: Apache-2.0 */
/* STARTTLS while greyline-keys is dead, slow, says no, or is started again; and more handshakes than may wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/session_secure.h"

/* Dead while a handshake waits: it ends after two seconds, and nothing of it is left. */
static void test_signature_is_late(void **state)
{
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct rig *rig = rig_secure(POLICY("offered"), 4);
                struct secure s, next;

                secure_ask(&s, rig, version);
                signed_max = 0;
                exchange(&s);
                assert_false(SSL_is_init_finished(s.tls.ssl));
                rig_pass(rig, (KEYS_WAIT_MS - 100) * 1000u);
                assert_int_equal(sessions_open(rig->sessions), 1);
                rig_pass(rig, 200000);
                assert_int_equal(sessions_open(rig->sessions), 0);
                assert_int_equal(rig->counters[0][COUNTER_tls_sign_late], 1);
                assert_true(s.c->end != RIG_OPEN);
                assert_int_equal(rig->counters[0][COUNTER_tls_open], 0);
                tls_client_done(&s.tls);
                /* It is back: what nobody waits for any more is not signed, what comes now is. */
                signed_max = UINT32_MAX;
                rig_pump(rig);
                secure_open(&next, rig, version);
                assert_int_equal(rig->counters[0][COUNTER_tls_sign_stray], 0);
                tls_client_done(&next.tls);
                rig_secure_free(rig);
        }
}

/* Nobody signs, and the client goes on talking: that does not keep its slot longer than two seconds. */
static void test_talking_does_not_extend_the_wait(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct secure s;

        secure_ask(&s, rig, TLS1_3_VERSION);
        signed_max = 0;
        exchange(&s);
        for (unsigned i = 0; i < 30 && s.c->end == RIG_OPEN; i++) {
                rig_say_bytes(rig, s.c, "\x14", 1); /* the beginning of a record that may come here */
                rig_pass(rig, KEYS_WAIT_MS * 1000u / 20);
        }
        assert_int_equal(rig->counters[0][COUNTER_tls_sign_late], 1);
        assert_int_equal(sessions_open(rig->sessions), 0);
        tls_client_done(&s.tls);
        rig_secure_free(rig);
}

/* Known to be dead: STARTTLS is not offered, 454 to whoever says it, mail in clear goes on; then it is back. */
static void test_known_to_be_down(void **state)
{
        static const char *const modes[] = { POLICY("offered"), POLICY("required") };

        for (unsigned i = 0; i < 2; i++) {
                struct rig *rig = rig_secure(modes[i], 4);
                struct rig_client *early = rig_connect(rig, CLIENT), *c;
                struct secure s;

                rig_expect(rig, early, "220 ");
                rig_say(rig, early, "EHLO client.test\r\n");
                rig_expect(rig, early, "250 STARTTLS");
                signed_max = 0;
                rig_pass(rig, (KEYS_DOWN_MS + 100) * 1000u);
                rig_say(rig, early, "STARTTLS\r\n");
                rig_expect(rig, early, "454 4.7.0 TLS is not available now");
                c = rig_connect(rig, CLIENT);
                rig_expect(rig, c, "220 ");
                rig_say(rig, c, "EHLO client.test\r\nSTARTTLS\r\nMAIL FROM:<a@client.test>\r\n");
                rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
                rig_expect(rig, c, "454 4.7.0");
                rig_expect(rig, c, i == 0 ? "250 2.1.0" : "454 4.7.0");
                assert_int_equal(rig->counters[0][COUNTER_tls_open], 0);
                signed_max = UINT32_MAX;
                rig_pump(rig);
                secure_open(&s, rig, TLS1_3_VERSION);
                tls_client_done(&s.tls);
                rig_secure_free(rig);
        }
}

/* Killed with requests in the ring, and started again in time: the handshakes only took longer. */
static void test_successor_signs(void **state)
{
        enum { MANY = 10 };
        struct rig *rig = rig_secure(POLICY("offered"), MANY);
        static struct secure s[MANY];

        for (unsigned i = 0; i < MANY; i++)
                secure_ask(&s[i], rig, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        signed_max = 3;
        for (unsigned i = 0; i < MANY; i++)
                exchange(&s[i]);
        rig_pass(rig, 500000);
        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], 3);
        serve_init(&holder, rig->keys_dir); /* nothing is left of the first one but the file */
        hold(rig->runtime.tls[0]);
        signed_max = UINT32_MAX;
        rig_pump(rig);
        for (unsigned i = 0; i < MANY; i++) {
                exchange(&s[i]);
                assert_true(SSL_is_init_finished(s[i].tls.ssl));
                secure_say(&s[i], "NOOP\r\n");
                rig_expect(rig, &s[i].plain, "250 2.0.0");
                tls_client_done(&s[i].tls);
        }
        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], MANY);
        assert_int_equal(rig->counters[0][COUNTER_tls_sign_late], 0);
        rig_secure_free(rig);
}

/* It does not hold the key: the client is told by an alert, at once. */
static void test_key_is_not_held(void **state)
{
        struct rig *rig = rig_secure(POLICY("offered"), 4);
        struct secure s;

        secure_ask(&s, rig, TLS1_3_VERSION);
        store_done(&holder.store);
        exchange(&s);
        assert_int_equal(rig->counters[0][COUNTER_tls_fail_key], 1);
        assert_int_equal(sessions_open(rig->sessions), 0);
        assert_true(s.c->end != RIG_OPEN);
        tls_client_done(&s.tls);
        rig_secure_free(rig);
}

/* The client goes, by any way, while its signature is made. */
static void test_client_goes_while_waiting(void **state)
{
        for (enum end end = END_FIN; end <= END_RESET; end++) {
                struct rig *rig = rig_secure(POLICY("offered"), 4);
                struct secure s;

                secure_ask(&s, rig, TLS1_3_VERSION);
                signed_max = 0;
                exchange(&s);
                end_with(&s, end);
                rig_pass(rig, 100000);
                signed_max = UINT32_MAX;
                rig_pass(rig, 100000);
                assert_int_equal(sessions_open(rig->sessions), 0);
                if (end == END_RESET)
                        assert_int_equal(rig->counters[0][COUNTER_tls_sign_stray], 1);
                tls_client_done(&s.tls);
                rig_secure_free(rig);
        }
}

/* More handshakes than may wait, and nobody signs: the worker sleeps, those over the bound begin later, all end well. */
static void test_more_than_may_wait(void **state)
{
        enum { MANY = KEYS_IN_FLIGHT + 12 };
        struct rig *rig = rig_secure(POLICY("offered"), MANY);
        static struct secure s[MANY];

        for (unsigned i = 0; i < MANY; i++)
                secure_ask(&s[i], rig, TLS1_3_VERSION);
        signed_max = 0;
        for (unsigned i = 0; i < MANY; i++)
                exchange(&s[i]);
        rig_pass(rig, 100000);
        assert_true(sessions_due_us(rig->sessions) > rig->now_us); /* asleep though handshakes are queued */
        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], 0);
        signed_max = UINT32_MAX;
        rig_pass(rig, 100000);
        for (unsigned i = 0; i < MANY; i++) {
                exchange(&s[i]);
                assert_true(SSL_is_init_finished(s[i].tls.ssl));
                tls_client_done(&s[i].tls);
        }
        assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], MANY);
        rig_secure_free(rig);
}

/* The client's first words, answered; what the server says lies unread. */
static void secure_begin(struct secure *s)
{
        uint8_t hello[4096];
        int len;

        SSL_do_handshake(s->tls.ssl);
        len = BIO_read(s->tls.out, hello, sizeof(hello));
        rig_say_bytes(s->rig, s->c, (char *)hello, (size_t)len);
        rig_pump(s->rig);
        assert_true(s->c->len > s->fed);
}

/* Who has his signature, or resumes without one, goes on at once, however many wait for a slot before him. */
static void test_signed_do_not_wait(void **state)
{
        enum { MANY = 2 * KEYS_IN_FLIGHT + 8 };
        static struct secure before, first[2], s[MANY];
        struct rig *rig;

        rig_sessions_max = RIG_CLIENTS;
        rig = rig_secure(POLICY("offered") "limits: {connections_per_network: 0}\n", MANY + 3);
        secure_open(&before, rig, TLS1_3_VERSION);
        secure_say(&before, "NOOP\r\n"); /* and its ticket is read */
        for (unsigned i = 0; i < 2; i++) {
                secure_ask(&first[i], rig, TLS1_3_VERSION);
                if (i == 1)
                        assert_int_equal(SSL_set_session(first[i].tls.ssl, before.tls.session), 1);
                secure_begin(&first[i]);
        }
        signed_max = 0;
        for (unsigned i = 0; i < MANY; i++) {
                secure_ask(&s[i], rig, TLS1_3_VERSION);
                exchange(&s[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
                exchange(&first[i]);
                assert_int_equal(rig->counters[0][COUNTER_tls_handshakes], 2 + i);
                secure_say(&first[i], "NOOP\r\n");
                rig_expect(rig, &first[i].plain, "250 2.0.0");
        }
        assert_int_equal(rig->counters[0][COUNTER_tls_resumed], 1);
        signed_max = UINT32_MAX;
        for (unsigned i = 0; i < MANY; i++) {
                exchange(&s[i]);
                assert_true(SSL_is_init_finished(s[i].tls.ssl));
                tls_client_done(&s[i].tls);
        }
        for (unsigned i = 0; i < 2; i++)
                tls_client_done(&first[i].tls);
        tls_client_done(&before.tls);
        rig_secure_free(rig);
        rig_sessions_max = 64;
}

static int setup(void **state)
{
        tls_rig_certificate("ec", "mx.test", false, 86400L * 3650);
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
                cmocka_unit_test(test_signature_is_late),
                cmocka_unit_test(test_talking_does_not_extend_the_wait),
                cmocka_unit_test(test_known_to_be_down),
                cmocka_unit_test(test_successor_signs),
                cmocka_unit_test(test_key_is_not_held),
                cmocka_unit_test(test_client_goes_while_waiting),
                cmocka_unit_test(test_more_than_may_wait),
                cmocka_unit_test(test_signed_do_not_wait),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
