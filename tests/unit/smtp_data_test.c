/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data machine against a table of exact outputs, and against a reference that reads the whole message at once
 * and knows nothing of states. Every case runs whole, cut at every position, and in single octets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/data.h"

#define STREAM_MAX 8192

/* A stream's octets, or what came out. */
struct bytes {
        size_t len;
        uint8_t byte[2 * STREAM_MAX + 64];
};

/* What one run of a stream gave. */
struct outcome {
        enum smtp_data_result result;
        size_t consumed;
        struct smtp_data data;
        struct bytes out;
};

static void append(struct bytes *to, const void *bytes, size_t len)
{
        assert_true(to->len + len <= sizeof(to->byte));
        memcpy(to->byte + to->len, bytes, len);
        to->len += len;
}

/* Offer one piece until it is consumed, or the message ends. Returns what was consumed. */
static size_t feed(struct outcome *o, const struct smtp_data_conf *conf, const uint8_t *bytes, size_t len,
                   size_t max_out)
{
        size_t total = 0;

        do {
                struct smtp_span spans[64];
                size_t n, used, out = 0;
                /* A heap copy of its own, so that a sanitizer sees any look behind the piece. */
                uint8_t *piece = malloc(len - total + 1);

                memcpy(piece, bytes + total, len - total);
                o->result = smtp_data_input(&o->data, conf, piece, len - total, spans, max_out, &n, &used);
                assert_true(n <= max_out);
                for (size_t i = 0; i < n; i++) {
                        assert_true(spans[i].len > 0);
                        assert_true(spans[i].is_literal ? spans[i].len <= SMTP_SPAN_LITERAL_MAX
                                                        : spans[i].offset + spans[i].len <= used);
                        append(&o->out, smtp_span_bytes(&spans[i], piece), spans[i].len);
                        out += spans[i].len;
                }
                assert_true(out <= SMTP_DATA_OUT_MAX(used));
                assert_true(used > 0 || len == total);
                free(piece);
                total += used;
        } while (total < len && o->result != SMTP_DATA_END);
        return total;
}

/* Run a stream cut behind each of the n positions in cuts (ascending). */
static void run_cut(struct outcome *o, const struct smtp_data_conf *conf, const uint8_t *bytes, size_t len,
                    const size_t *cuts, size_t n, size_t max_out)
{
        size_t at = 0;

        memset(o, 0, sizeof(*o));
        smtp_data_init(&o->data);
        for (size_t i = 0; i <= n && o->result != SMTP_DATA_END; i++) {
                size_t end = i < n ? cuts[i] : len;

                if (end > at)
                        at += feed(o, conf, bytes + at, end - at, max_out);
        }
        o->consumed = at;
}

static void run_single(struct outcome *o, const struct smtp_data_conf *conf, const uint8_t *bytes, size_t len)
{
        static size_t cuts[STREAM_MAX];

        for (size_t i = 0; i < len; i++)
                cuts[i] = i + 1;
        run_cut(o, conf, bytes, len, cuts, len, SMTP_DATA_SPANS_MIN);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
        assert_int_equal(a->result, b->result);
        assert_int_equal(a->consumed, b->consumed);
        assert_int_equal(a->data.fault, b->data.fault);
        assert_int_equal(a->data.size, b->data.size);
        assert_int_equal(a->data.received, b->data.received);
        assert_int_equal(a->data.mended, b->data.mended);
        assert_int_equal(a->data.hops, b->data.hops);
        assert_int_equal(smtp_data_in_header(&a->data), smtp_data_in_header(&b->data));
        /* What was refused may have been passed on in part, which depends on how it came in. */
        if (a->data.fault)
                return;
        assert_int_equal(a->out.len, b->out.len);
        assert_memory_equal(a->out.byte, b->out.byte, a->out.len);
}

/* --- the reference --------------------------------------------------------------------------------------- */

struct reference {
        bool has_end;
        size_t consumed;
        struct bytes content; /* unstuffed, each line with its CR LF */
        uint32_t mended;
        uint16_t hops;
};

static size_t find_crlf(const uint8_t *bytes, size_t from, size_t len)
{
        for (size_t i = from; i + 1 < len; i++)
                if (bytes[i] == '\r' && bytes[i + 1] == '\n')
                        return i;
        return SIZE_MAX;
}

static void count_hops(struct reference *r)
{
        size_t at = 0, end;

        while ((end = find_crlf(r->content.byte, at, r->content.len)) != SIZE_MAX && end != at) {
                if (end - at >= 9 && strncasecmp((const char *)r->content.byte + at, "received:", 9) == 0)
                        r->hops++;
                at = end + 2;
        }
}

static void refer(struct reference *r, const uint8_t *bytes, size_t len)
{
        size_t at = 0, end;

        memset(r, 0, sizeof(*r));
        while ((end = find_crlf(bytes, at, len)) != SIZE_MAX) {
                size_t i = at;

                if (end - at == 1 && bytes[at] == '.') {
                        r->has_end = true;
                        r->consumed = end + 2;
                        break;
                }
                if (bytes[i] == '.')
                        i++;
                for (; i < end; i++) {
                        if (bytes[i] == '\n')
                                append(&r->content, "\r\n", 2);
                        else if (bytes[i] == '\r')
                                append(&r->content, " ", 1);
                        else if (bytes[i] != '\0')
                                append(&r->content, &bytes[i], 1);
                        r->mended += bytes[i] == '\n' || bytes[i] == '\r' || bytes[i] == '\0';
                }
                append(&r->content, "\r\n", 2);
                at = end + 2;
        }
        count_hops(r);
}

/* Read what came out as a strict backend does; its end must be at the very end and nothing be left to mend. */
static void assert_backend_reads(const struct outcome *o, const struct reference *want)
{
        static struct bytes wire;
        static struct reference got;
        size_t tail_len;
        const char *tail = smtp_data_tail(&o->data, &tail_len);

        wire.len = 0;
        append(&wire, o->out.byte, o->out.len);
        append(&wire, tail, tail_len);
        refer(&got, wire.byte, wire.len);
        assert_true(got.has_end);
        assert_int_equal(got.consumed, wire.len);
        assert_int_equal(got.mended, 0);
        assert_int_equal(got.content.len, want->content.len);
        assert_memory_equal(got.content.byte, want->content.byte, want->content.len);
}

static void assert_as_reference(const struct outcome *o, const uint8_t *bytes, size_t len)
{
        static struct reference want;

        refer(&want, bytes, len);
        assert_int_equal(o->result == SMTP_DATA_END, want.has_end);
        if (!want.has_end)
                return;
        assert_int_equal(o->consumed, want.consumed);
        assert_int_equal(o->data.size, want.content.len);
        assert_int_equal(o->data.mended, want.mended);
        assert_int_equal(o->data.hops, want.hops);
        assert_backend_reads(o, &want);
}

/* --- exact outputs --------------------------------------------------------------------------------------- */

#define S(text) (text), sizeof(text) - 1

/* Everything below ends in the client's own end; want is what goes out before smtp_data_tail(). */
static const struct exact {
        const char *name;
        const char *in;
        size_t in_len;
        const char *want;
        size_t want_len;
        uint32_t want_mended;
} exact_cases[] = {
        { "empty message", S(".\r\n"), S(""), 0 },
        { "one line", S("a\r\n.\r\n"), S("a"), 0 },
        { "one empty line", S("\r\n.\r\n"), S(""), 0 },
        { "two empty lines", S("\r\n\r\n.\r\n"), S("\r\n"), 0 },
        { "stuffed dot", S("..\r\n.\r\n"), S(".."), 0 },
        { "stuffed dot and text", S("a\r\n..b\r\n.\r\n"), S("a\r\n..b"), 0 },
        { "dot that was not doubled", S("a\r\n.b\r\n.\r\n"), S("a\r\n.b"), 0 },
        { "dot at the end of a line", S("a.\r\n.\r\n"), S("a."), 0 },
        { "what follows is commands", S("a\r\n.\r\nQUIT\r\n"), S("a"), 0 },
        { "LF . LF", S("a\n.\nb\r\n.\r\n"), S("a\r\n..\r\nb"), 2 },
        { "LF . CRLF", S("a\n.\r\nb\r\n.\r\n"), S("a\r\n..\r\nb"), 1 },
        { "CRLF . LF", S("a\r\n.\nb\r\n.\r\n"), S("a\r\n\r\nb"), 1 },
        { "CR . CR", S("a\r.\rb\r\n.\r\n"), S("a . b"), 2 },
        { "CR . CRLF", S("a\r.\r\nb\r\n.\r\n"), S("a .\r\nb"), 1 },
        { "CRLF . CR", S("a\r\n.\rb\r\n.\r\n"), S("a\r\n. b"), 1 },
        { "CR . LF", S("a\r.\nb\r\n.\r\n"), S("a .\r\nb"), 2 },
        { "LF . CR", S("a\n.\rb\r\n.\r\n"), S("a\r\n.. b"), 2 },
        { "CR LF . CR CR LF", S("a\r\n.\r\r\nb\r\n.\r\n"), S("a\r\n. \r\nb"), 1 },
        { "CR CR LF . CR LF", S("a\r\r\n.\r\n"), S("a "), 1 },
        { "CRLF NUL . CRLF", S("a\r\n\0.\r\nb\r\n.\r\n"), S("a\r\n..\r\nb"), 1 },
        { "CRLF . NUL CRLF", S("a\r\n.\0\r\nb\r\n.\r\n"), S("a\r\n\r\nb"), 1 },
        { "CRLF . CR NUL LF", S("a\r\n.\r\0\nb\r\n.\r\n"), S("a\r\n. \r\nb"), 3 },
        { "CR NUL LF . CRLF", S("a\r\0\n.\r\nb\r\n.\r\n"), S("a \r\n..\r\nb"), 3 },
        { "CRLF . NUL . CRLF", S("a\r\n.\0.\r\nb\r\n.\r\n"), S("a\r\n..\r\nb"), 1 },
        { "LF NUL . CRLF", S("a\n\0.\r\nb\r\n.\r\n"), S("a\r\n..\r\nb"), 2 },
        { "LF at the start", S("\n.\n.\r\n.\r\n"), S("\r\n..\r\n.."), 2 },
        { "dot LF at the start", S(".\n.\r\n.\r\n"), S("\r\n.."), 1 },
        { "dot NUL at the start", S(".\0\r\n.\r\n"), S(""), 1 },
        { "dot CR at the start", S(".\rx\r\n.\r\n"), S(". x"), 1 },
        { "only LF lines, and then an end", S("a\nb\nc\r\n.\r\n"), S("a\r\nb\r\nc"), 2 },
        { "a NUL in a word", S("wo\0rd\r\n.\r\n"), S("word"), 1 },
        { "many bare LF", S("\n\n\n\n\n\n\n\n\r\n.\r\n"), S("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"), 8 },
        { "octets over 127", S("\xff\x8d\x8a\x80\r\n.\r\n"), S("\xff\x8d\x8a\x80"), 0 },
        { "a line of more than a vector", S("0123456789abcdef0123456789abcdef0123\r\n..\r\n.\r\n"),
          S("0123456789abcdef0123456789abcdef0123\r\n.."), 0 },
};

static void assert_exact(const struct outcome *o, const struct exact *want)
{
        assert_int_equal(o->result, SMTP_DATA_END);
        assert_int_equal(o->data.fault, SMTP_DATA_OK);
        assert_int_equal(o->data.mended, want->want_mended);
        assert_int_equal(o->out.len, want->want_len);
        assert_memory_equal(o->out.byte, want->want, want->want_len);
}

static void test_exact_outputs(void **state)
{
        static struct outcome got;
        struct smtp_data_conf conf;

        smtp_data_conf_init(&conf);
        for (size_t i = 0; i < ARRAY_LEN(exact_cases); i++) {
                const struct exact *e = &exact_cases[i];
                const uint8_t *in = (const uint8_t *)e->in;

                print_message("  %s\n", e->name);
                for (size_t cut = 0; cut <= e->in_len; cut++) {
                        run_cut(&got, &conf, in, e->in_len, &cut, 1, cut % 2 ? SMTP_DATA_SPANS_MIN : 64);
                        assert_exact(&got, e);
                        assert_as_reference(&got, in, e->in_len);
                }
                run_single(&got, &conf, in, e->in_len);
                assert_exact(&got, e);
        }
}

/* A message that is refused never shows a backend an end, and the rest of it is not read as commands. */
static void test_reject_bare_newlines(void **state)
{
        static struct outcome got;
        struct smtp_data_conf conf;

        smtp_data_conf_init(&conf);
        conf.bare_newline = SMTP_BARE_REJECT;
        for (size_t i = 0; i < ARRAY_LEN(exact_cases); i++) {
                const struct exact *e = &exact_cases[i];
                uint8_t want_fault = e->want_mended ? SMTP_DATA_BARE_NEWLINE : SMTP_DATA_OK;
                uint64_t number;

                run_single(&got, &conf, (const uint8_t *)e->in, e->in_len);
                assert_int_equal(got.result, SMTP_DATA_END);
                assert_int_equal(got.data.fault, want_fault);
                assert_int_equal(got.data.mended, e->want_mended);
                assert_int_equal(smtp_data_reply(&got.data, &conf, &number),
                                 want_fault ? SMTP_REPLY_BARE_NEWLINE : SMTP_REPLY_NONE);
        }
}

/* Every string of up to seven of the octets that matter, with an end behind it. */
static void test_all_short_streams(void **state)
{
        static const char alphabet[] = { '\r', '\n', '.', '\0', 'a' };
        static const char end[] = "\r\n.\r\n";
        static struct outcome whole, single;
        struct smtp_data_conf conf;
        const size_t n = sizeof(alphabet);

        smtp_data_conf_init(&conf);
        for (size_t len = 0; len <= 7; len++) {
                size_t total = 1;

                for (size_t i = 0; i < len; i++)
                        total *= n;
                for (size_t number = 0; number < total; number++) {
                        uint8_t in[16];
                        size_t rest = number;
                        size_t cut = len / 2;

                        for (size_t i = 0; i < len; i++, rest /= n)
                                in[i] = (uint8_t)alphabet[rest % n];
                        memcpy(in + len, end, sizeof(end) - 1);
                        run_cut(&whole, &conf, in, len + 5, &cut, number % 2, 64);
                        assert_as_reference(&whole, in, len + 5);
                        run_single(&single, &conf, in, len + 5);
                        assert_same(&whole, &single);
                }
        }
}

/* A plain generator with its own state, so that a failing seed can be run again. */
static uint32_t next_random(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static size_t random_stream(uint32_t *seed, uint8_t *in, size_t max)
{
        static const char *const words[] = { "\r\n",
                                             "\r\n.",
                                             "\n",
                                             ".",
                                             "\r",
                                             "Received:",
                                             "received: by x\r\n",
                                             "\r\n\r\n",
                                             "Subject: hello\r\n",
                                             "..",
                                             "abcdefghijklmnopqrstuvwxyz0123456789",
                                             "\r\n",
                                             "x",
                                             "\x80\xff" };
        size_t len = 0;

        while (len + 64 < max) {
                uint32_t pick = next_random(seed) % (ARRAY_LEN(words) + 1);

                if (pick == ARRAY_LEN(words)) {
                        in[len++] = '\0';
                } else {
                        memcpy(in + len, words[pick], strlen(words[pick]));
                        len += strlen(words[pick]);
                }
        }
        memcpy(in + len, "\r\n.\r\n", 5);
        return len + 5;
}

static void test_random_streams(void **state)
{
        static struct outcome whole, cut, single;
        static uint8_t in[STREAM_MAX];

        for (uint32_t round = 1; round <= 1500; round++) {
                uint32_t seed = round * 2654435761u;
                size_t len = random_stream(&seed, in, 80 + next_random(&seed) % 1500);
                size_t cuts[3] = { next_random(&seed) % len, 0, 0 };
                struct smtp_data_conf conf;

                cuts[1] = cuts[0] + next_random(&seed) % (len - cuts[0]);
                cuts[2] = cuts[1] + next_random(&seed) % (len - cuts[1]);
                smtp_data_conf_init(&conf);
                run_cut(&whole, &conf, in, len, NULL, 0, 64);
                assert_as_reference(&whole, in, len);
                /* And with limits, any of which may be reached first. */
                conf.size_max = next_random(&seed) % 3 ? 0 : next_random(&seed) % len;
                conf.line_max = next_random(&seed) % 3 ? 0 : next_random(&seed) % 100;
                conf.received_max = (uint16_t)(next_random(&seed) % 3 ? 0 : next_random(&seed) % 5);
                conf.bare_newline =
                    (uint8_t)(next_random(&seed) % 4 ? SMTP_BARE_NORMALIZE : SMTP_BARE_REJECT);
                run_cut(&whole, &conf, in, len, NULL, 0, 64);
                run_cut(&cut, &conf, in, len, cuts, 3, 5);
                run_single(&single, &conf, in, len);
                assert_same(&whole, &cut);
                assert_same(&whole, &single);
        }
}

static void test_limits(void **state)
{
        static const struct {
                const char *name;
                const char *in;
                uint64_t size_max;
                uint32_t line_max;
                uint16_t received_max;
                enum smtp_data_fault want_fault;
                enum smtp_reply want_reply;
                uint64_t want_number;
                uint64_t want_size;
        } cases[] = {
                { "size just fits", "abc\r\n.\r\n", 5, 0, 0, SMTP_DATA_OK, SMTP_REPLY_NONE, 0, 5 },
                { "one octet too many", "abcd\r\n.\r\n", 5, 0, 0, SMTP_DATA_TOO_BIG, SMTP_REPLY_SIZE_LIMIT, 5,
                  6 },
                { "the stuffing dot is not counted", "..bc\r\n.\r\n", 5, 0, 0, SMTP_DATA_OK, SMTP_REPLY_NONE,
                  0, 5 },
                { "the CR LF is", "abcde\r\n.\r\n", 5, 0, 0, SMTP_DATA_TOO_BIG, SMTP_REPLY_SIZE_LIMIT, 5, 7 },
                { "line just fits", "abc\r\nabc\r\n.\r\n", 0, 3, 0, SMTP_DATA_OK, SMTP_REPLY_NONE, 0, 10 },
                { "line too long", "abc\r\nabcd\r\n.\r\n", 0, 3, 0, SMTP_DATA_LINE_TOO_LONG,
                  SMTP_REPLY_TEXT_LINE_LIMIT, 3, 11 },
                { "the stuffing dot is not part of the line", "abc\r\n.abc\r\n.\r\n", 0, 3, 0, SMTP_DATA_OK,
                  SMTP_REPLY_NONE, 0, 10 },
                { "the first limit counts: line", "abcdef\r\n.\r\n", 5, 3, 0, SMTP_DATA_LINE_TOO_LONG,
                  SMTP_REPLY_TEXT_LINE_LIMIT, 3, 8 },
                { "the first limit counts: size", "abcdef\r\n.\r\n", 3, 5, 0, SMTP_DATA_TOO_BIG,
                  SMTP_REPLY_SIZE_LIMIT, 3, 8 },
                { "two hops of two", "Received: a\r\nreceived: b\r\n\r\n.\r\n", 0, 0, 2, SMTP_DATA_OK,
                  SMTP_REPLY_NONE, 0, 28 },
                { "three hops of two",
                  "Received: a\r\nRECEIVED:b\r\nX: y\r\n\tReceived:\r\nReceived: c\r\n\r\n.\r\n", 0, 0, 2,
                  SMTP_DATA_LOOP, SMTP_REPLY_LOOP, 0, 58 },
                { "the body does not count", "Received: a\r\n\r\nReceived: b\r\nReceived: c\r\n.\r\n", 0, 0,
                  1, SMTP_DATA_OK, SMTP_REPLY_NONE, 0, 41 },
                { "nor a name that goes on", "Received-SPF: a\r\nX-Received: b\r\n\r\n.\r\n", 0, 0, 1,
                  SMTP_DATA_OK, SMTP_REPLY_NONE, 0, 34 },
        };
        static struct outcome got;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct smtp_data_conf conf = { .size_max = cases[i].size_max,
                                               .line_max = cases[i].line_max,
                                               .received_max = cases[i].received_max };
                size_t len = strlen(cases[i].in);
                uint64_t number;

                print_message("  %s\n", cases[i].name);
                for (size_t cut = 0; cut <= len; cut++) {
                        run_cut(&got, &conf, (const uint8_t *)cases[i].in, len, &cut, 1, 8);
                        assert_int_equal(got.result, SMTP_DATA_END);
                        assert_int_equal(got.data.fault, cases[i].want_fault);
                        assert_int_equal(smtp_data_reply(&got.data, &conf, &number), cases[i].want_reply);
                        assert_int_equal(number, cases[i].want_number);
                        assert_int_equal(got.data.size, cases[i].want_size);
                }
        }
}

/* After a fault nothing comes out, the result says so at once, and the end is still found. */
static void test_refused_is_silent(void **state)
{
        static struct outcome got;
        struct smtp_data_conf conf;

        smtp_data_conf_init(&conf);
        conf.size_max = 4;
        memset(&got, 0, sizeof(got));
        smtp_data_init(&got.data);
        feed(&got, &conf, (const uint8_t *)"abcdefg", 7, 8);
        assert_int_equal(got.result, SMTP_DATA_REFUSED);
        feed(&got, &conf, (const uint8_t *)"more\nof\r.\0it", 12, 8);
        assert_int_equal(got.result, SMTP_DATA_REFUSED);
        assert_int_equal(got.out.len, 0);
        assert_int_equal(feed(&got, &conf, (const uint8_t *)"\r\n.\r\nQUIT\r\n", 11, 8), 5);
        assert_int_equal(got.result, SMTP_DATA_END);
        assert_int_equal(got.out.len, 0);
        assert_int_equal(got.data.fault, SMTP_DATA_TOO_BIG);
}

/* The end itself never comes out before it was accepted, however many octets behind it are there. */
static void test_end_is_held_back(void **state)
{
        static const char in[] = "Subject: x\r\n\r\nbody\r\n.\r";
        static struct outcome got;
        struct smtp_data_conf conf;
        size_t tail_len;

        smtp_data_conf_init(&conf);
        memset(&got, 0, sizeof(got));
        smtp_data_init(&got.data);
        feed(&got, &conf, (const uint8_t *)in, sizeof(in) - 1, 8);
        assert_int_equal(got.result, SMTP_DATA_MORE);
        assert_int_equal(got.out.len, strlen("Subject: x\r\n\r\nbody"));
        feed(&got, &conf, (const uint8_t *)"\n", 1, 8);
        assert_int_equal(got.result, SMTP_DATA_END);
        assert_int_equal(got.out.len, strlen("Subject: x\r\n\r\nbody"));
        assert_memory_equal(smtp_data_tail(&got.data, &tail_len), "\r\n.\r\n", 5);
        assert_int_equal(tail_len, 5);
        assert_int_equal(feed(&got, &conf, (const uint8_t *)"x", 0, 8), 0);
}

/* A message without anything to mend is one span a call, by reference from its first octet. */
static void test_plain_text_is_one_reference(void **state)
{
        static const char in[] = "From: a\r\nTo: b\r\n\r\nhello\r\n..stuffed\r\n\r\nworld";
        struct smtp_data_conf conf;
        struct smtp_data data;
        struct smtp_span spans[8];
        size_t n, used;

        smtp_data_conf_init(&conf);
        smtp_data_init(&data);
        assert_int_equal(
            smtp_data_input(&data, &conf, (const uint8_t *)in, sizeof(in) - 1, spans, 8, &n, &used),
            SMTP_DATA_MORE);
        assert_int_equal(used, sizeof(in) - 1);
        assert_int_equal(n, 1);
        assert_false(spans[0].is_literal);
        assert_int_equal(spans[0].offset, 0);
        assert_int_equal(spans[0].len, sizeof(in) - 1);
        assert_false(smtp_data_in_header(&data));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exact_outputs),
                cmocka_unit_test(test_reject_bare_newlines),
                cmocka_unit_test(test_all_short_streams),
                cmocka_unit_test(test_random_streams),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_refused_is_silent),
                cmocka_unit_test(test_end_is_held_back),
                cmocka_unit_test(test_plain_text_is_one_reference),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
