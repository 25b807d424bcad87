/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of a listener. One OpenSSL context for each group of names; in a context stand certificates of
 * different key types side by side (OpenSSL chooses by what the client can verify). Beside a certificate stands a key
 * without its private half (sign.c), made of the certificate itself: no key file is read here.
 */
#include "dataplane/tls/private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

/* With forward secrecy and authenticated encryption; what TLS 1.3 has is all of that kind. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS      "X25519:P-256:P-384"
/* What greyline-keys signs. */
#define SIGNATURES                                                                                            \
        "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"                \
        "RSA+SHA256:RSA+SHA384:RSA+SHA512"

struct stamp {
        dev_t device;
        ino_t inode;
        off_t size;
        struct timespec changed;
};

struct certificate {
        char *cert_path, *key_path;
        struct stamp stamp; /* of the certificate's file; its key's may be where we cannot look */
        uint8_t key[KEYS_FINGERPRINT];
        atomic_bool is_held; /* written by main, read by workers */
        SSL_CTX *context; /* one of the set's */
        X509 *leaf;       /* the context's */
        int type;         /* EVP_PKEY_* */
        uint64_t from_sec, until_sec;
};

struct tls_set {
        atomic_uint users;
        char *name;
        unsigned n, n_contexts;
        struct certificate certificate[TLS_CERTS_MAX];
        SSL_CTX *context[TLS_CERTS_MAX];
};

SSL_CTX *set_context(const struct tls_set *set)
{
        return set->context[0];
}

static bool PRINTF(2, 3) fail(char reterr[TLS_ERROR_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reterr, TLS_ERROR_MAX, format, args);
        va_end(args);
        return false;
}

/* OpenSSL's words for what just went wrong, or the system's where a file could not be opened. */
static const char *reason(void)
{
        unsigned long error = ERR_peek_error();
        const char *text =
            ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);

        return text ? text : "unknown error";
}

static struct stamp stamp_of(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return (struct stamp){ 0 };
        return (struct stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
        return a->device == b->device && a->inode == b->inode && a->size == b->size &&
               a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* A key with a passphrase must not make the program ask its terminal. */
static int no_passphrase(char *buf, int size, int is_writing, void *arg)
{
        return 0;
}

/* The first context with a certificate for the name that the client asks for; none: the first stays. */
static int choose_by_name(SSL *ssl, int *alert, void *arg)
{
        const struct tls_set *set = arg;
        const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

        if (name == NULL)
                return SSL_TLSEXT_ERR_NOACK;
        for (unsigned i = 0; i < set->n; i++) {
                const struct certificate *certificate = &set->certificate[i];

                if (X509_check_host(certificate->leaf, name, 0, 0, NULL) != 1)
                        continue;
                if (SSL_get_SSL_CTX(ssl) != certificate->context)
                        SSL_set_SSL_CTX(ssl, certificate->context);
                return SSL_TLSEXT_ERR_OK;
        }
        return SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *make_context(struct tls_set *set)
{
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        unsigned char id[32];
        unsigned id_len = sizeof(id);

        if (context == NULL)
                return NULL;
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets hold what there is to know */
        SSL_CTX_set_num_tickets(context, 1);
        SSL_CTX_set_timeout(context, TICKET_LIFE_SEC);
        SSL_CTX_set_default_passwd_cb(context, no_passphrase);
        SSL_CTX_set_tlsext_servername_arg(context, set);
        if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
            SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1 ||
            SSL_CTX_set1_groups_list(context, GROUPS) != 1 ||
            SSL_CTX_set1_sigalgs_list(context, SIGNATURES) != 1 ||
            SSL_CTX_set_tlsext_servername_callback(context, choose_by_name) != 1 ||
            SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_callback) != 1 ||
            EVP_Digest(set->name, strlen(set->name), id, &id_len, EVP_sha256(), NULL) != 1 ||
            SSL_CTX_set_session_id_context(context, id, id_len) != 1) {
                SSL_CTX_free(context);
                return NULL;
        }
        return context;
}

static uint64_t seconds_of(const ASN1_TIME *when)
{
        struct tm tm;

        if (ASN1_TIME_to_tm(when, &tm) != 1)
                return 0;
        return (uint64_t)MAX(timegm(&tm), 0);
}

/* Whether both stand for the same host: the second is asked for by a name of the first. */
static bool is_for_same_host(X509 *first, X509 *second)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(first, NID_subject_alt_name, NULL, NULL);
        bool found = false;

        for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

                found = name->type == GEN_DNS &&
                        X509_check_host(second, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                        (size_t)ASN1_STRING_length(name->d.dNSName), 0, NULL) == 1;
        }
        if (names == NULL) {
                char host[256];

                found = X509_NAME_get_text_by_NID(X509_get_subject_name(first), NID_commonName, host,
                                                  sizeof(host)) > 0 &&
                        X509_check_host(second, host, 0, 0, NULL) == 1;
        }
        GENERAL_NAMES_free(names);
        return found;
}

/* A context of the set that takes this certificate beside its own, or NULL. */
static SSL_CTX *context_for(const struct tls_set *set, X509 *leaf, int type)
{
        for (unsigned c = 0; c < set->n_contexts; c++) {
                bool has_host = false, has_type = false;

                for (unsigned i = 0; i < set->n; i++) {
                        const struct certificate *other = &set->certificate[i];

                        if (other->context != set->context[c])
                                continue;
                        has_host |= is_for_same_host(other->leaf, leaf);
                        has_type |= other->type == type;
                }
                if (has_host && !has_type)
                        return set->context[c];
        }
        return NULL;
}

/* The key is what greyline-keys cannot sign with. */
static bool fail_key(char reterr[TLS_ERROR_MAX], const char *path)
{
        return fail(reterr, "%.150s: no usable certificate: its key is neither EC nor RSA of at most %u bits", path, KEYS_BITS_MAX);
}

/* Put a key beside the certificate that is the context's newest. */
static bool use_key(struct certificate *certificate, X509 *leaf, const char *path, char reterr[TLS_ERROR_MAX])
{
        EVP_PKEY *public = X509_get0_pubkey(leaf), *stub;
        bool done;

        ERR_clear_error();
        if (!key_fingerprint(public, certificate->key))
                return fail(reterr, "%.150s: no usable certificate: %s", path, reason());
        stub = key_stub(public);
        if (stub == NULL)
                return fail_key(reterr, path);
        done = SSL_CTX_use_PrivateKey(certificate->context, stub) == 1;
        EVP_PKEY_free(stub);
        return done || fail(reterr, "%.150s: no usable certificate: %s", path, reason());
}

/* The first certificate of a PEM file; its key is of an algorithm that the library knows. */
static X509 *read_leaf(const char *path, char reterr[TLS_ERROR_MAX])
{
        BIO *file;
        X509 *leaf;

        ERR_clear_error();
        file = BIO_new_file(path, "r");
        leaf = file ? PEM_read_bio_X509(file, NULL, no_passphrase, NULL) : NULL;
        if (leaf == NULL)
                fail(reterr, "%.150s: no usable certificate: %s", path, reason());
        BIO_free(file);
        if (leaf && X509_get0_pubkey(leaf) == NULL) {
                fail_key(reterr, path);
                X509_free(leaf);
                return NULL;
        }
        return leaf;
}

static bool add(struct tls_set *set, const struct tls_files *files, char reterr[TLS_ERROR_MAX])
{
        struct certificate *certificate = &set->certificate[set->n];
        X509 *leaf = read_leaf(files->cert, reterr);
        SSL_CTX *context;
        bool done = false;

        if (leaf == NULL)
                return false;
        certificate->type = EVP_PKEY_get_base_id(X509_get0_pubkey(leaf));
        context = context_for(set, leaf, certificate->type);
        if (context == NULL) {
                context = make_context(set);
                if (context == NULL) {
                        fail(reterr, "no TLS context: %s", reason());
                        goto out;
                }
                set->context[set->n_contexts++] = context;
        }
        certificate->context = context;
        certificate->stamp = stamp_of(files->cert);
        certificate->cert_path = strdup(files->cert);
        certificate->key_path = strdup(files->key);
        if (certificate->cert_path == NULL || certificate->key_path == NULL) {
                fail(reterr, "out of memory");
                goto out;
        }
        ERR_clear_error();
        if (SSL_CTX_use_certificate_chain_file(context, files->cert) != 1) {
                fail(reterr, "%.150s: no usable certificate: %s", files->cert, reason());
                goto out;
        }
        if (!use_key(certificate, leaf, files->cert, reterr))
                goto out;
        certificate->leaf = SSL_CTX_get0_certificate(context);
        certificate->from_sec = seconds_of(X509_get0_notBefore(leaf));
        certificate->until_sec = seconds_of(X509_get0_notAfter(leaf));
        set->n++;
        done = true;
out:
        if (!done) {
                free(certificate->cert_path);
                free(certificate->key_path);
        }
        X509_free(leaf);
        return done;
}

static void set_free(struct tls_set *set)
{
        for (unsigned i = 0; i < set->n_contexts; i++)
                SSL_CTX_free(set->context[i]);
        for (unsigned i = 0; i < set->n; i++) {
                free(set->certificate[i].cert_path);
                free(set->certificate[i].key_path);
        }
        free(set->name);
        free(set);
}

struct tls_set *tls_set_new(const char *name, const struct tls_files *files, unsigned n,
                            char reterr[TLS_ERROR_MAX])
{
        struct tls_set *set = calloc(1, sizeof(*set));

        fail(reterr, "out of memory");
        if (set == NULL)
                return NULL;
        atomic_init(&set->users, 1);
        set->name = strdup(name);
        if (set->name == NULL)
                goto fail;
        if (n == 0 || n > TLS_CERTS_MAX) {
                fail(reterr, "%u certificates, not 1 to %u", n, TLS_CERTS_MAX);
                goto fail;
        }
        for (unsigned i = 0; i < n; i++) {
                if (!add(set, &files[i], reterr))
                        goto fail;
        }
        return set;
fail:
        ERR_clear_error();
        set_free(set);
        return NULL;
}

struct tls_set *tls_set_take(struct tls_set *set)
{
        if (set)
                atomic_fetch_add_explicit(&set->users, 1, memory_order_relaxed);
        return set;
}

void tls_set_give(struct tls_set *set)
{
        if (set && atomic_fetch_sub_explicit(&set->users, 1, memory_order_acq_rel) == 1)
                set_free(set);
}

bool tls_set_is_current(const struct tls_set *set, const char *name, const struct tls_files *files,
                        unsigned n)
{
        if (set->n != n || strcmp(set->name, name) != 0)
                return false;
        for (unsigned i = 0; i < n; i++) {
                const struct certificate *certificate = &set->certificate[i];
                struct stamp stamp = stamp_of(files[i].cert);

                if (strcmp(certificate->cert_path, files[i].cert) != 0 ||
                    strcmp(certificate->key_path, files[i].key) != 0 ||
                    !is_same(&certificate->stamp, &stamp))
                        return false;
        }
        return true;
}

unsigned tls_set_keys(const struct tls_set *set)
{
        return set->n;
}

void tls_set_key(const struct tls_set *set, unsigned index, struct tls_key *ret)
{
        BUG_ON(index >= set->n);
        memcpy(ret->key, set->certificate[index].key, sizeof(ret->key));
        ret->path = set->certificate[index].key_path;
}

void tls_set_hold(struct tls_set *set, unsigned index, bool is_held)
{
        BUG_ON(index >= set->n);
        atomic_store_explicit(&set->certificate[index].is_held, is_held, memory_order_relaxed);
}

bool tls_set_is_valid(const struct tls_set *set, uint64_t wall_sec)
{
        for (unsigned i = 0; i < set->n; i++) {
                const struct certificate *certificate = &set->certificate[i];

                if (wall_sec >= certificate->from_sec && wall_sec < certificate->until_sec &&
                    atomic_load_explicit(&certificate->is_held, memory_order_relaxed))
                        return true;
        }
        return false;
}

uint64_t tls_set_expires_sec(const struct tls_set *set)
{
        uint64_t until_sec = UINT64_MAX;

        for (unsigned i = 0; i < set->n; i++)
                until_sec = MIN(until_sec, set->certificate[i].until_sec);
        return until_sec;
}
