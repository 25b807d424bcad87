/* SPDX-License-Identifier: Apache-2.0 */
/* A backend's replies: octet 0 says whether the first answers EHLO, octet 1 how they are cut. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/answer.h"
#include "dataplane/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct outcome {
        size_t replies;
        size_t consumed;
        uint64_t sum; /* of what the replies said */
        enum smtp_answer_result result;
};

static void check_done(struct outcome *o, const struct smtp_answer *a)
{
        char line[SMTP_REPLY_LINE_MAX];
        size_t n;

        BUG_ON(a->code < 200 || a->code > 599 || a->lines == 0 || a->lines > SMTP_ANSWER_LINES_MAX);
        BUG_ON(a->text_len > SMTP_ANSWER_TEXT_MAX || strlen(a->text) != a->text_len);
        BUG_ON(a->first_len > SMTP_ANSWER_TEXT_MAX || strlen(a->first) != a->first_len);
        BUG_ON(a->enhanced[0] && a->enhanced[0] != a->code / 100);
        BUG_ON(a->enhanced[1] > 999 || a->enhanced[2] > 999);
        n = smtp_reply_build_line(a->code, false, a->text, a->text_len, NULL, line, sizeof(line));
        BUG_ON(n < 6 || memcmp(line + n - 2, "\r\n", 2) != 0);
        o->replies++;
        o->sum = o->sum * 31 + a->code + a->lines + a->ext + a->xclient + a->size_max + a->text_len;
}

static void run(struct outcome *o, const uint8_t *bytes, size_t len, bool is_ehlo, size_t piece)
{
        struct smtp_answer answer;

        memset(o, 0, sizeof(*o));
        smtp_answer_init(&answer, is_ehlo);
        while (o->consumed < len && o->result != SMTP_ANSWER_ERROR) {
                size_t offer = MIN(piece, len - o->consumed);
                size_t used;

                o->result = smtp_answer_input(&answer, bytes + o->consumed, offer, &used);
                BUG_ON(used == 0 || used > offer);
                BUG_ON(o->result == SMTP_ANSWER_MORE && used != offer);
                o->consumed += used;
                if (o->result == SMTP_ANSWER_DONE) {
                        check_done(o, &answer);
                        smtp_answer_init(&answer, false);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        struct outcome whole, cut, single;

        if (len < 2)
                return 0;
        run(&whole, bytes + 2, len - 2, bytes[0] & 1, len);
        run(&cut, bytes + 2, len - 2, bytes[0] & 1, 1u + bytes[1]);
        run(&single, bytes + 2, len - 2, bytes[0] & 1, 1);
        BUG_ON(whole.replies != single.replies || whole.consumed != single.consumed ||
               whole.sum != single.sum);
        BUG_ON(whole.replies != cut.replies || whole.consumed != cut.consumed || whole.sum != cut.sum);
        BUG_ON(whole.result != single.result || whole.result != cut.result);
        return 0;
}
