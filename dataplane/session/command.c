/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client says: one command at a time, each answered before the next is read, so that replies keep
 * their order however much was pipelined. The recipient is where everything comes together, in the order of
 * docs/ARCHITECTURE.md: ours at all, the client under the recipient's policy, the greylist, the backend.
 */
#include "dataplane/session/wire.h"

#include <string.h>
#include <strings.h>

#include "dataplane/smtp/helo.h"

/* Has the command been answered, or does it wait for somebody? */
enum progress {
        ANSWERED,
        WAITING, /* or the session is gone */
};

static enum rule rule_of_fault(enum smtp_fault fault)
{
        static const enum rule rules[] = {
                [SMTP_FAULT_NONE] = RULE_none,         [SMTP_FAULT_SYNTAX] = RULE_syntax,
                [SMTP_FAULT_SEQUENCE] = RULE_sequence, [SMTP_FAULT_UNKNOWN] = RULE_syntax,
                [SMTP_FAULT_LINE] = RULE_line_limit,   [SMTP_FAULT_SIZE] = RULE_size_limit,
                [SMTP_FAULT_RCPTS] = RULE_recipient_limit, [SMTP_FAULT_ERRORS] = RULE_error_limit,
                [SMTP_FAULT_NON_SMTP] = RULE_syntax,   [SMTP_FAULT_TLS] = RULE_tls_required,
        };

        return rules[fault];
}

/* --- decisions -------------------------------------------------------------------------------------------------- */

/* Begin with a recipient. NULL: as many as there may be are being decided. */
static struct decision *decision_begin(struct sessions *ss, struct session *s, const struct smtp_path *recipient)
{
        uint32_t index = indices_take(&ss->decisions);
        struct decision *decision;

        if (index == INDEX_NONE)
                return NULL;
        decision = &ss->decision[index];
        UNPOISON(decision, sizeof(*decision));
        *decision = (struct decision){
                .recipient = *recipient,
                .policy = session_policy(ss, s),
                .verdict = { .zone = -1 },
        };
        s->decision = index;
        return decision;
}

void decision_end(struct sessions *ss, struct session *s)
{
        if (s->decision == NONE)
                return;
        POISON(decision_of(ss, s), sizeof(struct decision));
        indices_give(&ss->decisions, s->decision);
        s->decision = NONE;
}

/* A recipient is refused: reply, record, state. */
static void refuse_recipient(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule,
                             const struct say *say, enum smtp_decision decision)
{
        struct record record = { .kind = MSG_LOG_RCPT, .rule = rule, .decision = decision_of(ss, s) };
        struct said said;

        smtp_decide(&s->smtp, decision);
        say_reply(ss, s, reply, rule, say, &said);
        record.said = &said;
        record_write(ss, s, &record);
        decision_end(ss, s);
}

/* There is no room to remember what the client said: it comes again when there is. */
static void refuse_for_room(struct sessions *ss, struct session *s, enum msg_log_kind kind)
{
        struct record record = { .kind = kind, .rule = RULE_overload, .policy = session_policy(ss, s) };
        struct said said;

        smtp_decide(&s->smtp, SMTP_REFUSE);
        say_reply(ss, s, SMTP_REPLY_BUSY, RULE_overload, NULL, &said);
        record.said = &said;
        record_write(ss, s, &record);
}

/* --- greeting --------------------------------------------------------------------------------------------------- */

static uint8_t helo_failures(struct sessions *ss, const struct session *s, const struct smtp_action *action)
{
        const char *listener = session_hostname(ss, s);
        const char *node = image_string(ss->image, ss->image->node.hostname);
        struct smtp_helo_name ours[] = { { listener, strlen(listener) }, { node, strlen(node) } };

        switch (smtp_helo_check(action->name, action->name_len, &s->peer, &s->front, ours, ARRAY_LEN(ours))) {
        case SMTP_HELO_BARE_IP:
                return CLIENT_FAILED_HELO_IP;
        case SMTP_HELO_OURS:
                return CLIENT_FAILED_HELO_OURS;
        case SMTP_HELO_SYNTAX:
                return CLIENT_FAILED_HELO_SYNTAX;
        default:
                return 0;
        }
}

static void hello(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        const uint8_t helo_bits = CLIENT_FAILED_HELO_IP | CLIENT_FAILED_HELO_OURS | CLIENT_FAILED_HELO_SYNTAX;
        bool is_required, is_down;

        if (!texts_keep_hello(ss, s, action)) {
                refuse_for_room(ss, s, MSG_LOG_CONNECT);
                return;
        }
        /* The backend was told the name that the client gave first. */
        if (s->leg != NONE)
                leg_close(ss, s, false);
        s->transaction_dead = false;
        s->failed = (uint8_t)((s->failed & ~helo_bits) | helo_failures(ss, s, action));
        smtp_decide(&s->smtp, SMTP_ACCEPT);
        if (action->is_ehlo)
                say_ehlo(ss, s, starttls_ext(ss, s, &is_required, &is_down), ss->image->limits.message_bytes_max);
        else
                say_reply(ss, s, SMTP_REPLY_HELO, RULE_none, NULL, NULL);
}

static enum progress mail(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        if (ss->image->limits.messages_max != 0 && s->messages >= ss->image->limits.messages_max) {
                smtp_decide(&s->smtp, SMTP_CLOSE);
                say_reply(ss, s, SMTP_REPLY_COMMAND_LIMIT, RULE_error_limit, NULL, NULL);
                session_end(ss, s, RULE_error_limit, false);
                return WAITING;
        }
        if (!texts_keep_mail(ss, s, action)) {
                refuse_for_room(ss, s, MSG_LOG_MAIL);
                return ANSWERED;
        }
        s->transaction_dead = false;
        s->mark_header = false;
        say_reply(ss, s, smtp_decide(&s->smtp, SMTP_ACCEPT), RULE_none, NULL, NULL);
        return ANSWERED;
}

/* --- the recipient ------------------------------------------------------------------------------------------------ */

static bool is_role_address(const struct smtp_path *path)
{
        return (path->local_len == 10 && strncasecmp(path->text, "postmaster", 10) == 0) ||
               (path->local_len == 5 && strncasecmp(path->text, "abuse", 5) == 0);
}

/* Whose recipient is it? False: nobody's here. */
static bool find_domain(struct sessions *ss, struct decision *decision)
{
        const struct smtp_path *path = &decision->recipient;

        if (path->flags & SMTP_PATH_ROUTED)
                return false; /* user%elsewhere@ours: a backend might pass it on */
        if (path->domain_len == 0) {
                /* RCPT TO:<postmaster> is always ours (RFC 5321 4.5.1); the first domain's pool takes it. */
                if (ss->image->domains.count == 0)
                        return false;
                decision->pool = image_domain(ss->image, 0)->pool;
                return true;
        }
        return image_lookup_domain(ss->image, smtp_path_domain(path), path->domain_len, &decision->policy,
                                   &decision->pool);
}

static enum smtp_reply reply_of_rule(enum rule rule)
{
        switch (rule) {
        case RULE_deny_list:
                return SMTP_REPLY_DENY;
        case RULE_helo:
                return SMTP_REPLY_HELO_REFUSED;
        case RULE_pregreet:
                return SMTP_REPLY_PREGREET;
        case RULE_sequence:
                return SMTP_REPLY_EARLY_PIPELINING;
        case RULE_syntax:
                return SMTP_REPLY_NON_SMTP;
        default:
                return SMTP_REPLY_SPAM_FILTER;
        }
}

static enum smtp_reply defer_of_rule(enum rule rule)
{
        switch (rule) {
        case RULE_ptr_missing:
                return SMTP_REPLY_PTR_MISSING_DEFER;
        case RULE_ptr_unconfirmed:
                return SMTP_REPLY_PTR_UNCONFIRMED_DEFER;
        case RULE_dns_deadline:
                return SMTP_REPLY_CHECKS_PENDING;
        default:
                return SMTP_REPLY_SPAM_FILTER_DEFER;
        }
}

static void refuse_client(struct sessions *ss, struct session *s, const struct image_policy *policy)
{
        const struct texts *texts = texts_of(ss, s);
        const struct client_verdict *verdict = &decision_of(ss, s)->verdict;
        enum rule rule = verdict->rule;
        struct say say = { .zone = verdict->zone, .text = texts_helo(texts), .text_len = texts->helo_len };
        enum smtp_reply reply;

        if (verdict->action == CLIENT_DEFER) {
                count(ss, COUNTER_deferred_client);
                refuse_recipient(ss, s, defer_of_rule(rule), rule, &say, SMTP_REFUSE);
                return;
        }
        count(ss, COUNTER_refused_client);
        reply = reply_of_rule(rule);
        if (reply == SMTP_REPLY_SPAM_FILTER)
                say.override = &policy->reject;
        refuse_recipient(ss, s, reply, rule, &say, SMTP_REFUSE);
}

/* The recipient has passed every check of ours: now the backend's word counts. */
static enum progress to_backend(struct sessions *ss, struct session *s)
{
        uint16_t pool = decision_of(ss, s)->pool;
        struct leg *leg = leg_of(ss, s);
        enum smtp_reply reply;

        if (leg && leg->recipients > 0 &&
            (leg->generation != ss->image->generation || leg->pool != pool)) {
                refuse_recipient(ss, s, SMTP_REPLY_POOL_MISMATCH, RULE_pool_mismatch, NULL, SMTP_REFUSE);
                return ANSWERED;
        }
        reply = leg_recipient(ss, s, pool);
        if (reply == SMTP_REPLY_NONE)
                return WAITING;
        refuse_recipient(ss, s, reply, RULE_backend_down, NULL, SMTP_REFUSE);
        if (smtp_reply_code(reply) != 421)
                return ANSWERED;
        session_end(ss, s, RULE_backend_down, false);
        return WAITING;
}

static enum progress apply_grey(struct sessions *ss, struct session *s, const struct grey_answer *answer)
{
        static const struct {
                enum counter counter;
                enum rule rule;
        } states[] = {
                [MSG_GREY_NEW] = { COUNTER_grey_new, RULE_greylist_new },
                [MSG_GREY_WAIT] = { COUNTER_grey_wait, RULE_greylist_wait },
                [MSG_GREY_PASS] = { COUNTER_grey_pass, RULE_accepted },
                [MSG_GREY_KNOWN] = { COUNTER_grey_known, RULE_accepted },
                [MSG_GREY_RESTART] = { COUNTER_grey_restart, RULE_greylist_restart },
                [MSG_GREY_EXEMPT] = { COUNTER_grey_exempt, RULE_accepted },
                [MSG_GREY_NO_TOKEN] = { COUNTER_grey_no_token, RULE_greylist_token },
                [MSG_GREY_FULL] = { COUNTER_grey_full, RULE_accepted },
        };
        struct decision *decision = decision_of(ss, s);
        struct say say = {
                .zone = -1,
                .number = answer->wait_sec,
                .override = &image_policy(ss->image, decision->policy)->greylist.reply,
        };

        decision->grey = *answer;
        count(ss, states[answer->state].counter);
        if (answer->evicted)
                count(ss, COUNTER_grey_evicted);
        if (answer->by_exemption)
                decision->due.exempt_key = 0;
        if (answer->pass)
                return to_backend(ss, s);
        refuse_recipient(ss, s, SMTP_REPLY_GREYLISTED, states[answer->state].rule, &say, SMTP_REFUSE);
        return ANSWERED;
}

/* Put the recipient among those that this turn's greylist pass judges, or judge it alone when there are many. */
static enum progress to_greylist(struct sessions *ss, struct session *s, uint64_t pool)
{
        const struct texts *texts = texts_of(ss, s);
        struct decision *decision = decision_of(ss, s);
        struct judged *judged = &ss->judged[ss->n_judged];
        struct judged alone;

        if (ss->n_judged == JUDGE_BATCH)
                judged = &alone;
        judged->session = index_of(ss, s);
        grey_ask_build(&judged->ask, ss->grey, ss->image, decision->policy, &s->peer, pool,
                       decision->verdict.may_exempt, texts_sender(texts), texts->sender_len,
                       decision->recipient.text, decision->recipient.len);
        decision->has_due = true;
        decision->due = (struct grey_due){
                .network_key = judged->ask.network_key,
                .pool_key = judged->ask.pool_key,
                .exempt_key = judged->ask.exempt_key,
                .policy = decision->policy,
        };
        if (judged == &alone) {
                struct grey_answer answer =
                    grey_ask_judge(&alone.ask, ss->grey, &ss->tokens, ss->image, ss->wall_sec);

                return apply_grey(ss, s, &answer);
        }
        ss->n_judged++;
        session_phase(ss, s, PHASE_GREY, ss->image->limits.command_timeout_ms);
        return WAITING;
}

static void relay_denied(struct sessions *ss, struct session *s)
{
        const struct smtp_path *recipient = &decision_of(ss, s)->recipient;
        struct say say = { .zone = -1, .text = recipient->text, .text_len = recipient->len };

        count(ss, COUNTER_relay_denied);
        refuse_recipient(ss, s, SMTP_REPLY_RELAY_DENIED, RULE_relay_denied, &say, SMTP_REFUSE_ERROR);
}

static enum progress judge_recipient(struct sessions *ss, struct session *s)
{
        struct decision *decision = decision_of(ss, s);
        const struct image_policy *policy;
        struct client_answers answers;
        struct client_facts facts = session_facts(ss, s, &answers);
        bool is_open;

        decision->policy = session_policy(ss, s);
        if (!find_domain(ss, decision)) {
                relay_denied(ss, s);
                return ANSWERED;
        }
        policy = image_policy(ss->image, decision->policy);
        is_open = policy->postmaster_open && is_role_address(&decision->recipient);
        decision->verdict = client_judge(ss->image, policy, &facts);
        if (is_open)
                return to_backend(ss, s);
        switch (decision->verdict.action) {
        case CLIENT_WAIT:
                if (session_answers_left_ms(ss, s) == 0) {
                        s->at_deadline = true;
                        return judge_recipient(ss, s);
                }
                session_ask(ss, s);
                session_phase(ss, s, PHASE_ANSWERS, session_answers_left_ms(ss, s));
                return WAITING;
        case CLIENT_DROP:
                session_end(ss, s, decision->verdict.rule, true);
                return WAITING;
        case CLIENT_DEFER:
        case CLIENT_REJECT:
                refuse_client(ss, s, policy);
                return ANSWERED;
        case CLIENT_PASS:
                break;
        }
        s->mark_header |= decision->verdict.mark_header;
        if (!policy->greylist.enabled || decision->verdict.skip_greylist)
                return to_backend(ss, s);
        return to_greylist(ss, s, answers.pool);
}

static enum progress recipient(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        if (decision_begin(ss, s, &action->path) == NULL) {
                count(ss, COUNTER_decisions_refused);
                refuse_for_room(ss, s, MSG_LOG_RCPT);
                return ANSWERED;
        }
        if (s->transaction_dead) {
                refuse_recipient(ss, s, SMTP_REPLY_BACKEND_LOST, RULE_backend_lost, NULL, SMTP_REFUSE);
                return ANSWERED;
        }
        return judge_recipient(ss, s);
}

static enum progress data(struct sessions *ss, struct session *s)
{
        if (s->transaction_dead || s->leg == NONE) {
                smtp_decide(&s->smtp, SMTP_REFUSE);
                say_reply(ss, s, SMTP_REPLY_BACKEND_LOST, RULE_backend_lost, NULL, NULL);
                return ANSWERED;
        }
        leg_data(ss, s);
        return WAITING;
}

/* --- the loop ------------------------------------------------------------------------------------------------------ */

static void say_fault(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        struct say say = { .zone = -1, .number = action->number };
        struct record record = { .rule = rule_of_fault(action->fault), .policy = session_policy(ss, s) };
        struct said said;

        say_reply(ss, s, action->reply, record.rule, &say, &said);
        if (said.code < 400)
                return;
        count(ss, COUNTER_protocol_errors);
        record.kind = action->fault == SMTP_FAULT_RCPTS ? MSG_LOG_RCPT
                      : smtp_state(&s->smtp) >= SMTP_ST_HELLO ? MSG_LOG_MAIL
                                                              : MSG_LOG_CONNECT;
        record.said = &said;
        record_write(ss, s, &record);
}

static enum progress non_smtp(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        const struct image_rule *check = &image_policy(ss->image, session_policy(ss, s))->non_smtp;

        s->failed |= CLIENT_FAILED_NON_SMTP;
        if (check->action == IMAGE_ACTION_DROP) {
                session_end(ss, s, RULE_syntax, true);
                return WAITING;
        }
        if (check->action >= IMAGE_ACTION_DEFER) {
                smtp_decide(&s->smtp, SMTP_CLOSE);
                say_fault(ss, s, action);
                session_end(ss, s, RULE_syntax, false);
                return WAITING;
        }
        smtp_decide(&s->smtp, SMTP_ACCEPT);
        say_fault(ss, s, action);
        return ANSWERED;
}

static enum progress act_on(struct sessions *ss, struct session *s, const struct smtp_action *action)
{
        if (action->early)
                s->failed |= CLIENT_FAILED_PIPELINING;
        switch (action->act) {
        case SMTP_ACT_REPLY:
                say_fault(ss, s, action);
                return ANSWERED;
        case SMTP_ACT_RSET:
                leg_reset(ss, s);
                s->transaction_dead = false;
                say_fault(ss, s, action);
                return ANSWERED;
        case SMTP_ACT_QUIT:
                say_fault(ss, s, action);
                session_end(ss, s, RULE_none, false);
                return WAITING;
        case SMTP_ACT_CLOSE:
                say_fault(ss, s, action);
                session_end(ss, s, RULE_error_limit, false);
                return WAITING;
        case SMTP_ACT_HELLO:
                hello(ss, s, action);
                return ANSWERED;
        case SMTP_ACT_MAIL:
                return mail(ss, s, action);
        case SMTP_ACT_RCPT:
                return recipient(ss, s, action);
        case SMTP_ACT_DATA:
                return data(ss, s);
        case SMTP_ACT_STARTTLS:
                return starttls_begin(ss, s) ? WAITING : ANSWERED;
        case SMTP_ACT_NON_SMTP:
                return non_smtp(ss, s, action);
        case SMTP_ACT_NONE:
                break;
        }
        return ANSWERED;
}

static struct smtp_conf conf_of(const struct sessions *ss, const struct session *s)
{
        const struct image_limits *limits = &ss->image->limits;
        struct smtp_conf conf;

        smtp_conf_init(&conf);
        conf.ext = starttls_ext(ss, s, &conf.tls_required, &conf.tls_down);
        conf.size_max = limits->message_bytes_max;
        conf.rcpt_max = limits->recipients_max;
        conf.errors_max = (uint8_t)MIN(limits->errors_max, 255);
        conf.idle_commands_max = (uint8_t)MIN(limits->commands_max, 255);
        return conf;
}

/* Offer the machine what is there; a line cut over packets is gathered first. Returns the bytes used. */
static size_t next_command(struct sessions *ss, struct session *s, struct smtp_action *action)
{
        struct smtp_conf conf = conf_of(ss, s);
        uint8_t gathered[SMTP_LINE_MAX];
        uint32_t len;
        const uint8_t *bytes = wire_peek(ss, s, &len);
        size_t used;

        action->act = SMTP_ACT_NONE;
        if (len == 0)
                return 0;
        used = smtp_input(&s->smtp, &conf, bytes, len, action);
        if (used == 0 && action->act == SMTP_ACT_NONE && wire_bytes(ss, s) > len) {
                len = wire_copy(ss, s, gathered, sizeof(gathered));
                used = smtp_input(&s->smtp, &conf, gathered, len, action);
        }
        wire_consume(ss, s, (uint32_t)used);
        return used;
}

static bool is_overdue(const struct sessions *ss, const struct session *s)
{
        uint32_t limit_ms = ss->image->limits.session_timeout_ms;

        return limit_ms != 0 && s->messages == 0 && session_age_ms(ss, s) > limit_ms;
}

/* Is there room for a reply, and does the client take those that it got? */
static bool may_reply(const struct sessions *ss, const struct session *s)
{
        return tcp_send_room(ss->tcp, s->client) >= REPLY_ROOM &&
               tcp_send_unacked(ss->tcp, s->client) < REPLIES_MAX;
}

void command_run(struct sessions *ss, struct session *s)
{
        while (s->phase == PHASE_COMMAND || s->phase == PHASE_HELD) {
                struct smtp_action action;
                size_t used;

                if (s->closing) {
                        session_end(ss, s, RULE_overload, true);
                        return;
                }
                if (is_overdue(ss, s)) {
                        say_reply(ss, s, SMTP_REPLY_TIMEOUT, RULE_timeout, NULL, NULL);
                        session_end(ss, s, RULE_timeout, false);
                        return;
                }
                if (!may_reply(ss, s)) {
                        tcp_room_want(ss->tcp, s->client);
                        return;
                }
                used = next_command(ss, s, &action);
                if (action.act == SMTP_ACT_NONE && used == 0) {
                        if (s->eof) /* what is left is no whole command */
                                session_end(ss, s, RULE_client_lost, false);
                        return;
                }
                if (action.act == SMTP_ACT_NONE)
                        continue;
                if (act_on(ss, s, &action) == WAITING)
                        return;
                if (s->phase == PHASE_COMMAND)
                        session_await_command(ss, s);
        }
}

static void resume(struct sessions *ss, struct session *s)
{
        session_await_command(ss, s);
        command_run(ss, s);
}

void command_judge_recipient(struct sessions *ss, struct session *s)
{
        if (judge_recipient(ss, s) == ANSWERED)
                resume(ss, s);
}

void command_grey(struct sessions *ss, struct judged *judged, const struct grey_answer *answer)
{
        struct session *s = &ss->session[judged->session];

        if (apply_grey(ss, s, answer) == ANSWERED)
                resume(ss, s);
}

/* --- the backend's word ---------------------------------------------------------------------------------------------- */

/* A backend's code as ours: what makes no sense here, or speaks of its own connection, is a failure for now. */
static uint16_t code_for_client(uint16_t code, bool is_positive)
{
        if (is_positive || (code >= 400 && code < 600 && code != 421))
                return code;
        return 451;
}

static void recipient_answered(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len)
{
        const struct decision *decision = decision_of(ss, s);
        bool is_accepted = code >= 250 && code <= 259;
        struct record record = {
                .kind = MSG_LOG_RCPT,
                .rule = is_accepted ? decision->verdict.rule : RULE_backend_refused,
                .decision = decision,
        };
        struct said said;

        code = code_for_client(code, is_accepted);
        if (is_accepted) {
                smtp_decide(&s->smtp, SMTP_ACCEPT);
                leg_accepted(ss, s, decision);
                count(ss, COUNTER_recipients_accepted);
        } else {
                smtp_decide(&s->smtp, code >= 500 ? SMTP_REFUSE_ERROR : SMTP_REFUSE);
                count(ss, COUNTER_recipients_refused);
        }
        say_backend(ss, s, code, text, len, record.rule, &said);
        record.said = &said;
        record_write(ss, s, &record);
        decision_end(ss, s);
}

void command_backend_said(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len)
{
        if (smtp_pending(&s->smtp) == SMTP_ACT_RCPT) {
                recipient_answered(ss, s, code, text, len);
        } else if (smtp_pending(&s->smtp) == SMTP_ACT_DATA && code == 354) {
                smtp_decide(&s->smtp, SMTP_ACCEPT);
                say_backend(ss, s, code, text, len, RULE_none, NULL);
                stream_begin(ss, s);
                if (s->closing) { /* the client will never hear that it may go on */
                        session_end(ss, s, RULE_overload, true);
                        return;
                }
                stream_run(ss, s);
                return;
        } else {
                smtp_decide(&s->smtp, SMTP_REFUSE);
                say_backend(ss, s, code_for_client(code, false), text, len, RULE_backend_refused, NULL);
        }
        resume(ss, s);
}

void command_backend_lost(struct sessions *ss, struct session *s, enum smtp_reply reply, enum rule rule)
{
        if (smtp_pending(&s->smtp) == SMTP_ACT_RCPT) {
                refuse_recipient(ss, s, reply, rule, NULL, SMTP_REFUSE);
        } else {
                smtp_decide(&s->smtp, SMTP_REFUSE);
                say_reply(ss, s, reply, rule, NULL, NULL);
        }
        if (smtp_reply_code(reply) == 421) {
                session_end(ss, s, rule, false);
                return;
        }
        resume(ss, s);
}
