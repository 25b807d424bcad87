/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remembers which content of the policy file was taken last (STATE/policy.taken), so that a restart of
 * control neither makes a new version of an unchanged file nor undoes what was pushed since.
 */
#ifndef GREYLINE_CONTROL_TAKEN_H
#define GREYLINE_CONTROL_TAKEN_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/image.h"

/* What a checked image says, apart from its version and time. Never 0. */
uint64_t taken_fingerprint(const struct image *image, size_t len);

/* Returns 0 when nothing was taken yet. May block. */
uint64_t taken_read(const char *state_dir);

/* A failure only costs a new version at the next start. May block. */
void taken_write(const char *state_dir, uint64_t fingerprint);

/*
 * Read a whole file of at most bytes_max into fresh memory, with a NUL behind it. May block.
 * Returns 0, -EFBIG, or another negative errno.
 */
int taken_read_file(const char *path, size_t bytes_max, char **ret_text, size_t *ret_len) MUST_CHECK;

#endif
