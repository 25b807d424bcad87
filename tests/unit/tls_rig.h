/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-made certificates in a directory of the test, an OpenSSL client and the signing of greyline-keys, all in the same
 * process. Included by each test program (everything is static). Include after cmocka.
 */
#ifndef GREYLINE_TESTS_TLS_RIG_H
#define GREYLINE_TESTS_TLS_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "control/keys/sign.h"
#include "dataplane/tls/tls.h"

#define TLS_RIG_NOW_SEC 1795500000l

/* --- certificates --------------------------------------------------------------------------------------------------- */

static char tls_rig_dir[64];

static inline const char *tls_rig_path(const char *name)
{
        static char paths[8][128];
        static unsigned next;
        char *path = paths[next++ % 8];

        if (tls_rig_dir[0] == '\0') {
                strcpy(tls_rig_dir, "/tmp/greyline-tls.XXXXXX");
                assert_non_null(mkdtemp(tls_rig_dir));
        }
        snprintf(path, 128, "%s/%s", tls_rig_dir, name);
        return path;
}

static inline void tls_rig_done(void)
{
        char command[160];

        if (tls_rig_dir[0] == '\0')
                return;
        snprintf(command, sizeof(command), "rm -rf '%s'", tls_rig_dir);
        assert_int_equal(system(command), 0);
        tls_rig_dir[0] = '\0';
}

/*
 * Write NAME.crt and NAME.key: self-signed for host (DNS name), valid for so many seconds from the tests' now on. Frees the
 * key.
 */
static inline void tls_rig_write(const char *name, const char *host, EVP_PKEY *key, long seconds)
{
        X509 *cert = X509_new();
        char file[64], names[128];
        X509_EXTENSION *extension;
        FILE *out;

        assert_non_null(key);
        X509_set_version(cert, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        ASN1_TIME_set(X509_getm_notBefore(cert), TLS_RIG_NOW_SEC - 86400);
        ASN1_TIME_set(X509_getm_notAfter(cert), TLS_RIG_NOW_SEC + seconds);
        X509_set_pubkey(cert, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const unsigned char *)host, -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        snprintf(names, sizeof(names), "DNS:%s", host);
        extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
        X509_add_ext(cert, extension, -1);
        X509_EXTENSION_free(extension);
        assert_true(X509_sign(cert, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) > 0);
        snprintf(file, sizeof(file), "%s.crt", name);
        out = fopen(tls_rig_path(file), "w");
        assert_non_null(out);
        assert_int_equal(PEM_write_X509(out, cert), 1);
        fclose(out);
        snprintf(file, sizeof(file), "%s.key", name);
        unlink(tls_rig_path(file));
        out = fopen(tls_rig_path(file), "w");
        assert_non_null(out);
        assert_int_equal(fchmod(fileno(out), 0400), 0);
        assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
        fclose(out);
        X509_free(cert);
        EVP_PKEY_free(key);
}

static inline void tls_rig_certificate(const char *name, const char *host, bool is_rsa, long seconds)
{
        tls_rig_write(name, host, is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), seconds);
}

/* --- the key holder --------------------------------------------------------------------------------------------------- */

static struct store tls_rig_store;

/* Hold the keys of a set, as greyline-keys would. */
static inline void tls_rig_hold(struct tls_set *set)
{
        for (unsigned i = 0; i < tls_set_keys(set); i++) {
                char why[KEYS_REASON_MAX];
                struct tls_key key;

                tls_set_key(set, i, &key);
                if (!store_want(&tls_rig_store, key.key, key.path, why))
                        fail_msg("%s: %s", key.path, why);
                tls_set_hold(set, i, true);
        }
}

/* Sign what the handshakes of a pool wait for. Returns how many. */
static inline unsigned tls_rig_sign(struct tls_pool *pool)
{
        struct keys_request request;
        struct keys_answer answer;
        unsigned n = 0;

        while (tls_next_request(pool, &request)) {
                sign_request(&tls_rig_store, &request, &answer);
                assert_non_null(tls_answer(pool, &answer));
                n++;
        }
        return n;
}

/* --- the client ------------------------------------------------------------------------------------------------------- */

struct tls_client {
        SSL_CTX *context;
        SSL *ssl;
        BIO *in, *out;        /* memory: what the server sent, what it is to get */
        SSL_SESSION *session; /* the newest that can be resumed */
};

static int tls_client_keep(SSL *ssl, SSL_SESSION *session)
{
        struct tls_client *client = SSL_get_app_data(ssl);

        SSL_SESSION_free(client->session);
        client->session = session;
        return 1;
}

/* A client that speaks one version (0: any) and asks for host (NULL: none). */
static inline void tls_client_init(struct tls_client *client, int version, const char *host)
{
        memset(client, 0, sizeof(*client));
        client->context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_security_level(client->context, 0); /* so that it can offer what is too old */
        SSL_CTX_set_session_cache_mode(client->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(client->context, tls_client_keep);
        assert_int_equal(SSL_CTX_set_min_proto_version(client->context, version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(client->context, version), 1);
        client->ssl = SSL_new(client->context);
        client->in = BIO_new(BIO_s_mem());
        client->out = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(client->in, -1);
        SSL_set_bio(client->ssl, client->in, client->out);
        SSL_set_app_data(client->ssl, client);
        SSL_set_connect_state(client->ssl);
        if (host)
                SSL_set_tlsext_host_name(client->ssl, host);
}

static inline void tls_client_done(struct tls_client *client)
{
        SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(client->ssl);
        SSL_CTX_free(client->context);
        SSL_SESSION_free(client->session);
        ERR_clear_error();
}

#endif
