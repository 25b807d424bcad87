/* SPDX-License-Identifier: Apache-2.0 */
/* TIME-WAIT: RFC 9293 3.10.7.4 and 3.6.1, RFC 6191, RFC 1337. */
#include <errno.h>

#include "tests/unit/tcp_script.h"

/* We close first; the peer's FIN is 1, ours too. */
#define TO_TIMEWAIT                                                                                          \
        OPEN_PLAIN, "shutdown", "> F. 1:0 ack 1", "< F. 1:0 ack 2", "> . 2:0 ack 2", "event EOF,CLOSED",     \
            "event none", "timewait 1"
#define TO_TIMEWAIT_TS                                                                                       \
        OPEN_TS, "shutdown", "> F. 1:0 ack 1", "< F. 1:0 ack 2 ts 120 0", "> . 2:0 ack 2 ts 0 120", "event EOF,CLOSED", \
            "event none", "timewait 1"

static void test_segments(void **state)
{
        static const struct script_case cases[] = {
                { "the FIN again: acknowledged again, and the wait begins anew",
                  .lines = { TO_TIMEWAIT, "+50000", "< F. 1:0 ack 2", "> . 2:0 ack 2", "+50000", "timewait 1", "+10010",
                             "timewait 0" } },
                { "RST is ignored", .lines = { TO_TIMEWAIT, "< R 2:0", "> none", "timewait 1" } },
                { "RST with ACK too", .lines = { TO_TIMEWAIT, "< R. 2:0 ack 2", "> none", "timewait 1" } },
                { "RST with data too", .lines = { TO_TIMEWAIT, "< R. 2:5 ack 2", "> none", "timewait 1" } },
                { "a bare ACK draws nothing", .lines = { TO_TIMEWAIT, "< . 2:0 ack 2", "> none" } },
                { "data is answered, not taken", .lines = { TO_TIMEWAIT, "< P. 2:10 ack 2", "> . 2:0 ack 2", "event none" } },
                { "an old SYN is answered with an ACK", .lines = { TO_TIMEWAIT, "< S 1:0", "> . 2:0 ack 2", "timewait 1" } },
                { "a new SYN to a client's port, where nobody listens, is answered with an ACK and ends nothing",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S. 0:0 ack 1", "> . 1:0 ack 1", "event CONNECTED", "shutdown",
                             "> F. 1:0 ack 1", "< F. 1:0 ack 2", "> . 2:0 ack 2", "event EOF,CLOSED", "timewait 1",
                             "< S 90000:0", "> . 2:0 ack 2", "timewait 1" } },
                { "a SYN with an older timestamp does not",
                  .lines = { TO_TIMEWAIT_TS, "< S 70000:0 ts 90 0", "> . 2:0 ack 2 ts", "timewait 1" } },
        };

        /* What a new SYN does is test_reuse(): the ISN of its SYN-ACK is not one that a script could know. */
        SCRIPT_RUN_ALL(cases);
}

/* Two endpoints without a wire between them. */
static void shuttle(struct tcp *a, struct tcp *b, uint64_t now_us)
{
        struct packet *packets[32];
        unsigned n, quiet = 0;

        while (quiet < 2) {
                n = tcp_output(a, packets, 32, now_us);
                tcp_input(b, packets, n, now_us);
                quiet = n ? 0 : quiet + 1;
                struct tcp *t = a;

                a = b;
                b = t;
        }
}

static void test_reuse(void **state)
{
        static const struct {
                const char *name;
                bool server_waits; /* who closed first */
        } cases[] = { { "the client waits and calls again", false }, { "the server waits and is called again", true } };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint64_t counters[COUNTER_USED] = { 0 }, now_us = 1000000;
                struct tcp_settings set = { .pool = script_pool, .counters = counters, .connections_max = 4, .timewait_max = 2 };
                struct tcp *client = tcp_new(&set), *server = tcp_new(&set);
                struct tcp_handle c, s = { 0, 0 };
                struct tcp_event event;
                struct tcp_stats stats;
                struct addr a, b;
                uint32_t end = 0;

                assert_int_equal(addr_parse("198.18.0.1", &a), 0);
                assert_int_equal(addr_parse("198.18.0.2", &b), 0);
                assert_int_equal(tcp_listen(server, &b, 25, 1), 0);
                for (unsigned round = 0; round < 3; round++, now_us += 5000) {
                        assert_int_equal(tcp_connect(client, &a, 4000, &b, 25, 0, now_us, &c), 0);
                        assert_int_equal(tcp_connect(client, &a, 4000, &b, 25, 0, now_us, &s), -EADDRINUSE);
                        shuttle(client, server, now_us);
                        assert_true(tcp_next_event(server, &event));
                        assert_int_equal(event.bits, TCP_EV_OPENED);
                        s = event.conn;
                        /* Whoever waited: his new sequence numbers begin after the old ones. */
                        if (round > 0) {
                                const struct tcp_conn *conn = cases[i].server_waits ? conn_lookup(server, s) : conn_lookup(client, c);

                                assert_true(SEQ_AFTER(conn->iss, end));
                        }
                        end = cases[i].server_waits ? conn_lookup(server, s)->snd_max : conn_lookup(client, c)->snd_max;
                        tcp_close(cases[i].server_waits ? server : client, cases[i].server_waits ? s : c);
                        shuttle(client, server, now_us);
                        tcp_close(cases[i].server_waits ? client : server, cases[i].server_waits ? c : s);
                        shuttle(client, server, now_us);
                        while (tcp_next_event(client, &event) || tcp_next_event(server, &event))
                                ;
                        tcp_stats(cases[i].server_waits ? server : client, &stats);
                        assert_int_equal(stats.timewait, 1);
                        assert_int_equal(stats.connections, 0);
                }
                tcp_free(client);
                tcp_free(server);
        }
}

/* When there is no room the oldest leaves. */
static void test_full(void **state)
{
        uint64_t counters[COUNTER_USED] = { 0 }, now_us = 1000000;
        struct tcp_settings set = { .pool = script_pool, .counters = counters, .connections_max = 16, .timewait_max = 3 };
        struct tcp *client = tcp_new(&set), *server = tcp_new(&set);
        struct tcp_event event;
        struct tcp_handle c;
        struct tcp_stats stats;
        struct addr a, b;

        assert_int_equal(addr_parse("2001:2::1", &a), 0);
        assert_int_equal(addr_parse("2001:2::2", &b), 0);
        assert_int_equal(tcp_listen(server, &b, 25, 1), 0);
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(tcp_connect(client, &a, (uint16_t)(4000 + i), &b, 25, 0, now_us, &c), 0);
                shuttle(client, server, now_us);
                tcp_close(client, c);
                shuttle(client, server, now_us);
                assert_true(tcp_next_event(server, &event));
                tcp_close(server, event.conn);
                shuttle(client, server, now_us);
                now_us += 1000000;
        }
        tcp_stats(client, &stats);
        assert_int_equal(stats.timewait, 3);
        assert_int_equal(counters[COUNTER_tcp_timewait_evicted], 2);
        tcp_tick(client, now_us + 61000000);
        tcp_stats(client, &stats);
        assert_int_equal(stats.timewait, 0);
        assert_int_equal(tcp_next_due_us(client), UINT64_MAX);
        tcp_free(client);
        tcp_free(server);
        assert_int_equal(rte_mempool_in_use_count(script_pool), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_segments),
                cmocka_unit_test(test_reuse),
                cmocka_unit_test(test_full),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
