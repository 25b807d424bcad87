/* SPDX-License-Identifier: Apache-2.0 */
/* Explicit congestion notification (RFC 3168), as server and as client. E: ECE, W: CWR. */
#include "tests/unit/tcp_script.h"

/* A segment without payload from the peer, as it is. */
static void script_input(struct script *script, const struct tcp_header *header)
{
        struct packet *packet = packet_new(script_pool);

        tcp_header_build(header, packet_append(packet, tcp_header_len(header)));
        packet_meta(packet)->src = script_addr(script, false);
        packet_meta(packet)->dst = script_addr(script, true);
        tcp_input(script->tcp, &packet, 1, script->now_us);
}

#define OPEN_ECN   "< SEW 0:0 win 65535 mss 1460 sok", "> S.E 0:0 ack 1 sok", "< . 1:0 ack 1", "event OPENED"
#define THREE_DATA "send 4380", "> . 1:1460 ect", "> . 1461:1460 ect", "> P. 2921:1460 ect"

static void test_setup(void **state)
{
        static const struct script_case cases[] = {
                { "server: agreed on; neither SYN-ACK nor ACK are ECN capable, data are", /* 6.1.1, 6.1.4 */
                  .lines = { OPEN_ECN, "< P. 1:10 ack 1", "event DATA", "+40", "> . 1:0 ack 11", "send 10",
                             "> P. 1:10 ect", "< . 11:0 ack 11" } },
                { "server: not offered, not used",
                  .lines = { OPEN_SACK, "< PE. 1:10 ack 1 ce", "event DATA", "send 10", "> P. 1:10 ack 11", "< .E 11:0 ack 11" } },
                { "server: ECE alone is no offer", .lines = { "< SE 0:0 mss 1460", "> S. 0:0 ack 1" } },
                { "server: CWR alone neither", .lines = { "< SW 0:0 mss 1460", "> S. 0:0 ack 1" } },
                { "server: a SYN that comes again without the offer takes it back",
                  .lines = { "< SEW 0:0 mss 1460", "> S.E 0:0 ack 1", "< S 0:0 mss 1460", "> S. 0:0 ack 1", "< SEW 0:0 mss 1460",
                             "> S. 0:0 ack 1", "< . 1:0 ack 1", "event OPENED", "send 10", "> P. 1:10", "< . 1:0 ack 11" } },
                { "server: the SYN-ACK that is sent again says it again",
                  .lines = { "< SEW 0:0 mss 1460", "> S.E 0:0 ack 1", "+1001", "> S.E 0:0 ack 1", "< . 1:0 ack 1", "event OPENED",
                             "send 10", "> P. 1:10 ect", "< . 1:0 ack 11" } },
                { "switched off",
                  .set = { .no_ecn = true },
                  .lines = { "< SEW 0:0 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1", "event OPENED", "send 10", "> P. 1:10",
                             "< . 1:0 ack 11" } },
                { "client: agreed on",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S.E 0:0 ack 1 mss 1460", "> . 1:0 ack 1", "event CONNECTED",
                             "send 10", "> P. 1:10 ect", "< . 1:0 ack 11" } },
                { "client: refused",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S. 0:0 ack 1 mss 1460", "> . 1:0 ack 1", "event CONNECTED",
                             "send 10", "> P. 1:10", "< . 1:0 ack 11" } },
                { "client: both flags are only our own, sent back",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< S.EW 0:0 ack 1 mss 1460", "> . 1:0 ack 1",
                             "event CONNECTED", "send 10", "> P. 1:10", "< . 1:0 ack 11" } },
                { "client: the second SYN does without, and then so does the connection (6.1.1.1)",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "+1001", "> S 0:0 ws 5 sok ts", "< S.E 0:0 ack 1 mss 1460",
                             "> . 1:0 ack 1", "event CONNECTED", "send 10", "> P. 1:10", "< . 1:0 ack 11" } },
                { "client: SYNs that cross do without",
                  .lines = { "connect", "> SEW 0:0 ws 5 sok ts", "< SEW 0:0 mss 1460", "> S. 0:0 ack 1", "< . 1:0 ack 1",
                             "event CONNECTED", "send 10", "> P. 1:10", "< . 1:0 ack 11" } },
                { "client: switched off",
                  .set = { .no_ecn = true },
                  .lines = { "connect", "> S 0:0 ws 5 sok ts", "< S.E 0:0 ack 1", "> . 1:0 ack 1", "event CONNECTED" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* The cache has one place, and a stranger is in it: the cookie carries the rest, and the timestamp's lowest bit ECN. */
static void test_cookie(void **state)
{
        static const struct {
                const char *name;
                bool wants_ecn, has_timestamp, no_ecn;
                uint32_t wait_us;
                bool want_said, want_used;
        } cases[] = {
                { "agreed on", true, true, false, 0, true, true },
                { "a millisecond later: the clock's own lowest bit says nothing", true, true, false, 1000, true, true },
                { "not wanted", false, true, false, 0, false, false },
                { "not wanted, later", false, true, false, 1000, false, false },
                { "without timestamps nothing would bring it back", true, false, false, 0, false, false },
                { "switched off", true, true, true, 0, false, false },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct script script = { .name = cases[i].name, .now_us = 1000000000 + cases[i].wait_us };
                struct addr local = script_addr(&script, true);
                struct tcp_settings set = { .pool = script_pool, .counters = script.counters, .syncache_max = 1,
                                            .no_ecn = cases[i].no_ecn };
                struct tcp_header got, ack = { .flags = TCP_FLAG_ACK, .window = 1000, .src_port = 2000, .dst_port = 25 };
                struct tcp_event event;
                struct tcp_info info;
                struct packet *packet;

                script.tcp = tcp_new(&set);
                assert_non_null(script.tcp);
                assert_int_equal(tcp_listen(script.tcp, &local, 25, 9), 0);
                for (uint16_t port = 1999; port <= 2000; port++) {
                        struct tcp_header syn = { .seq = 500, .flags = TCP_FLAG_SYN, .src_port = port, .dst_port = 25,
                                                  .has_timestamp = cases[i].has_timestamp, .ts_value = 7 };

                        syn.flags |= cases[i].wants_ecn ? TCP_FLAG_ECE | TCP_FLAG_CWR : 0;
                        script_input(&script, &syn);
                        assert_int_equal(tcp_output(script.tcp, &packet, 1, script.now_us), 1);
                        assert_int_equal(tcp_header_parse(packet_data(packet), packet_len(packet), &got), TCP_PARSE_OK);
                        packet_free(packet);
                }
                assert_int_equal(script.counters[COUNTER_tcp_cookies_sent], 1);
                assert_int_equal(!!(got.flags & TCP_FLAG_ECE), cases[i].want_said);
                ack.seq = 501;
                ack.ack = got.seq + 1;
                ack.has_timestamp = cases[i].has_timestamp;
                ack.ts_value = 8;
                ack.ts_echo = got.ts_value;
                script.now_us += 20000;
                script_input(&script, &ack);
                assert_true(tcp_next_event(script.tcp, &event));
                assert_true(tcp_info(script.tcp, event.conn, &info));
                assert_true(info.from_cookie);
                if (info.has_ecn != cases[i].want_used)
                        fail_msg("%s: ecn %d", cases[i].name, info.has_ecn);
                tcp_free(script.tcp);
        }
}

static void test_receiver(void **state)
{
        static const struct script_case cases[] = {
                { "CE is echoed with every ACK, on data too, until CWR (6.1.3)",
                  .lines = { OPEN_ECN, "< P. 1:10 ack 1 ce", "event DATA", "+40", "> .E 1:0 ack 11", "< P. 11:10 ack 1 ect",
                             "event DATA", "send 10", "> PE. 1:10 ack 21 ect", "< P.W 21:10 ack 11 ect", "event DATA", "+40",
                             "> . 11:0 ack 31" } },
                { "CWR and CE at once: congestion again",
                  .lines = { OPEN_ECN, "< P. 1:10 ack 1 ce", "event DATA", "+40", "> .E 1:0 ack 11", "< P.W 11:10 ack 1 ce",
                             "event DATA", "+40", "> .E 1:0 ack 21" } },
                { "CE on what is no data, or out of the window, is nothing (6.1.4, 6.1.5)",
                  .lines = { OPEN_ECN, "< . 1:0 ack 1 ce", "< . 20001:10 ack 1 ce", "> . 1:0 ack 1" } },
                { "CE out of order counts", .lines = { OPEN_ECN, "< . 11:10 ack 1 ce", "> .E 1:0 ack 1 sack 11-21" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_sender(void **state)
{
        static const struct script_case cases[] = {
                { "one cut for what was in flight, CWR with the next new data, once (6.1.2)",
                  .lines = { OPEN_ECN, THREE_DATA, "+20", "< .E 1:0 ack 1461", "cwnd 3066", "< .E 1:0 ack 2921", "cwnd 3066",
                             "send 100", "> PW. 4381:100 ect", "send 100", "> P. 4481:100 ect", "< .E 1:0 ack 4381",
                             "cwnd 3066", "< . 1:0 ack 4581" } },
                { "and again for the next flight",
                  .lines = { OPEN_ECN, THREE_DATA, "+20", "< .E 1:0 ack 4381", "cwnd 3066", "send 2920", "> .W 4381:1460 ect",
                             "> P. 5841:1460 ect", "+20", "< .E 1:0 ack 5841", "cwnd 2044" } },
                { "down to one segment (RFC 9438 4.6)",
                  .lines = { OPEN_ECN, "send 1000", "> P. 1:1000 ect", "+20", "< .E 1:0 ack 1001", "cwnd 1460" } },
                { "nothing in flight, nothing to cut", .lines = { OPEN_ECN, "< .E 1:0 ack 1", "cwnd 14600" } },
                { "what is sent again is not ECN capable, and says no CWR (6.1.5)",
                  .lines = { OPEN_ECN, "send 2000", "> . 1:1460 ect", "> P. 1461:540 ect", "+1001", "> . 1:1460", "+20",
                             "< . 1:0 ack 1461", "> P. 1461:540", "< . 1:0 ack 2001", "send 10", "> PW. 2001:10 ect",
                             "< . 1:0 ack 2011" } },
                { "neither is a window probe (6.1.6)",
                  .lines = { "< SEW 0:0 win 0 mss 1460", "> S.E 0:0 ack 1", "< . 1:0 ack 1 win 0", "event OPENED", "send 100",
                             "+1001", "> . 1:1", "< . 1:0 ack 2 win 500", "> P. 2:99 ect", "< . 1:0 ack 101" } },
                { "a loss is the reaction too: CWR after it, and no second cut",
                  .lines = { OPEN_ECN, "send 7300", "> . 1:1460 ect", "> . 1461:1460 ect", "> . 2921:1460 ect",
                             "> . 4381:1460 ect", "> P. 5841:1460 ect", "+20", "< .E 1:0 ack 1 sack 1461-5841", "> . 1:1460",
                             "cwnd 5110", "+20", "< .E 1:0 ack 7301" } },
        };

        SCRIPT_RUN_ALL(cases);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_setup),
                cmocka_unit_test(test_cookie),
                cmocka_unit_test(test_receiver),
                cmocka_unit_test(test_sender),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
