/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures that greyline-keys makes: what is asked, what hostile answers do, ends of every kind while one is awaited,
 * how many wait, and how deep the suspended handshake's stack gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/async.h>

#include "tests/unit/tls_link.h"

/* The stack of a handshake is the one allocation of this size. */
#define STACK_BYTES 32768u
#define STACK_PAINT 0xa5
static uint8_t *stack;

static void *paint_malloc(size_t n, const char *file, int line)
{
        void *p = malloc(n);

        if (p && n == STACK_BYTES)
                stack = memset(p, STACK_PAINT, n);
        return p;
}

static void *plain_realloc(void *p, size_t n, const char *file, int line)
{
        return realloc(p, n);
}

static void plain_free(void *p, const char *file, int line)
{
        free(p);
}

/* Up to where the server wants a signature. */
static void link_wait(struct link *link, int version)
{
        link_open(link, version, NULL);
        link->is_unsigned = true;
        SSL_do_handshake(link->client.ssl);
        client_to_server(link);
        assert_true(tls_is_waiting(link->conn));
        assert_int_equal(tls_state(link->conn), TLS_ST_HANDSHAKE);
}

static void test_waits_for_signature(void **state)
{
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct keys_request request, other;
                struct link link;

                link_wait(&link, version);
                assert_int_equal(tls_input(link.conn, (const uint8_t *)"x", 1), 0); /* nothing is taken meanwhile */
                assert_true(tls_next_request(link.pool, &request));
                assert_false(tls_next_request(link.pool, &other)); /* given out once */
                assert_int_equal(request.algorithm, KEYS_ECDSA_SHA256);
                assert_int_equal(request.digest_len, 32);
                assert_non_null(store_lookup(&tls_rig_store, request.key));
                assert_false(tls_is_signed(link.conn));
                tls_close(link.conn);
                link.conn = tls_open(link.pool, link.set);
                link.is_unsigned = false;
                tls_client_done(&link.client);
                tls_client_init(&link.client, version, NULL);
                assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                assert_true(tls_is_signed(link.conn));
                talk(&link, "NOOP\r\n", "250 ok\r\n");
                link_close(&link);
        }
}

/* Whatever is answered: the right connection goes on, or fails cleanly, and nothing else is touched. */
static void test_hostile_answers(void **state)
{
        enum { STRAY_SERIAL, NEVER_ASKED, FAR_SLOT, STATUS_0, STATUS_UNKNOWN, STATUS_REFUSED, STATUS_WILD, EMPTY, TOO_LONG,
               LONGER_THAN_KEY, WRONG, CASES };

        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                for (unsigned i = 0; i < CASES; i++) {
                        bool is_stray = i <= FAR_SLOT;
                        struct keys_request request;
                        struct keys_answer answer;
                        struct link link;
                        int result;

                        link_wait(&link, version);
                        if (i == NEVER_ASKED) {
                                answer = (struct keys_answer){ .status = KEYS_DONE, .len = 70 };
                        } else {
                                assert_true(tls_next_request(link.pool, &request));
                                sign_request(&tls_rig_store, &request, &answer);
                                assert_int_equal(answer.status, KEYS_DONE);
                        }
                        answer.serial += i == STRAY_SERIAL ? 256 : i == FAR_SLOT ? 255 : 0;
                        answer.status = i == STATUS_0         ? 0
                                        : i == STATUS_UNKNOWN ? KEYS_UNKNOWN
                                        : i == STATUS_REFUSED ? KEYS_REFUSED
                                        : i == STATUS_WILD    ? UINT16_MAX
                                                              : answer.status;
                        answer.len = i == EMPTY             ? 0
                                     : i == TOO_LONG        ? UINT16_MAX
                                     : i == LONGER_THAN_KEY ? 200
                                                            : answer.len;
                        answer.signature[8] ^= i == WRONG;
                        assert_ptr_equal(tls_answer(link.pool, &answer), is_stray ? NULL : link.conn);
                        assert_int_equal(tls_is_waiting(link.conn), is_stray);
                        if (!is_stray)
                                assert_null(tls_answer(link.pool, &answer)); /* a second time */
                        (void)tls_input(link.conn, NULL, 0);
                        take_output(&link);
                        if (!is_stray && i != WRONG) {
                                assert_int_equal(tls_state(link.conn), TLS_ST_FAILED);
                                assert_int_equal(tls_fault(link.conn), TLS_FAULT_KEY);
                        }
                        result = SSL_do_handshake(link.client.ssl);
                        assert_int_equal(SSL_get_error(link.client.ssl, result),
                                         is_stray ? SSL_ERROR_WANT_READ : SSL_ERROR_SSL); /* the client sees it too */
                        client_to_server(&link);
                        assert_false(tls_state(link.conn) == TLS_ST_OPEN);
                        link_close(&link);
                }
        }
}

/* However a connection ends that waits: its stack comes back, and a late answer finds nobody. */
static void test_ends_while_waiting(void **state)
{
        struct keys_request request;
        struct keys_answer answer;
        struct link link;

        for (unsigned i = 0; i < 4; i++) {
                link_wait(&link, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
                if (i < 2)
                        assert_true(tls_next_request(link.pool, &request));
                tls_input_end(link.conn);
                assert_int_equal(tls_state(link.conn), TLS_ST_TRUNCATED);
                tls_close(link.conn);
                if (i < 2) {
                        sign_request(&tls_rig_store, &request, &answer);
                        assert_null(tls_answer(link.pool, &answer));
                }
                assert_false(tls_next_request(link.pool, &request)); /* what was not asked is not asked any more */
                /* The slot is another's now: the answer of before is not its own. */
                link.conn = tls_open(link.pool, link.set);
                tls_client_done(&link.client);
                tls_client_init(&link.client, TLS1_3_VERSION, NULL);
                SSL_do_handshake(link.client.ssl);
                client_to_server(&link);
                assert_true(tls_next_request(link.pool, &request));
                if (i < 2)
                        assert_null(tls_answer(link.pool, &answer));
                assert_true(tls_is_waiting(link.conn));
                tls_pool_stop(link.pool);
                assert_int_equal(tls_state(link.conn), TLS_ST_FAILED);
                assert_int_equal(tls_fault(link.conn), TLS_FAULT_KEY);
                link_close(&link);
        }
}

/* So many wait, and no more: others keep what they have got; each answer makes room for one. */
static void test_waiting_is_bounded(void **state)
{
        enum { MANY = KEYS_IN_FLIGHT + 8 };
        static struct tls_client clients[MANY];
        static uint8_t hello[MANY][1024];
        static struct tls_conn *conns[MANY];
        struct tls_pool *pool = tls_pool_new(MANY, &secret);
        struct tls_set *set = make_set("mx", "ec");
        unsigned waiting = 0;
        int len[MANY];

        for (unsigned i = 0; i < MANY; i++) {
                conns[i] = tls_open(pool, set);
                tls_client_init(&clients[i], TLS1_3_VERSION, NULL);
                SSL_do_handshake(clients[i].ssl);
                len[i] = BIO_read(clients[i].out, hello[i], sizeof(hello[i]));
                assert_int_equal(tls_is_busy(pool), i >= KEYS_IN_FLIGHT);
                assert_int_equal(tls_input(conns[i], hello[i], (size_t)len[i]), i < KEYS_IN_FLIGHT ? len[i] : 0);
                tls_output_done(conns[i]);
                waiting += tls_is_waiting(conns[i]);
        }
        assert_int_equal(waiting, KEYS_IN_FLIGHT);
        assert_int_equal(tls_rig_sign(pool), KEYS_IN_FLIGHT);
        assert_true(tls_is_busy(pool)); /* until those with an answer have gone on */
        for (unsigned i = 0; i < 8; i++) {
                (void)tls_input(conns[i], NULL, 0);
                tls_output_done(conns[i]);
                assert_true(tls_is_signed(conns[i]));
                assert_false(tls_is_busy(pool));
                assert_int_equal(tls_input(conns[KEYS_IN_FLIGHT + i], hello[KEYS_IN_FLIGHT + i],
                                           (size_t)len[KEYS_IN_FLIGHT + i]), len[KEYS_IN_FLIGHT + i]);
                tls_output_done(conns[KEYS_IN_FLIGHT + i]);
                assert_true(tls_is_busy(pool));
        }
        for (unsigned i = 0; i < MANY; i++) {
                tls_close(conns[i]);
                tls_client_done(&clients[i]);
        }
        assert_int_equal(tls_pool_used(pool), 0);
        tls_set_give(set);
        tls_pool_free(pool);
}

static void test_resumption_needs_no_signature(void **state)
{
        struct keys_request request;
        struct link first, link;

        link_open(&first, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&first), SSL_ERROR_NONE);
        talk(&first, "NOOP\r\n", "250 ok\r\n");
        link_open(&link, TLS1_3_VERSION, NULL);
        link.is_unsigned = true;
        assert_int_equal(SSL_set_session(link.client.ssl, first.client.session), 1);
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_true(tls_is_resumed(link.conn));
        assert_true(tls_is_signed(link.conn)); /* there is none to wait for */
        assert_false(tls_next_request(link.pool, &request));
        link_close(&link);
        link_close(&first);
}

/* A client that would resume and is asked for another group (RFC 8446 4.1.4) may resume or not: it may need a signature. */
static void test_resumption_is_asked_again(void **state)
{
        struct link first, link;

        link_open(&first, TLS1_3_VERSION, NULL);
        assert_int_equal(handshake(&first), SSL_ERROR_NONE);
        talk(&first, "NOOP\r\n", "250 ok\r\n");
        link_open(&link, TLS1_3_VERSION, NULL);
        assert_int_equal(SSL_set1_groups_list(link.client.ssl, "P-521:X25519"), 1);
        assert_int_equal(SSL_set_session(link.client.ssl, first.client.session), 1);
        SSL_do_handshake(link.client.ssl);
        client_to_server(&link);
        assert_int_equal(tls_state(link.conn), TLS_ST_HANDSHAKE);
        assert_false(tls_is_signed(link.conn));
        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
        assert_true(tls_is_resumed(link.conn));
        link_close(&link);
        link_close(&first);
}

/* How deep the handshake's own stack gets: it has 32 kB and no guard. */
static void test_stack(void **state)
{
        static const char *const certs[] = { "ec", "rsa", "p384" };

        for (unsigned c = 0; c < ARRAY_LEN(certs); c++) {
                for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                        struct link link;
                        size_t used = 0;

                        link_open(&link, version, NULL);
                        tls_close(link.conn);
                        tls_set_give(link.set);
                        link.set = make_set("mx", certs[c]);
                        link.conn = tls_open(link.pool, link.set);
                        ASYNC_cleanup_thread(); /* the next job has a new stack, which is painted */
                        assert_int_equal(handshake(&link), SSL_ERROR_NONE);
                        assert_non_null(stack);
                        for (size_t at = 0; at < STACK_BYTES && used == 0; at++)
                                used = stack[at] == STACK_PAINT ? 0 : STACK_BYTES - at;
                        print_message("%s, TLS 1.%d: %zu bytes of stack\n", certs[c], version == TLS1_3_VERSION ? 3 : 2, used);
                        assert_true(used > 1000 && used <= STACK_BYTES * 3 / 4);
                        link_close(&link);
                }
        }
}

static int setup(void **state)
{
        tls_rig_certificate("ec", "mx.test", false, 86400L * 3650);
        tls_rig_certificate("rsa", "mx.test", true, 86400L * 3650);
        tls_rig_write("p384", "mx.test", EVP_EC_gen("P-384"), 86400L * 3650);
        return 0;
}

static int teardown(void **state)
{
        store_done(&tls_rig_store);
        tls_rig_done();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_waits_for_signature),
                cmocka_unit_test(test_hostile_answers),
                cmocka_unit_test(test_ends_while_waiting),
                cmocka_unit_test(test_waiting_is_bounded),
                cmocka_unit_test(test_resumption_needs_no_signature),
                cmocka_unit_test(test_resumption_is_asked_again),
                cmocka_unit_test(test_stack),
        };

        if (CRYPTO_set_mem_functions(paint_malloc, plain_realloc, plain_free) != 1)
                return 1;
        return cmocka_run_group_tests(tests, setup, teardown);
}
