/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/session/internal.h"

#include <string.h>

void record_id(struct sessions *ss, enum rule rule, char id[EXPLAIN_ID_LEN])
{
        struct explain_id explain = {
                .node = ss->node_id,
                .worker = (uint8_t)ss->worker,
                .rule = (uint8_t)rule,
                .policy_version = (uint16_t)(ss->image->generation & 0xfff),
                .sequence = ss->sequence++,
                .time_sec = ss->wall_sec,
        };

        explain_id_build(&explain, id);
}

uint64_t record_session_id(struct sessions *ss)
{
        return (uint64_t)ss->node_id << 58 | (uint64_t)(ss->worker & 63) << 52 |
               (uint64_t)((ss->wall_sec - EXPLAIN_EPOCH_SEC) & 0x3fffffff) << 22 | (ss->sequence++ & 0x3fffff);
}

/* Append one text; what does not fit is cut and said so. */
static uint16_t add_text(struct msg_log *log, size_t *used, const char *text, size_t len)
{
        size_t room = sizeof(log->text) - *used;

        if (len > room) {
                len = room;
                log->flags |= MSG_LOG_TRUNCATED;
        }
        memcpy(log->text + *used, text, len);
        *used += len;
        return (uint16_t)len;
}

static struct msg_log *begin(struct sessions *ss)
{
        struct msg_log *log = ring_write_slot(&ss->log_ring);

        if (log == NULL) {
                count(ss, COUNTER_log_lost);
                return NULL;
        }
        memset(log, 0, offsetof(struct msg_log, text));
        log->at_us = ss->wall_us;
        log->worker = (uint16_t)ss->worker;
        log->policy_version = ss->image->generation;
        return log;
}

static void commit(struct sessions *ss)
{
        ring_write_commit(&ss->log_ring);
        ss->logged = true;
}

static uint8_t session_flags(const struct session *s)
{
        uint8_t flags = 0;

        if (s->class == IMAGE_CLASS_TRUSTED)
                flags |= MSG_LOG_TRUSTED;
        if (s->class == IMAGE_CLASS_ALLOW)
                flags |= MSG_LOG_ALLOWED;
        if (s->at_deadline)
                flags |= MSG_LOG_DEADLINE;
        return flags;
}

void record_write(struct sessions *ss, const struct session *s, const struct record *record)
{
        struct msg_log *log = begin(ss);
        const struct texts *texts = texts_of(ss, s);
        const struct leg *leg = leg_of(ss, s);
        const struct decision *decision = record->decision;
        const struct client_verdict *verdict = decision ? &decision->verdict : record->verdict;
        bool has_sender = texts && smtp_state(&s->smtp) >= SMTP_ST_MAIL && smtp_state(&s->smtp) <= SMTP_ST_DATA;
        struct client_answers answers;
        uint32_t line = s->client_line;
        size_t used = 0;

        if (log == NULL)
                return;
        client_table_lookup_near(ss->clients, &s->peer, ss->wall_sec, &line, &answers);
        client_table_name(ss->clients, &s->peer, line, &answers);
        log->kind = record->kind;
        log->rule = (uint16_t)record->rule;
        log->session = s->id;
        log->client = s->peer;
        log->client_port = s->peer_port;
        log->front = s->front;
        log->policy = decision ? decision->policy : record->leg ? record->leg->policy : record->policy;
        log->flags = session_flags(s) | record->flags;
        log->ptr = answers.ptr;
        log->bytes = record->bytes;
        log->duration_ms = session_age_ms(ss, s);
        if (leg && leg->backend != BACKEND_NONE) {
                log->backend = ss->backends->backend[leg->backend].addr;
                log->backend_port = ss->backends->backend[leg->backend].tcp_port;
        }
        if (verdict) {
                log->score = verdict->score;
                log->zones_listed = verdict->zones_listed;
                log->zones_unknown = verdict->zones_unknown;
        }
        if (decision) {
                log->grey = (uint8_t)decision->grey.state;
                log->grey_wait_sec = decision->grey.wait_sec;
                log->grey_key = decision->has_due ? decision->due.network_key : 0;
        }
        if (texts)
                log->helo_len = add_text(log, &used, texts_helo(texts), texts->helo_len);
        if (has_sender)
                log->sender_len = add_text(log, &used, texts_sender(texts), texts->sender_len);
        if (decision)
                log->recipient_len = add_text(log, &used, decision->recipient.text, decision->recipient.len);
        else if (record->leg)
                log->recipient_len = add_text(log, &used, record->leg->recipient, record->leg->recipient_len);
        if (record->said) {
                log->reply_code = record->said->code;
                log->reply_len = add_text(log, &used, record->said->line, record->said->len);
                if (record->said->has_id)
                        memcpy(log->id, record->said->id, sizeof(log->id));
        }
        log->host_len = add_text(log, &used, answers.name, answers.name_len);
        if (record->detail)
                log->detail_len = add_text(log, &used, record->detail, record->detail_len);
        commit(ss);
}

void record_backend(struct sessions *ss, const struct backend *backend, bool is_up, const char *detail)
{
        struct msg_log *log = begin(ss);
        size_t used = 0;

        if (log == NULL)
                return;
        log->kind = MSG_LOG_BACKEND;
        log->rule = is_up ? RULE_accepted : RULE_backend_down;
        log->backend = backend->addr;
        log->backend_port = backend->tcp_port;
        log->detail_len = add_text(log, &used, detail, strlen(detail));
        commit(ss);
}
