/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of DNS messages (RFC 1035): bytes of a stranger in, a few facts out. Every length, pointer and
 * count is checked against the message; the number of records walked, names followed and labels read is
 * bounded. Aliases (CNAME) are followed inside the message only, as a recursive resolver lays them out.
 */
#ifndef GREYLINE_DNS_ANSWER_H
#define GREYLINE_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/addr.h"

#define DNS_NAME_MAX    256u /* text of a name with its NUL (RFC 1035 2.3.4: 253 characters) */
#define DNS_ADDRS_MAX   128u /* addresses kept of one answer */
#define DNS_PTRS_MAX    5u   /* names kept of one answer */
#define DNS_RECORDS_MAX 128u /* records walked of one answer */
#define DNS_ALIASES_MAX 8u   /* aliases followed */

enum dns_type {
        DNS_TYPE_A = 1,
        DNS_TYPE_CNAME = 5,
        DNS_TYPE_SOA = 6,
        DNS_TYPE_PTR = 12,
        DNS_TYPE_AAAA = 28,
};

enum dns_status {
        DNS_FOUND,     /* records of the type that was asked for */
        DNS_NONE,      /* the name does not exist, or has no such records */
        DNS_TIMEOUT,   /* no server answered */
        DNS_FAILED,    /* a server says that it cannot or will not answer */
        DNS_MALFORMED, /* an answer that is not one */
};

struct dns_answer {
        enum dns_status status;
        uint32_t ttl_sec; /* of the records and aliases, or of the absence (RFC 2308) */
        bool cut;         /* there was more than is kept here */
        unsigned addrs_used;
        struct addr addrs[DNS_ADDRS_MAX]; /* A and AAAA */
        unsigned names_used;
        char names[DNS_PTRS_MAX][DNS_NAME_MAX]; /* PTR: lower case, only those that are host names */
        unsigned names_refused;                 /* PTR: names that no host can have */
};

#define DNS_TTL_NONE_DEFAULT 300u /* an absence without SOA */

/*
 * Read a message.
 * name, type   what was asked; records of other owners, types and classes are skipped.
 * ret          set on every call; status says what there is. Never DNS_TIMEOUT.
 * Never allocates.
 */
void dns_answer_parse(const uint8_t *message, size_t len, const char *name, enum dns_type type,
                      struct dns_answer *ret);

#endif
