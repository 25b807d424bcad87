/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short id at the end of a reply: 80 bits as 16 characters of Crockford's base 32 (no I, L, O, U).
 *
 *      node 6 | time 30 (seconds since 2025-01-01 UTC) | worker 6 | sequence 18 | policy version 12 | rule 8
 *
 * Everything needed to name the rule and the policy version is in the id itself, so that "explain" can
 * answer even when the log record was shed. The policy version is the image's generation modulo 4096.
 */
#ifndef GREYLINE_SHARED_EXPLAIN_ID_H
#define GREYLINE_SHARED_EXPLAIN_ID_H

#include <stdint.h>

#include "dataplane/shared/bug.h"

#define EXPLAIN_ID_LEN    16
#define EXPLAIN_EPOCH_SEC 1735689600u /* 2025-01-01 00:00:00 UTC */

struct explain_id {
        uint8_t node;            /* 0 to 63 */
        uint8_t worker;          /* 0 to 63 */
        uint8_t rule;            /* enum rule */
        uint16_t policy_version; /* 0 to 4095 */
        uint32_t sequence;       /* 0 to 2^18 - 1 */
        uint32_t time_sec;       /* seconds since 1970 */
};

/* Write 16 characters, without NUL. Fields are masked to their widths. Safe on a worker. */
void explain_id_build(const struct explain_id *id, char text[EXPLAIN_ID_LEN]);

/* Read 16 characters; lower case and the look-alikes I, L, O are taken for 1, 1, 0. Returns 0 or -EINVAL. */
int explain_id_parse(const char text[EXPLAIN_ID_LEN], struct explain_id *ret) MUST_CHECK;

#endif
