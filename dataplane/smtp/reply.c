/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/smtp/reply.h"

#include <string.h>

#include "dataplane/shared/explain_id.h"
#include "dataplane/smtp/ascii.h"
#include "dataplane/smtp/ext.h"

#define LINE_MIN 64 /* with less room than this a reply would be all code and id */

struct reply_row {
        uint16_t code;
        const char *name;
        const char *enhanced;
        const char *text;
};

static const struct reply_row rows[SMTP_REPLY_USED] = {
        [SMTP_REPLY_NONE] = { 0, "none", "", "" },
#define REPLY(name, code, enhanced, text) [SMTP_REPLY_##name] = { code, #name, enhanced, text },
#include "dataplane/smtp/replies.def"
#undef REPLY
};

/* The line being written. end leaves room for what must still come. */
struct writer {
        char *buf;
        size_t len;
        size_t end;
};

static const struct reply_row *row_of(enum smtp_reply reply)
{
        return &rows[(unsigned int)reply < SMTP_REPLY_USED ? reply : SMTP_REPLY_NONE];
}

uint16_t smtp_reply_code(enum smtp_reply reply)
{
        return row_of(reply)->code;
}

const char *smtp_reply_name(enum smtp_reply reply)
{
        return row_of(reply)->name;
}

const char *smtp_reply_text(enum smtp_reply reply)
{
        return row_of(reply)->text;
}

const char *smtp_reply_enhanced(enum smtp_reply reply)
{
        return row_of(reply)->enhanced;
}

static bool is_refusal(uint16_t code)
{
        return code >= 400 && code <= 599;
}

uint16_t smtp_reply_code_with(enum smtp_reply reply, const struct smtp_reply_override *override)
{
        uint16_t code = smtp_reply_code(reply);

        return override && is_refusal(code) && is_refusal(override->code) ? override->code : code;
}

static void put(struct writer *w, const char *text, size_t len)
{
        for (size_t i = 0; i < len && w->len < w->end; i++)
                w->buf[w->len++] = ascii_is_print(text[i]) ? text[i] : '?';
}

static void put_text(struct writer *w, const char *text)
{
        if (text)
                put(w, text, strlen(text));
}

static void put_number(struct writer *w, uint64_t number)
{
        char digits[20];
        size_t at = sizeof(digits);

        do {
                digits[--at] = (char)('0' + number % 10);
                number /= 10;
        } while (number);
        put(w, digits + at, sizeof(digits) - at);
}

/* Write the code and what stands behind it: ' ', or '-' where another line follows. */
static void put_code(struct writer *w, uint16_t code, bool more)
{
        put_number(w, code);
        put_text(w, more ? "-" : " ");
}

/* Write text, each {name} replaced. A name that is not known stands as it is. */
static void put_expanded(struct writer *w, const char *text, size_t len, const struct smtp_reply_args *args)
{
        for (size_t i = 0; i < len;) {
                const char *close = text[i] == '{' ? memchr(text + i, '}', len - i) : NULL;
                const char *name = text + i + 1;
                size_t name_len = close ? (size_t)(close - name) : 0;

                if (!close) {
                        const char *next = memchr(text + i + 1, '{', len - i - 1);
                        size_t run = next ? (size_t)(next - text) - i : len - i;

                        put(w, text + i, run);
                        i += run;
                        continue;
                }
                if (ascii_is_word(name, name_len, "host"))
                        put_text(w, args->host);
                else if (ascii_is_word(name, name_len, "address"))
                        put_text(w, args->address);
                else if (ascii_is_word(name, name_len, "zone"))
                        put_text(w, args->zone);
                else if (ascii_is_word(name, name_len, "number") || ascii_is_word(name, name_len, "seconds"))
                        put_number(w, args->number);
                else if (ascii_is_word(name, name_len, "text"))
                        put(w, args->text, args->text ? args->text_len : 0);
                else
                        put(w, text + i, name_len + 2);
                i += name_len + 2;
        }
}

/* The length of an enhanced code "c.sss.ddd" (RFC 3463, 2) at the start of text, without the space; 0 for none. */
static size_t enhanced_len(const char *text, size_t len)
{
        size_t i = 1;

        if (len < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5'))
                return 0;
        for (int part = 0; part < 2; part++) {
                size_t digits = 0;

                if (i >= len || text[i++] != '.')
                        return 0;
                while (i < len && digits < 3 && ascii_is_digit(text[i]))
                        i++, digits++;
                if (digits == 0)
                        return 0;
        }
        return i == len || text[i] == ' ' ? i : 0;
}

/* An enhanced code and a space. Its class must be the code's (RFC 2034, 4), so it is made so. */
static void put_enhanced(struct writer *w, uint16_t code, const char *enhanced, size_t len)
{
        if (len == 0)
                return;
        put_number(w, code / 100u);
        put(w, enhanced + 1, len - 1);
        put_text(w, " ");
}

/* Room for " [ID]" and CR LF is kept free until here. */
static size_t finish(struct writer *w, uint16_t code, const char *explain_id)
{
        if (explain_id && is_refusal(code)) {
                w->end = w->len + 2 + EXPLAIN_ID_LEN + 1;
                put_text(w, " [");
                put(w, explain_id, EXPLAIN_ID_LEN);
                put_text(w, "]");
        }
        memcpy(w->buf + w->len, "\r\n", 2);
        return w->len + 2;
}

static void start(struct writer *w, char *buf, size_t size, const char *explain_id)
{
        size_t room = size < SMTP_REPLY_LINE_MAX ? size : SMTP_REPLY_LINE_MAX;

        w->buf = buf;
        w->len = 0;
        w->end = room - 2 - (explain_id ? EXPLAIN_ID_LEN + 3 : 0);
}

size_t smtp_reply_build(enum smtp_reply reply, const struct smtp_reply_args *args, char *buf, size_t size)
{
        static const struct smtp_reply_args no_args;
        const struct reply_row *row = row_of(reply);
        const char *enhanced = row->enhanced;
        size_t enhanced_length = strlen(enhanced);
        const char *text = row->text;
        size_t text_len = strlen(text);
        uint16_t code;
        struct writer w;

        if (row->code == 0 || size < LINE_MIN)
                return 0;
        if (!args)
                args = &no_args;
        code = smtp_reply_code_with(reply, args->override);
        if (args->override && is_refusal(code) && args->override->text && args->override->text_len) {
                size_t own = enhanced_len(args->override->text, args->override->text_len);

                text = args->override->text;
                text_len = args->override->text_len;
                if (own) {
                        enhanced = text;
                        enhanced_length = own;
                        own += own < text_len; /* the space */
                        text += own;
                        text_len -= own;
                }
        }
        start(&w, buf, size, args->explain_id);
        put_code(&w, code, reply == SMTP_REPLY_TEASER);
        put_enhanced(&w, code, enhanced, enhanced_length);
        put_expanded(&w, text, text_len, args);
        return finish(&w, code, args->explain_id);
}

/* One line of the EHLO reply. */
static size_t build_keyword(const char *name, bool more, uint64_t number, char *buf, size_t size)
{
        struct writer w;

        if (size < LINE_MIN)
                return 0;
        start(&w, buf, size, NULL);
        put_code(&w, 250, more);
        put_text(&w, name);
        if (number) {
                put_text(&w, " ");
                put_number(&w, number);
        }
        return finish(&w, 250, NULL);
}

size_t smtp_reply_build_ehlo(const char *host, uint32_t ext, uint64_t size_max, char *buf, size_t size)
{
        char name[SMTP_DOMAIN_MAX + 1];
        size_t name_len = strnlen(host, SMTP_DOMAIN_MAX);
        size_t len;

        ext &= SMTP_EXT_IMPLEMENTED;
        memcpy(name, host, name_len);
        name[name_len] = '\0';
        len = build_keyword(name, ext != 0, 0, buf, size);
        while (ext) {
                uint32_t bit = ext & -ext;
                uint64_t number = bit == SMTP_EXT_SIZE ? size_max : 0;

                ext &= ~bit;
                len +=
                    build_keyword(smtp_ext_name((enum smtp_ext)bit), ext != 0, number, buf + len, size - len);
        }
        return len;
}

size_t smtp_reply_build_line(uint16_t code, bool more, const char *text, size_t text_len,
                             const char *explain_id, char *buf, size_t size)
{
        struct writer w;

        if (size < LINE_MIN)
                return 0;
        if (code < 200 || code > 599) {
                code = smtp_reply_code(SMTP_REPLY_LOCAL_ERROR);
                text = smtp_reply_text(SMTP_REPLY_LOCAL_ERROR);
                text_len = strlen(text);
        }
        start(&w, buf, size, explain_id);
        put_code(&w, code, more);
        put(&w, text, text_len);
        return finish(&w, code, explain_id);
}
