/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of client networks: gathered as prefixes, flattened to the pieces that the image holds.
 */
#ifndef GREYLINE_CONTROL_POLICY_NETWORKS_H
#define GREYLINE_CONTROL_POLICY_NETWORKS_H

#include <stdint.h>

#include "dataplane/shared/image.h"

struct network {
        struct addr addr;
        uint8_t prefix_len; /* in the 128-bit form */
        uint8_t class;      /* enum image_class */
};

struct networks {
        struct network *entries;
        uint32_t count, room;
};

/* What belongs into the image (struct image_networks). Every array is owned by the caller. */
struct networks_flat {
        uint32_t *v4_starts;
        uint8_t *v4_classes;
        uint32_t v4_count;
        uint32_t *v4_index;
        uint32_t v4_index_bits;
        struct image_v6 *v6_starts;
        uint8_t *v6_classes;
        uint32_t v6_count;
};

/* Add one prefix. Returns 0, -ENOSPC beyond POLICY_LIST_MAX, -ENOMEM. networks_done() frees. */
int networks_add(struct networks *networks, const struct addr *addr, uint8_t prefix_len,
                 enum image_class class) MUST_CHECK;
void networks_done(struct networks *networks);

/*
 * Cut both address spaces into pieces of one class: the longest prefix that holds an address decides, of
 * equal ones the higher class (trusted over allow over deny). Sorts the entries. IPv6 prefixes say nothing
 * about IPv4 clients, not even ::/0. Returns 0 or -ENOMEM; networks_flat_done() frees.
 */
int networks_flatten(struct networks *networks, struct networks_flat *ret) MUST_CHECK;
void networks_flat_done(struct networks_flat *flat);

#endif
