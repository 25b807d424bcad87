/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reverse and forward paths, RFC 5321 4.1.2, in the one form that the rest of the project sees: no angle
 * brackets, no source route, domain in lower case, the local part with the least quoting that it needs (so
 * that "john"@x and john@x are one mailbox, as 4.1.2 says they are).
 */
#ifndef GREYLINE_SMTP_PATH_H
#define GREYLINE_SMTP_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/limits.h"

#define SMTP_PATH_QUOTED  0x01u /* the local part needs its quotes */
#define SMTP_PATH_LITERAL 0x02u /* the domain is an address literal, brackets included */
#define SMTP_PATH_ROUTED                                                                                     \
        0x04u /* the local part holds '@', '%' or '!': a backend might route by it (RFC 5321 7.1             \
                 and appendix C), so an operator who takes our address for one of his own                    \
                 machines must not get it */
#define SMTP_PATH_SOURCE 0x08u /* a source route stood before the mailbox and was dropped (appendix C) */

struct smtp_path {
        uint16_t len;        /* of text; 0: the null path <> */
        uint16_t local_len;  /* of the local part, quotes included */
        uint16_t domain_len; /* of the domain; 0 for <> and for a <postmaster> without domain */
        uint8_t flags;       /* SMTP_PATH_* */
        uint8_t unused;
        char text[SMTP_PATH_MAX + 4]; /* local "@" domain, NUL at its end */
};

enum smtp_path_verdict {
        SMTP_PATH_OK,
        SMTP_PATH_BAD,       /* not the grammar of 4.1.2 */
        SMTP_PATH_TOO_LONG,  /* a local part, label, domain or path over its limit (4.5.3.1) */
        SMTP_PATH_NON_ASCII, /* an octet over 127, and SMTPUTF8 is not on (RFC 6531 3.5) */
};

/* What may stand in the place of a mailbox. */
#define SMTP_PATH_MAY_BE_NULL       0x1u /* <> (MAIL) */
#define SMTP_PATH_MAY_BE_POSTMASTER 0x2u /* <postmaster> without a domain (RCPT, 4.1.1.3) */
#define SMTP_PATH_MAY_BE_LONG                                                                                \
        0x4u /* a local part over 64 octets (MAIL): large senders' bounce addresses are */

/*
 * Parse a path that starts at text[0], which must be '<', up to and including its '>'.
 * text, len     the rest of the command line; only read.
 * may_be        SMTP_PATH_MAY_BE_*.
 * ret, ret_used set on SMTP_PATH_OK only; ret_used: octets of text that the path took.
 * Safe on a worker.
 */
enum smtp_path_verdict smtp_path_parse(const char *text, size_t len, unsigned int may_be,
                                       struct smtp_path *ret, size_t *ret_used) MUST_CHECK;

/*
 * Check a domain or an address literal as 4.1.2 wants it and write it in the normal form (lower case) to ret,
 * which has room for SMTP_DOMAIN_MAX + 1; ret_len without the NUL. An underscore passes as a letter does:
 * hosts with one in their name send mail every day. Safe on a worker.
 */
enum smtp_path_verdict smtp_domain_parse(const char *text, size_t len, char *ret, size_t *ret_len) MUST_CHECK;

/* The domain of a path: domain_len octets and a NUL; empty where there is none. */
static inline const char *smtp_path_domain(const struct smtp_path *path)
{
        return path->text + (path->domain_len ? path->local_len + 1u : path->len);
}

#endif
