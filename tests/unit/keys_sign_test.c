/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What greyline-keys does with keys: which files it takes, how long it holds a key, what it signs, and what it refuses to
 * sign. Signatures are verified with OpenSSL's own words for what TLS wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "control/keys/sign.h"
#include "tests/unit/tls_rig.h"

static struct store store;

/* The public key of NAME.crt and its fingerprint. */
static EVP_PKEY *public_of(const char *name, uint8_t fingerprint[KEYS_FINGERPRINT])
{
        unsigned char *der = NULL;
        unsigned len = 0;
        char file[64];
        EVP_PKEY *key;
        FILE *in;
        X509 *cert;
        int n;

        snprintf(file, sizeof(file), "%s.crt", name);
        in = fopen(tls_rig_path(file), "r");
        assert_non_null(in);
        cert = PEM_read_X509(in, NULL, NULL, NULL);
        fclose(in);
        key = X509_get_pubkey(cert);
        X509_free(cert);
        n = i2d_PUBKEY(key, &der);
        assert_int_equal(EVP_Digest(der, (size_t)n, fingerprint, &len, EVP_sha256(), NULL), 1);
        OPENSSL_free(der);
        return key;
}

static void want(const char *name, uint8_t fingerprint[KEYS_FINGERPRINT])
{
        char file[64], why[KEYS_REASON_MAX];

        snprintf(file, sizeof(file), "%s.key", name);
        EVP_PKEY_free(public_of(name, fingerprint));
        if (!store_want(&store, fingerprint, tls_rig_path(file), why))
                fail_msg("%s", why);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *bytes, size_t len, mode_t mode)
{
        int fd = open(tls_rig_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(write(fd, bytes, len), (ssize_t)len);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void write_key(const char *name, EVP_PKEY *key, const EVP_CIPHER *cipher, mode_t mode)
{
        FILE *file = fopen(tls_rig_path(name), "w");

        assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, cipher, "word", cipher ? 4 : 0, NULL, NULL), 1);
        assert_int_equal(fchmod(fileno(file), mode), 0);
        fclose(file);
        EVP_PKEY_free(key);
}

static void test_files(void **state)
{
        static const struct {
                const char *file, *want;
        } cases[] = {
                { "nothing.key", "No such file" },
                { "ec.crt", "others than its owner may read it (mode 644)" },
                { "group.key", "others than its owner may read it (mode 440)" },
                { "empty", "not PEM without a passphrase" },
                { "garbage", "not PEM without a passphrase" },
                { "large", "64 kB or more" },
                { "locked.key", "not PEM without a passphrase" },
                { "rsa.key", "key values mismatch" },
                { "other.key", "key values mismatch" },
                { "ed.key", "neither EC nor RSA" },
                { "fifo", "not a file" },
                { ".", "not a file" },
        };
        static char large[70000];
        uint8_t name[KEYS_FINGERPRINT];
        char why[KEYS_REASON_MAX];

        EVP_PKEY_free(public_of("ec", name));
        write_file("empty", "", 0, 0400);
        write_file("garbage", "\0\xff what\n", 8, 0400);
        write_file("large", large, sizeof(large), 0400);
        write_key("locked.key", EVP_EC_gen("P-256"), EVP_aes_256_cbc(), 0400);
        write_key("other.key", EVP_EC_gen("P-256"), NULL, 0400);
        write_key("group.key", EVP_EC_gen("P-256"), NULL, 0440);
        write_key("ed.key", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, 0400);
        assert_int_equal(mkfifo(tls_rig_path("fifo"), 0600), 0); /* no one writes: it must not wait */
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                assert_false(store_want(&store, name, tls_rig_path(cases[i].file), why));
                if (strstr(why, cases[i].want) == NULL)
                        fail_msg("%s: want \"%s\", got \"%s\"", cases[i].file, cases[i].want, why);
                assert_null(store_lookup(&store, name));
        }
        assert_int_equal(store.n, 0);
}

/* A list of keys that is exchanged: what is held is not read again, what is unwanted goes after a minute. */
static void test_list(void **state)
{
        uint8_t ec[KEYS_FINGERPRINT], rsa[KEYS_FINGERPRINT];
        char why[KEYS_REASON_MAX];

        store_begin_list(&store);
        want("ec", ec);
        want("rsa", rsa);
        store_end_list(&store, 1000);
        assert_int_equal(store.n, 2);
        store_begin_list(&store);
        assert_true(store_want(&store, ec, "/nowhere", why)); /* held: the file may have gone */
        store_end_list(&store, 2000);
        store_expire(&store, 2000 + STORE_LEAVE_MS - 1);
        assert_non_null(store_lookup(&store, rsa)); /* a handshake that began before may need it */
        store_expire(&store, 2000 + STORE_LEAVE_MS);
        assert_null(store_lookup(&store, rsa));
        assert_non_null(store_lookup(&store, ec));
        /* Wanted again in time: it stays. */
        store_begin_list(&store);
        store_end_list(&store, 3000);
        store_begin_list(&store);
        want("ec", ec);
        store_end_list(&store, 4000);
        store_expire(&store, 4000 + 2 * STORE_LEAVE_MS);
        assert_non_null(store_lookup(&store, ec));
}

/* --- signatures ------------------------------------------------------------------------------------------------------ */

static bool verifies(EVP_PKEY *key, const struct keys_request *request, const struct keys_answer *answer)
{
        static const EVP_MD *(*const hashes[])(void) = { EVP_sha256, EVP_sha384, EVP_sha512 };
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        bool done = EVP_PKEY_verify_init(context) == 1;

        if (request->algorithm < KEYS_RSA_PSS_SHA256)
                done &= EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
        else if (request->algorithm < KEYS_ECDSA_SHA256)
                done &= EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                        EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
        done &= EVP_PKEY_CTX_set_signature_md(context, hashes[(request->algorithm - 1) % 3]()) == 1 &&
                EVP_PKEY_verify(context, answer->signature, answer->len, request->digest, request->digest_len) == 1;
        EVP_PKEY_CTX_free(context);
        ERR_clear_error();
        return done;
}

static void test_algorithms(void **state)
{
        static const char *const names[] = { "rsa", "ec" };

        for (unsigned k = 0; k < 2; k++) {
                for (uint16_t algorithm = KEYS_RSA_PKCS1_SHA256; algorithm < KEYS_ALGORITHMS; algorithm++) {
                        struct keys_request request = { .serial = 7 + algorithm, .algorithm = algorithm };
                        struct keys_answer answer;
                        EVP_PKEY *key = public_of(names[k], request.key);
                        bool fits = (k == 0) == (algorithm < KEYS_ECDSA_SHA256);

                        want(names[k], request.key);
                        request.digest_len = keys_digest_len(algorithm);
                        memset(request.digest, 0x5a, request.digest_len);
                        sign_request(&store, &request, &answer);
                        assert_int_equal(answer.serial, request.serial);
                        assert_int_equal(answer.status, fits ? KEYS_DONE : KEYS_REFUSED);
                        assert_int_equal(answer.len != 0, fits);
                        if (fits)
                                assert_true(verifies(key, &request, &answer));
                        EVP_PKEY_free(key);
                }
        }
}

/* Whatever a dataplane that is no longer ours may ask for: no raw operation, no other length, no other key. */
static void test_hostile_requests(void **state)
{
        static const struct {
                const char *key;
                uint16_t algorithm, digest_len;
                enum keys_status want;
        } cases[] = {
                { "rsa", 0, 0, KEYS_REFUSED },
                { "rsa", 0, 32, KEYS_REFUSED },
                { "rsa", KEYS_ALGORITHMS, 32, KEYS_REFUSED },
                { "rsa", UINT16_MAX, 64, KEYS_REFUSED },
                { "rsa", KEYS_RSA_PKCS1_SHA256, 0, KEYS_REFUSED },
                { "rsa", KEYS_RSA_PKCS1_SHA256, 31, KEYS_REFUSED },
                { "rsa", KEYS_RSA_PKCS1_SHA256, 64, KEYS_REFUSED },
                { "rsa", KEYS_RSA_PSS_SHA512, 256, KEYS_REFUSED },
                { "rsa", KEYS_RSA_PSS_SHA512, UINT16_MAX, KEYS_REFUSED },
                { "rsa", KEYS_ECDSA_SHA256, 32, KEYS_REFUSED },
                { "ec", KEYS_RSA_PKCS1_SHA256, 32, KEYS_REFUSED },
                { "ec", KEYS_ECDSA_SHA384, 32, KEYS_REFUSED },
                { NULL, KEYS_ECDSA_SHA256, 32, KEYS_UNKNOWN },
                { NULL, 0, 32, KEYS_REFUSED },
        };
        uint8_t name[KEYS_FINGERPRINT];
        uint64_t seed = 1;

        want("rsa", name);
        want("ec", name);
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct keys_request request = { .algorithm = cases[i].algorithm, .digest_len = cases[i].digest_len };
                struct keys_answer answer;

                if (cases[i].key)
                        EVP_PKEY_free(public_of(cases[i].key, request.key));
                sign_request(&store, &request, &answer);
                if (answer.status != cases[i].want || answer.len != 0)
                        fail_msg("case %u: status %u, %u octets", i, answer.status, answer.len);
        }
        /* And any octets at all. */
        for (unsigned i = 0; i < 20000; i++) {
                struct keys_request request;
                struct keys_answer answer;

                for (size_t at = 0; at < sizeof(request); at++) {
                        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
                        ((uint8_t *)&request)[at] = (uint8_t)(seed >> 56);
                }
                if (i % 2)
                        memcpy(request.key, name, sizeof(name));
                sign_request(&store, &request, &answer);
                assert_true(answer.status > 0 && answer.status < KEYS_STATUSES);
                assert_true(answer.status == KEYS_DONE || answer.len == 0);
                assert_true(answer.status != KEYS_DONE || request.digest_len == keys_digest_len(request.algorithm));
        }
}

static int setup(void **state)
{
        tls_rig_certificate("ec", "mx.test", false, 86400);
        tls_rig_certificate("rsa", "mx.test", true, 86400);
        return 0;
}

static int forget(void **state)
{
        store_done(&store);
        return store.n == 0 ? 0 : -1;
}

static int teardown(void **state)
{
        tls_rig_done();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_files, forget),
                cmocka_unit_test_teardown(test_list, forget),
                cmocka_unit_test_teardown(test_algorithms, forget),
                cmocka_unit_test_teardown(test_hostile_requests, forget),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
