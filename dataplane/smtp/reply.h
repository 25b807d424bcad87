/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reply lines: the table (replies.def) and its rendering. Nothing that a peer or a policy supplies can break
 * the line: all text is cut to printable ASCII and to the 512 octets of RFC 5321 4.5.3.1.5, and the explain
 * id is kept when the text must be cut.
 */
#ifndef GREYLINE_SMTP_REPLY_H
#define GREYLINE_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/limits.h"

enum smtp_reply {
        SMTP_REPLY_NONE, /* nothing to send, or the session's own */
#define REPLY(name, code, enhanced, text) SMTP_REPLY_##name,
#include "dataplane/smtp/replies.def"
#undef REPLY
        SMTP_REPLY_USED,
};

/*
 * Code and text from the policy in place of the table's. The text may hold the same {names}, and may begin
 * with an enhanced code of its own; else the table's is used, its class changed to the code's.
 */
struct smtp_reply_override {
        uint16_t code;     /* 400 to 599; 0 or anything else: the table's */
        uint16_t text_len; /* 0: the table's text */
        const char *text;
};

/* All optional: a zeroed struct is fine, an argument that is missing leaves nothing in the text. */
struct smtp_reply_args {
        const char *host;    /* our name; NUL-ended */
        const char *address; /* the client's address as text; NUL-ended */
        const char *zone;    /* a zone's name; NUL-ended */
        const char *text;    /* free text, text_len octets */
        size_t text_len;
        uint64_t number;
        const char *explain_id; /* EXPLAIN_ID_LEN characters, appended to refusals as " [ID]"; or NULL */
        const struct smtp_reply_override *override; /* or NULL; used for refusals only */
};

#define SMTP_REPLY_EHLO_MAX 512 /* enough for every EHLO reply: all keywords and a host name of 255 */

/* The table's code (250, 451, ...), 0 for SMTP_REPLY_NONE. */
uint16_t smtp_reply_code(enum smtp_reply reply);

/* The code that smtp_reply_build() will send, with the override taken into account. */
uint16_t smtp_reply_code_with(enum smtp_reply reply, const struct smtp_reply_override *override);

/* The reply's name as in replies.def, for docs and logs. */
const char *smtp_reply_name(enum smtp_reply reply);

/* The table's text and enhanced code, unexpanded. */
const char *smtp_reply_text(enum smtp_reply reply);
const char *smtp_reply_enhanced(enum smtp_reply reply);

/*
 * Write one reply line with its CR LF into buf (size: SMTP_REPLY_LINE_MAX or more; less gives a shorter text,
 * under 64 octets nothing). args may be NULL. No NUL is written.
 * Returns the octets written; 0 for SMTP_REPLY_NONE. Safe on a worker: no allocation, no locale, no clock.
 */
size_t smtp_reply_build(enum smtp_reply reply, const struct smtp_reply_args *args, char *buf, size_t size);

/*
 * Write the EHLO reply: our name, then one line a keyword in ext (enum smtp_ext; bits that are not
 * implemented are left out). size_max: the value after SIZE, 0 for none. size: SMTP_REPLY_EHLO_MAX or more.
 * Returns the octets written.
 */
size_t smtp_reply_build_ehlo(const char *host, uint32_t ext, uint64_t size_max, char *buf, size_t size);

/*
 * Write one line of a backend's reply again as ours: code, text (its own enhanced code included, when it has
 * one), the explain id when not NULL. code is 200 to 599, else 451 is sent. more: another line follows
 * ("250-"). Returns the octets written.
 */
size_t smtp_reply_build_line(uint16_t code, bool more, const char *text, size_t text_len,
                             const char *explain_id, char *buf, size_t size);

#endif
