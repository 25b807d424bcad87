/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message between 354 and its end: cuts the client's octets into spans that can be passed on by
 * reference, with a few literal octets between them where something must be mended.
 *
 * What comes out is canonical: every line ends with CR LF, there is no other CR or LF and no NUL, dots are
 * stuffed (RFC 5321 4.5.2) as the client stuffed them, and no CR LF . CR LF is in it. The only end is the
 * client's own CR LF . CR LF, or . CR LF at once for an empty message. The CR LF before the final dot is held
 * back: whoever accepts the message sends smtp_data_tail(), whoever refuses it sends nothing, so a backend
 * never sees an end that was not decided.
 *
 * bare_newline NORMALIZE: a bare LF becomes CR LF, a bare CR a space, a NUL is removed. A line start made
 * that way is not one of the client's, so a dot behind it is content and gets its second dot; and where the
 * client's own leading dot is followed by a bare LF or a NUL, it is a stuffing dot of a line that has become
 * empty and is removed, since it would end the data for the backend. REJECT: the same octets are a fault.
 *
 * A fault (size, line, loop, bare newline) is final: no more spans come out, the rest of the message is
 * thrown away up to its end, and then the reply is given. Answering earlier would let the client's message be
 * read as commands.
 */
#ifndef GREYLINE_SMTP_DATA_H
#define GREYLINE_SMTP_DATA_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/limits.h"
#include "dataplane/smtp/reply.h"

#define SMTP_SPAN_LITERAL_MAX 7

/* Some octets of the message, in order. */
struct smtp_span {
        uint32_t offset;    /* a reference: where it starts in the input of this call */
        uint32_t len;       /* octets, of either kind; at least 1 */
        uint8_t is_literal; /* the octets are in literal[], len <= SMTP_SPAN_LITERAL_MAX */
        uint8_t literal[SMTP_SPAN_LITERAL_MAX];
};
static_assert(sizeof(struct smtp_span) == 16, "four in a line");

#define SMTP_DATA_SPANS_MIN 4 /* the least room for spans that lets every call make progress */

enum smtp_bare_newline {
        SMTP_BARE_NORMALIZE,
        SMTP_BARE_REJECT,
};

/* What a message may be. Owner: the caller; only read; the same for all calls of one message. */
struct smtp_data_conf {
        uint64_t size_max; /* octets as RFC 1870 counts them: unstuffed, CR LF included; 0: no limit */
        uint32_t line_max; /* octets of a line without CR LF, unstuffed; 0: as long as the message may be */
        uint16_t received_max; /* Received lines in the header section; 0: any number */
        uint8_t bare_newline;  /* enum smtp_bare_newline */
};

/* size_max 0, lines of any length, SMTP_RECEIVED_MAX, normalize. */
void smtp_data_conf_init(struct smtp_data_conf *conf);

enum smtp_data_fault {
        SMTP_DATA_OK,
        SMTP_DATA_TOO_BIG,
        SMTP_DATA_LINE_TOO_LONG,
        SMTP_DATA_BARE_NEWLINE,
        SMTP_DATA_LOOP,
};

/* One message's state. Caller's memory; nothing to free. Fields up to `fault` may be read, none written. */
struct smtp_data {
        uint64_t size;     /* octets so far as RFC 1870 counts them, normalised; at the end: of the message */
        uint64_t received; /* octets consumed, the end included */
        uint32_t mended;   /* bare newlines and NULs seen; saturates */
        uint16_t hops;     /* Received lines seen; saturates */
        uint8_t fault;     /* enum smtp_data_fault */
        /* private */
        uint8_t state;
        uint8_t header; /* how much of "received:" the present header line has matched */
        bool is_first;  /* nothing came before the present line start: no CR LF is held there */
        uint64_t line_len;
};
static_assert(sizeof(struct smtp_data) <= 48, "an idle session stays small");

enum smtp_data_result {
        SMTP_DATA_MORE,    /* go on: offer what was not consumed and what comes next */
        SMTP_DATA_END,     /* the end was consumed; behind it are commands. Accept only if fault is OK */
        SMTP_DATA_REFUSED, /* a fault: abort the backend; go on offering until SMTP_DATA_END, or close */
};

/* The most octets that come out of len octets in, with what was held back before. */
#define SMTP_DATA_OUT_MAX(len) (2 * (len) + 4)

void smtp_data_init(struct smtp_data *data);

/*
 * Take octets of a message. What comes out is the same however the stream is cut.
 *
 * bytes, len    only read; len is less than 2^31. References in out point into these octets.
 * out, max_out  room for spans, SMTP_DATA_SPANS_MIN or more. When it is used up the call ends early, with
 *               MORE and consumed < len: pass the spans on and call again with the rest.
 * ret_n_out     always set; 0 once there is a fault.
 * ret_consumed  always set. Held octets count as consumed: after the call nothing of the input is needed but
 *               what out refers to.
 *
 * Safe on a worker: no allocation; only octets that may matter are looked at one by one.
 */
enum smtp_data_result smtp_data_input(struct smtp_data *data, const struct smtp_data_conf *conf,
                                      const uint8_t *bytes, size_t len, struct smtp_span *out, size_t max_out,
                                      size_t *ret_n_out, size_t *ret_consumed);

/* After SMTP_DATA_END without a fault: the octets that end the message for the backend (static). */
const char *smtp_data_tail(const struct smtp_data *data, size_t *ret_len);

/* True while the header section has not ended: whoever wants to add a field at its end still can. */
bool smtp_data_in_header(const struct smtp_data *data);

/* The reply for a fault, and its {number}. */
enum smtp_reply smtp_data_reply(const struct smtp_data *data, const struct smtp_data_conf *conf,
                                uint64_t *ret_number);

/* The octets of a span; input is what smtp_data_input() was given. */
static inline const uint8_t *smtp_span_bytes(const struct smtp_span *span, const uint8_t *input)
{
        return span->is_literal ? span->literal : input + span->offset;
}

#endif
