/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real greylinectl against the real greyline-control (their paths are the arguments), with a dataplane
 * played by the test: what people and programs get to see, and the exit code.
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
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "dataplane/shared/explain_id.h"
#include "dataplane/shared/grey_table.h"
#include "dataplane/shared/rule.h"
#include "dataplane/shared/secret.h"
#include "tests/unit/control_rig.h"

static const char *ctl_path;
static char output[100000];

/* Run greylinectl; what it printed on both streams is in output. Returns the exit code. */
static int ctl(const struct rig *rig, const char *args)
{
        char command[1000];
        size_t len;
        FILE *pipe;

        snprintf(command, sizeof(command), "%s --run-dir %s %s 2>&1", ctl_path, rig->run, args);
        pipe = popen(command, "r");
        assert_non_null(pipe);
        len = fread(output, 1, sizeof(output) - 1, pipe);
        output[len] = '\0';
        return WEXITSTATUS(pclose(pipe));
}

static void expect(const struct rig *rig, const char *args, int want_code, const char *want)
{
        int code = ctl(rig, args);

        if (code != want_code || strstr(output, want) == NULL)
                fail_msg("%s: want %d and \"%s\", got %d and \"%s\"", args, want_code, want, code, output);
        for (const char *at = output; *at; at++) {
                if ((unsigned char)*at < 0x20 && *at != '\n')
                        fail_msg("%s: a control character reached the terminal", args);
        }
}

static json_t *ctl_json(const struct rig *rig, const char *args)
{
        char with[500];
        json_t *root;

        snprintf(with, sizeof(with), "--json %s", args);
        assert_int_equal(ctl(rig, with), 0);
        root = json_loads(output, 0, NULL);
        if (root == NULL)
                fail_msg("%s: no JSON: %s", args, output);
        return root;
}

static void start(struct rig *rig)
{
        make_rig(rig);
        assert_int_equal(mkdir(rig->run, 0750), 0);
        fake_open(&rig->fake, rig->run, 1);
        rig->fake.link.page->dataplane_pid = getpid();
        rig->fake.link.page->backend[0] =
            (struct link_backend){ .port = 25, .state = LINK_BACKEND_UP, .transactions = 17 };
        assert_int_equal(addr_parse("192.0.2.40", &rig->fake.link.page->backend[0].addr), 0);
        atomic_store(&rig->fake.link.page->backends, 1);
        spawn(rig);
        wait_ready(rig);
}

static void stop(struct rig *rig)
{
        assert_int_equal(kill(rig->pid, SIGTERM), 0);
        assert_int_equal(reap(rig, NULL, 0), 0);
        fake_close(&rig->fake);
        remove_rig(rig);
}

/* A deferred recipient as a worker reports it, whose entry is in the greylist. Returns its key. */
static uint64_t defer_one(struct rig *rig, char id[EXPLAIN_ID_LEN + 1])
{
        static const char sender[] = "bad\x1b[2J@sender.example", recipient[] = "user@example.org";
        struct msg_log record = { .kind = MSG_LOG_RCPT,
                                  .reply_code = 451,
                                  .rule = RULE_greylist_new,
                                  .session = 77,
                                  .at_us = (uint64_t)time(NULL) * 1000000u,
                                  .policy_version = 1,
                                  .grey = MSG_GREY_NEW,
                                  .grey_wait_sec = 240,
                                  .sender_len = sizeof(sender) - 1,
                                  .recipient_len = sizeof(recipient) - 1 };
        struct explain_id explain = { .node = 3,
                                      .rule = RULE_greylist_new,
                                      .policy_version = 1,
                                      .sequence = 5,
                                      .time_sec = (uint32_t)time(NULL) };
        struct grey_params params = { .block_sec = 240, .window_sec = 21600, .life_sec = 3110400 };
        struct secret secret;
        struct siphash_key key;
        struct grey_table table;
        char path[200];
        struct addr network;
        void *slot = ring_write_slot(&rig->fake.log[0]);
        int bell = link_bell_open(rig->run, "control");

        assert_int_equal(secret_open(&secret, rig->state), 0);
        key = secret_key(&secret, "grey");
        snprintf(path, sizeof(path), "%s/grey", rig->run);
        assert_int_equal(grey_table_open(&table, path, 1000, &key, NULL), 0);
        assert_int_equal(addr_parse("198.51.100.9", &record.client), 0);
        network = addr_network(&record.client, 24, 64);
        record.grey_key =
            grey_key_network(&key, &network, sender, sizeof(sender) - 1, recipient, sizeof(recipient) - 1);
        assert_int_equal(grey_table_record(&table, record.grey_key, GREY_KIND_NETWORK, GREY_EVENT_FIRST,
                                           &params, (uint32_t)time(NULL)),
                         GREY_RECORD_WRITTEN);
        grey_table_close(&table);
        memcpy(record.text, sender, sizeof(sender) - 1);
        memcpy(record.text + sizeof(sender) - 1, recipient, sizeof(recipient) - 1);
        explain_id_build(&explain, id);
        id[EXPLAIN_ID_LEN] = '\0';
        memcpy(record.id, id, sizeof(record.id));
        assert_non_null(slot);
        memcpy(slot, &record, sizeof(record));
        ring_write_commit(&rig->fake.log[0]);
        ring_write_publish(&rig->fake.log[0]);
        link_bell_ring(bell);
        close(bell);
        return record.grey_key;
}

/* Ask until the record has come through the ring. */
static void wait_explained(struct rig *rig, const char *id)
{
        char args[100];
        bool is_found;

        snprintf(args, sizeof(args), "explain %s", id);
        do {
                json_t *root = ctl_json(rig, args);

                is_found = json_is_true(json_object_get(root, "found"));
                json_decref(root);
        } while (!is_found);
}

static void test_explain_and_grey(void **state)
{
        char id[EXPLAIN_ID_LEN + 1], args[200];
        struct rig rig;
        uint64_t key;
        json_t *root;

        start(&rig);
        key = defer_one(&rig, id);
        wait_explained(&rig, id);
        snprintf(args, sizeof(args), "explain %s", id);
        expect(&rig, args, 0, "greylisted: the triplet was seen for the first time");
        expect(&rig, args, 0, "a retry now: too early; it passes in 2");
        expect(&rig, args, 0, "bad?[2J@sender.example");
        for (char *at = id; *at; at++)
                *at = (char)(*at >= 'A' ? *at + 32 : *at); /* as somebody might type it */
        snprintf(args, sizeof(args), "explain %s", id);
        expect(&rig, args, 0, "198.51.100.9");
        expect(&rig, "explain 0000000000000000", 0, "The log record is not there");
        expect(&rig, "explain nonsense", 1, "an id has 16 letters and digits");

        /* The journal is written by a helper: it may come a little later. */
        do {
                root = ctl_json(&rig, "grey list --domain EXAMPLE.org");
                if (json_array_size(root) == 0)
                        json_decref(root);
        } while (json_array_size(root) == 0);
        assert_string_equal(json_string_value(json_object_get(json_array_get(root, 0), "state")), "waiting");
        assert_string_equal(json_string_value(json_object_get(json_array_get(root, 0), "client")),
                            "198.51.100.9");
        json_decref(root);
        expect(&rig, "grey list --client 198.51.100.0/24", 0, "user@example.org");
        expect(&rig, "grey list --client 198.51.100.1/24", 1, "no address or network");
        expect(&rig, "grey list --domain other.example", 0, "no triplet matches");
        snprintf(args, sizeof(args), "grey pass --key %016llx", (unsigned long long)key);
        expect(&rig, args, 0, "passed");
        snprintf(args, sizeof(args), "grey show --key %016llx", (unsigned long long)key);
        expect(&rig, args, 0, "passed");
        snprintf(args, sizeof(args), "grey remove --key %016llx", (unsigned long long)key);
        expect(&rig, args, 0, "waiting");
        expect(&rig, "grey show --client 198.51.100.77 --sender a@b.example --recipient u@example.org", 0,
               "unknown");
        expect(&rig, "grey show --client 198.51.100.77", 1, "name the triplet by");
        expect(&rig, "grey show --key 12", 1, "16 hexadecimal digits");

        /* After a restart the record is found in the file. */
        assert_int_equal(kill(rig.pid, SIGKILL), 0);
        assert_int_equal(reap(&rig, NULL, 0), -1);
        spawn(&rig);
        wait_ready(&rig);
        snprintf(args, sizeof(args), "explain %s", id);
        root = ctl_json(&rig, args);
        assert_true(json_is_true(json_object_get(root, "found")));
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(root, "greylist_now"), "state")), "waiting");
        assert_int_equal(json_integer_value(json_object_get(root, "node_id")), 3);
        json_decref(root);
        stop(&rig);
}

static void test_the_rest(void **state)
{
        char args[200];
        struct rig rig;
        json_t *root;

        start(&rig);
        do { /* until control has attached */
                root = ctl_json(&rig, "backends");
                json_decref(root);
        } while (strstr(output, "192.0.2.40") == NULL);
        expect(&rig, "backends", 0, "192.0.2.40");
        root = ctl_json(&rig, "status");
        assert_int_equal(json_integer_value(json_object_get(root, "policy_version")), 1);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "control"), "pid")),
                         rig.pid);
        json_decref(root);
        expect(&rig, "counters", 0, "sessions_opened");
        expect(&rig, "zones", 0, "the policy has no zones");
        expect(&rig, "client show 2001:db8::1", 0, "2001:db8::1");
        expect(&rig, "client show x", 1, "needs an IPv4 or IPv6 address");
        expect(&rig, "policy versions", 0, rig.policy);
        expect(&rig, "policy show 1", 0, "pools: {main");
        expect(&rig, "policy show 99", 1, "cannot be read");
        snprintf(args, sizeof(args), "policy check %s", rig.policy);
        expect(&rig, args, 0, "DNS queries");
        expect(&rig, "policy check /nonexistent", 1, "/nonexistent");
        expect(&rig, "policy push /nonexistent", 1, "cannot be read");
        expect(&rig, "frobnicate", 2, "usage:");
        expect(&rig, "policy", 2, "usage:");
        expect(&rig, "status extra", 2, "usage:");
        expect(&rig, "policy rollback one", 2, "usage:");
        stop(&rig);
}

static void test_not_running(void **state)
{
        struct rig rig;
        json_t *root;

        make_rig(&rig);
        expect(&rig, "status", 1, "greyline-control does not run on");
        assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1); /* one line */
        assert_int_equal(ctl(&rig, "--json status"), 1);
        root = json_loads(output, 0, NULL);
        assert_true(json_is_false(json_object_get(root, "ok")));
        json_decref(root);
        remove_rig(&rig);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_explain_and_grey),
                cmocka_unit_test(test_the_rest),
                cmocka_unit_test(test_not_running),
        };

        if (argc != 3) {
                fprintf(stderr, "usage: %s GREYLINE-CONTROL GREYLINECTL\n", argv[0]);
                return 2;
        }
        control_path = argv[1];
        ctl_path = argv[2];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
