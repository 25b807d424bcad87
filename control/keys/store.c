/* SPDX-License-Identifier: Apache-2.0 */
#include "control/keys/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define FILE_MAX 65536

static bool PRINTF(2, 3) fail(char reason[KEYS_REASON_MAX], const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(reason, KEYS_REASON_MAX, format, args);
        va_end(args);
        return false;
}

/* --- one key --------------------------------------------------------------------------------------------------- */

/* A key with a passphrase must not make the program ask its terminal. */
static int no_passphrase(char *buf, int size, int is_writing, void *arg)
{
        return 0;
}

/* The file in memory; its length, or -1 with the reason. Nothing that is not a file of its owner alone. */
static int read_file(const char *path, char bytes[FILE_MAX], char reason[KEYS_REASON_MAX])
{
        struct stat st;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), len = -1;

        if (fd < 0) {
                fail(reason, "no usable private key: %s", strerror(errno));
                return -1;
        }
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                fail(reason, "no usable private key: not a file");
        } else if ((st.st_mode & 077) != 0) {
                fail(reason, "no usable private key: others than its owner may read it (mode %o): chmod 400",
                     (unsigned)st.st_mode & 0777);
        } else {
                len = (int)read(fd, bytes, FILE_MAX);
                if (len == FILE_MAX)
                        len = -1;
                if (len < 0)
                        fail(reason, "no usable private key: cannot be read, or 64 kB or more");
        }
        close(fd);
        return len;
}

static EVP_PKEY *parse(const char *bytes, int len, char reason[KEYS_REASON_MAX])
{
        BIO *memory = BIO_new_mem_buf(bytes, len);
        EVP_PKEY *key;

        ERR_clear_error();
        key = memory ? PEM_read_bio_PrivateKey(memory, NULL, no_passphrase, NULL) : NULL;
        if (key == NULL) {
                const char *why = ERR_reason_error_string(ERR_peek_error());

                fail(reason, "no usable private key: not PEM without a passphrase (%s)", why ? why : "no words for it");
        }
        ERR_clear_error();
        BIO_free(memory);
        return key;
}

static bool has_name(EVP_PKEY *key, const uint8_t name[KEYS_FINGERPRINT])
{
        uint8_t digest[KEYS_FINGERPRINT];
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);
        unsigned digest_len = sizeof(digest);
        bool is_same = len > 0 && EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) == 1 &&
                       memcmp(digest, name, sizeof(digest)) == 0;

        OPENSSL_free(der);
        return is_same;
}

static EVP_PKEY *load(const char *path, const uint8_t name[KEYS_FINGERPRINT], char reason[KEYS_REASON_MAX])
{
        static char bytes[FILE_MAX];
        int len = read_file(path, bytes, reason);
        EVP_PKEY *key = len < 0 ? NULL : parse(bytes, len, reason);

        OPENSSL_cleanse(bytes, sizeof(bytes));
        if (key && !EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "EC"))
                fail(reason, "no usable private key: neither EC nor RSA");
        else if (key && EVP_PKEY_get_bits(key) > (int)KEYS_BITS_MAX)
                fail(reason, "no usable private key: more than %u bits", KEYS_BITS_MAX);
        else if (key && !has_name(key, name))
                fail(reason, "no usable private key: key values mismatch: it is not the certificate's");
        else
                return key;
        EVP_PKEY_free(key);
        return NULL;
}

/* --- all of them ----------------------------------------------------------------------------------------------- */

static struct store_key *find(const struct store *store, const uint8_t name[KEYS_FINGERPRINT])
{
        for (unsigned i = 0; i < store->n; i++) {
                if (memcmp(store->held[i].name, name, KEYS_FINGERPRINT) == 0)
                        return (struct store_key *)(uintptr_t)&store->held[i];
        }
        return NULL;
}

EVP_PKEY *store_lookup(const struct store *store, const uint8_t name[KEYS_FINGERPRINT])
{
        const struct store_key *held = find(store, name);

        return held ? held->key : NULL;
}

/* EVP_PKEY_free() wipes the private numbers. */
static void drop(struct store *store, struct store_key *held)
{
        EVP_PKEY_free(held->key);
        *held = store->held[--store->n];
        memset(&store->held[store->n], 0, sizeof(*held));
}

/* One that is leaving makes room. */
static bool make_room(struct store *store)
{
        struct store_key *oldest = NULL;

        if (store->n < STORE_MAX)
                return true;
        for (unsigned i = 0; i < store->n; i++) {
                struct store_key *held = &store->held[i];

                if (held->left_ms != 0 && !held->is_wanted && (oldest == NULL || held->left_ms < oldest->left_ms))
                        oldest = held;
        }
        if (oldest)
                drop(store, oldest);
        return oldest != NULL;
}

void store_begin_list(struct store *store)
{
        for (unsigned i = 0; i < store->n; i++)
                store->held[i].is_wanted = false;
}

bool store_want(struct store *store, const uint8_t name[KEYS_FINGERPRINT], const char *path,
                char ret_reason[KEYS_REASON_MAX])
{
        struct store_key *held = find(store, name);
        EVP_PKEY *key;

        ret_reason[0] = '\0';
        if (held) {
                held->is_wanted = true;
                held->left_ms = 0;
                return true;
        }
        key = load(path, name, ret_reason);
        if (key == NULL)
                return false;
        if (!make_room(store)) {
                EVP_PKEY_free(key);
                return fail(ret_reason, "more than %u keys", STORE_MAX);
        }
        held = &store->held[store->n++];
        memcpy(held->name, name, sizeof(held->name));
        held->key = key;
        held->is_wanted = true;
        held->left_ms = 0;
        return true;
}

void store_end_list(struct store *store, uint64_t now_ms)
{
        for (unsigned i = 0; i < store->n; i++) {
                if (!store->held[i].is_wanted && store->held[i].left_ms == 0)
                        store->held[i].left_ms = MAX(now_ms, 1u);
        }
}

void store_expire(struct store *store, uint64_t now_ms)
{
        for (unsigned i = store->n; i-- > 0;) {
                struct store_key *held = &store->held[i];

                if (held->left_ms != 0 && now_ms - held->left_ms >= STORE_LEAVE_MS)
                        drop(store, held);
        }
}

void store_done(struct store *store)
{
        while (store->n > 0)
                drop(store, &store->held[store->n - 1]);
}
