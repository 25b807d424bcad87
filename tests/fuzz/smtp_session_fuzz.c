/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole client session: octet 0 picks settings, octet 1 how it is cut, the rest is what the client sends. The
 * actions must be the same as when every octet comes alone, and nothing may stand still.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/data.h"
#include "dataplane/smtp/helo.h"
#include "dataplane/smtp/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What happened, as one number: FNV-1a over actions, replies and offsets. */
struct trace {
        uint64_t hash;
        size_t actions;
        size_t messages;
};

static void note(struct trace *t, const void *bytes, size_t len)
{
        const uint8_t *byte = bytes;

        for (size_t i = 0; i < len; i++)
                t->hash = (t->hash ^ byte[i]) * 1099511628211u;
}

static void check_action(const struct smtp_action *action)
{
        char line[SMTP_REPLY_LINE_MAX];
        struct smtp_reply_args args = { .host = "mx",
                                        .text = action->path.text,
                                        .text_len = action->path.len };
        size_t n = smtp_reply_build(action->reply, &args, line, sizeof(line));

        BUG_ON(n && memcmp(line + n - 2, "\r\n", 2) != 0);
        if (action->act == SMTP_ACT_HELLO) {
                BUG_ON(action->name_len == 0 || strlen(action->name) != action->name_len);
                smtp_helo_check(action->name, action->name_len, NULL, NULL, NULL, 0);
        }
        if (action->act == SMTP_ACT_MAIL || action->act == SMTP_ACT_RCPT) {
                struct smtp_path again;
                char path[SMTP_PATH_MAX + 8];
                size_t used;

                BUG_ON(strlen(action->path.text) != action->path.len);
                BUG_ON(strlen(smtp_path_domain(&action->path)) != action->path.domain_len);
                /* The normal form is a path again, and its own normal form. */
                path[0] = '<';
                memcpy(path + 1, action->path.text, action->path.len);
                path[action->path.len + 1] = '>';
                BUG_ON(smtp_path_parse(path, action->path.len + 2u, 7, &again, &used) != SMTP_PATH_OK);
                BUG_ON(strcmp(again.text, action->path.text) != 0);
        }
}

static enum smtp_decision decide(const struct smtp_action *action)
{
        if (action->act == SMTP_ACT_RCPT && action->path.text[0] == 'x')
                return SMTP_REFUSE_ERROR;
        return action->act == SMTP_ACT_NON_SMTP || action->path.text[0] == 'y' ? SMTP_REFUSE : SMTP_ACCEPT;
}

/* There are `there` octets behind bytes[at]. Returns how many were taken; 0 when more are needed. */
static size_t take(struct trace *t, struct smtp_machine *m, struct smtp_data *data,
                   const struct smtp_conf *conf, const struct smtp_data_conf *data_conf, const uint8_t *bytes,
                   size_t there, size_t at)
{
        struct smtp_action action;
        size_t used;

        if (smtp_state(m) == SMTP_ST_DATA) {
                struct smtp_span spans[SMTP_DATA_SPANS_MIN];
                size_t n;

                if (smtp_data_input(data, data_conf, bytes, there, spans, SMTP_DATA_SPANS_MIN, &n, &used) ==
                    SMTP_DATA_END) {
                        note(t, &data->size, sizeof(data->size));
                        smtp_data_end(m, data->fault ? SMTP_REFUSE : SMTP_ACCEPT);
                        t->messages++;
                }
                BUG_ON(there && used == 0);
                return used;
        }
        there = MIN(there, (size_t)SMTP_LINE_MAX);
        used = smtp_input(m, conf, bytes, there, &action);
        BUG_ON(used > there);
        BUG_ON(used == 0 && there == SMTP_LINE_MAX && smtp_state(m) != SMTP_ST_CLOSED);
        if (action.act == SMTP_ACT_NONE)
                return used;
        check_action(&action);
        at += used;
        note(t, &action.act, sizeof(action.act));
        note(t, &action.reply, sizeof(action.reply));
        note(t, &at, sizeof(at));
        note(t, action.path.text, action.path.len);
        t->actions++;
        smtp_decide(m, decide(&action));
        smtp_data_init(data);
        return used;
}

static struct trace run(const uint8_t *bytes, size_t len, uint8_t settings, size_t piece)
{
        struct trace t = { .hash = 14695981039346656037u };
        struct smtp_machine m;
        struct smtp_data data;
        struct smtp_conf conf;
        struct smtp_data_conf data_conf;
        size_t at = 0, there = 0;

        smtp_conf_init(&conf);
        smtp_data_conf_init(&data_conf);
        conf.errors_max = settings & 1 ? 3 : 100;
        conf.rcpt_max = settings & 2 ? 2 : 100;
        conf.ext = settings & 64 ? SMTP_EXT_IMPLEMENTED : SMTP_EXT_DEFAULT;
        conf.tls_required = settings & 128;
        conf.size_max = data_conf.size_max = settings & 4 ? 50 : 0;
        data_conf.bare_newline = settings & 8 ? SMTP_BARE_REJECT : SMTP_BARE_NORMALIZE;
        data_conf.line_max = settings & 16 ? 20 : 0;
        data_conf.received_max = 2;
        smtp_init(&m);
        smtp_data_init(&data);
        smtp_greet(&m, settings & 32 ? SMTP_REFUSE : SMTP_ACCEPT);
        while (smtp_state(&m) != SMTP_ST_CLOSED) {
                size_t used = take(&t, &m, &data, &conf, &data_conf, bytes + at, there - at, at);

                at += used;
                if (used)
                        continue;
                if (there == len)
                        break;
                there = MIN(there + piece, len);
        }
        note(&t, &m.state, sizeof(m.state));
        return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
        struct trace whole, cut, single;

        if (len < 2)
                return 0;
        whole = run(bytes + 2, len - 2, bytes[0], len);
        cut = run(bytes + 2, len - 2, bytes[0], 1u + bytes[1]);
        single = run(bytes + 2, len - 2, bytes[0], 1);
        BUG_ON(whole.hash != cut.hash || whole.actions != cut.actions || whole.messages != cut.messages);
        BUG_ON(whole.hash != single.hash || whole.actions != single.actions ||
               whole.messages != single.messages);
        return 0;
}
