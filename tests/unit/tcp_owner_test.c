/* SPDX-License-Identifier: Apache-2.0 */
/* Handles, events and what an owner may do in any order; settings. */
#include <errno.h>

#include "tests/unit/tcp_pair.h"

/* A handle that is stale or made up does nothing, anywhere. */
static void check_stale(struct tcp *tcp, struct tcp_handle conn, struct tcp_handle good)
{
        struct tcp_info info;
        struct tcp_span span;
        uint32_t len = 5;
        char byte;

        assert_int_equal(tcp_recv_bytes(tcp, conn), 0);
        assert_null(tcp_recv_peek(tcp, conn, &len));
        assert_int_equal(len, 0);
        assert_int_equal(tcp_recv_spans(tcp, conn, &span, 1), 0);
        assert_int_equal(tcp_recv_copy(tcp, conn, &byte, 1), 0);
        assert_int_equal(tcp_recv_consume(tcp, conn, 1), 0);
        tcp_recv_window_set(tcp, conn, 1);
        assert_int_equal(tcp_send_room(tcp, conn), 0);
        assert_false(tcp_send_copy(tcp, conn, "x", 1));
        assert_int_equal(tcp_send_move(tcp, conn, good, 1), 0);
        assert_int_equal(tcp_send_move(tcp, good, conn, 1), 0);
        tcp_shutdown(tcp, conn);
        tcp_close(tcp, conn);
        tcp_abort(tcp, conn);
        assert_false(tcp_owner_set(tcp, conn, 1));
        assert_false(tcp_info(tcp, conn, &info));
}

static void test_stale_handles(void **state)
{
        struct pair pair;
        struct tcp_handle c, s, c2, s2;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        pair_open(&pair, 1001, &c2, &s2);
        check_stale(pair.server, (struct tcp_handle){ 0, 0 }, s2);
        check_stale(pair.server, (struct tcp_handle){ s.index, s.generation + 1 }, s2);
        check_stale(pair.server, (struct tcp_handle){ s.index, s.generation + 2 }, s2);
        check_stale(pair.server, (struct tcp_handle){ 3, 1 }, s2);
        check_stale(pair.server, (struct tcp_handle){ UINT32_MAX, 1 }, s2);
        tcp_abort(pair.server, s);
        check_stale(pair.server, s, s2);
        pair_run(&pair, 0);
        pair_event(pair.client, TCP_EV_RESET);
        /* The slot is used again; the old name stays dead. */
        tcp_close(pair.client, c);
        check_stale(pair.client, c, c2);
        pair_open(&pair, 1002, &c, &s);
        tcp_close(pair.client, c);
        check_stale(pair.client, c, c2);
        pair_done(&pair);
}

static void test_final_event(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;
        struct tcp_event event;
        struct tcp_info info;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        assert_true(tcp_owner_set(pair.server, s, 0x1234567890));
        assert_true(pair_send(pair.client, c, 0, 100));
        pair_run(&pair, 0);
        tcp_abort(pair.client, c);
        pair_run(&pair, 0);
        assert_true(tcp_next_event(pair.server, &event));
        assert_int_equal(event.bits, TCP_EV_DATA | TCP_EV_RESET);
        assert_true(event.owner == 0x1234567890);
        assert_int_equal(event.recv_bytes, 100);
        /* Until the next call it can be read and asked about. */
        pair_read(pair.server, s, 0, 100);
        assert_true(tcp_info(pair.server, s, &info));
        assert_int_equal(info.bytes_in, 100);
        assert_int_equal(info.state, TCP_ST_CLOSED);
        assert_false(pair_send(pair.server, s, 0, 1));
        assert_false(tcp_next_event(pair.server, &event));
        assert_false(tcp_info(pair.server, s, &info));
        /* Closing in between is allowed, and harmless. */
        pair_open(&pair, 1001, &c, &s);
        tcp_abort(pair.client, c);
        pair_run(&pair, 0);
        pair_event(pair.server, TCP_EV_RESET);
        tcp_close(pair.server, s);
        assert_false(tcp_next_event(pair.server, &event));
        pair_done(&pair);
}

/* After tcp_close() no event comes, whatever was waiting to be told. */
static void test_no_event_after_close(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;
        struct tcp_event event;
        struct tcp_stats stats;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        assert_true(pair_send(pair.client, c, 0, 100));
        pair_run(&pair, 0);
        tcp_close(pair.server, s);
        assert_false(tcp_next_event(pair.server, &event));
        pair_run(&pair, 0);
        pair_event(pair.client, TCP_EV_EOF);
        assert_true(pair_send(pair.client, c, 0, 5000));
        tcp_shutdown(pair.client, c);
        pair_run(&pair, 100);
        assert_false(tcp_next_event(pair.server, &event));
        pair_event(pair.client, TCP_EV_CLOSED);
        tcp_stats(pair.server, &stats);
        assert_int_equal(stats.connections, 0);
        assert_int_equal(stats.timewait, 1);
        assert_int_equal(stats.packets_held, 0);
        pair_done(&pair);
}

static void test_connect_limits(void **state)
{
        struct pair pair;
        struct tcp_handle c, s, other;
        struct addr a, b;

        assert_int_equal(addr_parse("198.18.0.1", &a), 0);
        assert_int_equal(addr_parse("198.18.0.2", &b), 0);
        pair_init(&pair, (struct tcp_settings){ .connections_max = 2 });
        pair_open(&pair, 1000, &c, &s);
        assert_int_equal(tcp_connect(pair.client, &a, 1000, &b, 25, 0, pair.now_us, &other), -EADDRINUSE);
        assert_int_equal(tcp_connect(pair.client, &a, 1001, &b, 25, 0, pair.now_us, &other), 0);
        assert_int_equal(tcp_connect(pair.client, &a, 1002, &b, 25, 0, pair.now_us, &other), -ENOSPC);
        pair_done(&pair);
}

/* An idle endpoint has nothing to do, and an idle connection holds nothing. */
static void test_idle(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;
        struct tcp_stats stats;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        assert_true(tcp_next_due_us(pair.server) == UINT64_MAX);
        pair_open(&pair, 1000, &c, &s);
        assert_true(pair_send(pair.server, s, 0, 3000));
        pair_run(&pair, 0);
        pair_event(pair.client, TCP_EV_DATA);
        pair_read(pair.client, c, 0, 3000);
        pair_run(&pair, 2000);
        assert_true(tcp_next_due_us(pair.server) == UINT64_MAX);
        assert_true(tcp_next_due_us(pair.client) == UINT64_MAX);
        tcp_stats(pair.server, &stats);
        assert_int_equal(stats.packets_held, 0);
        assert_int_equal(stats.connections, 1);
        tcp_stats(pair.client, &stats);
        assert_int_equal(stats.packets_held, 0);
        /* Something to send is due at once. */
        assert_true(pair_send(pair.server, s, 0, 1));
        assert_true(tcp_next_due_us(pair.server) <= pair.now_us);
        pair_done(&pair);
}

static void test_settings(void **state)
{
        static const struct {
                const char *name;
                struct tcp_settings set;
                bool want;
        } cases[] = {
                { "defaults", { .mtu_v4 = 0 }, true },
                { "MTU below IPv6's least", { .mtu_v6 = 1279 }, false },
                { "MTU below ours for IPv4", { .mtu_v4 = 500 }, false },
                { "window above its most", { .window_bytes = 5000, .window_max_bytes = 4000 }, false },
                { "window most absurd", { .window_max_bytes = 1u << 30 }, false },
                { "more connections than an index", { .connections_max = 1u << 30 }, false },
                { "hardly a packet", { .packets_held_max = 2 }, false },
                { "a million connections", { .connections_max = 1000000 }, true },
        };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                uint64_t counters[COUNTER_USED] = { 0 };
                struct tcp_settings set = cases[i].set;
                struct tcp *tcp;

                set.pool = script_pool;
                set.counters = counters;
                tcp = tcp_new(&set);
                if ((tcp != NULL) != cases[i].want)
                        fail_msg("%s", cases[i].name);
                tcp_free(tcp);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stale_handles),  cmocka_unit_test(test_final_event), cmocka_unit_test(test_no_event_after_close),
                cmocka_unit_test(test_connect_limits), cmocka_unit_test(test_idle),        cmocka_unit_test(test_settings),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
