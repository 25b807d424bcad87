/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of session tickets: a function of the cluster secret and the hour, so that every worker and node has the same
 * ones and nobody distributes them. A ticket is made with the key of this hour, and taken with those of the two
 * hours before and of the next one (another node's clock). RFC 5077 4 gives the shape of a ticket.
 */
#include "dataplane/tls/private.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

static bool derive(const struct secret *secret, uint64_t epoch, uint8_t part, uint8_t *ret, size_t len)
{
        static const char label[] = "greyline tls ticket";
        uint8_t message[sizeof(label) + 9], digest[32];
        unsigned digest_len = 0;

        memcpy(message, label, sizeof(label));
        for (unsigned i = 0; i < 8; i++)
                message[sizeof(label) + i] = (uint8_t)(epoch >> (8 * i)); /* nodes may differ in byte order */
        message[sizeof(label) + 8] = part;
        if (HMAC(EVP_sha256(), secret->bytes, sizeof(secret->bytes), message, sizeof(message), digest,
                 &digest_len) == NULL ||
            digest_len != sizeof(digest))
                return false;
        memcpy(ret, digest, len);
        OPENSSL_cleanse(digest, sizeof(digest));
        return true;
}

static const struct ticket_key *key_of(struct ticket_keys *keys, uint64_t epoch)
{
        struct ticket_key *key = &keys->key[epoch % TICKET_SLOTS];

        if (key->is_made && key->epoch == epoch)
                return key;
        key->is_made = derive(&keys->secret, epoch, 0, key->name, sizeof(key->name)) &&
                       derive(&keys->secret, epoch, 1, key->cipher, sizeof(key->cipher)) &&
                       derive(&keys->secret, epoch, 2, key->mac, sizeof(key->mac));
        key->epoch = epoch;
        return key->is_made ? key : NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                                  sizeof(key->mac)),
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
                OSSL_PARAM_construct_end(),
        };

        return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Which of the keys that are taken has this name? */
static const struct ticket_key *find(struct ticket_keys *keys, uint64_t now, const uint8_t *name)
{
        for (uint64_t epoch = now > 2 ? now - 2 : 0; epoch <= now + 1; epoch++) {
                const struct ticket_key *key = key_of(keys, epoch);

                if (key && CRYPTO_memcmp(key->name, name, TICKET_NAME) == 0)
                        return key;
        }
        return NULL;
}

int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int is_new)
{
        struct tls_conn *conn = SSL_get_app_data(ssl);
        struct ticket_keys *keys = &conn->pool->keys;
        uint64_t now = conn->pool->wall_sec / TICKET_EPOCH_SEC;
        const struct ticket_key *key;

        if (is_new) {
                key = key_of(keys, now);
                if (key == NULL || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
                        return -1;
                memcpy(name, key->name, TICKET_NAME);
                if (EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
                    !set_mac(mac, key))
                        return -1;
                return 1;
        }
        key = find(keys, now, name);
        if (key == NULL)
                return 0; /* not ours, or too old: a full handshake */
        if (!set_mac(mac, key) || EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1)
                return -1;
        return key->epoch == now ? 1 : 2; /* 2: and give it a ticket of this hour */
}
