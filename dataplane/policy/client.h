/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy says about a client, from what is known about it: lists, DNS answers, how it behaved. A pure
 * function, asked again whenever more is known or another policy (that of the recipient's domain) applies.
 *
 * The order is that of docs/ARCHITECTURE.md: lists, then what refuses alone (a blocking zone, reverse DNS, a
 * failed check with an action of its own), then the sum of the points, then what to do about answers that did
 * not come. A zone in error drops out of the sum; only answers that are missing at the deadline, or a failed
 * reverse lookup, bring on_dns_failure in.
 */
#ifndef GREYLINE_POLICY_CLIENT_H
#define GREYLINE_POLICY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shared/client_table.h"
#include "dataplane/shared/image.h"
#include "dataplane/shared/rule.h"

/* Checks of behaviour that a session can fail; bits. */
#define CLIENT_FAILED_PREGREET    0x01u
#define CLIENT_FAILED_HELO_SYNTAX 0x02u
#define CLIENT_FAILED_HELO_OURS   0x04u
#define CLIENT_FAILED_HELO_IP     0x08u
#define CLIENT_FAILED_NON_SMTP    0x10u
#define CLIENT_FAILED_PIPELINING  0x20u

struct client_facts {
        enum image_class class;
        bool is_v4;
        bool at_deadline;                     /* the session waits no longer for answers */
        uint32_t failed;                      /* CLIENT_FAILED_* */
        const struct client_answers *answers; /* never NULL; all unknown where nothing is known */
};

enum client_action {
        CLIENT_PASS,
        CLIENT_WAIT,   /* answers that could change the verdict are missing, and there is time left */
        CLIENT_DEFER,  /* 4xx with rule */
        CLIENT_REJECT, /* 5xx with rule */
        CLIENT_DROP,   /* close without a reply */
};

struct client_verdict {
        enum client_action action;
        enum rule rule;         /* what decided; RULE_accepted with CLIENT_PASS */
        int32_t score;          /* sum of all points, also of what only counts for the log */
        uint32_t zones_listed;  /* bit per zone number, zones of this policy only */
        uint32_t zones_unknown; /* no answer, or an error */
        int zone;               /* number of the zone that refuses alone, -1: none */
        bool may_exempt;        /* the greylist may be skipped for an exempt network: the answers are complete */
        bool skip_greylist;     /* trusted or allowed, or on_dns_failure pass */
        bool mark_header;       /* score header is to be added */
};

/* Judge the client under a policy of this image. Safe on a worker. */
struct client_verdict client_judge(const struct image *image, const struct image_policy *policy,
                                   const struct client_facts *facts);

/* Is everything known that this policy asks about clients of this family? */
bool client_is_complete(const struct image *image, const struct image_policy *policy,
                        const struct client_facts *facts);

#endif
