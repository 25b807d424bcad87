/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners' certificates: which sets of dataplane/tls/ belong to a policy. Main only; reads files.
 *
 * A set whose files have not changed is taken over from the policy before, so that a push needs no right to read a key
 * again: after the start that right may be gone.
 */
#ifndef GREYLINE_CERTS_H
#define GREYLINE_CERTS_H

#include "dataplane/session/session.h"

#define CERTS_REASON_MAX IMAGE_REASON_MAX

/*
 * Fill runtime->tls for runtime->image. before: what is in force, or NULL.
 * reason  one line for people about the first listener whose certificates cannot be used; else untouched
 * Returns how many listeners are without usable certificates though they name some: theirs is the set that a
 * listener of the same name had before, or none.
 */
unsigned certs_load(struct runtime *runtime, const struct runtime *before, char reason[CERTS_REASON_MAX]);

/* Have files changed since, or is a listener without its set? */
bool certs_differ(const struct runtime *runtime);

/* When the first certificate in force ends, seconds since 1970; UINT64_MAX: there is none. */
uint64_t certs_expire_sec(const struct runtime *runtime);

/* Let go of the sets. */
void certs_give(struct runtime *runtime);

#endif
