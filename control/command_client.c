/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/command.h"
#include "control/log/scan.h"
#include "control/state.h"
#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/rule.h"

/* ---- client show ------------------------------------------------------------------------------------ */

static const char *zone_result_name(enum client_zone result)
{
        static const char *const names[] = { "unknown", "clear", "listed", "error" };

        return (unsigned)result < ARRAY_LEN(names) ? names[result] : "?";
}

static void put_zones(struct json *json, const struct image *image, const struct client_answers *answers)
{
        json_array_open(json, "zones");
        for (uint32_t i = 0; i < image->zones.count; i++) {
                const struct image_zone *zone = image_zone(image, i);
                uint32_t expire_sec = answers->zones_expire_sec[zone->number / 16];
                enum client_zone result = client_answers_zone(answers, zone->number);

                json_object_open(json, NULL);
                json_put_string(json, "name", image_string(image, zone->name));
                json_put_string(json, "kind", zone->kind == IMAGE_ZONE_ALLOW ? "allow" : "block");
                json_put_string(json, "result", zone_result_name(result));
                if (result != CLIENT_ZONE_UNKNOWN) {
                        json_put_time_sec(json, "expires", expire_sec);
                        json_put_bool(json, "stale", answers->zones_stale >> zone->number & 1);
                }
                json_object_close(json);
        }
        json_array_close(json);
}

void command_client_show(struct control *control, struct admin_request *request)
{
        static const char *const classes[] = { "none", "deny", "allow", "trusted" };
        const char *text = admin_string(request, "address", NULL);
        struct json *json = admin_result(request);
        struct client_answers answers;
        struct addr addr;
        char buf[ADDR_TEXT_MAX];

        if (text == NULL || addr_parse(text, &addr) < 0) {
                admin_fail(request, "client show needs an IPv4 or IPv6 address");
                return;
        }
        client_table_lookup(&control->client, &addr, control_wall_sec(), &answers);
        json_object_open(json, "result");
        json_put_string(json, "client", addr_text(&addr, buf));
        json_put_string(json, "list", classes[image_lookup_network(control->image, &addr)]);
        json_put_bool(json, "known", answers.found);
        json_put_string(json, "ptr", log_ptr_name(answers.ptr));
        if (answers.ptr != CLIENT_PTR_UNKNOWN) {
                json_put_time_sec(json, "ptr_expires", answers.ptr_expire_sec);
                json_put_bool(json, "ptr_stale", answers.ptr_stale);
        }
        if (answers.name_len > 0)
                json_put_string(json, "host", answers.name);
        put_zones(json, control->image, &answers);
        json_object_close(json);
        admin_done(request);
}

/* ---- explain ---------------------------------------------------------------------------------------- */

struct explain {
        struct control *control;
        struct admin_request *request;
        struct explain_id id;
        char text[EXPLAIN_ID_LEN]; /* as ids are written */
        struct helper_job job;
        int result;
        struct log_file log; /* path and keep, copied: the helper must not read what a push may change */
        char line[LOG_SCAN_LINE_MAX];
};

/* The id names its policy version modulo 4096 only. */
static void put_decoded(struct json *json, const struct explain *explain)
{
        const struct explain_id *id = &explain->id;
        bool is_rule = id->rule < RULE_USED;

        json_put_string_len(json, "id", explain->text, sizeof(explain->text));
        json_put_uint(json, "node_id", id->node);
        json_put_time_sec(json, "time", id->time_sec);
        json_put_uint(json, "worker", id->worker);
        json_put_uint(json, "sequence", id->sequence);
        json_put_uint(json, "policy_version", id->policy_version);
        json_put_string(json, "rule", is_rule ? rule_infos[id->rule].name : "?");
        json_put_string(json, "rule_text", is_rule ? rule_infos[id->rule].help : "a rule of a newer release");
}

static uint16_t policy_by_name(const struct image *image, const char *name)
{
        for (uint32_t i = 0; name && i < image->policies.count; i++) {
                if (strcmp(image_string(image, image_policy(image, i)->name), name) == 0)
                        return (uint16_t)i;
        }
        return 0;
}

/* What a retry would meet now. record: the log record as JSON, or NULL. */
static void put_now(struct json *json, struct control *control, const json_t *record)
{
        const char *key = json_string_value(json_object_get(record, "grey_key"));
        const char *policy = json_string_value(json_object_get(record, "policy"));

        if (key == NULL)
                return;
        json_object_open(json, "greylist_now");
        command_grey_facts(json, control, strtoull(key, NULL, 16), policy_by_name(control->image, policy));
        json_object_close(json);
}

/* record_text: the record as it stands in the log, one JSON object, or NULL. */
static void answer(struct explain *explain, const char *record_text, size_t len)
{
        struct json *json = admin_result(explain->request);
        json_t *record = record_text ? json_loadb(record_text, len, 0, NULL) : NULL;

        json_object_open(json, "result");
        put_decoded(json, explain);
        json_put_bool(json, "found", json_is_object(record));
        if (json_is_object(record)) {
                json_put_raw(json, "record", record_text, len);
                put_now(json, explain->control, record);
        }
        json_object_close(json);
        json_decref(record);
        admin_done(explain->request);
        free(explain);
}

static void scan_run(void *arg)
{
        struct explain *explain = arg;

        explain->result = log_scan(&explain->log, explain->text, explain->line);
}

static void scan_done(void *arg)
{
        struct explain *explain = arg;

        if (explain->result == 0)
                answer(explain, explain->line, strlen(explain->line));
        else
                answer(explain, NULL, 0);
}

void command_explain(struct control *control, struct admin_request *request)
{
        const char *text = admin_string(request, "id", "");
        struct explain *explain = calloc(1, sizeof(*explain));
        const struct msg_log *record;
        struct json json;

        if (explain == NULL || strlen(text) != EXPLAIN_ID_LEN || explain_id_parse(text, &explain->id) < 0) {
                admin_fail(request,
                           "an id has 16 letters and digits, as in the brackets at the end of a reply");
                free(explain);
                return;
        }
        explain->control = control;
        explain->request = request;
        explain_id_build(&explain->id, explain->text);
        record = log_recent_lookup(control->recent, explain->text);
        if (record) {
                json_init(&json, LOG_RECORD_JSON_MAX);
                log_record_json(&json, NULL, record, &control->log_context);
                answer(explain, json.text, json.is_failed ? 0 : json.len);
                json_done(&json);
                return;
        }
        explain->log = control->log;
        explain->job = (struct helper_job){ .run = scan_run, .done = scan_done, .arg = explain };
        if (helper_submit(control->helper, &explain->job) < 0)
                answer(explain, NULL, 0);
}
