/* SPDX-License-Identifier: Apache-2.0 */
#include "control/keys/sign.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

static const EVP_MD *hash_of(uint16_t digest_len)
{
        return digest_len == 32 ? EVP_sha256() : digest_len == 48 ? EVP_sha384() : EVP_sha512();
}

static bool set_padding(EVP_PKEY_CTX *context, uint16_t algorithm)
{
        if (algorithm >= KEYS_ECDSA_SHA256)
                return true;
        if (algorithm < KEYS_RSA_PSS_SHA256)
                return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool sign(EVP_PKEY *key, const struct keys_request *request, struct keys_answer *answer)
{
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        size_t len = sizeof(answer->signature);
        bool done = context && EVP_PKEY_sign_init(context) == 1 && set_padding(context, request->algorithm) &&
                    EVP_PKEY_CTX_set_signature_md(context, hash_of(request->digest_len)) == 1 &&
                    EVP_PKEY_sign(context, answer->signature, &len, request->digest, request->digest_len) == 1;

        if (done)
                answer->len = (uint16_t)len;
        EVP_PKEY_CTX_free(context);
        ERR_clear_error();
        return done;
}

void sign_request(const struct store *store, const struct keys_request *request, struct keys_answer *ret)
{
        EVP_PKEY *key = store_lookup(store, request->key);
        uint16_t digest_len = keys_digest_len(request->algorithm);

        memset(ret, 0, sizeof(*ret));
        ret->serial = request->serial;
        if (digest_len == 0 || request->digest_len != digest_len) {
                ret->status = KEYS_REFUSED;
                return;
        }
        if (key == NULL) {
                ret->status = KEYS_UNKNOWN;
                return;
        }
        if (EVP_PKEY_is_a(key, "RSA") != (request->algorithm < KEYS_ECDSA_SHA256)) {
                ret->status = KEYS_REFUSED;
                return;
        }
        ret->status = sign(key, request, ret) ? KEYS_DONE : KEYS_FAILED;
}
