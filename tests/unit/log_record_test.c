/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of workers, good and hostile, to JSON. The image with names is made by hand: no policy is
 * compiled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "control/log/record.h"
#include "dataplane/shared/client_table.h"
#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/rule.h"

static void put_text(struct msg_log *record, uint16_t *len, const char *bytes, size_t n)
{
        size_t at = (size_t)record->helo_len + record->sender_len + record->recipient_len +
                    record->reply_len + record->host_len + record->detail_len;

        memcpy(record->text + at, bytes, n);
        *len = (uint16_t)n;
}

static struct msg_log sample(void)
{
        struct msg_log record = { .kind = MSG_LOG_RCPT,
                                  .reply_code = 451,
                                  .rule = RULE_greylist_new,
                                  .session = 0xabcdef,
                                  .at_us = 1795500000000007u,
                                  .client_port = 2525,
                                  .backend_port = 0,
                                  .worker = 1,
                                  .policy_version = 7,
                                  .policy = 1,
                                  .score = -3,
                                  .zones_listed = 1u << 4 | 1u << 9,
                                  .zones_unknown = 1u << 31,
                                  .ptr = CLIENT_PTR_CONFIRMED,
                                  .grey = MSG_GREY_NEW,
                                  .flags = MSG_LOG_DEADLINE,
                                  .grey_wait_sec = 240,
                                  .grey_key = 0x1234,
                                  .duration_ms = 5 };
        struct explain_id id = { .node = 1, .worker = 1, .rule = RULE_greylist_new, .time_sec = 1795500000 };

        explain_id_build(&id, (char *)record.id);
        assert_int_equal(addr_parse("192.0.2.7", &record.client), 0);
        assert_int_equal(addr_parse("2001:db8::25", &record.front), 0);
        put_text(&record, &record.helo_len, "client.example", 14);
        put_text(&record, &record.sender_len, "a\"b\xff@sender.example", 19);
        put_text(&record, &record.recipient_len, "user@example.org", 16);
        put_text(&record, &record.reply_len, "451 4.7.1 Greylisted", 20);
        put_text(&record, &record.host_len, "host.example", 12);
        put_text(&record, &record.detail_len, "\x1b[2J\r\n", 6);
        return record;
}

/* Version 7: policies "default" and "strict", list "bl" as number 4. */
static struct log_names *sample_names(void)
{
        static union {
                _Alignas(64) uint8_t bytes[4096];
                struct image image;
        } made;
        struct image *image = &made.image;
        struct log_names *names = log_names_new();
        struct image_policy *policies = (struct image_policy *)(void *)(made.bytes + 1024);
        struct image_zone *zone = (struct image_zone *)(void *)(made.bytes + 2048);

        memset(&made, 0, sizeof(made));
        image->generation = 7;
        image->policies = (struct image_section){ 1024, 2 };
        image->zones = (struct image_section){ 2048, 1 };
        strcpy((char *)made.bytes + 3000, "default");
        strcpy((char *)made.bytes + 3010, "strict");
        strcpy((char *)made.bytes + 3020, "bl");
        policies[0].name = (struct image_text){ 3000, 7 };
        policies[1].name = (struct image_text){ 3010, 6 };
        zone->name = (struct image_text){ 3020, 2 };
        zone->number = 4;
        assert_non_null(names);
        assert_int_equal(log_names_add(names, image), 0);
        return names;
}

static json_t *to_json(const struct msg_log *record, const struct log_context *context)
{
        struct json json;
        json_error_t error;
        json_t *root;

        json_init(&json, LOG_RECORD_JSON_MAX);
        log_record_json(&json, NULL, record, context);
        assert_false(json.is_failed);
        assert_null(memchr(json.text, '\n', json.len));
        root = json_loadb(json.text, json.len, JSON_REJECT_DUPLICATES, &error);
        if (root == NULL)
                fail_msg("%s: %.*s", error.text, (int)json.len, json.text);
        json_done(&json);
        return root;
}

static void want_string(const json_t *root, const char *key, const char *want)
{
        const char *got = json_string_value(json_object_get(root, key));

        if (got == NULL || strcmp(got, want) != 0)
                fail_msg("%s: got %s, want %s", key, got ? got : "(nothing)", want);
}

static void want_number(const json_t *root, const char *key, json_int_t want)
{
        if (!json_is_integer(json_object_get(root, key)))
                fail_msg("%s: no number", key);
        assert_int_equal(json_integer_value(json_object_get(root, key)), want);
}

static void test_fields(void **state)
{
        struct log_context context = { .names = sample_names(), .node = "mx1" };
        struct msg_log record = sample();
        json_t *root, *zones;

        assert_true(log_record_check(&record));
        root = to_json(&record, &context);
        want_string(root, "time", "2026-11-24T06:00:00.000007Z");
        want_string(root, "event", "rcpt");
        want_string(root, "session", "0000000000abcdef");
        want_string(root, "node", "mx1");
        want_string(root, "client", "192.0.2.7");
        want_number(root, "client_port", 2525);
        want_string(root, "front", "2001:db8::25");
        want_string(root, "helo", "client.example");
        want_string(root, "sender", "a\"b\xef\xbf\xbd@sender.example");
        want_string(root, "recipient", "user@example.org");
        want_number(root, "code", 451);
        want_string(root, "reply", "451 4.7.1 Greylisted");
        want_string(root, "rule", "greylist_new");
        want_string(root, "policy", "strict");
        want_number(root, "policy_version", 7);
        want_number(root, "score", -3);
        want_string(root, "ptr", "confirmed");
        want_string(root, "host", "host.example");
        want_string(root, "grey", "new");
        want_number(root, "wait_sec", 240);
        want_string(root, "grey_key", "0000000000001234");
        want_string(root, "detail", "\x1b[2J\r\n");
        assert_true(json_is_true(json_object_get(root, "deadline")));
        assert_null(json_object_get(root, "trusted"));
        assert_null(json_object_get(root, "backend"));
        zones = json_object_get(root, "zones");
        assert_int_equal(json_array_size(zones), 2);
        assert_string_equal(json_string_value(json_array_get(zones, 0)), "bl");
        assert_string_equal(json_string_value(json_array_get(zones, 1)), "#9"); /* has no name in version 7 */
        assert_string_equal(json_string_value(json_array_get(json_object_get(root, "zones_unknown"), 0)),
                            "#31");
        assert_int_equal(strlen(json_string_value(json_object_get(root, "id"))), EXPLAIN_ID_LEN);
        json_decref(root);

        record.policy_version = 6; /* whose names are not known */
        root = to_json(&record, &context);
        assert_null(json_object_get(root, "policy"));
        want_number(root, "policy_version", 6);
        assert_string_equal(json_string_value(json_array_get(json_object_get(root, "zones"), 0)), "#4");
        json_decref(root);
        log_names_free((struct log_names *)context.names);
}

static void test_hashed(void **state)
{
        struct log_context context = { .names = sample_names(), .is_hashed = true, .hash_key = { { 1, 2 } } };
        struct msg_log record = sample();
        json_t *root = to_json(&record, &context);
        const char *recipient = json_string_value(json_object_get(root, "recipient"));

        assert_int_equal(recipient[0], '#');
        assert_int_equal(strlen(recipient), 17 + strlen("@example.org"));
        assert_string_equal(recipient + 17, "@example.org");
        assert_null(strstr(json_string_value(json_object_get(root, "sender")), "a\"b"));
        json_decref(root);
        log_names_free((struct log_names *)context.names);
}

static void test_empty_sender(void **state)
{
        struct log_context context = { .names = sample_names() };
        struct msg_log record = { .kind = MSG_LOG_RCPT };
        json_t *root = to_json(&record, &context);

        want_string(root, "sender", ""); /* the null sender is one */
        json_decref(root);
        record.kind = MSG_LOG_CONNECT;
        root = to_json(&record, &context);
        assert_null(json_object_get(root, "sender"));
        json_decref(root);
        log_names_free((struct log_names *)context.names);
}

/* The longest text there can be, of the bytes that grow most. */
static void test_longest(void **state)
{
        struct log_context context = { .names = sample_names(), .node = "mx1" };
        struct msg_log record = sample();
        json_t *root;

        memset(record.text, 0xff, sizeof(record.text));
        record.helo_len = record.sender_len = record.recipient_len = 0;
        record.reply_len = record.host_len = 0;
        record.detail_len = MSG_LOG_TEXT_MAX;
        record.zones_listed = record.zones_unknown = UINT32_MAX;
        record.flags = 0xff;
        record.session = record.grey_key = UINT64_MAX;
        record.bytes = record.at_us = UINT64_MAX;
        assert_true(log_record_check(&record));
        root = to_json(&record, &context);
        json_decref(root);
        log_names_free((struct log_names *)context.names);
}

static void test_check(void **state)
{
        struct msg_log good = sample(), bad;

        assert_true(log_record_check(&good));
#define REFUSED(change)                                                                                      \
        bad = good;                                                                                          \
        bad.change;                                                                                          \
        if (log_record_check(&bad))                                                                          \
        fail_msg("taken: %s", #change)
        REFUSED(kind = 0);
        REFUSED(kind = MSG_LOG_BACKEND + 1);
        REFUSED(rule = RULE_USED);
        REFUSED(reply_code = 600);
        REFUSED(grey = MSG_GREY_FULL + 1);
        REFUSED(ptr = CLIENT_PTR_ERROR + 1);
        REFUSED(detail_len = MSG_LOG_TEXT_MAX);
        REFUSED(helo_len = 0xffff);
        REFUSED(id[3] = '"');
        REFUSED(id[15] = 0);
#undef REFUSED
}

/* Any bytes at all: either refused, or one line of good JSON. */
static void test_random_records(void **state)
{
        struct log_context context = { .names = sample_names() };
        uint32_t seed = 99, taken = 0;

        for (unsigned round = 0; round < 20000; round++) {
                struct msg_log record = sample();
                uint8_t *bytes = (uint8_t *)&record;

                for (unsigned i = 0; i < 4; i++) {
                        seed = seed * 1664525u + 1013904223u;
                        bytes[(seed >> 8) % (i < 2 ? offsetof(struct msg_log, text) : sizeof(record))] =
                            (uint8_t)(seed >> 24);
                }
                if (!log_record_check(&record))
                        continue;
                taken++;
                json_decref(to_json(&record, &context));
        }
        assert_true(taken > 1000 && taken < 20000);
        log_names_free((struct log_names *)context.names);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields),       cmocka_unit_test(test_hashed),
                cmocka_unit_test(test_empty_sender), cmocka_unit_test(test_longest),
                cmocka_unit_test(test_check),        cmocka_unit_test(test_random_records),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
