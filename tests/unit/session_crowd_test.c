/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions run short: those whose clients do nothing go, the others stay, and there is room for new ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "dataplane/session/internal.h"
#include "tests/unit/session_rig.h"

#define POLICY                                                                                               \
        IMAGE_RIG_SITE "networks: {trusted: [198.18.9.0/24]}\n"                                             \
        "listeners: [{name: mx, front: [198.18.0.25], greet_delay: 0s}]\n"                                  \
        "limits: {connections_per_network: 0}\n"                                                             \
        "pools: {main: {identity: xclient, servers: [{address: 198.19.0.10}]}}\n"                            \
        "domains: {example.org: {pool: main}}\n"                                                             \
        "policies: {default: {greylist: {enabled: false}}}\n"

static struct rig_client *greeted(struct rig *rig, const char *network, unsigned number)
{
        struct rig_client *c;
        char from[32];

        snprintf(from, sizeof(from), "%s.%u", network, number + 1);
        rig_know(rig, from, 0, CLIENT_PTR_CONFIRMED);
        c = rig_connect(rig, from);
        rig_expect(rig, c, "220 ");
        return c;
}

static uint64_t crowded_out(const struct rig *rig)
{
        return rig->counters[0][COUNTER_sessions_crowded_out];
}

/* Seven eighths may be idle for as long as the policy says. */
static void test_no_crowd(void **state)
{
        struct rig *rig = rig_new(POLICY);

        for (unsigned i = 0; i < 56; i++)
                greeted(rig, "198.18.1", i);
        rig_pass(rig, 290 * 1000000ull);
        assert_int_equal(crowded_out(rig), 0);
        assert_int_equal(sessions_open(rig->sessions), 56);
        rig_quiet(rig);
        rig_free(rig);
}

/* Above, as many as are too many go after 10 s: with a reply, and none that is in a transaction or trusted. */
static void test_idle(void **state)
{
        struct rig *rig = rig_new(POLICY);
        struct rig_client *busy[4];
        unsigned told = 0;

        for (unsigned i = 0; i < 4; i++) {
                busy[i] = greeted(rig, i % 2 ? "198.18.9" : "198.18.1", i);
                rig_say(rig, busy[i], "EHLO c.test\r\n");
                rig_expect(rig, busy[i], "250 ENHANCEDSTATUSCODES");
                if (i % 2 == 0) {
                        rig_say(rig, busy[i], "MAIL FROM:<a@s.test>\r\n");
                        rig_expect(rig, busy[i], "250 2.1.0");
                }
        }
        for (unsigned i = 4; i < 60; i++)
                greeted(rig, "198.18.1", i);
        rig_pass(rig, 9900000);
        assert_int_equal(crowded_out(rig), 0);
        rig_pass(rig, 200000);
        assert_int_equal(crowded_out(rig), 4);
        assert_int_equal(sessions_open(rig->sessions), 56);
        for (unsigned i = 4; i < 60; i++) {
                const char *reply = rig_reply(&rig->client[i]);

                told += reply != NULL && strncmp(reply, "421 4.3.2 ", 10) == 0;
        }
        assert_int_equal(told, 4);
        rig_pass(rig, 40000000);
        assert_int_equal(crowded_out(rig), 4);
        for (unsigned i = 0; i < 4; i++) {
                rig_say(rig, busy[i], "NOOP\r\n");
                rig_expect(rig, busy[i], "250 ");
        }
        rig_quiet(rig);
        rig_free(rig);
}

/* Nearly full: 2 s for the idle, 10 s for a transaction that stands still. */
static void test_full(void **state)
{
        struct rig *rig = rig_new(POLICY);
        struct rig_client *first;

        for (unsigned i = 0; i < 63; i++) {
                struct rig_client *c = greeted(rig, "198.18.1", i);

                rig_say(rig, c, "EHLO c.test\r\nMAIL FROM:<a@s.test>\r\n");
                rig_expect(rig, c, "250 ENHANCEDSTATUSCODES");
                rig_expect(rig, c, "250 2.1.0");
        }
        rig_pass(rig, 7000000);
        first = greeted(rig, "198.18.2", 0);
        rig_pass(rig, 1900000);
        assert_int_equal(crowded_out(rig), 0);
        rig_pass(rig, 200000);
        assert_int_equal(crowded_out(rig), 1);
        rig_expect(rig, first, "421 4.3.2 ");
        rig_pass(rig, 1000000);
        assert_int_equal(crowded_out(rig), 2);
        assert_int_equal(sessions_open(rig->sessions), 62);
        rig_quiet(rig);
        rig_free(rig);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_crowd),
                cmocka_unit_test(test_idle),
                cmocka_unit_test(test_full),
        };

        if (rig_eal() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
