/* SPDX-License-Identifier: Apache-2.0 */
#include "control/log/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/shared/client_table.h"
#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/rule.h"

static const char *const kind_names[] = {
        [MSG_LOG_CONNECT] = "connect", [MSG_LOG_MAIL] = "mail",       [MSG_LOG_RCPT] = "rcpt",
        [MSG_LOG_DATA] = "data",       [MSG_LOG_SESSION] = "session", [MSG_LOG_BACKEND] = "backend",
};

static const char *const grey_names[] = {
        [MSG_GREY_NONE] = "none",     [MSG_GREY_NEW] = "new",           [MSG_GREY_WAIT] = "wait",
        [MSG_GREY_PASS] = "pass",     [MSG_GREY_KNOWN] = "known",       [MSG_GREY_RESTART] = "restart",
        [MSG_GREY_EXEMPT] = "exempt", [MSG_GREY_NO_TOKEN] = "no_token", [MSG_GREY_FULL] = "full",
};

static const char *const ptr_names[] = {
        [CLIENT_PTR_UNKNOWN] = "unknown",
        [CLIENT_PTR_NONE] = "none",
        [CLIENT_PTR_UNCONFIRMED] = "unconfirmed",
        [CLIENT_PTR_CONFIRMED] = "confirmed",
        [CLIENT_PTR_ERROR] = "error",
};

const char *log_grey_name(uint32_t grey)
{
        return grey < ARRAY_LEN(grey_names) ? grey_names[grey] : "?";
}

const char *log_ptr_name(uint32_t ptr)
{
        return ptr < ARRAY_LEN(ptr_names) ? ptr_names[ptr] : "?";
}

static bool has_id(const struct msg_log *record)
{
        static const uint8_t none[EXPLAIN_ID_LEN];

        return memcmp(record->id, none, sizeof(none)) != 0;
}

bool log_record_check(const struct msg_log *record)
{
        struct explain_id id;
        uint32_t texts = (uint32_t)record->helo_len + record->sender_len + record->recipient_len +
                         record->reply_len + record->host_len + record->detail_len;

        if (record->kind == 0 || record->kind >= ARRAY_LEN(kind_names) || record->rule >= RULE_USED)
                return false;
        if (texts > MSG_LOG_TEXT_MAX || record->reply_code > 599)
                return false;
        if (record->grey >= ARRAY_LEN(grey_names) || record->ptr >= ARRAY_LEN(ptr_names))
                return false;
        return !has_id(record) || explain_id_parse((const char *)record->id, &id) == 0;
}

const char *log_record_text(const struct msg_log *record, enum log_text text, size_t *ret_len)
{
        const uint16_t lens[LOG_TEXT_USED] = { record->helo_len,  record->sender_len, record->recipient_len,
                                               record->reply_len, record->host_len,   record->detail_len };
        size_t at = 0;

        for (unsigned i = 0; i < (unsigned)text; i++)
                at += lens[i];
        *ret_len = lens[text];
        return (const char *)record->text + at;
}

static void put_text(struct json *json, const char *key, const struct msg_log *record, enum log_text text)
{
        size_t len;
        const char *bytes = log_record_text(record, text, &len);

        if (len > 0)
                json_put_string_len(json, key, bytes, len);
}

/* A mail address; with hashed privacy its local part is told apart from others, but not told. */
static void put_mailbox(struct json *json, const char *key, const struct msg_log *record, enum log_text text,
                        const struct log_context *context)
{
        char hashed[24 + MSG_LOG_TEXT_MAX];
        size_t len, hash_len, domain_len;
        const char *bytes = log_record_text(record, text, &len);
        const char *at;

        if (len == 0 && !(text == LOG_TEXT_SENDER && record->kind == MSG_LOG_RCPT))
                return; /* an empty sender is one (RFC 5321 4.5.5), but only where there was a MAIL */
        at = len > 0 ? memrchr(bytes, '@', len) : NULL;
        if (!context->is_hashed || len == 0) {
                json_put_string_len(json, key, bytes, len);
                return;
        }
        domain_len = at ? (size_t)(bytes + len - at) : 0;
        hash_len = (size_t)snprintf(hashed, sizeof(hashed), "#%016" PRIx64,
                                    siphash(&context->hash_key, bytes, len - domain_len));
        memcpy(hashed + hash_len, bytes + len - domain_len, domain_len);
        json_put_string_len(json, key, hashed, hash_len + domain_len);
}

static void put_addr(struct json *json, const char *key, const struct addr *addr)
{
        static const struct addr none;
        char text[ADDR_TEXT_MAX];

        if (!addr_is_equal(addr, &none))
                json_put_string(json, key, addr_text(addr, text));
}

static void put_zones(struct json *json, const char *key, uint32_t zones, uint32_t version,
                      const struct log_names *names)
{
        if (zones == 0)
                return;
        json_array_open(json, key);
        for (uint32_t zone = 0; zone < IMAGE_ZONES_MAX; zone++) {
                const char *name;
                char number[16];

                if ((zones >> zone & 1) == 0)
                        continue;
                name = log_names_zone(names, version, zone);
                snprintf(number, sizeof(number), "#%u", zone);
                json_put_string(json, NULL, name ? name : number);
        }
        json_array_close(json);
}

static void put_policy(struct json *json, const struct msg_log *record, const struct log_context *context)
{
        const char *name = log_names_policy(context->names, record->policy_version, record->policy);

        if (record->policy_version == 0)
                return;
        if (name)
                json_put_string(json, "policy", name);
        json_put_uint(json, "policy_version", record->policy_version);
}

static void put_evidence(struct json *json, const struct msg_log *record, const struct log_context *context)
{
        char key[20];

        if (record->score != 0)
                json_put_int(json, "score", record->score);
        put_zones(json, "zones", record->zones_listed, record->policy_version, context->names);
        put_zones(json, "zones_unknown", record->zones_unknown, record->policy_version, context->names);
        if (record->ptr != CLIENT_PTR_UNKNOWN)
                json_put_string(json, "ptr", log_ptr_name(record->ptr));
        put_text(json, "host", record, LOG_TEXT_HOST);
        if (record->grey != MSG_GREY_NONE)
                json_put_string(json, "grey", log_grey_name(record->grey));
        if (record->grey_wait_sec > 0)
                json_put_uint(json, "wait_sec", record->grey_wait_sec);
        if (record->grey_key != 0) {
                snprintf(key, sizeof(key), "%016" PRIx64, record->grey_key);
                json_put_string(json, "grey_key", key);
        }
}

static void put_flags(struct json *json, const struct msg_log *record)
{
        static const struct {
                uint8_t flag;
                const char *name;
        } flags[] = {
                { MSG_LOG_TRUSTED, "trusted" },     { MSG_LOG_ALLOWED, "allowed" },
                { MSG_LOG_AMBIGUOUS, "ambiguous" }, { MSG_LOG_DEADLINE, "deadline" },
                { MSG_LOG_TRUNCATED, "truncated" },
        };

        for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
                if (record->flags & flags[i].flag)
                        json_put_bool(json, flags[i].name, true);
        }
}

void log_record_json(struct json *json, const char *key, const struct msg_log *record,
                     const struct log_context *context)
{
        char session[20];

        json_object_open(json, key);
        json_put_time_us(json, "time", record->at_us);
        json_put_string(json, "event", kind_names[record->kind]);
        if (record->session != 0) {
                snprintf(session, sizeof(session), "%016" PRIx64, record->session);
                json_put_string(json, "session", session);
        }
        if (has_id(record))
                json_put_string_len(json, "id", record->id, sizeof(record->id));
        if (context->node)
                json_put_string(json, "node", context->node);
        put_addr(json, "client", &record->client);
        if (record->client_port != 0)
                json_put_uint(json, "client_port", record->client_port);
        put_addr(json, "front", &record->front);
        put_text(json, "helo", record, LOG_TEXT_HELO);
        put_mailbox(json, "sender", record, LOG_TEXT_SENDER, context);
        put_mailbox(json, "recipient", record, LOG_TEXT_RECIPIENT, context);
        if (record->reply_code != 0)
                json_put_uint(json, "code", record->reply_code);
        put_text(json, "reply", record, LOG_TEXT_REPLY);
        if (record->rule != RULE_none) {
                json_put_string(json, "rule", rule_infos[record->rule].name);
                json_put_string(json, "rule_text", rule_infos[record->rule].help);
        }
        put_policy(json, record, context);
        put_evidence(json, record, context);
        put_addr(json, "backend", &record->backend);
        if (record->backend_port != 0)
                json_put_uint(json, "backend_port", record->backend_port);
        if (record->bytes > 0 || record->kind == MSG_LOG_DATA)
                json_put_uint(json, "bytes",
                              MIN(record->bytes, (uint64_t)INT64_MAX)); /* readers count so far */
        json_put_uint(json, "duration_ms", record->duration_ms);
        put_flags(json, record);
        put_text(json, "detail", record, LOG_TEXT_DETAIL);
        json_put_uint(json, "worker", record->worker);
        json_object_close(json);
}
