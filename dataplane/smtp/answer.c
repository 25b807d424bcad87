/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/answer.h"

#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/ascii.h"

/* Where in a line the next octet is. */
enum {
        AT_CODE, /* one of the three digits */
        AT_MARK, /* SP, '-', or the end of a line without text */
        AT_TEXT,
        AT_LF, /* behind a CR */
};

void smtp_answer_init(struct smtp_answer *answer, bool is_ehlo)
{
        /* Only what has a meaning before the first line is read; the texts need no clearing. */
        memset(answer, 0, offsetof(struct smtp_answer, first));
        answer->first[0] = '\0';
        answer->text[0] = '\0';
        answer->state = AT_CODE;
        answer->digits = 0;
        answer->is_ehlo = is_ehlo;
        answer->is_last = false;
        answer->line_code = 0;
        answer->line_len = 0;
}

static enum smtp_answer_result fail(struct smtp_answer *a, enum smtp_answer_error error)
{
        a->error = (uint8_t)error;
        return SMTP_ANSWER_ERROR;
}

/* Read up to three digits of a number; returns how many octets, 0 for none. */
static size_t parse_part(const char *text, uint16_t *ret)
{
        size_t digits = 0;
        uint16_t value = 0;

        while (digits < 3 && ascii_is_digit(text[digits]))
                value = (uint16_t)(value * 10 + (text[digits++] - '0'));
        if (digits)
                *ret = value;
        return digits;
}

/* The enhanced code in front of a line's text (RFC 2034, 4): believed only when its class is the reply's. */
static void take_enhanced(struct smtp_answer *a)
{
        uint16_t parts[3];
        const char *at = a->text;

        for (int i = 0; i < 3; i++) {
                size_t digits = parse_part(at, &parts[i]);

                if (digits == 0)
                        return;
                at += digits;
                if (i < 2 && *at++ != '.')
                        return;
        }
        if ((*at == ' ' || *at == '\0') && parts[0] == a->code / 100)
                memcpy(a->enhanced, parts, sizeof(a->enhanced));
}

/* The next word of a line; returns its length, 0 at the end. */
static size_t next_word(const char **at)
{
        size_t len = 0;

        while (**at == ' ')
                (*at)++;
        while ((*at)[len] != '\0' && (*at)[len] != ' ')
                len++;
        return len;
}

/* ehlo-keyword *( SP ehlo-param ), RFC 5321 4.1.1.1. Unknown keywords and odd parameters mean nothing to us. */
static void take_keyword(struct smtp_answer *a)
{
        const char *at = a->text;
        size_t len = next_word(&at);
        uint32_t bit = smtp_ext_lookup(at, len);

        a->ext |= bit;
        at += len;
        while ((len = next_word(&at)) != 0) {
                if (bit == SMTP_EXT_XCLIENT) {
                        a->xclient |= smtp_xclient_lookup(at, len);
                } else if (bit == SMTP_EXT_SIZE) {
                        uint64_t size = 0;

                        /* 0 means no limit (RFC 1870, 3), and so does a number that is none. */
                        for (size_t i = 0; i < len; i++)
                                if (!ascii_is_digit(at[i]) || __builtin_mul_overflow(size, 10u, &size) ||
                                    __builtin_add_overflow(size, (uint64_t)(at[i] - '0'), &size)) {
                                        size = 0;
                                        break;
                                }
                        a->size_max = size;
                }
                at += len;
        }
}

/* A line is complete. */
static enum smtp_answer_result end_line(struct smtp_answer *a)
{
        if (a->lines == 0) {
                a->code = a->line_code;
                a->first_len = a->text_len;
                memcpy(a->first, a->text, a->text_len + 1u);
        } else if (a->code != a->line_code) {
                return fail(a, SMTP_ANSWER_CODE_CHANGED);
        } else if (a->is_ehlo && a->code == 250) {
                take_keyword(a);
        }
        if (a->lines == SMTP_ANSWER_LINES_MAX)
                return fail(a, SMTP_ANSWER_MANY_LINES);
        a->lines++;
        if (a->is_last) {
                take_enhanced(a);
                return SMTP_ANSWER_DONE;
        }
        a->state = AT_CODE;
        a->digits = 0;
        a->line_code = 0;
        a->line_len = 0;
        return SMTP_ANSWER_MORE;
}

/* The octet behind the code. RFC 5321 4.2: a line of a code alone is a reply too. */
static enum smtp_answer_result take_mark(struct smtp_answer *a, char c)
{
        a->is_last = c != '-';
        a->text_len = 0;
        a->text[0] = '\0';
        if (c == '\r') {
                a->state = AT_LF;
                return SMTP_ANSWER_MORE;
        }
        if (c != ' ' && c != '-')
                return fail(a, SMTP_ANSWER_BAD_CODE);
        a->state = AT_TEXT;
        return SMTP_ANSWER_MORE;
}

static enum smtp_answer_result take_digit(struct smtp_answer *a, char c)
{
        /* Reply-code = %x32-35 %x30-35 %x30-39; a second digit over 5 does no harm. */
        if (!ascii_is_digit(c) || (a->digits == 0 && (c < '2' || c > '5')))
                return fail(a, SMTP_ANSWER_BAD_CODE);
        a->line_code = (uint16_t)(a->line_code * 10 + (c - '0'));
        if (++a->digits == 3)
                a->state = AT_MARK;
        return SMTP_ANSWER_MORE;
}

static enum smtp_answer_result take_text(struct smtp_answer *a, char c)
{
        if (c == '\r') {
                a->state = AT_LF;
                return SMTP_ANSWER_MORE;
        }
        if (c == '\n' || c == '\0')
                return fail(a, SMTP_ANSWER_BAD_NEWLINE);
        if (a->text_len < SMTP_ANSWER_TEXT_MAX) {
                a->text[a->text_len++] = c;
                a->text[a->text_len] = '\0';
        }
        return SMTP_ANSWER_MORE;
}

static enum smtp_answer_result take(struct smtp_answer *a, char c)
{
        if (++a->line_len > SMTP_ANSWER_LINE_MAX)
                return fail(a, SMTP_ANSWER_LONG_LINE);
        switch (a->state) {
        case AT_CODE:
                return take_digit(a, c);
        case AT_MARK:
                return take_mark(a, c);
        case AT_TEXT:
                return take_text(a, c);
        default:
                return c == '\n' ? end_line(a) : fail(a, SMTP_ANSWER_BAD_NEWLINE);
        }
}

enum smtp_answer_result smtp_answer_input(struct smtp_answer *answer, const uint8_t *bytes, size_t len,
                                          size_t *ret_consumed)
{
        enum smtp_answer_result result = SMTP_ANSWER_MORE;
        size_t at = 0;

        if (answer->error != SMTP_ANSWER_OK)
                result = SMTP_ANSWER_ERROR;
        while (at < len && result == SMTP_ANSWER_MORE)
                result = take(answer, (char)bytes[at++]);
        *ret_consumed = at;
        return result;
}

const char *smtp_answer_error_name(enum smtp_answer_error error)
{
        static const char *const names[] = {
                [SMTP_ANSWER_OK] = "ok",
                [SMTP_ANSWER_BAD_CODE] = "bad code",
                [SMTP_ANSWER_CODE_CHANGED] = "different codes in one reply",
                [SMTP_ANSWER_BAD_NEWLINE] = "bare newline or NUL",
                [SMTP_ANSWER_LONG_LINE] = "line too long",
                [SMTP_ANSWER_MANY_LINES] = "too many lines",
        };

        return (unsigned int)error < ARRAY_LEN(names) ? names[error] : "?";
}
