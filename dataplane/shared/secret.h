/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster secret: 32 random bytes in a file of mode 0400, the same on every node. Hash keys are derived
 * from it by a label, so that no two tables share one.
 */
#ifndef GREYLINE_SHARED_SECRET_H
#define GREYLINE_SHARED_SECRET_H

#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/siphash.h"

#define SECRET_BYTES 32

struct secret {
        uint8_t bytes[SECRET_BYTES];
};

/*
 * Read STATE/secret, making it when there is none (two processes may try at once: one file wins).
 * May block (files, the kernel's random source). For the start only.
 * Returns 0, -EBADMSG when the file has not exactly 32 bytes, or another negative errno.
 */
int secret_open(struct secret *ret, const char *state_dir) MUST_CHECK;

/* The hash key of one use. label: "grey" for the greylist, "client" for the client table. */
struct siphash_key secret_key(const struct secret *secret, const char *label);

/* A value that tells whether two nodes have the same key without giving the key away. */
uint64_t secret_check(const struct siphash_key *key);

#endif
