/* SPDX-License-Identifier: Apache-2.0 */
/* Main's side of shared/keys.h: which keys greyline-keys is to hold, and which it does. Main only. */
#ifndef GREYLINE_KEYRING_H
#define GREYLINE_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/keys.h"
#include "dataplane/tls/tls.h"

struct keyring {
        const char *dir;
        struct keys_link link; /* page NULL: there is nothing to share */
        int bell;              /* of greyline-keys */
        uint64_t opened_ms;    /* when the file was made */
        uint32_t version;      /* of the list that was written last */
        uint32_t count;
        uint8_t key[KEYS_LIST_MAX][KEYS_FINGERPRINT]; /* our own copy: what is in the page is not read again */
};

/*
 * Make what is shared. Before root is given up. Without it (no right to the directory) nothing is ever held.
 * Returns 0 or a negative errno.
 */
int keyring_open(struct keyring *keyring, const char *dir) MUST_CHECK;

/* Write a new list: begin, add each (one that is there already is not added again), submit. Submitting rings the bell. */
void keyring_begin(struct keyring *keyring);
void keyring_add(struct keyring *keyring, const struct tls_key *key);
void keyring_submit(struct keyring *keyring);

/* Has the list been read, and its files? Waits at most so long; not at all when greyline-keys is down. */
bool keyring_wait(const struct keyring *keyring, unsigned timeout_ms);

bool keyring_is_up(const struct keyring *keyring, uint64_t now_ms);

/* Does greyline-keys hold it? reason: why not, for people; may be NULL. Never blocks. */
bool keyring_holds(const struct keyring *keyring, const uint8_t key[KEYS_FINGERPRINT], char reason[KEYS_REASON_MAX]);

#endif
