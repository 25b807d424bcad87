/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the stream is cut. Octets that pass unchanged pile up as one run of the input, [ref, at); a run is written
 * out as one span when something must be mended, or when the input ends. What may be part of the end (a CR, a
 * CR LF, a dot behind it) is held: it stays out of the run until the next octet tells. Held octets of an earlier
 * call are no longer in the input and come out as literals.
 */
#include "dataplane/smtp/data.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/ascii.h"

/* Where in a line the next octet is. What is held in each state is in held_text(). */
enum {
        AT_START,  /* behind the client's CR LF, or at the start of the message */
        AT_SOFT,   /* behind a line end that we made: a dot here is content */
        AT_MID,    /* inside a line */
        AT_CR,     /* behind a CR inside a line */
        AT_DOT,    /* behind a dot at AT_START */
        AT_DOT_CR, /* and a CR behind it */
        AT_END,
};

/* How much of "received:" has matched, or one of these. */
enum {
        HEADER_NAME = 9, /* the length of the name */
        HEADER_REST,     /* in a header line that is something else, or behind the name */
        HEADER_DONE,     /* in the body */
};

#define STEP_SPANS_MAX 3 /* one step writes a run and a literal; and the call's last run needs room */

/* One call. */
struct cutter {
        struct smtp_data *data;
        const struct smtp_data_conf *conf;
        const uint8_t *bytes;
        size_t at; /* the octet looked at */
        size_t len;
        size_t ref;     /* the start of the run that was not written yet */
        size_t earlier; /* held octets that came in earlier calls */
        struct smtp_span *out;
        size_t n_out;
};

void smtp_data_conf_init(struct smtp_data_conf *conf)
{
        *conf =
            (struct smtp_data_conf){ .received_max = SMTP_RECEIVED_MAX, .bare_newline = SMTP_BARE_NORMALIZE };
}

void smtp_data_init(struct smtp_data *data)
{
        *data = (struct smtp_data){ .state = AT_START, .is_first = true };
}

static const char *held_text(const struct smtp_data *d, size_t *ret_len)
{
        static const char all[] = "\r\n.\r\n";
        size_t from = d->is_first ? 2 : 0;

        switch (d->state) {
        case AT_START:
                *ret_len = 2 - from;
                return all + from;
        case AT_DOT:
                *ret_len = 3 - from;
                return all + from;
        case AT_DOT_CR:
                *ret_len = 4 - from;
                return all + from;
        case AT_END:
                *ret_len = 5 - from;
                return all + from;
        case AT_CR:
                *ret_len = 1;
                return all;
        default:
                *ret_len = 0;
                return all;
        }
}

static void set_fault(struct smtp_data *d, enum smtp_data_fault fault)
{
        if (d->fault == SMTP_DATA_OK)
                d->fault = (uint8_t)fault;
}

/* n octets of content on the present line. The limit that was reached first counts, however they were cut. */
static void count_content(struct cutter *c, size_t n)
{
        struct smtp_data *d = c->data;
        uint64_t size_room =
            c->conf->size_max ? c->conf->size_max - MIN(d->size, c->conf->size_max) : UINT64_MAX;
        uint64_t line_room =
            c->conf->line_max ? c->conf->line_max - MIN(d->line_len, c->conf->line_max) : UINT64_MAX;

        d->size += n;
        d->line_len += n;
        if (n > MIN(size_room, line_room))
                set_fault(d, size_room <= line_room ? SMTP_DATA_TOO_BIG : SMTP_DATA_LINE_TOO_LONG);
}

/* A line has ended, by the client's CR LF or by one that we made. */
static void count_line_end(struct cutter *c)
{
        struct smtp_data *d = c->data;

        d->size += 2;
        if (c->conf->size_max && d->size > c->conf->size_max)
                set_fault(d, SMTP_DATA_TOO_BIG);
        if (d->header != HEADER_DONE)
                d->header = d->line_len == 0 ? HEADER_DONE : 0;
        d->line_len = 0;
}

static void count_mended(struct cutter *c)
{
        struct smtp_data *d = c->data;

        if (d->mended < UINT32_MAX)
                d->mended++;
        if (c->conf->bare_newline == SMTP_BARE_REJECT)
                set_fault(d, SMTP_DATA_BARE_NEWLINE);
}

/* One octet of content at the start of a header line. */
static void match_received(struct cutter *c, char byte)
{
        static const char name[] = "received:";
        struct smtp_data *d = c->data;

        if (d->header >= HEADER_NAME)
                return;
        if (ascii_lower(byte) != name[d->header]) {
                d->header = HEADER_REST;
                return;
        }
        if (++d->header != HEADER_NAME)
                return;
        d->header = HEADER_REST;
        if (d->hops < UINT16_MAX)
                d->hops++;
        if (c->conf->received_max && d->hops > c->conf->received_max)
                set_fault(d, SMTP_DATA_LOOP);
}

static void put_literal(struct cutter *c, const char *text, size_t len)
{
        struct smtp_span *last = c->n_out ? &c->out[c->n_out - 1] : NULL;

        if (c->data->fault || len == 0)
                return;
        if (!last || !last->is_literal || last->len + len > SMTP_SPAN_LITERAL_MAX) {
                last = &c->out[c->n_out++];
                *last = (struct smtp_span){ .is_literal = 1 };
        }
        memcpy(last->literal + last->len, text, len);
        last->len += (uint32_t)len;
}

static void put_run(struct cutter *c, size_t end)
{
        if (c->data->fault || end <= c->ref)
                return;
        c->out[c->n_out++] =
            (struct smtp_span){ .offset = (uint32_t)c->ref, .len = (uint32_t)(end - c->ref) };
        c->ref = end;
}

/* Held octets that came in this call end the run at `at`; they are not part of it until they are released. */
static size_t run_end(const struct cutter *c)
{
        size_t held;

        held_text(c->data, &held);
        return c->at - (held - c->earlier);
}

/* What is held is content after all. */
static void release(struct cutter *c)
{
        size_t held;
        const char *text = held_text(c->data, &held);

        put_literal(c, text, c->earlier);
        c->earlier = 0;
        c->data->is_first = false;
}

/* What is held is not content: text takes its place, and the run goes on at octet next. */
static void replace(struct cutter *c, const char *text, size_t len, size_t next)
{
        put_run(c, run_end(c));
        put_literal(c, text, len);
        c->ref = next;
        c->earlier = 0;
        c->data->is_first = false;
}

/* The CR LF that is held at a line start, and what comes behind it. */
static void replace_behind_start(struct cutter *c, const char *text, size_t len, size_t next)
{
        char both[8];
        size_t n = 0;

        if (!c->data->is_first) {
                memcpy(both, "\r\n", 2);
                n = 2;
        }
        memcpy(both + n, text, len);
        replace(c, both, n + len, next);
}

/* The first octet at or behind `at` that is CR, LF or NUL; len when there is none. */
static size_t find_special(const uint8_t *bytes, size_t at, size_t len)
{
#ifdef __SSE2__
        const __m128i cr = _mm_set1_epi8('\r');
        const __m128i lf = _mm_set1_epi8('\n');
        const __m128i nul = _mm_setzero_si128();

        for (; at + 16 <= len; at += 16) {
                __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
                __m128i newline = _mm_or_si128(_mm_cmpeq_epi8(block, cr), _mm_cmpeq_epi8(block, lf));
                int mask = _mm_movemask_epi8(_mm_or_si128(newline, _mm_cmpeq_epi8(block, nul)));

                if (mask)
                        return at + (size_t)__builtin_ctz((unsigned int)mask);
        }
#endif
        while (at < len && bytes[at] != '\r' && bytes[at] != '\n' && bytes[at] != '\0')
                at++;
        return at;
}

/* Behind CR LF: true where the next octet needs no state of its own, so that the run simply goes on. */
static bool is_plain_line_start(const struct cutter *c, size_t at)
{
        return at < c->len && c->bytes[at] != '.' && c->bytes[at] != '\r' && c->bytes[at] != '\n' &&
               c->bytes[at] != '\0';
}

/* Inside a line: on to the next octet that needs a state; over as many plain lines as there are. */
static void step_mid(struct cutter *c)
{
        struct smtp_data *d = c->data;

        for (;;) {
                size_t end;

                while (d->header < HEADER_NAME) {
                        uint8_t byte;

                        if (c->at == c->len)
                                return;
                        byte = c->bytes[c->at];
                        if (byte == '\r' || byte == '\n' || byte == '\0')
                                break;
                        count_content(c, 1);
                        match_received(c, (char)byte);
                        c->at++;
                }
                end = find_special(c->bytes, c->at, c->len);
                if (end > c->at)
                        count_content(c, end - c->at);
                c->at = end;
                if (end == c->len || c->bytes[end] != '\r' || end + 2 >= c->len ||
                    c->bytes[end + 1] != '\n' || !is_plain_line_start(c, end + 2))
                        break;
                count_line_end(c);
                c->at = end + 2;
        }
        if (c->at == c->len)
                return;
        if (c->bytes[c->at] == '\r') {
                d->state = AT_CR;
        } else if (c->bytes[c->at] == '\n') {
                count_mended(c);
                replace(c, "\r\n", 2, c->at + 1);
                count_line_end(c);
                d->state = AT_SOFT;
        } else {
                count_mended(c);
                replace(c, "", 0, c->at + 1);
        }
        c->at++;
}

/* Behind the client's CR LF, which is held. */
static void step_start(struct cutter *c)
{
        if (c->bytes[c->at] == '.') {
                c->data->state = AT_DOT;
                c->at++;
                return;
        }
        release(c);
        c->data->state = AT_MID;
        if (c->bytes[c->at] == '\0') {
                /* The line goes on where the client's did not begin: a dot that comes now is content. */
                count_mended(c);
                replace(c, "", 0, c->at + 1);
                c->data->state = AT_SOFT;
                c->at++;
        }
}

/* Behind a line end that we made, or NULs that we took away. */
static void step_soft(struct cutter *c)
{
        if (c->bytes[c->at] == '\0') {
                count_mended(c);
                replace(c, "", 0, c->at + 1);
                c->at++;
                return;
        }
        if (c->bytes[c->at] == '.')
                replace(c, ".", 1, c->at);
        c->data->state = AT_MID;
}

/* The held CR was a bare one: a space stands for it. */
static void count_space(struct cutter *c)
{
        count_mended(c);
        count_content(c, 1);
        match_received(c, ' ');
}

/* Behind a bare CR, and what took its place was written: take the octet that showed it. */
static void step_behind_bare_cr(struct cutter *c, uint8_t byte)
{
        c->data->state = byte == '\r' ? AT_CR : AT_MID;
        if (byte == '\0')
                count_mended(c);
        if (byte == '\r' || byte == '\0')
                c->at++;
}

static void step_cr(struct cutter *c)
{
        uint8_t byte = c->bytes[c->at];

        if (byte == '\n') {
                count_line_end(c);
                c->data->state = AT_START;
                c->at++;
                return;
        }
        count_space(c);
        replace(c, " ", 1, c->at + (byte == '\0'));
        step_behind_bare_cr(c, byte);
}

/* Behind a dot that begins one of the client's lines: stuffing, or half of the end. */
static void step_dot(struct cutter *c)
{
        switch (c->bytes[c->at]) {
        case '\r':
                c->data->state = AT_DOT_CR;
                c->at++;
                return;
        case '\n':
                /* The line is empty but for its stuffing dot, which would now stand alone and end the data. */
                count_mended(c);
                replace_behind_start(c, "\r\n", 2, c->at + 1);
                count_line_end(c);
                break;
        case '\0':
                count_mended(c);
                replace_behind_start(c, "", 0, c->at + 1);
                break;
        default:
                release(c);
                c->data->state = AT_MID;
                return;
        }
        c->data->state = AT_SOFT;
        c->at++;
}

static void step_dot_cr(struct cutter *c)
{
        uint8_t byte = c->bytes[c->at];

        if (byte == '\n') {
                c->data->state = AT_END;
                c->at++;
                return;
        }
        count_space(c);
        replace_behind_start(c, ". ", 2, c->at + (byte == '\0'));
        step_behind_bare_cr(c, byte);
}

static void step(struct cutter *c)
{
        switch (c->data->state) {
        case AT_START:
                step_start(c);
                break;
        case AT_SOFT:
                step_soft(c);
                break;
        case AT_CR:
                step_cr(c);
                break;
        case AT_DOT:
                step_dot(c);
                break;
        case AT_DOT_CR:
                step_dot_cr(c);
                break;
        default:
                step_mid(c);
                break;
        }
}

enum smtp_data_result smtp_data_input(struct smtp_data *data, const struct smtp_data_conf *conf,
                                      const uint8_t *bytes, size_t len, struct smtp_span *out, size_t max_out,
                                      size_t *ret_n_out, size_t *ret_consumed)
{
        struct cutter c = { .data = data, .conf = conf, .bytes = bytes, .len = len, .out = out };

        BUG_ON(max_out < SMTP_DATA_SPANS_MIN);
        held_text(data, &c.earlier);
        while (c.at < len && data->state != AT_END && (data->fault || c.n_out + STEP_SPANS_MAX <= max_out))
                step(&c);
        put_run(&c, run_end(&c));
        data->received += c.at;
        *ret_n_out = data->fault ? 0 : c.n_out;
        *ret_consumed = c.at;
        if (data->state == AT_END)
                return SMTP_DATA_END;
        return data->fault ? SMTP_DATA_REFUSED : SMTP_DATA_MORE;
}

const char *smtp_data_tail(const struct smtp_data *data, size_t *ret_len)
{
        return held_text(data, ret_len);
}

bool smtp_data_in_header(const struct smtp_data *data)
{
        return data->header != HEADER_DONE;
}

enum smtp_reply smtp_data_reply(const struct smtp_data *data, const struct smtp_data_conf *conf,
                                uint64_t *ret_number)
{
        *ret_number = 0;
        switch (data->fault) {
        case SMTP_DATA_TOO_BIG:
                *ret_number = conf->size_max;
                return SMTP_REPLY_SIZE_LIMIT;
        case SMTP_DATA_LINE_TOO_LONG:
                *ret_number = conf->line_max;
                return SMTP_REPLY_TEXT_LINE_LIMIT;
        case SMTP_DATA_BARE_NEWLINE:
                return SMTP_REPLY_BARE_NEWLINE;
        case SMTP_DATA_LOOP:
                return SMTP_REPLY_LOOP;
        default:
                return SMTP_REPLY_NONE;
        }
}
