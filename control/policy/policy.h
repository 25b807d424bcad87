/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: from the operator's YAML to an image (dataplane/shared/image.h). This is the whole API;
 * control and greylinectl (`policy check`, which needs no daemon) use nothing else of this directory but
 * versions.h.
 *
 * Nothing here keeps state or prints. Every function may block (files) and allocate, so control calls them
 * from a helper thread or child: 1 M list entries take about a second.
 */
#ifndef GREYLINE_CONTROL_POLICY_POLICY_H
#define GREYLINE_CONTROL_POLICY_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/shared/image.h"

#define POLICY_ERRORS_MAX     20
#define POLICY_ERROR_TEXT_MAX 512
#define POLICY_FILE_MAX       (32u << 20) /* bytes of a YAML file */
#define POLICY_LIST_MAX       3000000u    /* entries of the three lists together */

/* What is wrong with a policy: each as "file:line:column: key: what was expected". */
struct policy_errors {
        unsigned count;   /* of text[] */
        unsigned dropped; /* found beyond the room */
        char text[POLICY_ERRORS_MAX][POLICY_ERROR_TEXT_MAX];
};

/*
 * Which zone has which number, for life: the client table knows zones by number only. Kept by versions.h;
 * zeroed: nothing is known. A number is given to another zone only when none is free and it has not been in
 * use for longer than any answer is kept.
 */
struct policy_zone_book {
        struct policy_zone_entry {
                uint64_t key;              /* policy_zone_key(); 0: the number is free */
                uint64_t unused_since_sec; /* wall clock; 0: the current policy uses it */
                char name[64];             /* for people */
        } entry[IMAGE_ZONES_MAX];
};

/* What a zone is: its domain and the answers that mean a listing. Never 0. */
uint64_t policy_zone_key(const char *domain, const struct image_codes *codes, uint32_t count);

struct policy_options {
        uint32_t generation;   /* the version number that goes into the image; at least 1 */
        uint64_t now_sec;      /* wall clock */
        uint64_t memory_bytes; /* a policy that needs more is refused (policy_machine_bytes()); 0: any */
        struct policy_zone_book *zones; /* read, and on success added to; NULL: numbers from 0 */
};

/*
 * Compile a policy file.
 * path       the operator's YAML; lists named by {file: x} are looked for beside it.
 * site_path  NULL, or a YAML file that supplies what the first lacks: top-level keys, and single keys of
 *            node, limits, dns, store and log. The operator's file wins.
 * errors     filled on -EINVAL and -EBADMSG.
 * ret_image  set on success: valid by image_check(), aligned to IMAGE_ALIGN, owned by the caller, free().
 * Returns 0, -EINVAL (errors say what; a file that cannot be read is an error like the others), -ENOMEM, or
 * -EBADMSG (image_check() refused the result: a bug of ours, said in errors).
 */
int policy_compile_file(const char *path, const char *site_path, const struct policy_options *options,
                        struct policy_errors *errors, void **ret_image, size_t *ret_len) MUST_CHECK;

/*
 * The same for YAML that is in memory already, as a push brings it. path: its name in errors, and where the
 * lists are looked for.
 */
int policy_compile_text(const char *path, const char *yaml, size_t yaml_len, const char *site_path,
                        const struct policy_options *options, struct policy_errors *errors, void **ret_image,
                        size_t *ret_len) MUST_CHECK;

/* All errors as lines, "... and N more" when some were dropped. Returns the length written (below size). */
size_t policy_errors_text(const struct policy_errors *errors, char *buf, size_t size);

/* What a policy costs. */
struct policy_sizing {
        uint64_t image_bytes;
        uint64_t grey_table_bytes; /* 24 bytes a triplet: 16 at 67 % load */
        uint64_t client_table_bytes;
        uint64_t packet_bytes; /* node.memory */
        uint64_t total_bytes;
        uint32_t hugepages_2m;   /* for the packet memory */
        uint32_t dns_queries_v4; /* for a client never seen before: zones, PTR and its confirmation */
        uint32_t dns_queries_v6;
        uint32_t greeting_delay_ms; /* longest time until the first verdict of a session */
        uint32_t
            greylist_delay_sec; /* shortest time a new triplet waits, of the policy where it is longest */
};

/* The memory of this machine, or 0 when it cannot be told. */
uint64_t policy_machine_bytes(void);

/* Compute it from a checked image. */
void policy_sizing(const struct image *image, struct policy_sizing *ret);

/* The same as lines for people. Returns the length written (below size). */
size_t policy_sizing_text(const struct policy_sizing *sizing, char *buf, size_t size);

#endif
