/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every stage of the dialogue with a backend, by everything that can go wrong there: what the client must see,
 * and that a message counts as accepted exactly when a backend has kept it. Generated from two lists; no cell is
 * left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/session_rig.h"

#define REST                                                                                                 \
        "listeners: [{name: mx, front: [198.18.0.25], greet_delay: 0s}]\n"                                   \
        "domains: {example.org: {pool: main}}\n"                                                             \
        "networks: {trusted: [198.18.90.0/24]}\n"

static const char one_server[] = IMAGE_RIG_SITE REST "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10}]}}\n";
static const char two_servers[] = IMAGE_RIG_SITE REST
    "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10, weight: 1000}, {address: 198.19.0.11}]}}\n";

static const char *const stage_names[] = { "connect", "banner",  "EHLO",     "XCLIENT", "EHLO again", "MAIL",
                                           "RCPT",    "DATA",    "mid-data", "dot",     "dot, kept",  "RSET" };
static const char *const fault_names[] = { "none", "hang", "close", "reset", "4xx", "5xx", "421", "garbage", "60 lines", "bytes" };

/* The code that the client must see at the place of the fault; 250 (or 354) where it must not notice. */
static unsigned want_code(enum rig_stage stage, enum rig_fault fault, bool has_other)
{
        bool is_slow_only = fault == RIG_FAULT_LINES || fault == RIG_FAULT_BYTES;

        if (is_slow_only || fault == RIG_FAULT_NONE)
                return 250;
        if (stage <= RIG_STAGE_XCLIENT)
                return has_other ? 250 : 451; /* our fault or the server's, never the client's */
        if (fault == RIG_FAULT_4XX)
                return 450;
        if (fault == RIG_FAULT_5XX)
                return 550;
        if (stage == RIG_STAGE_EHLO_AGAIN && fault != RIG_FAULT_421)
                return has_other ? 250 : 451;
        return 451;
}

/* Wait for a reply as long as a client would. */
static unsigned await_code(struct rig *rig, struct rig_client *c)
{
        for (unsigned i = 0; i < 80; i++) {
                const char *reply = rig_reply(c);

                if (reply)
                        return (unsigned)atoi(reply);
                if (c->end != RIG_OPEN)
                        return 0;
                rig_pass(rig, 10000000);
        }
        return 1;
}

static unsigned say(struct rig *rig, struct rig_client *c, const char *line)
{
        rig_say(rig, c, line);
        return await_code(rig, c);
}

/* One cell. Returns the code at the place of the fault. */
static unsigned run_session(struct rig *rig, enum rig_stage stage, unsigned *ret_last)
{
        struct rig_client *c = rig_connect(rig, "198.18.90.1");
        unsigned code;

        *ret_last = 0;
        assert_int_equal(await_code(rig, c), 220);
        assert_int_equal(say(rig, c, "EHLO c.test\r\n"), 250);
        assert_int_equal(say(rig, c, "MAIL FROM:<a@s.test>\r\n"), 250);
        if (stage == RIG_STAGE_RSET) {
                assert_int_equal(say(rig, c, "RCPT TO:<u@example.org>\r\n"), 250);
                assert_int_equal(say(rig, c, "RSET\r\n"), 250);
                assert_int_equal(say(rig, c, "MAIL FROM:<a@s.test>\r\n"), 250);
        }
        code = say(rig, c, "RCPT TO:<u@example.org>\r\n");
        if (code != 250)
                goto out;
        code = say(rig, c, "DATA\r\n");
        if (code != 354)
                goto out;
        rig_say(rig, c, "Subject: x\r\n\r\nthe first part of the message\r\n");
        code = say(rig, c, "the second part\r\n.\r\n");
        *ret_last = code;
out:
        /* Whatever happened, the session goes on: the client is told, and can say goodbye. */
        assert_int_equal(say(rig, c, "QUIT\r\n"), 221);
        return code;
}

static void run_cell(enum rig_stage stage, enum rig_fault fault, bool has_other)
{
        struct rig *rig = rig_new(has_other ? two_servers : one_server);
        unsigned want = want_code(stage, fault, has_other), got, last, want_kept;

        rig->fault_stage = stage;
        rig->fault = fault;
        if (has_other)
                snprintf(rig->fault_addr, sizeof(rig->fault_addr), "198.19.0.10");
        got = run_session(rig, stage, &last);
        if (stage == RIG_STAGE_RSET) {
                /* The client has its 250 already: the connection is replaced, or the next recipient must wait. */
                if (got != 250 && got != 451)
                        fail_msg("%s, %s: got %u", stage_names[stage], fault_names[fault], got);
        } else if (got != want) {
                fail_msg("%s, %s, %s: got %u, want %u", stage_names[stage], fault_names[fault],
                         has_other ? "another server is up" : "no other server", got, want);
        }
        want_kept = last == 250 ? 1 : 0;
        if (stage == RIG_STAGE_DOT_KEPT)
                want_kept = 1; /* it was kept, and the client cannot be told: the window of RFC 1047 */
        if (rig->kept != want_kept)
                fail_msg("%s, %s: the client saw %u, backends kept %u", stage_names[stage], fault_names[fault], last,
                         rig->kept);
        if (rig->kept) {
                static const char message[] = "Subject: x\r\n\r\nthe first part of the message\r\nthe second part\r\n";

                assert_int_equal(rig->kept_len, sizeof(message) - 1);
                assert_memory_equal(rig->kept_data, message, rig->kept_len);
        }
        rig_quiet(rig);
        rig_free(rig);
}

static void test_every_cell(void **state)
{
        unsigned cells = 0;

        for (unsigned stage = 0; stage < RIG_STAGES; stage++) {
                for (unsigned fault = 0; fault < RIG_FAULTS; fault++) {
                        /* A backend that keeps a message and says 4xx or 5xx lies: there is no right answer. */
                        bool is_lie = stage == RIG_STAGE_DOT_KEPT && (fault == RIG_FAULT_4XX || fault == RIG_FAULT_5XX);
                        /* Nothing can be said before the connection is there. */
                        bool is_mute = stage == RIG_STAGE_CONNECT && fault >= RIG_FAULT_4XX;

                        if (is_lie || is_mute)
                                continue;
                        run_cell((enum rig_stage)stage, (enum rig_fault)fault, false);
                        run_cell((enum rig_stage)stage, (enum rig_fault)fault, true);
                        cells += 2;
                }
        }
        assert_int_equal(cells, 2 * (12 * 10 - 2 - 6));
}

/* After a backend was lost with recipients accepted, the rest of the transaction is told to come again, never refused. */
static void test_dead_transaction(void **state)
{
        struct rig *rig = rig_new(one_server);
        struct rig_client *c = rig_connect(rig, "198.18.90.1");

        assert_int_equal(await_code(rig, c), 220);
        assert_int_equal(say(rig, c, "EHLO c.test\r\n"), 250);
        assert_int_equal(say(rig, c, "MAIL FROM:<a@s.test>\r\n"), 250);
        assert_int_equal(say(rig, c, "RCPT TO:<u@example.org>\r\n"), 250);
        tcp_abort(rig->backend_tcp, rig->backend[0].conn);
        rig->backend[0].ended = true;
        rig_pump(rig);
        assert_int_equal(say(rig, c, "RCPT TO:<v@example.org>\r\n"), 451);
        assert_int_equal(say(rig, c, "DATA\r\n"), 451);
        assert_int_equal(say(rig, c, "RSET\r\n"), 250);
        assert_int_equal(say(rig, c, "MAIL FROM:<a@s.test>\r\n"), 250);
        assert_int_equal(say(rig, c, "RCPT TO:<u@example.org>\r\n"), 250);
        assert_int_equal(say(rig, c, "DATA\r\n"), 354);
        assert_int_equal(say(rig, c, "x\r\n.\r\n"), 250);
        assert_int_equal(rig->kept, 1);
        rig_quiet(rig);
        rig_free(rig);
}

/* A server that failed often enough is left alone until a health check finds it well. */
static void test_health(void **state)
{
        struct rig *rig = rig_new(two_servers);
        struct backend *backend = &rig->backends->backend[rig->runtime.server_map[0]];
        unsigned last;

        rig->fault_stage = RIG_STAGE_BANNER;
        rig->fault = RIG_FAULT_4XX;
        snprintf(rig->fault_addr, sizeof(rig->fault_addr), "198.19.0.10");
        for (unsigned i = 0; i < 10 && atomic_load(&backend->state) != LINK_BACKEND_DOWN; i++)
                run_session(rig, RIG_STAGE_BANNER, &last);
        assert_int_equal(atomic_load(&backend->state), LINK_BACKEND_DOWN);
        rig->backends_used = 0;
        run_session(rig, RIG_STAGE_BANNER, &last);
        assert_int_equal(rig->backends_used, 1); /* straight to the other one */
        rig->fault = RIG_FAULT_NONE;
        atomic_store(&backend->probe_due_us, 0);
        rig_pass(rig, 1000000);
        assert_int_equal(atomic_load(&backend->state), LINK_BACKEND_UP);
        atomic_store(&backend->probe_due_us, UINT64_MAX);
        rig_quiet(rig);
        rig_free(rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_cell),
                cmocka_unit_test(test_dead_transaction),
                cmocka_unit_test(test_health),
        };

        if (rig_eal() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
