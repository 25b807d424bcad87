/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ctl/print.h"

#include <string.h>

#include "control/ctl/render.h"
#include "dataplane/shared/bug.h"

void ctl_print_safe(FILE *out, const char *text)
{
        render_text(out, text);
}

void ctl_print_object(FILE *out, const json_t *result)
{
        render_object(out, result, 0);
}

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : otherwise;
}

static json_int_t number_of(const json_t *object, const char *key)
{
        return json_integer_value(json_object_get(object, key));
}

void ctl_print_push(FILE *out, const json_t *result)
{
        fprintf(out, "policy version %" JSON_INTEGER_FORMAT " is in force%s\n", number_of(result, "version"),
                json_is_true(json_object_get(result, "loaded"))
                    ? ""
                    : "; no dataplane runs: it takes this version when it starts");
}

void ctl_print_versions(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "VERSION", "version" }, { "CURRENT", "current" }, { "WAS IN FORCE", "was_in_force" },
                { "PUSHED", "pushed" },   { "WHO", "who" },         { "FROM", "from" },
                { "SOURCE", "source" },
        };

        render_table(out, result, columns, ARRAY_LEN(columns), "no version is stored");
}

void ctl_print_yaml(FILE *out, const json_t *result)
{
        render_text(out, text_of(result, "yaml", ""));
}

void ctl_print_grey_list(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "CLIENT", "client" },       { "SENDER", "sender" },   { "RECIPIENT", "recipient" },
                { "STATE", "state" },         { "WAIT S", "wait_sec" }, { "FIRST", "first" },
                { "LAST PASS", "last_pass" }, { "PASSES", "passes" },   { "KEY", "key" },
        };

        render_table(out, result, columns, ARRAY_LEN(columns), "no triplet matches");
}

void ctl_print_client(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "ZONE", "name" },       { "KIND", "kind" },   { "RESULT", "result" },
                { "EXPIRES", "expires" }, { "STALE", "stale" },
        };
        json_t *rest = json_copy((json_t *)result);

        json_object_del(rest, "zones");
        render_object(out, rest, 0);
        json_decref(rest);
        fputc('\n', out);
        render_table(out, json_object_get(result, "zones"), columns, ARRAY_LEN(columns),
                     "the policy has no zones");
}

void ctl_print_zones(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "ZONE", "name" },       { "DOMAIN", "domain" },      { "KIND", "kind" },
                { "STATE", "state" },     { "SINCE", "since" },        { "QUERIES", "queries" },
                { "HITS", "hits" },       { "UNIQUE", "unique_hits" }, { "TIMEOUTS", "timeouts" },
                { "FAILED", "failures" }, { "MS", "median_ms" },       { "REASON", "reason" },
        };

        render_table(out, result, columns, ARRAY_LEN(columns), "the policy has no zones");
}

void ctl_print_backends(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "ADDRESS", "address" },   { "PORT", "port" },
                { "POOL", "pool" },         { "STATE", "state" },
                { "SINCE", "since" },       { "SESSIONS", "sessions" },
                { "FAILURES", "failures" }, { "MESSAGES", "transactions" },
        };

        render_table(out, result, columns, ARRAY_LEN(columns), "the dataplane knows no backend yet");
}

void ctl_print_counters(FILE *out, const json_t *result)
{
        static const struct render_column columns[] = {
                { "COUNTER", "name" },
                { "VALUE", "value" },
                { "UNIT", "unit" },
                { "HELP", "help" },
        };

        render_table(out, result, columns, ARRAY_LEN(columns), "there are no counters");
}

static void print_retry(FILE *out, const json_t *now)
{
        const char *state = text_of(now, "state", "unknown");

        fputs("\na retry now: ", out);
        if (strcmp(state, "waiting") == 0)
                fprintf(out, "too early; it passes in %" JSON_INTEGER_FORMAT " seconds\n",
                        number_of(now, "wait_sec"));
        else if (strcmp(state, "ready") == 0 || strcmp(state, "passed") == 0)
                fputs("passes the greylist\n", out);
        else
                fputs("starts a new wait\n", out);
}

void ctl_print_explain(FILE *out, const json_t *result)
{
        const json_t *record = json_object_get(result, "record");
        const json_t *now = json_object_get(result, "greylist_now");

        fprintf(out, "%s: ", text_of(result, "id", "?"));
        render_text(out, text_of(result, "rule_text", "?"));
        fprintf(out,
                "\n\nrule                 %s\npolicy version       %" JSON_INTEGER_FORMAT "\n"
                "time                 %s\nnode, worker         %" JSON_INTEGER_FORMAT
                ", %" JSON_INTEGER_FORMAT "\n",
                text_of(result, "rule", "?"), number_of(result, "policy_version"),
                text_of(result, "time", "?"), number_of(result, "node_id"), number_of(result, "worker"));
        if (record == NULL) {
                fputs("\nThe log record is not there any more (rotated away, shed, or of another node); the "
                      "above is "
                      "what the id itself says.\n",
                      out);
                return;
        }
        fputs("\nwhat the log says\n", out);
        render_object(out, record, 2);
        if (now)
                print_retry(out, now);
}
