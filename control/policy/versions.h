/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The versions of the policy in STATE/policy: N.yaml as pushed, N.image, N.json (who, when, from where, which
 * file), N.in-force (empty: it has been current), current.image (a link to one N.image) and zones (which zone has
 * which number). The last 50 versions are kept, and the current one always.
 *
 * A push is: policy_versions_next(), policy_compile_*(), policy_versions_store(), the dataplane takes N.image,
 * policy_versions_make_current(). A rollback makes an older version current again; no new number is used, so
 * that explain ids of then and now name the same rules.
 *
 * All functions may block. One process writes (control); others may list.
 */
#ifndef GREYLINE_CONTROL_POLICY_VERSIONS_H
#define GREYLINE_CONTROL_POLICY_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/policy/policy.h"

#define POLICY_VERSIONS_KEEP 50

struct policy_version {
        uint32_t generation;
        bool is_current;
        bool was_in_force; /* has been current; a version that the dataplane refused has not */
        uint64_t pushed_sec; /* wall clock */
        uint64_t image_bytes;
        char who[64];     /* user that pushed it */
        char from[64];    /* "file" at start, "admin" for the socket */
        char source[256]; /* path of the YAML file */
};

/* Make STATE/policy when it is not there. Returns 0 or a negative errno. */
int policy_versions_init(const char *state_dir) MUST_CHECK;

/* The number of the next version: one above every one there is; 1 at first. 0 when the directory is unreadable. */
uint32_t policy_versions_next(const char *state_dir);

/* The zone numbers given so far. A missing or damaged book gives an empty one and false. */
bool policy_versions_zones(const char *state_dir, struct policy_zone_book *ret);

/*
 * Write version->generation: yaml, image, who and when, and the zone book, each complete on disk before
 * 0 is returned. Older versions beyond POLICY_VERSIONS_KEEP are removed. Returns 0 or a negative errno.
 */
int policy_versions_store(const char *state_dir, const struct policy_version *version, const char *yaml,
                          size_t yaml_len, const void *image, size_t image_len,
                          const struct policy_zone_book *zones) MUST_CHECK;

/*
 * Point current.image at a stored version, atomically. now_sec: wall clock, from when zones that it does not
 * use count as unused. Returns 0, -ENOENT, -ESTALE (a zone's number was given to another zone since: push the
 * YAML of that version again), or another negative errno.
 */
int policy_versions_make_current(const char *state_dir, uint32_t generation, uint64_t now_sec) MUST_CHECK;

/* The current version, or 0 when there is none. */
uint32_t policy_versions_current(const char *state_dir);

/* The newest version below generation that has been in force (for a rollback without a number), or 0. */
uint32_t policy_versions_before(const char *state_dir, uint32_t generation);

/* The newest max versions, newest first. Returns how many, or a negative errno. */
int policy_versions_list(const char *state_dir, struct policy_version *ret, unsigned max);

/*
 * Read the image of a version (0: the current one) into fresh memory and check it. free() it.
 * Returns 0, -ENOENT, -EBADMSG (what image_check() refused), or another negative errno.
 */
int policy_versions_load(const char *state_dir, uint32_t generation, void **ret_image,
                         size_t *ret_len) MUST_CHECK;

/* Where the files of a version are: STATE/policy/N.suffix. buf: at least 512 bytes. */
const char *policy_versions_path(const char *state_dir, uint32_t generation, const char *suffix, char *buf,
                                 size_t size);

#endif
