/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host name tells: whether it is one, and whether it says that a whole domain's pool sends here. Pure.
 */
#ifndef GREYLINE_DNS_HOSTNAME_H
#define GREYLINE_DNS_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/shared/addr.h"

/*
 * Is this the name of a host (RFC 1123, 2.1)? At least two labels of letters, digits, hyphens and
 * underscores (real reverse zones have them), the last not all digits, 253 characters at most.
 */
bool dns_hostname_is_valid(const char *name);

/*
 * Does the name hold the address: its octets in decimal, forwards or backwards, joined by anything or padded
 * to three digits; the whole address in hex; or the last groups of an IPv6 address? Such a name was made by a
 * machine for every address of a network and proves no pool. name in lower case.
 */
bool dns_hostname_has_addr(const char *name, const struct addr *addr);

/* Is it a name of the kind that access providers give to customers ("dyn", "dhcp", "pool" as words)? */
bool dns_hostname_is_dynamic(const char *name);

struct psl_ctx_st;

/* The public suffix list that comes with the library, or NULL when it was built without. Never freed. */
const struct psl_ctx_st *dns_hostname_suffixes(void);

/*
 * The part of name that stands for one sender: its registrable domain by the public suffix list (NULL: no
 * list, no answer), or NULL when the name proves no pool. Points into name.
 */
const char *dns_hostname_pool(const struct psl_ctx_st *psl, const char *name, const struct addr *addr);

#endif
