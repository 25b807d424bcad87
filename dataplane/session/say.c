/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies to the client. command.c makes sure that there is room for a reply before it reads a command, so a
 * reply that cannot be queued means that packets have run out: the session is then cut off by its owner.
 */
#include "dataplane/session/wire.h"

#include <stdio.h>
#include <string.h>

static void send_bytes(struct sessions *ss, struct session *s, const char *bytes, size_t len)
{
        if (s->client_gone)
                return;
        if (!wire_send(ss, s, bytes, (uint32_t)len)) {
                count(ss, COUNTER_replies_lost);
                s->closing = true;
        }
}

static void remember(struct said *said, const char *line, size_t len)
{
        said->len = (uint16_t)(len >= 2 ? MIN(len - 2, sizeof(said->line)) : 0);
        memcpy(said->line, line, said->len);
}

/* Without snprintf(): it costs more than the rest of a refusal. Returns the length, at most 5. */
static size_t put_number(char *buf, uint16_t number)
{
        size_t len = 1, at;

        for (uint16_t rest = number; rest >= 10; rest /= 10)
                len++;
        at = len;
        do {
                buf[--at] = (char)('0' + number % 10);
                number /= 10;
        } while (at > 0);
        return len;
}

/* "4.7.1 text" with the policy's words, as smtp_reply_build() takes an override. */
static size_t override_text(struct sessions *ss, struct session *s, const struct image_reply *reply,
                            const struct say *say, char *buf, size_t size)
{
        char address[ADDR_TEXT_MAX];
        const struct image_zone *zone = say->zone >= 0 ? image_lookup_zone(ss->image, (uint32_t)say->zone) : NULL;
        struct image_values values = {
                .seconds = (uint32_t)say->number,
                .zone = zone ? image_string(ss->image, zone->name) : NULL,
                .client = addr_text(&s->peer, address),
                .host = session_hostname(ss, s),
        };
        size_t len = 0;

        for (unsigned i = 0; i < 3; i++) {
                len += put_number(buf + len, reply->enhanced[i]);
                buf[len++] = i < 2 ? '.' : ' ';
        }
        return len + image_fill(ss->image, reply->text, &values, buf + len, size - len);
}

void say_reply(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule, const struct say *say,
               struct said *ret)
{
        static const struct say nothing = { .zone = -1 };
        char line[SMTP_REPLY_LINE_MAX], address[ADDR_TEXT_MAX], words[SMTP_REPLY_LINE_MAX];
        struct smtp_reply_override override = { 0 };
        struct smtp_reply_args args = { 0 };
        struct said said = { 0 };
        size_t len;

        if (say == NULL)
                say = &nothing;
        args.host = session_hostname(ss, s);
        args.address = addr_text(&s->peer, address);
        args.number = say->number;
        args.text = say->text;
        args.text_len = say->text_len;
        if (say->override && say->override->code != 0) {
                override.code = say->override->code;
                override.text = words;
                override.text_len =
                    (uint16_t)override_text(ss, s, say->override, say, words, sizeof(words));
                args.override = &override;
        }
        said.code = smtp_reply_code_with(reply, args.override);
        if (said.code >= 400) {
                record_id(ss, rule, said.id);
                said.has_id = true;
                args.explain_id = said.id;
        }
        len = smtp_reply_build(reply, &args, line, sizeof(line));
        remember(&said, line, len);
        send_bytes(ss, s, line, len);
        if (ret)
                *ret = said;
}

void say_backend(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len, enum rule rule,
                 struct said *ret)
{
        char line[SMTP_REPLY_LINE_MAX];
        struct said said = { .code = code };
        size_t line_len;

        if (code >= 400) {
                record_id(ss, rule, said.id);
                said.has_id = true;
        }
        line_len = smtp_reply_build_line(code, false, text, len, said.has_id ? said.id : NULL, line, sizeof(line));
        remember(&said, line, line_len);
        send_bytes(ss, s, line, line_len);
        if (ret)
                *ret = said;
}

void say_ehlo(struct sessions *ss, struct session *s, uint32_t ext, uint64_t size_max)
{
        char reply[SMTP_REPLY_EHLO_MAX];
        size_t len = smtp_reply_build_ehlo(session_hostname(ss, s), ext, size_max, reply, sizeof(reply));

        send_bytes(ss, s, reply, len);
}
