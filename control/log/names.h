/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of zones and policies of the last few policy versions. A log record carries numbers that mean
 * something only with the version that decided; names are copied here so that no image must be kept for it.
 */
#ifndef GREYLINE_CONTROL_LOG_NAMES_H
#define GREYLINE_CONTROL_LOG_NAMES_H

#include <stdint.h>

#include "dataplane/shared/image.h"

#define LOG_NAMES_VERSIONS_MAX 16u

struct log_names;

/* Returns NULL when there is no memory. */
struct log_names *log_names_new(void);
void log_names_free(struct log_names *names);

/*
 * Remember the names in a checked image; the oldest version goes when there are too many. Copies what it
 * needs. Returns 0 or -ENOMEM (then that version has no names).
 */
int log_names_add(struct log_names *names, const struct image *image);

/* NULL when the version, the zone or the policy is not known. */
const char *log_names_zone(const struct log_names *names, uint32_t version, uint32_t zone);
const char *log_names_policy(const struct log_names *names, uint32_t version, uint32_t policy);

#endif
