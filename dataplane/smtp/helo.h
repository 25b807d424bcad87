/* SPDX-License-Identifier: Apache-2.0 */
/* What a HELO or EHLO name looks like (RFC 5321 4.1.1.1, 4.1.3): facts only; the policy says what they cost.
 */
#ifndef GREYLINE_SMTP_HELO_H
#define GREYLINE_SMTP_HELO_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/shared/addr.h"

enum smtp_helo {
        SMTP_HELO_FQDN,          /* a host name with a dot in it */
        SMTP_HELO_LITERAL,       /* the client's own address as a literal: allowed */
        SMTP_HELO_LITERAL_OTHER, /* an address literal of some other address */
        SMTP_HELO_SHORT,         /* a host name without a dot (localhost, DESKTOP-1) */
        SMTP_HELO_BARE_IP,       /* an address without brackets */
        SMTP_HELO_OURS,          /* claims to be us: one of our names or addresses */
        SMTP_HELO_SYNTAX,        /* none of that, or nothing at all */
};

/* One of our own names. */
struct smtp_helo_name {
        const char *name; /* any case; need not be NUL-ended */
        size_t len;
};

/*
 * Judge a name.
 * name, len   as the client gave it, without spaces.
 * client      the client's address; front: the address that it reached (ours). Either may be NULL.
 * ours, n     our names: host name of the node and of the listener. A recipient domain does not belong here:
 *             its own hosts may well greet with it.
 * Safe on a worker.
 */
enum smtp_helo smtp_helo_check(const char *name, size_t len, const struct addr *client,
                               const struct addr *front, const struct smtp_helo_name *ours, size_t n);

/* The verdict's name, for the log. */
const char *smtp_helo_verdict_name(enum smtp_helo helo);

#endif
