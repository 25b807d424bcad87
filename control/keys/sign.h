/* SPDX-License-Identifier: Apache-2.0 */
/* The one thing that is done with a private key: the signature of a digest, as TLS wants it. */
#ifndef GREYLINE_KEYS_SIGN_H
#define GREYLINE_KEYS_SIGN_H

#include "control/keys/store.h"

/*
 * Answer a request, which is a stranger's: an algorithm that is on the list, a digest of its length, a key of its type.
 * Nothing else is done with a key: no bytes are signed as they are, nothing is decrypted.
 */
void sign_request(const struct store *store, const struct keys_request *request, struct keys_answer *ret);

#endif
