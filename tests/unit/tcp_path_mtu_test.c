/* SPDX-License-Identifier: Apache-2.0 */
/* The path MTU: learned by one connection, used by the next, forgotten after ten minutes; and its bounds. */
#include "tests/unit/tcp_script.h"

#include "dataplane/tcp/path_mtu.h"

/* A big segment that a router refuses, and the rest of the connection. */
#define LEARN_1400                                                                                           \
        OPEN_PLAIN, "send 1460", "> P. 1:1460", "icmp toobig 1400 1", "> . 1:1360", "> P. 1361:100",             \
            "< . 1:0 ack 1461"
#define OVER "< R 1:0", "event RESET", "event none", "again"

static void test_connections(void **state)
{
        static const struct script_case cases[] = {
                { "the next connection begins with what the path takes",
                  .lines = { LEARN_1400, OVER, OPEN_PLAIN, "send 1460", "> . 1:1360", "> P. 1361:100" } },
                { "but a peer that takes less gets less",
                  .lines = { LEARN_1400, OVER, "< S 0:0 win 65535 mss 536", "> S. 0:0 ack 1 mss 1460", "< . 1:0 ack 1",
                             "event OPENED", "send 600", "> . 1:536", "> P. 537:64" } },
                { "timestamps are deducted from the path as well",
                  .lines = { LEARN_1400, OVER, OPEN_TS, "send 1400", "> . 1:1348 ts", "> P. 1349:52 ts" } },
                { "a connection of our own as well",
                  .lines = { LEARN_1400, OVER, "connect", "> SEW 0:0 mss 1460 ws 5 sok ts", "< S. 0:0 ack 1 win 65535 mss 1460",
                             "> . 1:0 ack 1", "event CONNECTED", "send 1460", "> . 1:1360", "> P. 1361:100" } },
                { "forgotten after ten minutes",
                  .lines = { LEARN_1400, OVER, "+601000", OPEN_PLAIN, "send 1460", "> P. 1:1460" } },
                { "an open connection grows after ten minutes, not before",
                  .lines = { LEARN_1400, "+598000", "send 1360", "> P. 1461:1360", "< . 1:0 ack 2821", "+3000", "send 1460",
                             "> P. 2821:1460" } },
                { "with a window of one segment after a timeout: never less than that (RFC 5681 3.1)",
                  .lines = { LEARN_1400, "send 10", "> P. 1461:10", "+1000", "> P. 1461:10", "< . 1:0 ack 1471", "cwnd 1360",
                             "+601000", "cwnd 1460" } },
                { "and shrinks again where the path is still narrow, and grows again",
                  .lines = { LEARN_1400, "+601000", "send 1460", "> P. 1461:1460", "icmp toobig 1400 1461", "> . 1461:1360",
                             "> P. 2821:100", "< . 1:0 ack 2921", "+601000", "send 1460", "> P. 2921:1460" } },
                { "what was said again meanwhile holds on",
                  .lines = { LEARN_1400, "+300000", "send 1360", "> P. 1461:1360", "icmp toobig 1300 1461", "> . 1461:1260",
                             "> P. 2721:100", "< . 1:0 ack 2821", "+310000", "send 1300", "> . 2821:1260",
                             "> P. 4081:40", "< . 1:0 ack 4121", "+610000", "send 1460", "> P. 4121:1460" } },
                { "a quote of nothing in flight teaches nothing",
                  .lines = { OPEN_PLAIN, "send 100", "> P. 1:100", "icmp toobig 1400 101", "icmp toobig 1400 7777", OVER,
                             OPEN_PLAIN, "send 1460", "> P. 1:1460" } },
                { "nor does one below 552",
                  .lines = { OPEN_PLAIN, "send 100", "> P. 1:100", "icmp toobig 551 1", OVER, OPEN_PLAIN, "send 1460",
                             "> P. 1:1460" } },
                { "nor one that is no news",
                  .lines = { OPEN_PLAIN, "send 100", "> P. 1:100", "icmp toobig 1500 1", "icmp toobig 65535 1", OVER,
                             OPEN_PLAIN, "send 1460", "> P. 1:1460" } },
        };

        SCRIPT_RUN_ALL(cases);
}

/* --- the tables ----------------------------------------------------------------------------------------- */

static uint64_t counters[COUNTER_USED];

static struct tcp *new_endpoint(uint32_t connections)
{
        struct tcp_settings set = { .pool = script_pool, .counters = counters, .connections_max = connections };
        struct tcp *tcp = tcp_new(&set);

        assert_non_null(tcp);
        tcp_tick(tcp, 1000000000);
        return tcp;
}

static struct addr numbered_addr(uint32_t number)
{
        struct addr addr = { { 0x20, 1, 0, 2 } };

        memcpy(addr.bytes + 12, &number, sizeof(number));
        return addr;
}

/* Many destinations: each takes the place of the oldest of its set, so the newest are all there and nothing else breaks. */
static void test_full(void **state)
{
        const uint32_t newest = 64, all = 100000;
        struct tcp *tcp = new_endpoint(0);
        struct addr addr;
        unsigned found = 0;

        for (uint32_t i = 0; i < all; i++) {
                if (i == all - newest)
                        tcp_tick(tcp, 1001000000);
                addr = numbered_addr(i);
                path_mtu_said(tcp, &addr, (uint16_t)(1280 + i % 100));
                assert_int_equal(path_mtu_lookup(tcp, &addr), 1280 + i % 100);
        }
        for (uint32_t i = all - newest; i < all; i++) {
                addr = numbered_addr(i);
                assert_int_equal(path_mtu_lookup(tcp, &addr), 1280 + i % 100);
        }
        for (uint32_t i = 0; i < all; i++) {
                addr = numbered_addr(i);
                found += path_mtu_lookup(tcp, &addr) != 0;
        }
        assert_int_equal(found, PATH_MTU_SETS * PATH_MTU_WAYS);
        tcp_free(tcp);
}

static void test_smaller_word_counts(void **state)
{
        struct tcp *tcp = new_endpoint(0);
        struct addr addr = numbered_addr(1), other = numbered_addr(2);

        path_mtu_said(tcp, &addr, 1400);
        path_mtu_said(tcp, &addr, 1300);
        path_mtu_said(tcp, &addr, 1450);
        assert_int_equal(path_mtu_lookup(tcp, &addr), 1300);
        assert_int_equal(path_mtu_lookup(tcp, &other), 0);
        tcp_tick(tcp, 1000000000 + (PATH_MTU_AGE_SEC - 1) * 1000000ull);
        assert_int_equal(path_mtu_lookup(tcp, &addr), 1300);
        tcp_tick(tcp, 1000000000 + PATH_MTU_AGE_SEC * 1000000ull);
        assert_int_equal(path_mtu_lookup(tcp, &addr), 0);
        path_mtu_said(tcp, &addr, 1450); /* the old word is no longer good */
        assert_int_equal(path_mtu_lookup(tcp, &addr), 1450);
        tcp_free(tcp);
}

static struct tcp_conn *open_conn(struct tcp *tcp, uint32_t number)
{
        struct addr local = numbered_addr(UINT32_MAX), remote = numbered_addr(number);
        struct tcp_handle handle;
        struct tcp_conn *conn;

        assert_int_equal(tcp_connect(tcp, &local, 1, &remote, 25, 0, tcp->now_us, &handle), 0);
        conn = &tcp->conns[handle.index];
        conn->state = TCP_ST_ESTABLISHED;
        conn->flags &= ~CONN_TIMESTAMPS;
        conn->mss = 1440;
        return conn;
}

/* More connections than can wait to grow: the rest stay small, and those that ended meanwhile hurt nobody. */
static void test_many_small(void **state)
{
        const uint32_t n = PATH_MTU_SMALL_MAX + 100;
        struct tcp *tcp = new_endpoint(2 * n);
        struct tcp_conn **conns = calloc(n, sizeof(*conns));
        unsigned grown = 0;

        assert_non_null(conns);
        for (uint32_t i = 0; i < n; i++) {
                conns[i] = open_conn(tcp, i);
                assert_true(path_mtu_limit(tcp, conns[i], 1280));
                assert_false(path_mtu_limit(tcp, conns[i], 1280)); /* no news */
                assert_int_equal(conns[i]->mss, 1220);
        }
        for (uint32_t i = 0; i < n; i += 2) { /* half of them end, and others take their places */
                conn_over(tcp, conns[i], 0);
                tcp_close(tcp, (struct tcp_handle){ conn_index(tcp, conns[i]), conns[i]->generation });
        }
        for (uint32_t i = 0; i < n; i += 2)
                (conns[i] = open_conn(tcp, n + i))->mss = 1111;
        for (unsigned i = 0; i < n / PATH_MTU_TICK_MAX + 1; i++)
                path_mtu_tick(tcp);
        assert_int_equal(conns[1]->mss, 1220); /* not due */
        tcp->now_ms += PATH_MTU_AGE_SEC * 1000ull;
        path_mtu_tick(tcp);
        for (uint32_t i = 1; i < n; i += 2)
                grown += conns[i]->mss == 1440;
        assert_in_range(grown, 1, PATH_MTU_TICK_MAX); /* a bounded number at a time */
        for (unsigned i = 0; i < n / PATH_MTU_TICK_MAX + 1; i++)
                path_mtu_tick(tcp);
        for (uint32_t i = 1; i < n; i += 2)
                assert_int_equal(conns[i]->mss, i < PATH_MTU_SMALL_MAX ? 1440 : 1220);
        for (uint32_t i = 0; i < n; i += 2)
                assert_int_equal(conns[i]->mss, 1111);
        free(conns);
        tcp_free(tcp);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connections),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_smaller_word_counts),
                cmocka_unit_test(test_many_small),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
