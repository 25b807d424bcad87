/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side: reads a backend's replies (RFC 5321 4.2), one at a time, cut anywhere. What is malformed
 * is an error of that backend and ends the connection: guessing at the end of a reply would give the answer
 * to one command for another.
 */
#ifndef GREYLINE_SMTP_ANSWER_H
#define GREYLINE_SMTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/smtp/ext.h"
#include "dataplane/smtp/limits.h"

#define SMTP_ANSWER_TEXT_MAX 500 /* what is kept of a line's text; the rest of the line is read over */

enum smtp_answer_result {
        SMTP_ANSWER_MORE,  /* all octets were consumed, the reply is not complete */
        SMTP_ANSWER_DONE,  /* one reply is complete; octets behind it were not consumed */
        SMTP_ANSWER_ERROR, /* not a reply: see error. Final */
};

enum smtp_answer_error {
        SMTP_ANSWER_OK,
        SMTP_ANSWER_BAD_CODE,     /* no three digits 200 to 599, or no SP or '-' behind them */
        SMTP_ANSWER_CODE_CHANGED, /* lines of one reply with different codes */
        SMTP_ANSWER_BAD_NEWLINE,  /* a bare CR or LF, or a NUL */
        SMTP_ANSWER_LONG_LINE,
        SMTP_ANSWER_MANY_LINES,
};

/* One reply. Caller's memory; nothing to free. Fields up to `error` are valid after SMTP_ANSWER_DONE. */
struct smtp_answer {
        uint16_t code;      /* 200 to 599 */
        uint16_t lines;     /* in the reply */
        uint16_t text_len;  /* of text */
        uint16_t first_len; /* of first */
        uint16_t
            enhanced[3];   /* class, subject, detail of the last line's enhanced code; class 0: it has none */
        uint8_t error;     /* enum smtp_answer_error */
        uint32_t ext;      /* enum smtp_ext: keywords of an EHLO reply */
        uint32_t xclient;  /* enum smtp_xclient: attributes behind XCLIENT */
        uint64_t size_max; /* the value behind SIZE; 0: none given or no limit */
        char first[SMTP_ANSWER_TEXT_MAX + 1]; /* the first line's text, without code; NUL-ended */
        char text[SMTP_ANSWER_TEXT_MAX + 1]; /* the last line's text, its enhanced code included; NUL-ended */
        /* private */
        uint8_t state;
        uint8_t digits;
        bool is_ehlo, is_last;
        uint16_t line_code;
        uint16_t line_len;
};

/* Get ready for the next reply; is_ehlo: it answers EHLO, so its lines after the first are keywords. */
void smtp_answer_init(struct smtp_answer *answer, bool is_ehlo);

/*
 * Take octets of a reply. ret_consumed is always set. After DONE or ERROR, smtp_answer_init() comes first.
 * Safe on a worker.
 */
enum smtp_answer_result smtp_answer_input(struct smtp_answer *answer, const uint8_t *bytes, size_t len,
                                          size_t *ret_consumed);

/* The error's name, for the log. */
const char *smtp_answer_error_name(enum smtp_answer_error error);

#endif
