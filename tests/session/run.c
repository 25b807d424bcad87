/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs *.smtp scripts against the SMTP machine, the data machine and the reply table, with a trivial decider in
 * place of the session. Each script runs as a dialogue (the client waits for each reply), in one piece (everything
 * pipelined), in single octets, and cut in two at every position; the replies must be the same each time.
 *
 * The decider: a sender whose local part begins with "reject" is refused; a recipient outside example.org and
 * example.net is "relaying denied" and counts as an error; "defer" is greylisted, "unknown" is refused and counts
 * as an error; HELO names that begin with "bad" are refused; "down" as a recipient makes DATA fail with 451.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/shared/bug.h"
#include "dataplane/smtp/data.h"
#include "dataplane/smtp/machine.h"
#include "tests/session/script.h"

#define HOST "mx.example.net"

/* A session under test. */
struct play {
        const struct script *script;
        struct smtp_machine machine;
        struct smtp_data data;
        bool backend_down;
        bool closed;
        struct text queue;
        struct text server;
        struct text backend;
        size_t message; /* where the present message begins in backend */
};

/* --- the decider ----------------------------------------------------------------------------------------- */

/* Lines are compared by their LF, each CR LF as one; a CR or LF alone stays and shows. */
static void add_wire(struct text *to, const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                if (bytes[i] == '\n' && to->len && to->byte[to->len - 1] == '\r')
                        to->len--;
                else if (bytes[i] == '\n')
                        script_add(to, "\\n", 2);
                script_add(to, &bytes[i], 1);
        }
}

static void say(struct play *p, const char *line, size_t len)
{
        add_wire(&p->server, line, len);
}

static void say_reply(struct play *p, enum smtp_reply reply, const char *text, uint64_t number)
{
        struct smtp_reply_args args = {
                .host = HOST, .address = "192.0.2.7", .text = text, .number = number
        };
        char line[SMTP_REPLY_LINE_MAX];

        args.text_len = text ? strlen(text) : 0;
        if (reply == SMTP_REPLY_EHLO) {
                const struct smtp_conf *conf = &p->script->conf;

                uint32_t ext = conf->ext & ~(smtp_is_tls(&p->machine) ? (uint32_t)SMTP_EXT_STARTTLS : 0u);

                say(p, line, smtp_reply_build_ehlo(HOST, ext, conf->size_max, line, sizeof(line)));
                return;
        }
        say(p, line, smtp_reply_build(reply, &args, line, sizeof(line)));
}

static void close_now(struct play *p)
{
        if (!p->closed)
                script_add(&p->server, "(closed)\n", 9);
        p->closed = true;
}

static void accept_it(struct play *p)
{
        say_reply(p, smtp_decide(&p->machine, SMTP_ACCEPT), NULL, 0);
}

static void refuse(struct play *p, enum smtp_decision decision, enum smtp_reply reply, const char *text,
                   uint64_t number)
{
        smtp_decide(&p->machine, decision);
        say_reply(p, reply, text, number);
        if (smtp_state(&p->machine) == SMTP_ST_CLOSED)
                close_now(p);
}

static bool begins(const char *text, const char *with)
{
        return strncmp(text, with, strlen(with)) == 0;
}

static bool is_our_domain(const struct smtp_path *path)
{
        const char *domain = smtp_path_domain(path);

        return strcmp(domain, "example.org") == 0 || strcmp(domain, "example.net") == 0 ||
               path->domain_len == 0;
}

static void decide_rcpt(struct play *p, const struct smtp_path *path)
{
        if (!is_our_domain(path) || (path->flags & SMTP_PATH_ROUTED))
                refuse(p, SMTP_REFUSE_ERROR, SMTP_REPLY_RELAY_DENIED, path->text, 0);
        else if (begins(path->text, "defer"))
                refuse(p, SMTP_REFUSE, SMTP_REPLY_GREYLISTED, NULL, 240);
        else if (begins(path->text, "unknown"))
                refuse(p, SMTP_REFUSE_ERROR, SMTP_REPLY_SENDER_REFUSED, path->text, 0);
        else
                accept_it(p);
        if (begins(path->text, "down"))
                p->backend_down = true;
}

static void decide(struct play *p, const struct smtp_action *action)
{
        if (action->early && p->script->refuses_early) {
                refuse(p, SMTP_REFUSE_ERROR, SMTP_REPLY_EARLY_PIPELINING, NULL, 0);
                return;
        }
        switch (action->act) {
        case SMTP_ACT_HELLO:
                if (begins(action->name, "bad"))
                        refuse(p, SMTP_REFUSE, SMTP_REPLY_HELO_REFUSED, action->name, 0);
                else
                        accept_it(p);
                break;
        case SMTP_ACT_MAIL:
                if (begins(action->path.text, "reject"))
                        refuse(p, SMTP_REFUSE, SMTP_REPLY_SENDER_REFUSED, action->path.text, 0);
                else
                        accept_it(p);
                break;
        case SMTP_ACT_RCPT:
                decide_rcpt(p, &action->path);
                break;
        case SMTP_ACT_DATA:
                if (p->backend_down) {
                        refuse(p, SMTP_REFUSE, SMTP_REPLY_BACKEND_LOST, NULL, 0);
                        break;
                }
                smtp_data_init(&p->data);
                p->message = p->backend.len;
                accept_it(p);
                break;
        case SMTP_ACT_STARTTLS: /* as if the handshake took no octets */
                accept_it(p);
                break;
        default: /* NON_SMTP: the default answer, and the end */
                refuse(p, SMTP_CLOSE, action->reply, NULL, 0);
        }
}

/* --- one session ----------------------------------------------------------------------------------------- */

static void end_message(struct play *p)
{
        const struct smtp_data_conf *conf = &p->script->data_conf;
        uint64_t number;
        size_t tail_len;
        const char *tail;

        if (p->data.fault) {
                enum smtp_reply reply = smtp_data_reply(&p->data, conf, &number);

                /* The backend was cut off before it saw an end: it has nothing. */
                p->backend.len = p->message;
                smtp_data_end(&p->machine, SMTP_REFUSE);
                say_reply(p, reply, NULL, number);
                return;
        }
        tail = smtp_data_tail(&p->data, &tail_len);
        add_wire(&p->backend, tail, tail_len);
        say_reply(p, smtp_data_end(&p->machine, SMTP_ACCEPT), NULL, 0);
}

/* Take message octets from the queue. Returns how many. */
static size_t take_data(struct play *p)
{
        struct smtp_span spans[8];
        size_t n, used;
        const uint8_t *in = (const uint8_t *)p->queue.byte;
        enum smtp_data_result result = smtp_data_input(&p->data, &p->script->data_conf, in, p->queue.len,
                                                       spans, ARRAY_LEN(spans), &n, &used);

        for (size_t i = 0; i < n; i++)
                add_wire(&p->backend, (const char *)smtp_span_bytes(&spans[i], in), spans[i].len);
        if (result == SMTP_DATA_END)
                end_message(p);
        return used;
}

/* Take one command from the queue. Returns how many octets; sets *ret_idle when there is nothing to do. */
static size_t take_command(struct play *p, bool *ret_idle)
{
        struct smtp_action action;
        size_t used =
            smtp_input(&p->machine, &p->script->conf, (const uint8_t *)p->queue.byte, p->queue.len, &action);

        *ret_idle = action.act == SMTP_ACT_NONE && used == 0;
        switch (action.act) {
        case SMTP_ACT_NONE:
                break;
        case SMTP_ACT_REPLY:
        case SMTP_ACT_RSET:
                say_reply(p, action.reply, NULL, action.number);
                break;
        case SMTP_ACT_QUIT:
        case SMTP_ACT_CLOSE:
                say_reply(p, action.reply, NULL, action.number);
                close_now(p);
                break;
        default:
                decide(p, &action);
        }
        return used;
}

static void receive(struct play *p, const char *bytes, size_t len)
{
        bool is_idle = false;

        script_add(&p->queue, bytes, len);
        while (!is_idle && !p->closed && p->queue.len) {
                size_t used =
                    smtp_state(&p->machine) == SMTP_ST_DATA ? take_data(p) : take_command(p, &is_idle);

                p->queue.len -= used;
                memmove(p->queue.byte, p->queue.byte + used, p->queue.len);
        }
}

static void begin(struct play *p, const struct script *script)
{
        static const enum smtp_reply greetings[] = {
                [SMTP_ACCEPT] = SMTP_REPLY_GREETING,
                [SMTP_REFUSE] = SMTP_REPLY_SPAM_FILTER,
                [SMTP_CLOSE] = SMTP_REPLY_OVERLOAD,
        };

        p->script = script;
        p->backend_down = p->closed = false;
        p->queue.len = p->server.len = p->backend.len = 0;
        smtp_init(&p->machine);
        smtp_greet(&p->machine, script->greet);
        say_reply(p, greetings[script->greet], NULL, 0);
        if (script->greet == SMTP_CLOSE)
                close_now(p);
}

/* --- comparing ------------------------------------------------------------------------------------------- */

/* Compare line by line; "..." at the end of a wanted line stands for any rest. Prints the first difference. */
static bool is_as_wanted(const struct script *s, const char *how, const char *who, const struct text *got,
                         const char *want, size_t want_len)
{
        size_t g = 0, w = 0;

        while (g < got->len || w < want_len) {
                const char *got_line = got->byte + g, *want_line = want + w;
                const char *got_lf = memchr(got_line, '\n', got->len - g);
                const char *want_lf = memchr(want_line, '\n', want_len - w);
                size_t got_n = got_lf ? (size_t)(got_lf - got_line) : got->len - g;
                size_t want_n = want_lf ? (size_t)(want_lf - want_line) : want_len - w;
                bool is_prefix = want_n >= 3 && memcmp(want_line + want_n - 3, "...", 3) == 0;
                size_t n = is_prefix ? want_n - 3 : want_n;

                if ((is_prefix ? got_n < n : got_n != n) || memcmp(got_line, want_line, n) != 0 ||
                    (g == got->len) != (w == want_len)) {
                        fprintf(stderr, "%s: %s, %s: got \"%.*s\", want \"%.*s\"\n", s->name, how, who,
                                (int)got_n, got_line, (int)want_n, want_line);
                        return false;
                }
                g += got_n + 1;
                w += want_n + 1;
                g = MIN(g, got->len);
                w = MIN(w, want_len);
        }
        return true;
}

static bool is_end_as_wanted(const struct play *p, const char *how)
{
        const struct script *s = p->script;

        return is_as_wanted(s, how, "server", &p->server, s->server.byte, s->server.len) &&
               is_as_wanted(s, how, "backend", &p->backend, s->backend.byte, s->backend.len);
}

static bool runs_as_dialogue(struct play *p, const struct script *s)
{
        size_t at = 0;

        begin(p, s);
        for (size_t i = 0; i < s->n_turns; i++) {
                char how[64];

                receive(p, s->client.byte + at, s->turns[i].client_end - at);
                at = s->turns[i].client_end;
                snprintf(how, sizeof(how), "dialogue, turn %zu", i + 1);
                if (!is_as_wanted(s, how, "server", &p->server, s->server.byte, s->turns[i].server_end))
                        return false;
        }
        return is_end_as_wanted(p, "dialogue");
}

static bool runs_cut(struct play *p, const struct script *s, size_t cut)
{
        char how[64];

        begin(p, s);
        receive(p, s->client.byte, cut);
        receive(p, s->client.byte + cut, s->client.len - cut);
        snprintf(how, sizeof(how), "cut at %zu of %zu", cut, s->client.len);
        return is_end_as_wanted(p, how);
}

static bool runs_in_octets(struct play *p, const struct script *s)
{
        begin(p, s);
        for (size_t i = 0; i < s->client.len; i++)
                receive(p, s->client.byte + i, 1);
        return is_end_as_wanted(p, "single octets");
}

static bool runs(const struct script *s)
{
        static struct play play;
        /* Long scripts are about limits: a few cuts are enough. */
        size_t step = 1 + s->client.len / 1000;

        if (!runs_as_dialogue(&play, s))
                return false;
        if (s->dialogue_only)
                return true;
        for (size_t cut = 0; cut <= s->client.len; cut += step)
                if (!runs_cut(&play, s, cut))
                        return false;
        return runs_in_octets(&play, s);
}

static int is_script(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        return len > 5 && strcmp(entry->d_name + len - 5, ".smtp") == 0;
}

int main(int argc, char **argv)
{
        static struct script script;
        struct dirent **entries;
        int failed = 0;
        int n;

        if (argc != 2) {
                fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
                return 2;
        }
        n = scandir(argv[1], &entries, is_script, alphasort);
        if (n <= 0) {
                fprintf(stderr, "%s: no *.smtp scripts there\n", argv[1]);
                return 2;
        }
        for (int i = 0; i < n; i++) {
                bool ok = script_read(&script, argv[1], entries[i]->d_name) && runs(&script);

                printf("%s %s\n", ok ? "ok    " : "FAILED", entries[i]->d_name);
                failed += !ok;
                free(entries[i]);
        }
        free(entries);
        printf("%d scripts, %d failed\n", n, failed);
        return failed != 0;
}
