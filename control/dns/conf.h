/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a policy that concerns DNS, copied out of the image so that a push can replace the image while
 * questions are in flight.
 */
#ifndef GREYLINE_DNS_CONF_H
#define GREYLINE_DNS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "control/dns/resolver.h"
#include "dataplane/shared/image.h"

/* One list of the policy: a domain that is asked and the codes that mean "listed". Its place is its number. */
struct dns_list {
        bool used;
        bool ipv4, ipv6;
        uint8_t kind;  /* enum image_zone_kind */
        char name[64]; /* for people; cut when longer */
        char domain[DNS_NAME_MAX];
        uint32_t ttl_min_sec, ttl_max_sec;
        uint32_t codes_first, codes_used; /* in dns_conf.codes */
};

struct dns_conf {
        struct dns_resolver_conf resolver;
        uint32_t deadline_ms;
        uint32_t queue_max;       /* clients with an open question, 1 to DNS_QUESTIONS_MAX */
        uint32_t share_max;       /* of them from one /24 or /48 */
        uint32_t outstanding_max; /* DNS questions in flight, at most RESOLVER_WINDOW */
        uint32_t ptr_ttl_min_sec, ptr_ttl_max_sec;
        uint32_t probe_interval_sec;
        struct dns_list lists[IMAGE_ZONES_MAX];
        struct image_codes codes[IMAGE_CODES_MAX];
};

#define DNS_QUESTIONS_MAX 8192u
#define DNS_ASKERS_MAX    65536u /* sessions that wait, all clients together */

/* Copy from a checked image, cutting every value to what this part can do. Cannot fail. */
void dns_conf_from_image(struct dns_conf *conf, const struct image *image);

#endif
