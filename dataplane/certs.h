/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners' certificates: which sets of dataplane/tls/ belong to a policy, and whether greyline-keys holds their
 * keys. Main only; reads files.
 *
 * A set whose files have not changed is taken over from the policy before.
 */
#ifndef GREYLINE_CERTS_H
#define GREYLINE_CERTS_H

#include "dataplane/keyring.h"
#include "dataplane/session/session.h"

#define CERTS_REASON_MAX IMAGE_REASON_MAX

/*
 * Fill runtime->tls for runtime->image, and have greyline-keys read the keys that are new, within a second.
 * before  what is in force, or NULL
 * reason  one line for people about the first listener whose certificates cannot be used; else untouched
 * Returns how many listeners are without usable certificates though they name some: theirs is the set that a listener of
 * the same name had before, or none, or one whose keys are not held yet (tls_set_is_valid()).
 */
unsigned certs_load(struct runtime *runtime, const struct runtime *before, struct keyring *keyring,
                    char reason[CERTS_REASON_MAX]);

/* Have files changed since, or is a listener without its set? */
bool certs_differ(const struct runtime *runtime);

/*
 * Once a turn: mark which keys are held, and want again those that are not, now and then.
 * reason: one line about the first that is not, else "".
 * Returns false while greyline-keys has not read the list: nothing is marked otherwise.
 */
bool certs_follow(const struct runtime *runtime, struct keyring *keyring, uint64_t now_ms,
                      char reason[CERTS_REASON_MAX]);

/* When the first certificate in force ends, seconds since 1970; UINT64_MAX: there is none. */
uint64_t certs_expire_sec(const struct runtime *runtime);

/* Let go of the sets. */
void certs_give(struct runtime *runtime);

#endif
