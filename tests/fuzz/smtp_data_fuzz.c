/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message: octet 0 picks settings, octet 1 how it is cut, the rest is the stream. What comes out must be the
 * same as when every octet comes alone, and be canonical: no bare CR or LF, no NUL, no end but the last.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/data.h"

#define STREAM_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct outcome {
        enum smtp_data_result result;
        struct smtp_data data;
        size_t consumed;
        size_t len;
        uint8_t out[SMTP_DATA_OUT_MAX(STREAM_MAX) + 8];
};

static void run(struct outcome *o, const struct smtp_data_conf *conf, const uint8_t *bytes, size_t len,
                size_t piece)
{
        memset(o, 0, sizeof(*o));
        smtp_data_init(&o->data);
        while (o->consumed < len && o->result != SMTP_DATA_END) {
                struct smtp_span spans[6];
                size_t offer = MIN(piece, len - o->consumed);
                size_t n, used;

                o->result = smtp_data_input(&o->data, conf, bytes + o->consumed, offer, spans, 4 + piece % 3,
                                            &n, &used);
                BUG_ON(used == 0 || used > offer);
                for (size_t i = 0; i < n; i++) {
                        BUG_ON(o->len + spans[i].len > sizeof(o->out));
                        BUG_ON(!spans[i].is_literal && spans[i].offset + spans[i].len > used);
                        memcpy(o->out + o->len, smtp_span_bytes(&spans[i], bytes + o->consumed),
                               spans[i].len);
                        o->len += spans[i].len;
                }
                o->consumed += used;
        }
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
        BUG_ON(a->result != b->result || a->consumed != b->consumed);
        BUG_ON(a->data.size != b->data.size || a->data.received != b->data.received);
        BUG_ON(a->data.mended != b->data.mended || a->data.hops != b->data.hops ||
               a->data.fault != b->data.fault);
        /* What was refused may have been passed on in part, which depends on how it came in. */
        BUG_ON(a->data.fault == SMTP_DATA_OK && (a->len != b->len || memcmp(a->out, b->out, a->len) != 0));
}

static void check_canonical(struct outcome *o)
{
        size_t tail_len, line = 0;
        const char *tail = smtp_data_tail(&o->data, &tail_len);

        memcpy(o->out + o->len, tail, tail_len);
        o->len += tail_len;
        for (size_t i = 0; i < o->len; i++) {
                BUG_ON(o->out[i] == '\0');
                BUG_ON(o->out[i] == '\r' && (i + 1 == o->len || o->out[i + 1] != '\n'));
                BUG_ON(o->out[i] == '\n' && (i == 0 || o->out[i - 1] != '\r'));
                if (o->out[i] != '\n')
                        continue;
                /* A line of one dot, and it is the last. */
                BUG_ON((i - line == 2 && o->out[line] == '.') != (i + 1 == o->len));
                line = i + 1;
        }
        BUG_ON(line != o->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        static struct outcome whole, cut, single;
        struct smtp_data_conf conf;

        if (len < 2)
                return 0;
        smtp_data_conf_init(&conf);
        conf.bare_newline = bytes[0] & 1 ? SMTP_BARE_REJECT : SMTP_BARE_NORMALIZE;
        conf.size_max = bytes[0] & 2 ? 40 : 0;
        conf.line_max = bytes[0] & 4 ? 16 : 0;
        conf.received_max = bytes[0] & 8 ? 1 : 0;
        len = MIN(len, (size_t)STREAM_MAX);
        run(&whole, &conf, bytes + 2, len - 2, len);
        run(&cut, &conf, bytes + 2, len - 2, 1u + bytes[1]);
        run(&single, &conf, bytes + 2, len - 2, 1);
        check_same(&whole, &single);
        check_same(&whole, &cut);
        if (whole.data.fault == SMTP_DATA_OK && whole.result == SMTP_DATA_END)
                check_canonical(&whole);
        return 0;
}
