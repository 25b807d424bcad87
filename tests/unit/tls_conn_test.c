/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections against an OpenSSL client in the same process: versions, cuts, ends, garbage, renegotiation, tickets,
 * bounds, and what an idle connection costs (all of OpenSSL's allocations are counted).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "tests/unit/tls_link.h"

#define IDLE_MAX  20480u /* bytes of an idle connection, ours and OpenSSL's */

static long allocated; /* by OpenSSL, bytes */

static void *count_malloc(size_t n, const char *file, int line)
{
        void *p = malloc(n);

        allocated += p ? (long)malloc_usable_size(p) : 0;
        return p;
}

static void count_free(void *p, const char *file, int line)
{
        allocated -= p ? (long)malloc_usable_size(p) : 0;
        free(p);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
        allocated -= p ? (long)malloc_usable_size(p) : 0;
        p = realloc(p, n);
        allocated += p ? (long)malloc_usable_size(p) : 0;
        return p;
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */

static void test_versions(void **state)
{
        static const struct {
                int version;
                size_t piece;
                enum tls_state want_state;
                enum tls_fault want_fault;
                const char *want_version;
        } cases[] = {
                { TLS1_VERSION, 0, TLS_ST_FAILED, TLS_FAULT_VERSION, NULL },
                { TLS1_1_VERSION, 0, TLS_ST_FAILED, TLS_FAULT_VERSION, NULL },
                { TLS1_2_VERSION, 0, TLS_ST_OPEN, TLS_FAULT_NONE, "TLSv1.2" },
                { TLS1_3_VERSION, 0, TLS_ST_OPEN, TLS_FAULT_NONE, "TLSv1.3" },
                { TLS1_2_VERSION, 1, TLS_ST_OPEN, TLS_FAULT_NONE, "TLSv1.2" },
                { TLS1_3_VERSION, 1, TLS_ST_OPEN, TLS_FAULT_NONE, "TLSv1.3" },
                { TLS1_3_VERSION, 7, TLS_ST_OPEN, TLS_FAULT_NONE, "TLSv1.3" },
        };

        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct link link;

                link_open(&link, cases[i].version, NULL);
                link.piece = cases[i].piece;
                handshake(&link);
                assert_int_equal(tls_state(link.conn), cases[i].want_state);
                assert_int_equal(tls_fault(link.conn), cases[i].want_fault);
                if (cases[i].want_version) {
                        assert_string_equal(tls_version(link.conn), cases[i].want_version);
                        assert_non_null(strstr(SSL_get_cipher_name(link.client.ssl), "GCM"));
                        talk(&link, "EHLO client.test\r\n", "250 mx.test\r\n");
                        talk(&link, "QUIT\r\n", "221 bye\r\n");
                }
                link_close(&link);
        }
}

static void test_group(void **state)
{
        struct link link;

        link_open(&link, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_int_equal(SSL_get_negotiated_group(link.client.ssl), NID_X25519);
        link_close(&link);
}

static void test_old_ciphers(void **state)
{
        static const char *const lists[] = { "AES256-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA",
                                             "ECDHE-RSA-AES128-SHA256" };

        for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
                struct link link;

                link_open(&link, TLS1_2_VERSION, NULL);
                assert_int_equal(SSL_set_cipher_list(link.client.ssl, lists[i]), 1);
                handshake(&link);
                assert_int_equal(tls_state(link.conn), TLS_ST_FAILED);
                assert_int_equal(tls_fault(link.conn), TLS_FAULT_NO_SHARED);
                link_close(&link);
        }
}

/* A message larger than the connection's buffer and than one record. */
static void test_long_record(void **state)
{
        static char sent[40000], got[40000];
        size_t got_len = 0;
        struct link link;
        uint8_t bytes[50000];
        int len;
        size_t at = 0;

        link_open(&link, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        for (size_t i = 0; i < sizeof(sent); i++)
                sent[i] = (char)(i * 7 + i / 251);
        assert_int_equal(SSL_write(link.client.ssl, sent, sizeof(sent)), (int)sizeof(sent));
        len = BIO_read(link.client.out, bytes, sizeof(bytes));
        assert_true(len > (int)sizeof(sent));
        while (got_len < sizeof(sent)) {
                size_t used = tls_input(link.conn, bytes + at, (size_t)len - at);
                uint32_t plain_len;
                const uint8_t *plain;

                at += used;
                plain = tls_peek(link.conn, &plain_len);
                assert_true(plain_len > 0 && plain_len <= TLS_PLAIN_MAX);
                /* With a full buffer nothing more is taken: the caller's queue closes its window. */
                if (plain_len == TLS_PLAIN_MAX)
                        assert_int_equal(tls_input(link.conn, bytes + at, (size_t)len - at), 0);
                plain = tls_peek(link.conn, &plain_len);
                memcpy(got + got_len, plain, plain_len);
                got_len += plain_len;
                tls_consume(link.conn, plain_len);
        }
        assert_int_equal(at, len);
        assert_memory_equal(got, sent, sizeof(sent));
        link_close(&link);
}

static void test_ends(void **state)
{
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct link link;
                uint8_t bytes[4096];
                int len;

                /* close_notify, both ways */
                link_open(&link, version, NULL);
                assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                SSL_shutdown(link.client.ssl);
                client_to_server(&link);
                assert_int_equal(tls_state(link.conn), TLS_ST_CLOSED);
                tls_input_end(link.conn);
                assert_int_equal(tls_state(link.conn), TLS_ST_CLOSED);
                assert_true(tls_write(link.conn, "221 bye\r\n", 9));
                take_output(&link);
                tls_shutdown(link.conn);
                take_output(&link);
                SSL_shutdown(link.client.ssl);
                link_close(&link);

                /* the bytes end, between records and in one */
                for (int cut = 0; cut < 2; cut++) {
                        link_open(&link, version, NULL);
                        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                        assert_int_equal(SSL_write(link.client.ssl, "DATA\r\n", 6), 6);
                        len = BIO_read(link.client.out, bytes, sizeof(bytes));
                        give(&link, bytes, (size_t)(len - cut));
                        assert_int_equal(link.got_len, cut ? 0 : 6);
                        tls_input_end(link.conn);
                        assert_int_equal(tls_state(link.conn), TLS_ST_TRUNCATED);
                        assert_true(tls_write(link.conn, "x", 1)); /* the other direction is whole */
                        take_output(&link);
                        link_close(&link);
                }
        }
}

static void test_altered_record(void **state)
{
        struct link link;
        uint8_t bytes[4096];
        int len;

        link_open(&link, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_int_equal(SSL_write(link.client.ssl, "DATA\r\n", 6), 6);
        len = BIO_read(link.client.out, bytes, sizeof(bytes));
        bytes[len - 1] ^= 1;
        give(&link, bytes, (size_t)len);
        assert_int_equal(link.got_len, 0);
        assert_int_equal(tls_state(link.conn), TLS_ST_FAILED);
        assert_int_equal(tls_fault(link.conn), TLS_FAULT_PROTOCOL);
        assert_int_equal(tls_input(link.conn, bytes, (size_t)len), 0);
        assert_false(tls_write(link.conn, "x", 1));
        assert_true(BIO_pending(link.client.in) > 0); /* the client is told */
        link_close(&link);
}

static void test_garbage(void **state)
{
        static const char *const words[] = { "EHLO client.test\r\nMAIL FROM:<>\r\n",
                                             "\x16\x03\x01\xff\xff\x01\x00",
                                             "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                             "\x80\x2e\x01\x03\x01\x00\x15" };

        for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                for (size_t piece = 0; piece < 2; piece++) {
                        struct link link;

                        link_open(&link, 0, NULL);
                        link.piece = piece;
                        give(&link, (const uint8_t *)words[i], strlen(words[i]));
                        if (tls_state(link.conn) == TLS_ST_HANDSHAKE)
                                tls_input_end(link.conn); /* a header that promises more */
                        assert_true(tls_state(link.conn) == TLS_ST_FAILED ||
                                    tls_state(link.conn) == TLS_ST_TRUNCATED);
                        assert_int_equal(link.got_len, 0);
                        link_close(&link);
                }
        }
}

/* Random damage at every place of a client's first flight: any verdict, but one, and no crash. */
static void test_damage(void **state)
{
        uint8_t hello[1024];
        struct link link;
        int len;

        link_open(&link, 0, NULL);
        SSL_do_handshake(link.client.ssl);
        len = BIO_read(link.client.out, hello, sizeof(hello));
        link_close(&link);
        for (int at = 0; at < len; at++) {
                uint8_t damaged[1024];

                memcpy(damaged, hello, sizeof(hello));
                damaged[at] = (uint8_t)(damaged[at] ^ (1 + at % 255));
                link_open(&link, 0, NULL);
                give(&link, damaged, (size_t)len);
                assert_true(tls_state(link.conn) == TLS_ST_HANDSHAKE ||
                            tls_state(link.conn) == TLS_ST_FAILED);
                link_close(&link);
        }
}

/* Nothing can be said before the handshake is over. */
static void test_early_write(void **state)
{
        struct link link;

        link_open(&link, TLS1_3_VERSION, NULL);
        assert_false(tls_write(link.conn, "220 mx.test\r\n", 13));
        SSL_do_handshake(link.client.ssl);
        client_to_server(&link);
        assert_int_equal(tls_state(link.conn), TLS_ST_HANDSHAKE);
        assert_false(tls_write(link.conn, "220 mx.test\r\n", 13));
        tls_shutdown(link.conn);
        tls_input_end(link.conn);
        assert_int_equal(tls_state(link.conn), TLS_ST_TRUNCATED);
        assert_false(tls_write(link.conn, "220 mx.test\r\n", 13));
        link_close(&link);
}

static void test_alert(void **state)
{
        static const uint8_t alert[] = { 0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28 }; /* handshake_failure */
        struct link link;

        link_open(&link, TLS1_2_VERSION, NULL);
        SSL_do_handshake(link.client.ssl);
        client_to_server(&link);
        assert_int_equal(tls_state(link.conn), TLS_ST_HANDSHAKE);
        give(&link, alert, sizeof(alert));
        assert_int_equal(tls_state(link.conn), TLS_ST_FAILED);
        assert_int_equal(tls_fault(link.conn), TLS_FAULT_ALERT);
        link_close(&link);
}

static void test_renegotiation(void **state)
{
        struct link link;
        char byte;

        link_open(&link, TLS1_2_VERSION, NULL);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_int_equal(SSL_renegotiate(link.client.ssl), 1);
        SSL_do_handshake(link.client.ssl);
        client_to_server(&link);
        /* no_renegotiation: the client of this library gives up by it. */
        assert_true(SSL_read(link.client.ssl, &byte, 1) <= 0);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
        link_close(&link);
}

/* KeyUpdate is no renegotiation, and is answered. */
static void test_key_update(void **state)
{
        struct link link;

        link_open(&link, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_int_equal(SSL_key_update(link.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        talk(&link, "NOOP\r\n", "250 ok\r\n");
        talk(&link, "NOOP\r\n", "250 ok\r\n");
        link_close(&link);
}

/* Connect with the session of before to a server that shares nothing with it but the secret. */
static bool resumes(int version, SSL_SESSION *session, const struct secret *other_secret, const char *name,
                    uint64_t wall_sec)
{
        struct tls_pool *pool = tls_pool_new(1, other_secret);
        struct link link = { .pool = pool, .set = make_set(name, "ec") };
        bool resumed;

        tls_pool_time(pool, wall_sec);
        link.conn = tls_open(pool, link.set);
        tls_client_init(&link.client, version, NULL);
        assert_int_equal(SSL_set_session(link.client.ssl, session), 1);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        talk(&link, "NOOP\r\n", "250 ok\r\n");
        resumed = tls_is_resumed(link.conn);
        assert_int_equal(resumed, SSL_session_reused(link.client.ssl) == 1);
        link_close(&link);
        return resumed;
}

static void test_tickets(void **state)
{
        static const struct secret other = { { 9 } };
        static const struct {
                const struct secret *secret;
                const char *name;
                int64_t later_sec;
                bool want;
        } cases[] = {
                { &secret, "mx", 0, true },         /* another node of the cluster */
                { &secret, "mx", 3600, true },      /* in the next hour */
                { &secret, "mx", -3600, true },     /* a node whose clock is behind */
                { &secret, "mx", 3 * 3600, false }, /* the key has gone */
                { &secret, "mx", -2 * 3600, false }, { &other, "mx", 0, false }, /* another cluster */
                { &secret, "submission", 0, false },                             /* another listener */
        };

        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                        struct link link;
                        bool got;

                        link_open(&link, version, NULL);
                        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                        talk(&link, "NOOP\r\n", "250 ok\r\n"); /* the ticket of TLS 1.3 is read with it */
                        assert_non_null(link.client.session);
                        got = resumes(version, link.client.session, cases[i].secret, cases[i].name,
                                      WALL_SEC + (uint64_t)cases[i].later_sec);
                        if (got != cases[i].want)
                                fail_msg("version %x, case %u: resumed %d", (unsigned)version, i, got);
                        link_close(&link);
                }
        }
}

static void test_pool_is_bounded(void **state)
{
        struct tls_pool *pool = tls_pool_new(3, &secret);
        struct tls_set *set = make_set("mx", "ec");
        struct tls_conn *conn[3];

        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 3; i++) {
                        conn[i] = tls_open(pool, set);
                        assert_non_null(conn[i]);
                }
                assert_null(tls_open(pool, set));
                assert_int_equal(tls_pool_used(pool), 3);
                for (unsigned i = 0; i < 3; i++)
                        tls_close(conn[(i + round) % 3]);
        }
        tls_set_give(set);
        tls_pool_free(pool);
}

/* Certificates are exchanged between a client's first and second flight. */
static void test_set_goes_in_handshake(void **state)
{
        struct link link;

        link_open(&link, TLS1_2_VERSION, NULL);
        SSL_do_handshake(link.client.ssl);
        client_to_server(&link);
        tls_set_give(link.set);
        link.set = NULL;
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        talk(&link, "NOOP\r\n", "250 ok\r\n");
        link_close(&link);
}

static void test_idle_memory(void **state)
{
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct link link;
                long before, idle;

                link_open(&link, version, NULL);
                /* Once, so that what is made once for all is there. */
                assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                tls_close(link.conn);
                tls_client_done(&link.client);
                before = allocated;
                link.conn = tls_open(link.pool, link.set);
                tls_client_init(&link.client, version, NULL);
                assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                talk(&link, "EHLO client.test\r\n", "250 mx.test\r\n");
                tls_client_done(&link.client); /* only the server's side is left */
                memset(&link.client, 0, sizeof(link.client));
                idle = allocated - before + (long)TLS_PLAIN_MAX + 64;
                print_message("idle connection, %s: %ld bytes\n",
                              version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2", idle);
                assert_true(idle > 1000 && idle <= (long)IDLE_MAX);
                tls_close(link.conn);
                tls_set_give(link.set);
                tls_pool_free(link.pool);
        }
}

static int setup(void **state)
{
        tls_rig_certificate("ec", "mx.test", false, 86400L * 3650);
        return 0;
}

static int teardown(void **state)
{
        tls_rig_done();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_versions),
                cmocka_unit_test(test_group),
                cmocka_unit_test(test_old_ciphers),
                cmocka_unit_test(test_long_record),
                cmocka_unit_test(test_ends),
                cmocka_unit_test(test_altered_record),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_damage),
                cmocka_unit_test(test_early_write),    cmocka_unit_test(test_alert),
                cmocka_unit_test(test_renegotiation),
                cmocka_unit_test(test_key_update),
                cmocka_unit_test(test_tickets),
                cmocka_unit_test(test_pool_is_bounded),
                cmocka_unit_test(test_set_goes_in_handshake),
                cmocka_unit_test(test_idle_memory),
        };

        if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
                return 1;
        return cmocka_run_group_tests(tests, setup, teardown);
}
