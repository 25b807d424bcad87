/* SPDX-License-Identifier: Apache-2.0 */
/* Sets: which certificate a client sees by key type and name, files that cannot be used, files that changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/tls/tls.h"
#include "tests/unit/tls_rig.h"

static const struct secret secret = { { 1 } };

static void pump(struct tls_pool *pool, struct tls_conn *conn, struct tls_client *client)
{
        uint8_t bytes[16384];
        const uint8_t *output;
        size_t output_len;
        int len;

        while ((len = BIO_read(client->out, bytes, sizeof(bytes))) > 0) {
                assert_int_equal(tls_input(conn, bytes, (size_t)len), (size_t)len);
                output = tls_output(conn, &output_len);
                BIO_write(client->in, output, (int)output_len);
                tls_output_done(conn);
                if (tls_rig_sign(pool) == 0)
                        continue;
                assert_int_equal(tls_input(conn, NULL, 0), 0);
                output = tls_output(conn, &output_len);
                BIO_write(client->in, output, (int)output_len);
                tls_output_done(conn);
        }
}

static void test_choice(void **state)
{
        static const struct {
                int version;
                const char *host;    /* SNI */
                const char *sigalgs; /* of the client */
                const char *want_host;
                int want_type; /* EVP_PKEY_*; 0: no handshake */
        } cases[] = {
                { TLS1_3_VERSION, NULL, NULL, "mx.one.test", EVP_PKEY_EC },
                { TLS1_3_VERSION, NULL, "RSA-PSS+SHA256", "mx.one.test", EVP_PKEY_RSA },
                { TLS1_2_VERSION, NULL, "RSA-PSS+SHA256:RSA+SHA256", "mx.one.test", EVP_PKEY_RSA },
                { TLS1_3_VERSION, "mx.one.test", NULL, "mx.one.test", EVP_PKEY_EC },
                { TLS1_3_VERSION, "mx.two.test", NULL, "mx.two.test", EVP_PKEY_EC },
                { TLS1_2_VERSION, "MX.two.test", NULL, "mx.two.test", EVP_PKEY_EC },
                { TLS1_3_VERSION, "mx.two.test", "RSA-PSS+SHA256", NULL, 0 },
                { TLS1_3_VERSION, "elsewhere.test", NULL, "mx.one.test", EVP_PKEY_EC },
        };
        const struct tls_files files[] = {
                { tls_rig_path("one-rsa.crt"), tls_rig_path("one-rsa.key") },
                { tls_rig_path("one-ec.crt"), tls_rig_path("one-ec.key") },
                { tls_rig_path("two.crt"), tls_rig_path("two.key") },
        };
        char error[TLS_ERROR_MAX];
        struct tls_set *set = tls_set_new("mx", files, 3, error);
        struct tls_pool *pool = tls_pool_new(1, &secret);

        assert_non_null(set);
        tls_rig_hold(set);
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct tls_conn *conn = tls_open(pool, set);
                struct tls_client client;
                X509 *cert;

                tls_client_init(&client, cases[i].version, cases[i].host);
                if (cases[i].sigalgs)
                        assert_int_equal(SSL_set1_sigalgs_list(client.ssl, cases[i].sigalgs), 1);
                for (unsigned turn = 0; turn < 4; turn++) {
                        SSL_do_handshake(client.ssl);
                        pump(pool, conn, &client);
                }
                cert = SSL_get0_peer_certificate(client.ssl);
                if (cases[i].want_type == 0) {
                        assert_int_equal(tls_state(conn), TLS_ST_FAILED);
                        assert_int_equal(tls_fault(conn), TLS_FAULT_NO_SHARED);
                } else {
                        assert_int_equal(tls_state(conn), TLS_ST_OPEN);
                        assert_int_equal(X509_check_host(cert, cases[i].want_host, 0, 0, NULL), 1);
                        assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), cases[i].want_type);
                }
                tls_close(conn);
                tls_client_done(&client);
        }
        tls_pool_free(pool);
        tls_set_give(set);
}

/* As ed.crt, but with a key of an algorithm that nobody knows, wherever the certificate names it. */
static void write_unknown(void)
{
        static const uint8_t ed25519[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };
        FILE *file = fopen(tls_rig_path("ed.crt"), "r");
        X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
        unsigned char *der = NULL;
        int len = i2d_X509(cert, &der);

        fclose(file);
        for (int i = 0; i + (int)sizeof(ed25519) <= len; i++) {
                if (memcmp(der + i, ed25519, sizeof(ed25519)) == 0)
                        der[i + 4] = 0x7f;
        }
        file = fopen(tls_rig_path("unknown.crt"), "w");
        assert_int_equal(PEM_write(file, "CERTIFICATE", "", der, len) > 0, 1);
        fclose(file);
        OPENSSL_free(der);
        X509_free(cert);
}

/* Only certificates are read: a key file need not be there (greyline-keys has its own test). */
static void test_unusable_files(void **state)
{
        static const struct {
                const char *cert, *want;
        } cases[] = {
                { "nothing.crt", "nothing.crt: no usable certificate: No such file" },
                { "two.key", "two.key: no usable certificate: no start line" },
                { "empty", "empty: no usable certificate: " },
                { "ed.crt", "ed.crt: no usable certificate: its key is neither EC nor RSA of at most 4096 bits" },
                { "unknown.crt", "unknown.crt: no usable certificate: its key is neither EC nor RSA of at most 4096 bits" },
                { "two.crt", NULL },
        };
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

        fclose(fopen(tls_rig_path("empty"), "w"));
        tls_rig_write("ed", "mx.ed.test", key, 86400);
        write_unknown();
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                const struct tls_files files = { tls_rig_path(cases[i].cert), "/nowhere.key" };
                char error[TLS_ERROR_MAX] = "";
                struct tls_set *set = tls_set_new("mx", &files, 1, error);

                assert_int_equal(set != NULL, cases[i].want == NULL);
                tls_set_give(set);
                if (cases[i].want && strstr(error, cases[i].want) == NULL)
                        fail_msg("case %u: want \"%s\", got \"%s\"", i, cases[i].want, error);
        }
}

static void test_current(void **state)
{
        const struct tls_files files = { tls_rig_path("swap.crt"), tls_rig_path("swap.key") };
        const struct tls_files others = { tls_rig_path("two.crt"), tls_rig_path("two.key") };
        char error[TLS_ERROR_MAX];
        struct tls_set *set;

        tls_rig_certificate("swap", "mx.swap.test", false, 86400);
        set = tls_set_new("mx", &files, 1, error);
        assert_non_null(set);
        assert_true(tls_set_is_current(set, "mx", &files, 1));
        assert_false(tls_set_is_current(set, "other", &files, 1));
        assert_false(tls_set_is_current(set, "mx", &others, 1));
        assert_false(tls_set_is_current(set, "mx", &files, 0));
        assert_int_equal(unlink(files.cert), 0);
        assert_false(tls_set_is_current(set, "mx", &files, 1));
        tls_rig_certificate("swap", "mx.swap.test", false, 86400);
        assert_false(tls_set_is_current(set, "mx", &files, 1));
        tls_set_give(set);
}

static void test_validity(void **state)
{
        const struct tls_files files = { tls_rig_path("short.crt"), tls_rig_path("short.key") };
        uint64_t now = TLS_RIG_NOW_SEC;
        char error[TLS_ERROR_MAX];
        struct tls_set *set;

        tls_rig_certificate("short", "mx.short.test", false, 1000);
        set = tls_set_new("mx", &files, 1, error);
        assert_non_null(set);
        assert_false(tls_set_is_valid(set, now)); /* nobody holds its key */
        assert_int_equal(tls_set_keys(set), 1);
        tls_rig_hold(set);
        assert_true(tls_set_is_valid(set, now));
        tls_set_hold(set, 0, false);
        assert_false(tls_set_is_valid(set, now));
        tls_set_hold(set, 0, true);
        assert_false(tls_set_is_valid(set, now + 2000));
        assert_false(tls_set_is_valid(set, now - 2 * 86400));
        assert_int_equal(tls_set_expires_sec(set), now + 1000);
        assert_ptr_equal(tls_set_take(set), set);
        tls_set_give(set);
        assert_true(tls_set_is_valid(set, now));
        tls_set_give(set);
        tls_set_give(NULL);
        assert_null(tls_set_take(NULL));
}

static int setup(void **state)
{
        tls_rig_certificate("one-rsa", "mx.one.test", true, 86400);
        tls_rig_certificate("one-ec", "mx.one.test", false, 86400);
        tls_rig_certificate("two", "mx.two.test", false, 86400);
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
                cmocka_unit_test(test_choice),
                cmocka_unit_test(test_unusable_files),
                cmocka_unit_test(test_current),
                cmocka_unit_test(test_validity),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
