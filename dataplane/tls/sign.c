/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys without a private half. OpenSSL is given a provider of our own whose RSA and EC keys are public keys only and
 * whose signatures are made elsewhere: a signature suspends the handshake (conn_sign()) with the digest that is to be
 * signed. What TLS asks for is turned into an algorithm of keys.h here; anything else fails.
 *
 * The provider lives in a library context of its own, so that nothing but these keys ever meets it. OpenSSL looks for a
 * signature by the name that the key's manager gives, first in the default context, where there is none of this name,
 * then in the key's own provider.
 */
#include "dataplane/tls/private.h"

#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#define PROVIDER "greyline"
#define PROPERTY "provider=greyline"

/* What OpenSSL calls the key's data. */
struct stub {
        EVP_PKEY *public; /* of the default provider */
        bool is_rsa;
        uint8_t fingerprint[KEYS_FINGERPRINT];
};

/* A signature that is being set up. */
struct signing {
        const struct stub *stub;
        char digest[32];
        bool is_pss;
};

bool key_fingerprint(EVP_PKEY *key, uint8_t ret[KEYS_FINGERPRINT])
{
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);
        unsigned digest_len = 0;
        bool done;

        if (len <= 0)
                return false;
        done = EVP_Digest(der, (size_t)len, ret, &digest_len, EVP_sha256(), NULL) == 1 &&
               digest_len == KEYS_FINGERPRINT;
        OPENSSL_free(der);
        return done;
}

/* --- the key's manager ------------------------------------------------------------------------------------------------ */

static void *stub_new(void *provider)
{
        return OPENSSL_zalloc(sizeof(struct stub));
}

static void stub_free(void *data)
{
        struct stub *stub = data;

        if (stub == NULL)
                return;
        EVP_PKEY_free(stub->public);
        OPENSSL_free(stub);
}

static int stub_has(const void *data, int selection)
{
        return data != NULL; /* it can do what a private key can */
}

static int stub_match(const void *a, const void *b, int selection)
{
        return EVP_PKEY_eq(((const struct stub *)a)->public, ((const struct stub *)b)->public) == 1;
}

static int stub_import(struct stub *stub, const char *type, const OSSL_PARAM params[])
{
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        int done = context && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, &stub->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1 &&
                   key_fingerprint(stub->public, stub->fingerprint);

        EVP_PKEY_CTX_free(context);
        return done;
}

static int rsa_import(void *data, int selection, const OSSL_PARAM params[])
{
        struct stub *stub = data;

        stub->is_rsa = true;
        return stub_import(stub, "RSA", params);
}

static int ec_import(void *data, int selection, const OSSL_PARAM params[])
{
        return stub_import(data, "EC", params);
}

/* The public half, whatever is asked for: how another provider compares its key with ours. */
static int stub_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg)
{
        return EVP_PKEY_export(((struct stub *)data)->public, EVP_PKEY_PUBLIC_KEY, callback, arg);
}

static int stub_get_params(void *data, OSSL_PARAM params[])
{
        return EVP_PKEY_get_params(((struct stub *)data)->public, params);
}

static const OSSL_PARAM *stub_gettable(void *provider)
{
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static const OSSL_PARAM *rsa_types(int selection)
{
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
                OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static const OSSL_PARAM *ec_types(int selection)
{
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

/* Names that no other provider has. */
static const char *rsa_operation(int operation)
{
        return "greyline-rsa";
}

static const char *ec_operation(int operation)
{
        return "greyline-ec";
}

#define FUNCTION(id, function) { id, (void (*)(void))(function) }

#define MANAGER(import, types, operation)                                                                     \
        FUNCTION(OSSL_FUNC_KEYMGMT_NEW, stub_new),                                                            \
            FUNCTION(OSSL_FUNC_KEYMGMT_FREE, stub_free),                                                      \
            FUNCTION(OSSL_FUNC_KEYMGMT_HAS, stub_has),                                                        \
            FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, stub_match),                                                    \
            FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, import),                                                       \
            FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, types),                                                  \
            FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, stub_export),                                                  \
            FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, types),                                                  \
            FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, stub_get_params),                                          \
            FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, stub_gettable),                                       \
            FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                                      \
            { 0, NULL }

static const OSSL_DISPATCH rsa_manager[] = { MANAGER(rsa_import, rsa_types, rsa_operation) };
static const OSSL_DISPATCH ec_manager[] = { MANAGER(ec_import, ec_types, ec_operation) };

static const OSSL_ALGORITHM managers[] = {
        { "RSA:rsaEncryption", PROPERTY, rsa_manager, "RSA keys of greyline-keys" },
        { "EC:id-ecPublicKey", PROPERTY, ec_manager, "EC keys of greyline-keys" },
        { NULL, NULL, NULL, NULL },
};

/* --- signatures --------------------------------------------------------------------------------------------------------- */

static void *signing_new(void *provider, const char *properties)
{
        return OPENSSL_zalloc(sizeof(struct signing));
}

static void signing_free(void *data)
{
        OPENSSL_free(data);
}

/* The padding of RSA: by number or by name. */
static bool set_padding(struct signing *signing, const OSSL_PARAM *param)
{
        const char *name = NULL;
        int number = 0;

        if (param->data_type == OSSL_PARAM_UTF8_STRING) {
                if (OSSL_PARAM_get_utf8_string_ptr(param, &name) != 1 || name == NULL)
                        return false;
                signing->is_pss = strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
                return signing->is_pss || strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0;
        }
        if (OSSL_PARAM_get_int(param, &number) != 1)
                return false;
        signing->is_pss = number == RSA_PKCS1_PSS_PADDING;
        return signing->is_pss || number == RSA_PKCS1_PADDING;
}

/* The salt is always as long as the digest, which is what TLS asks for. */
static bool is_digest_salt(const OSSL_PARAM *param)
{
        const char *name = NULL;
        int number = 0;

        if (param->data_type == OSSL_PARAM_UTF8_STRING)
                return OSSL_PARAM_get_utf8_string_ptr(param, &name) == 1 && name &&
                       strcmp(name, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
        return OSSL_PARAM_get_int(param, &number) == 1 && number == RSA_PSS_SALTLEN_DIGEST;
}

static int signing_set(void *data, const OSSL_PARAM params[])
{
        struct signing *signing = data;

        for (const OSSL_PARAM *param = params; param && param->key; param++) {
                if (strcmp(param->key, OSSL_SIGNATURE_PARAM_PAD_MODE) == 0) {
                        if (!set_padding(signing, param))
                                return 0;
                } else if (strcmp(param->key, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) == 0) {
                        if (!is_digest_salt(param))
                                return 0;
                } else {
                        return 0;
                }
        }
        return 1;
}

static const OSSL_PARAM *signing_settable(void *data, void *provider)
{
        static const OSSL_PARAM params[] = {
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
                OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
                OSSL_PARAM_END,
        };

        return params;
}

static int signing_init(void *data, const char *digest, void *key, const OSSL_PARAM params[])
{
        struct signing *signing = data;

        if (key)
                signing->stub = key;
        if (signing->stub == NULL || digest == NULL || strlen(digest) >= sizeof(signing->digest))
                return 0;
        memcpy(signing->digest, digest, strlen(digest) + 1);
        return signing_set(data, params);
}

/* What keys.h calls this signature, 0 for one that it has not. */
static uint16_t algorithm_of(const struct signing *signing, const EVP_MD *digest)
{
        unsigned hash = EVP_MD_is_a(digest, "SHA2-256")   ? 0
                        : EVP_MD_is_a(digest, "SHA2-384") ? 1
                        : EVP_MD_is_a(digest, "SHA2-512") ? 2
                                                          : 3;

        if (hash == 3)
                return 0;
        if (!signing->stub->is_rsa)
                return (uint16_t)(KEYS_ECDSA_SHA256 + hash);
        return (uint16_t)((signing->is_pss ? KEYS_RSA_PSS_SHA256 : KEYS_RSA_PKCS1_SHA256) + hash);
}

static int signing_sign(void *data, unsigned char *signature, size_t *len, size_t room, const unsigned char *bytes,
                        size_t bytes_len)
{
        const struct signing *signing = data;
        struct keys_request request = { 0 };
        unsigned digest_len = 0;
        EVP_MD *digest;
        bool done;

        if (signature == NULL) {
                *len = (size_t)EVP_PKEY_get_size(signing->stub->public);
                return 1;
        }
        digest = EVP_MD_fetch(NULL, signing->digest, NULL);
        if (digest == NULL)
                return 0;
        request.algorithm = algorithm_of(signing, digest);
        done = request.algorithm != 0 &&
               EVP_Digest(bytes, bytes_len, request.digest, &digest_len, digest, NULL) == 1;
        EVP_MD_free(digest);
        if (!done)
                return 0;
        request.digest_len = (uint16_t)digest_len;
        memcpy(request.key, signing->stub->fingerprint, sizeof(request.key));
        return conn_sign(&request, signature, len, MIN(room, (size_t)EVP_PKEY_get_size(signing->stub->public)));
}

static const OSSL_DISPATCH signature_functions[] = {
        FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
        FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
        FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
        FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
        FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
        FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
        { 0, NULL },
};

static const OSSL_ALGORITHM signatures[] = {
        { "greyline-rsa", PROPERTY, signature_functions, "asks greyline-keys" },
        { "greyline-ec", PROPERTY, signature_functions, "asks greyline-keys" },
        { NULL, NULL, NULL, NULL },
};

/* --- the provider --------------------------------------------------------------------------------------------------------- */

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
        *no_cache = 0;
        return operation == OSSL_OP_KEYMGMT     ? managers
               : operation == OSSL_OP_SIGNATURE ? signatures
                                                : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
        FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
        { 0, NULL },
};

static int provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provider)
{
        *out = provider_functions;
        *provider = (void *)(uintptr_t)core;
        return 1;
}

/* Made once, by main, and kept until the process ends: keys in use refer to it. */
static OSSL_LIB_CTX *library(void)
{
        static OSSL_LIB_CTX *made;
        OSSL_LIB_CTX *context = made ? NULL : OSSL_LIB_CTX_new();

        if (context == NULL)
                return made;
        if (OSSL_PROVIDER_add_builtin(context, PROVIDER, provider_init) != 1 ||
            OSSL_PROVIDER_load(context, PROVIDER) == NULL) {
                OSSL_LIB_CTX_free(context);
                return NULL;
        }
        made = context;
        return made;
}

EVP_PKEY *key_stub(EVP_PKEY *public)
{
        const char *type = EVP_PKEY_is_a(public, "RSA") ? "RSA" : EVP_PKEY_is_a(public, "EC") ? "EC" : NULL;
        OSSL_LIB_CTX *context = type ? library() : NULL;
        EVP_PKEY_CTX *making = context ? EVP_PKEY_CTX_new_from_name(context, type, NULL) : NULL;
        OSSL_PARAM *params = NULL;
        EVP_PKEY *stub = NULL;

        if (making == NULL || EVP_PKEY_get_bits(public) > (int)KEYS_BITS_MAX ||
            EVP_PKEY_get_size(public) > (int)KEYS_SIGNATURE_MAX)
                goto out;
        if (EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &params) != 1 || EVP_PKEY_fromdata_init(making) != 1 ||
            EVP_PKEY_fromdata(making, &stub, EVP_PKEY_PUBLIC_KEY, params) != 1)
                stub = NULL;
out:
        OSSL_PARAM_free(params);
        EVP_PKEY_CTX_free(making);
        return stub;
}
