/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One form for every address: 16 bytes in network order, an IPv4 address as ::ffff:a.b.c.d (RFC 4291
 * 2.5.5.2). Tables, rings and the policy image all hold this form, so no code asks which family it has
 * unless the family matters (prefix lengths, text, packet headers).
 */
#ifndef GREYLINE_SHARED_ADDR_H
#define GREYLINE_SHARED_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/shared/bug.h"

struct addr {
        uint8_t bytes[16]; /* network order */
};

#define ADDR_TEXT_MAX 46 /* the longest text of an address with its NUL */

static const uint8_t addr_v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static inline bool addr_is_v4(const struct addr *addr)
{
        return memcmp(addr->bytes, addr_v4_prefix, sizeof(addr_v4_prefix)) == 0;
}

static inline bool addr_is_equal(const struct addr *a, const struct addr *b)
{
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* An IPv4 address given in network byte order. */
static inline struct addr addr_from_v4_be(uint32_t v4_be)
{
        struct addr addr;

        memcpy(addr.bytes, addr_v4_prefix, sizeof(addr_v4_prefix));
        memcpy(addr.bytes + 12, &v4_be, sizeof(v4_be));
        return addr;
}

/* The last four bytes in network byte order: the IPv4 address where addr_is_v4(). */
static inline uint32_t addr_v4_be(const struct addr *addr)
{
        uint32_t v4_be;

        memcpy(&v4_be, addr->bytes + 12, sizeof(v4_be));
        return v4_be;
}

/*
 * Parse "192.0.2.1" or "2001:db8::1". Never allocates. Sets *ret only on success.
 * Returns 0, or -EINVAL.
 */
int addr_parse(const char *text, struct addr *ret) MUST_CHECK;

/*
 * Parse "192.0.2.0/24", "2001:db8::/32", or a plain address (a host prefix).
 * ret_prefix_len is counted in the 128-bit form: an IPv4 /24 is 120.
 * Returns 0, or -EINVAL (also where bits beyond the prefix are set: such a line is usually a mistake).
 */
int addr_parse_prefix(const char *text, struct addr *ret, uint8_t *ret_prefix_len) MUST_CHECK;

/* Write the address as text (an IPv4 address as a dotted quad) into buf of ADDR_TEXT_MAX; returns buf. */
const char *addr_text(const struct addr *addr, char buf[ADDR_TEXT_MAX]);

/* Clear every bit after prefix_len (0 to 128, in the 128-bit form). */
struct addr addr_mask(const struct addr *addr, uint8_t prefix_len);

/* The network of a client: the first v4_len bits (0 to 32) of an IPv4 address, else v6_len (0 to 128). */
struct addr addr_network(const struct addr *addr, uint8_t v4_len, uint8_t v6_len);

#endif
