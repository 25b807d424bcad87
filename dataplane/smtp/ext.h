/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service extensions that the project knows by name: what a listener offers in its EHLO reply, and what a
 * backend says in its own. One bit each, so that "offered" and "used" are one AND.
 */
#ifndef GREYLINE_SMTP_EXT_H
#define GREYLINE_SMTP_EXT_H

#include <stddef.h>
#include <stdint.h>

enum smtp_ext {
        SMTP_EXT_PIPELINING = 1u << 0,          /* RFC 2920 */
        SMTP_EXT_SIZE = 1u << 1,                /* RFC 1870 */
        SMTP_EXT_8BITMIME = 1u << 2,            /* RFC 6152 */
        SMTP_EXT_ENHANCEDSTATUSCODES = 1u << 3, /* RFC 2034 */
        SMTP_EXT_STARTTLS = 1u << 4,            /* RFC 3207 */
        SMTP_EXT_SMTPUTF8 = 1u << 5,            /* RFC 6531 */
        SMTP_EXT_DSN = 1u << 6,                 /* RFC 3461 */
        SMTP_EXT_CHUNKING = 1u << 7,            /* RFC 3030 */
        SMTP_EXT_XCLIENT = 1u << 8,             /* the Postfix extension; its attributes are SMTP_XCLIENT_* */
};

/* What the server side implements today, and so the most that a listener may offer. */
#define SMTP_EXT_IMPLEMENTED                                                                                 \
        (SMTP_EXT_PIPELINING | SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_ENHANCEDSTATUSCODES | SMTP_EXT_STARTTLS)

/* Of these, what needs nothing but the program: STARTTLS wants certificates, and a connection that is in clear. */
#define SMTP_EXT_DEFAULT (SMTP_EXT_IMPLEMENTED & ~(uint32_t)SMTP_EXT_STARTTLS)

enum smtp_xclient {
        SMTP_XCLIENT_NAME = 1u << 0,
        SMTP_XCLIENT_ADDR = 1u << 1,
        SMTP_XCLIENT_PORT = 1u << 2,
        SMTP_XCLIENT_PROTO = 1u << 3,
        SMTP_XCLIENT_HELO = 1u << 4,
        SMTP_XCLIENT_LOGIN = 1u << 5,
        SMTP_XCLIENT_DESTADDR = 1u << 6,
        SMTP_XCLIENT_DESTPORT = 1u << 7,
};

/* The keyword of one extension bit, or NULL for a bit without a name. */
const char *smtp_ext_name(enum smtp_ext ext);

/* The bit of a keyword or XCLIENT attribute in any case of letters; 0 when it is not known. */
uint32_t smtp_ext_lookup(const char *name, size_t len);
uint32_t smtp_xclient_lookup(const char *name, size_t len);

#endif
