/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private keys that greyline-keys holds, by the fingerprint of their public half. A key that is no longer wanted is
 * kept for a minute, since handshakes that began before may still need it, then wiped.
 */
#ifndef GREYLINE_KEYS_STORE_H
#define GREYLINE_KEYS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "dataplane/shared/keys.h"

#define STORE_MAX      (2 * KEYS_LIST_MAX)
#define STORE_LEAVE_MS 60000u /* more than a handshake may take */

struct store_key {
        uint8_t name[KEYS_FINGERPRINT];
        EVP_PKEY *key;
        bool is_wanted;
        uint64_t left_ms; /* when it was wanted no longer */
};

/* Caller's memory, zeroed. */
struct store {
        struct store_key held[STORE_MAX];
        unsigned n;
};

/* A new list begins: store_want() each of it, then store_end_list(). */
void store_begin_list(struct store *store);

/*
 * Hold this key: read from the file unless it is held already. The file must be regular, at most 64 kB, PEM without a
 * passphrase, and closed to all but its owner.
 * ret_reason  why it is not held, for people; the path is not said again
 * May block (a file is read).
 */
bool store_want(struct store *store, const uint8_t name[KEYS_FINGERPRINT], const char *path,
                char ret_reason[KEYS_REASON_MAX]);

void store_end_list(struct store *store, uint64_t now_ms);

/* Wipe what has been unwanted for long enough. */
void store_expire(struct store *store, uint64_t now_ms);

/* NULL: not held. */
EVP_PKEY *store_lookup(const struct store *store, const uint8_t name[KEYS_FINGERPRINT]);

/* Wipe everything. */
void store_done(struct store *store);

#endif
