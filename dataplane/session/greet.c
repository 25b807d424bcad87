/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the handshake to the banner: limits and lists, the question about the client, the greet delay with
 * pregreet detection, and the greeting itself.
 */
#include "dataplane/session/wire.h"

#include <string.h>

/* Refuse a connection that gets no session: one line and the end. */
static void turn_away(struct sessions *ss, const struct tcp_event *event, enum smtp_reply reply)
{
        struct smtp_reply_args args = { .host = image_string(ss->image, ss->image->node.hostname) };
        char line[SMTP_REPLY_LINE_MAX];
        size_t len = smtp_reply_build(reply, &args, line, sizeof(line));

        if (tcp_send_copy(ss->tcp, event->conn, line, (uint32_t)len))
                tcp_close(ss->tcp, event->conn);
        else
                tcp_abort(ss->tcp, event->conn);
}

static struct session *take_session(struct sessions *ss, const struct tcp_event *event)
{
        struct tcp_info info;
        struct session *s;
        uint32_t index;

        if (!tcp_info(ss->tcp, event->conn, &info))
                return NULL;
        index = indices_take(&ss->opens);
        if (index == INDEX_NONE) {
                count(ss, COUNTER_sessions_refused);
                turn_away(ss, event, SMTP_REPLY_OVERLOAD);
                return NULL;
        }
        s = &ss->session[index];
        memset(s, 0, sizeof(*s));
        wheel_node_init(&s->timer);
        s->client = event->conn;
        s->peer = info.remote;
        s->peer_port = info.remote_port;
        s->front = info.local;
        s->front_port = info.local_port;
        s->opened_ms = (uint32_t)(ss->now_us / 1000);
        s->id = record_session_id(ss);
        s->limits_slot = LIMITS_NO_SLOT;
        s->client_line = CLIENT_LINE_NONE;
        s->texts = s->leg = s->decision = s->tls = NONE;
        s->ask = ASK_NONE;
        smtp_init(&s->smtp);
        tcp_owner_set(ss->tcp, s->client, owner_cookie(OWNER_CLIENT, index));
        count(ss, COUNTER_sessions_opened);
        counter_set(ss->counters, COUNTER_sessions_open, sessions_open(ss));
        return s;
}

/* Say a last line at the banner and close. */
static void refuse_and_close(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule)
{
        struct record record = { .kind = MSG_LOG_CONNECT, .rule = rule, .policy = session_policy(ss, s) };
        struct said said;

        smtp_greet(&s->smtp, SMTP_CLOSE);
        say_reply(ss, s, reply, rule, NULL, &said);
        record.said = &said;
        record_write(ss, s, &record);
        session_end(ss, s, rule, false);
}

/* Say 554 and hold the client until it says QUIT (RFC 5321 3.1), within a bound of time and number. */
static void refuse_and_hold(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule,
                            const struct say *say, const struct client_verdict *verdict)
{
        struct record record = {
                .kind = MSG_LOG_CONNECT,
                .rule = rule,
                .verdict = verdict,
                .policy = session_policy(ss, s),
        };
        struct said said;

        say_reply(ss, s, reply, rule, say, &said);
        record.said = &said;
        record_write(ss, s, &record);
        smtp_greet(&s->smtp, said.code < 500 ? SMTP_CLOSE : SMTP_REFUSE);
        if (said.code < 500 || ss->held >= ss->image->limits.hold_max) {
                session_end(ss, s, rule, false);
                return;
        }
        session_phase(ss, s, PHASE_HELD, ss->image->limits.hold_timeout_ms);
        command_run(ss, s);
}

/* Lists and limits. True: the session goes on to its greeting. */
static bool is_admitted(struct sessions *ss, struct session *s)
{
        const struct image_limits *limits = &ss->image->limits;
        struct addr network = addr_network(&s->peer, limits->v4_prefix, limits->v6_prefix);

        if (ss->draining) {
                refuse_and_close(ss, s, SMTP_REPLY_DRAINING, RULE_draining);
                return false;
        }
        s->class = (uint8_t)image_lookup_network(ss->image, &s->peer);
        if (s->class == IMAGE_CLASS_TRUSTED)
                return true;
        if (s->class == IMAGE_CLASS_DENY) {
                count(ss, COUNTER_denied);
                if (ss->image->networks.deny_action == IMAGE_ACTION_DROP)
                        session_end(ss, s, RULE_deny_list, true);
                else
                        refuse_and_hold(ss, s, SMTP_REPLY_DENY, RULE_deny_list, NULL, NULL);
                return false;
        }
        switch (limits_open(ss->limits, &network, limits->connections_per_network, limits->connection_rate,
                            (uint32_t)(ss->now_us / 1000000), &s->limits_slot)) {
        case LIMITS_TOO_MANY:
        case LIMITS_TOO_FAST:
                count(ss, COUNTER_limited);
                refuse_and_close(ss, s, SMTP_REPLY_CONNECTION_LIMIT, RULE_connection_limit);
                return false;
        case LIMITS_UNCOUNTED:
                count(ss, COUNTER_limits_full);
                return true;
        case LIMITS_OPEN:
                break;
        }
        return true;
}

/* The first line of a two-line greeting: who talks after it has not waited for the second. */
static bool say_teaser(struct sessions *ss, struct session *s)
{
        const char *hostname = session_hostname(ss, s);
        char line[SMTP_REPLY_LINE_MAX];
        size_t len = smtp_reply_build_line(220, true, hostname, strlen(hostname), NULL, line, sizeof(line));

        return wire_send(ss, s, line, (uint32_t)len);
}

struct session *greet_open(struct sessions *ss, const struct tcp_event *event)
{
        struct session *s = take_session(ss, event);
        const struct image_listener *listener;
        uint32_t delay_ms;

        if (s == NULL)
                return NULL;
        listener = session_listener(ss, s);
        delay_ms = listener ? listener->greet_delay_ms : 0;
        session_phase(ss, s, PHASE_GREET, delay_ms);
        if (!is_admitted(ss, s))
                return s;
        session_ask(ss, s);
        if (listener && listener->teaser && !say_teaser(ss, s))
                session_end(ss, s, RULE_overload, true);
        else if (s->class == IMAGE_CLASS_TRUSTED || delay_ms == 0)
                greet_continue(ss, s);
        return s;
}

void greet_input(struct sessions *ss, struct session *s)
{
        if (wire_bytes(ss, s) == 0) {
                if (s->eof)
                        session_end(ss, s, RULE_client_lost, true);
                return;
        }
        if (s->class == IMAGE_CLASS_TRUSTED || s->failed & CLIENT_FAILED_PREGREET)
                return;
        s->failed |= CLIENT_FAILED_PREGREET;
        count(ss, COUNTER_pregreet);
        if (image_policy(ss->image, session_policy(ss, s))->pregreet.action >= IMAGE_ACTION_DEFER)
                greet_continue(ss, s); /* known to be refused: no reason to wait */
}

static void greet_accept(struct sessions *ss, struct session *s)
{
        smtp_greet(&s->smtp, SMTP_ACCEPT);
        say_reply(ss, s, SMTP_REPLY_GREETING, RULE_none, NULL, NULL);
        session_await_command(ss, s);
        command_run(ss, s);
}

void greet_continue(struct sessions *ss, struct session *s)
{
        const struct image_listener *listener = session_listener(ss, s);
        const struct image_policy *policy = image_policy(ss->image, session_policy(ss, s));
        const struct image_rule *pregreet = &policy->pregreet;
        struct client_answers answers;
        struct client_facts facts;
        struct client_verdict verdict;
        struct say say = { .zone = -1 };

        if (s->failed & CLIENT_FAILED_PREGREET && pregreet->action >= IMAGE_ACTION_DEFER) {
                if (pregreet->action == IMAGE_ACTION_DROP) {
                        session_end(ss, s, RULE_pregreet, true);
                        return;
                }
                refuse_and_hold(ss, s, SMTP_REPLY_PREGREET, RULE_pregreet, NULL, NULL);
                return;
        }
        if (listener && session_age_ms(ss, s) < listener->greet_delay_ms && s->class != IMAGE_CLASS_TRUSTED)
                return; /* an answer came early: the delay also waits for early talkers */
        if (policy->reject_at != IMAGE_REJECT_AT_BANNER || s->class != IMAGE_CLASS_NONE) {
                greet_accept(ss, s);
                return;
        }
        s->at_deadline = !s->answered && session_answers_left_ms(ss, s) == 0;
        facts = session_facts(ss, s, &answers);
        verdict = client_judge(ss->image, policy, &facts);
        if (verdict.action == CLIENT_WAIT) {
                session_phase(ss, s, PHASE_GREET, session_answers_left_ms(ss, s));
                return;
        }
        if (verdict.action == CLIENT_PASS) {
                greet_accept(ss, s);
                return;
        }
        if (verdict.action == CLIENT_DROP) {
                session_end(ss, s, verdict.rule, true);
                return;
        }
        count(ss, COUNTER_refused_client);
        say.zone = verdict.zone;
        if (verdict.action == CLIENT_REJECT) {
                say.override = &policy->reject;
                refuse_and_hold(ss, s, SMTP_REPLY_SPAM_FILTER, verdict.rule, &say, &verdict);
        } else {
                refuse_and_hold(ss, s, SMTP_REPLY_SPAM_FILTER_DEFER, verdict.rule, &say, &verdict);
        }
}
