/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message on its way from the client to the backend: by reference where it needs no change, and only as fast
 * as the backend takes it, since the client's window is what is not yet passed on. The end is given to the
 * backend only when the whole message was good; a message that is refused on the way ends the backend
 * connection with RST, so that no half of it can count, and is read to its end before the reply.
 */
#include "dataplane/session/wire.h"

#include <stdio.h>
#include <string.h>

#define PIECE_MAX   65536u /* bytes looked at in one go */
#define ROOM_MIN    4096u  /* less room at the backend is waited out */
#define SPANS       64u
#define GROWTH      3u     /* one byte of input can become this many: a bare LF before a dot */
#define RATE_MIN    100u   /* bytes a second that a client must come to over a message, its first data_timeout aside */
#define DISCARD_MAX 2u     /* times the size limit: more is not read of a message that is refused already */

/*
 * How long the client may take for its next piece: data_timeout, and less when the message as a whole comes so
 * slowly that it would never end. Time in which the backend took nothing is not the client's.
 */
static uint64_t piece_timeout_ms(const struct sessions *ss, const struct leg *leg)
{
        uint64_t timeout_ms = ss->image->limits.data_timeout_ms;
        uint64_t end_us = leg->began_us + timeout_ms * 1000 + leg->data.received * (1000000 / RATE_MIN);

        return ss->now_us >= end_us ? 0 : MIN(timeout_ms, (end_us - ss->now_us) / 1000);
}

void stream_begin(struct sessions *ss, struct session *s)
{
        const struct image_limits *limits = &ss->image->limits;
        struct leg *leg = leg_of(ss, s);
        const struct image_policy *policy =
            image_policy(ss->image, MIN(leg->policy, ss->image->policies.count - 1));

        smtp_data_init(&leg->data);
        smtp_data_conf_init(&leg->data_conf);
        leg->data_conf.size_max = limits->message_bytes_max;
        leg->data_conf.line_max = leg->long_reject ? SMTP_TEXT_LINE_MAX : 0;
        leg->data_conf.bare_newline = leg->bare_reject ? SMTP_BARE_REJECT : SMTP_BARE_NORMALIZE;
        leg->data_conf.received_max = (uint16_t)MIN(limits->hops_max, UINT16_MAX);
        leg->stalled_us = 0;
        leg->began_us = ss->now_us;
        tcp_recv_window_set(ss->tcp, s->client, WINDOW_DATA);
        session_phase(ss, s, PHASE_DATA, limits->data_timeout_ms);
        if (s->mark_header) {
                const char *name = image_string(ss->image, policy->header_name);
                char line[256];
                int len = snprintf(line, sizeof(line), "%.100s: score=%d\r\n", name[0] ? name : "X-Greyline-Score",
                                   (int)leg->score);

                if (!tcp_send_copy(ss->tcp, leg->conn, line, (uint32_t)len))
                        stream_discard(ss, s, SMTP_REPLY_LOCAL_ERROR, 0, RULE_overload);
        }
}

/* The message was answered: on to the next command. */
static void finish(struct sessions *ss, struct session *s, bool is_accepted)
{
        smtp_data_end(&s->smtp, is_accepted ? SMTP_ACCEPT : SMTP_REFUSE);
        tcp_recv_window_set(ss->tcp, s->client, WINDOW_COMMANDS);
        session_await_command(ss, s);
        command_run(ss, s);
}

void stream_discard(struct sessions *ss, struct session *s, enum smtp_reply reply, uint16_t code, enum rule rule)
{
        struct leg *leg = leg_of(ss, s);

        leg->discard_reply = (uint16_t)reply;
        leg->discard_code = code;
        leg->discard_rule = (uint8_t)rule;
        /* The parser must go on where it is, so the leg stays, without its connection, until the end. */
        tcp_abort(ss->tcp, leg->conn);
        leg->conn = (struct tcp_handle){ 0 };
        session_phase(ss, s, PHASE_DISCARD, piece_timeout_ms(ss, leg));
}

/* Give the answer to a refused message, and note it. */
static void answer_discarded(struct sessions *ss, struct session *s, const struct leg *leg)
{
        enum rule rule = (enum rule)leg->discard_rule;
        struct say say = { .zone = -1 };
        enum smtp_reply reply = (enum smtp_reply)leg->discard_reply;
        struct said said;
        struct record record = {
                .kind = MSG_LOG_DATA, .rule = rule, .said = &said, .leg = leg, .bytes = leg->data.size,
        };

        if (leg->data.fault != SMTP_DATA_OK && leg->discard_code == 0 && reply == SMTP_REPLY_NONE)
                reply = smtp_data_reply(&leg->data, &leg->data_conf, &say.number);
        if (reply != SMTP_REPLY_NONE) {
                say_reply(ss, s, reply, rule, &say, &said);
        } else {
                static const char text[] = "Message refused by the mail server";

                say_backend(ss, s, leg->discard_code, text, sizeof(text) - 1, rule, &said);
        }
        record_write(ss, s, &record);
        count(ss, COUNTER_messages_refused);
}

static void discarded(struct sessions *ss, struct session *s, struct leg *leg)
{
        answer_discarded(ss, s, leg);
        leg_close(ss, s, true);
        finish(ss, s, false);
}

/*
 * A refused message that goes on and on: it is answered before its end, and the session closed. A client that
 * looks is told why; cut off without a word it would come again for days.
 */
static void discard_no_more(struct sessions *ss, struct session *s, struct leg *leg)
{
        enum rule rule = (enum rule)leg->discard_rule;

        answer_discarded(ss, s, leg);
        session_end(ss, s, rule, false);
}

static enum rule rule_of_data(const struct smtp_data *data)
{
        switch ((enum smtp_data_fault)data->fault) {
        case SMTP_DATA_TOO_BIG:
                return RULE_size_limit;
        case SMTP_DATA_BARE_NEWLINE:
                return RULE_bare_newline;
        case SMTP_DATA_LINE_TOO_LONG:
                return RULE_line_limit;
        default:
                return RULE_syntax;
        }
}

/* Pass spans of the piece on, consuming the client's bytes in step. False: the backend's queue would not take them. */
static bool pass_on(struct sessions *ss, struct session *s, struct leg *leg, const struct smtp_span *spans, size_t n,
                    size_t consumed)
{
        size_t at = 0;

        for (size_t i = 0; i < n; i++) {
                const struct smtp_span *span = &spans[i];

                if (span->is_literal) {
                        if (!tcp_send_copy(ss->tcp, leg->conn, span->literal, span->len))
                                return false;
                        continue;
                }
                wire_consume(ss, s, (uint32_t)(span->offset - at));
                if (wire_move(ss, s, leg->conn, span->len) != span->len)
                        return false;
                at = span->offset + span->len;
        }
        wire_consume(ss, s, (uint32_t)(consumed - at));
        return true;
}

static void message_complete(struct sessions *ss, struct session *s, struct leg *leg)
{
        size_t len;
        const char *tail = smtp_data_tail(&leg->data, &len);

        if (!tcp_send_copy(ss->tcp, leg->conn, tail, (uint32_t)len)) {
                stream_discard(ss, s, SMTP_REPLY_LOCAL_ERROR, 0, RULE_overload);
                discarded(ss, s, leg);
                return;
        }
        dialogue_end(&leg->dialogue);
        session_phase(ss, s, PHASE_END, leg->end_timeout_ms);
}

/* Read a message that is refused already. True: go on. */
static bool discard_piece(struct sessions *ss, struct session *s, struct leg *leg)
{
        struct smtp_span spans[SPANS];
        uint32_t len;
        const uint8_t *bytes = wire_peek(ss, s, &len);
        enum smtp_data_result result;
        size_t n, consumed;

        if (len == 0)
                return false;
        result = smtp_data_input(&leg->data, &leg->data_conf, bytes, len, spans, SPANS, &n, &consumed);
        wire_consume(ss, s, (uint32_t)consumed);
        counter_add(ss->counters, COUNTER_message_bytes, consumed);
        if (result == SMTP_DATA_END) {
                discarded(ss, s, leg);
                return false;
        }
        if (leg->data.received > DISCARD_MAX * MAX(leg->data_conf.size_max, 1u << 20)) {
                discard_no_more(ss, s, leg);
                return false;
        }
        session_phase(ss, s, PHASE_DISCARD, piece_timeout_ms(ss, leg));
        return true;
}

/* Pass one piece of the message on. True: go on. */
static bool stream_piece(struct sessions *ss, struct session *s, struct leg *leg)
{
        struct smtp_span spans[SPANS];
        uint32_t len, room = tcp_send_room(ss->tcp, leg->conn);
        const uint8_t *bytes = wire_peek(ss, s, &len);
        enum smtp_data_result result;
        size_t n, consumed;

        if (len == 0)
                return false;
        if (room < ROOM_MIN) {
                tcp_room_want(ss->tcp, leg->conn);
                if (leg->stalled_us == 0)
                        leg->stalled_us = ss->now_us;
                return false;
        }
        if (leg->stalled_us != 0)
                leg->began_us += ss->now_us - leg->stalled_us;
        leg->stalled_us = 0;
        len = MIN(MIN(len, PIECE_MAX), room / GROWTH);
        result = smtp_data_input(&leg->data, &leg->data_conf, bytes, len, spans, SPANS, &n, &consumed);
        counter_add(ss->counters, COUNTER_message_bytes, consumed);
        if (result == SMTP_DATA_REFUSED) {
                wire_consume(ss, s, (uint32_t)consumed);
                stream_discard(ss, s, SMTP_REPLY_NONE, 0, rule_of_data(&leg->data));
                return true;
        }
        if (!pass_on(ss, s, leg, spans, n, consumed)) {
                /* Room was checked, so packets have run out: this message ends here, the client comes again. */
                session_end(ss, s, RULE_overload, true);
                return false;
        }
        if (result == SMTP_DATA_END && leg->data.fault == SMTP_DATA_OK) {
                message_complete(ss, s, leg);
                return false;
        }
        if (result == SMTP_DATA_END) {
                stream_discard(ss, s, SMTP_REPLY_NONE, 0, rule_of_data(&leg->data));
                discarded(ss, s, leg);
                return false;
        }
        session_phase(ss, s, PHASE_DATA, piece_timeout_ms(ss, leg));
        return true;
}

void stream_run(struct sessions *ss, struct session *s)
{
        for (;;) {
                struct leg *leg = leg_of(ss, s);
                bool go_on = false;

                if (s->phase == PHASE_DATA)
                        go_on = stream_piece(ss, s, leg);
                else if (s->phase == PHASE_DISCARD)
                        go_on = discard_piece(ss, s, leg);
                if (!go_on)
                        break;
        }
        /* A client that has said its last without an end of the message: half of it must not count. */
        if ((s->phase == PHASE_DATA || s->phase == PHASE_DISCARD) && s->eof &&
            wire_bytes(ss, s) == 0) {
                count(ss, COUNTER_messages_cut);
                session_end(ss, s, RULE_client_lost, true);
        }
}

/* Our bytes to the client so far, those included that it has not taken yet. */
static uint64_t bytes_said(const struct sessions *ss, const struct session *s)
{
        struct tcp_info info;

        if (!tcp_info(ss->tcp, s->client, &info))
                return 0;
        return info.bytes_acked + info.unacked_bytes + info.unsent_bytes;
}

void stream_ended(struct sessions *ss, struct session *s, uint16_t code, const char *text, size_t len)
{
        struct leg *leg = leg_of(ss, s);
        bool is_accepted = code >= 250 && code <= 259;
        struct said said;
        struct record record = {
                .kind = MSG_LOG_DATA,
                .rule = is_accepted ? RULE_accepted : code == 0 ? RULE_backend_lost : RULE_backend_refused,
                .said = &said,
                .leg = leg,
                .bytes = leg->data.size,
                .detail = text,
                .detail_len = len,
        };

        if (is_accepted) {
                atomic_fetch_add_explicit(&ss->backends->backend[leg->backend].transactions, 1,
                                          memory_order_relaxed);
                for (unsigned i = 0; i < leg->dues; i++) {
                        /* One message counts once for the network, however many recipients it has. */
                        if (i > 0)
                                leg->due[i].exempt_key = 0;
                        grey_due_record(&leg->due[i], ss->grey, ss->image, ss->wall_sec);
                }
                s->messages += s->messages < UINT16_MAX;
        }
        leg->in_transaction = false;
        leg->recipients = leg->dues = 0;
        if (code == 0 || code == 421) {
                say_reply(ss, s, SMTP_REPLY_BACKEND_LOST, RULE_backend_lost, NULL, &said);
        } else {
                if (!is_accepted && (code < 400 || code > 599))
                        code = 451;
                say_backend(ss, s, code, text, len, record.rule, &said);
        }
        if (is_accepted && (s->client_gone || s->closing)) {
                record.flags = MSG_LOG_AMBIGUOUS;
                count(ss, COUNTER_messages_ambiguous);
        } else if (is_accepted) {
                s->accepted_end = (uint32_t)bytes_said(ss, s);
                s->has_accepted = true;
        }
        record_write(ss, s, &record);
        count(ss, is_accepted ? COUNTER_messages_accepted : COUNTER_messages_refused);
        if (code == 0 || code == 421)
                leg_close(ss, s, true);
        if (s->client_gone)
                session_end(ss, s, RULE_client_lost, true);
        else
                finish(ss, s, is_accepted);
}
