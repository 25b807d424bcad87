/* SPDX-License-Identifier: Apache-2.0 */
/* Receive and send queues, windows, budgets, bytes by reference, and an empty pool. */
#include "tests/unit/tcp_pair.h"

static void test_window(void **state)
{
        static const struct script_case cases[] = {
                { "shrinks only as bytes arrive: the right edge does not move left",
                  .lines = { OPEN_PLAIN, "window 1000", "> none", "< . 1:1460 ack 1", "event DATA", "read 1460", "+40",
                             "> . 1:0 ack 1461 win 6732", "< . 1461:1460 ack 1", "read 1460", "+40", "> . 1:0 ack 2921 win 5272" } },
                { "grows at once", .lines = { OPEN_PLAIN, "window 60000", "> . 1:0 ack 1 win 60000" } },
                { "no silly small opening",
                  .set = { .window_bytes = 4000 },
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "< . 1461:1460 ack 1", "> . 1:0 ack 2921 win 1080", "event DATA",
                             "< . 2921:1080 ack 1", "+40", "> . 1:0 ack 4001 win 0", "event DATA", "read 100", "> none", "read 1300",
                             "> none", "read 100", "> . 1:0 ack 4001 win 1500" } },
                { "a byte into a closed window: answered, not taken",
                  .set = { .window_bytes = 1460 },
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "+40", "> . 1:0 ack 1461 win 0", "< . 1461:1 ack 1",
                             "> . 1:0 ack 1461 win 0", "event DATA", "peek 1460" } },
                { "at a closed window an ACK still counts (MUST-66)",
                  .set = { .window_bytes = 1460 },
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "+40", "> . 1:0 ack 1461 win 0", "send 10", "> P. 1:10",
                             "< . 1461:1 ack 11", "> . 11:0 ack 1461 win 0", "+3000", "> none" } },
                { "and so does RST",
                  .set = { .window_bytes = 1460 },
                  .lines = { OPEN_PLAIN, "< . 1:1460 ack 1", "+40", "> . 1:0 ack 1461 win 0", "< R 1461:0", "event DATA,RESET" } },
                { "scaled, and rounded up rather than back",
                  .lines = { "< S 0:0 win 65535 mss 1460 ws 7", "> S. 0:0 ack 1 ws 5 win 8192", "< . 1:0 ack 1", "event OPENED",
                             "< P. 1:1 ack 1", "+40", "> . 1:0 ack 2 win 256", "event DATA", "read 1" } },
        };

        SCRIPT_RUN_ALL(cases);
}

static void test_send_queue(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;
        struct tcp_stats stats;
        uint32_t sent = 0, read = 0, told = 0;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4, .send_bytes_max = 10000, .window_bytes = 2000 });
        pair_open(&pair, 1000, &c, &s);
        /* Small writes share a packet. */
        for (unsigned i = 0; i < 10; i++, sent += 20)
                assert_true(pair_send(pair.server, s, sent, 20));
        tcp_stats(pair.server, &stats);
        assert_int_equal(stats.packets_held, 1);
        /* All or nothing. */
        assert_int_equal(tcp_send_room(pair.server, s), 9800);
        assert_false(pair_send(pair.server, s, sent, 9801));
        assert_true(pair_send(pair.server, s, sent, 9800));
        assert_false(pair_send(pair.server, s, sent, 1));
        pair_run(&pair, 0);
        pair_event(pair.client, TCP_EV_DATA);
        /* The reader goes on: room is told once, when half is free. */
        for (unsigned turn = 0; read < 10000 && turn < 100; turn++) {
                uint32_t len = tcp_recv_bytes(pair.client, c);
                bool half = tcp_send_room(pair.server, s) >= 5000;
                struct tcp_event event;

                pair_read(pair.client, c, read, len);
                read += len;
                if (tcp_next_event(pair.server, &event)) {
                        assert_int_equal(event.bits, TCP_EV_ROOM);
                        assert_true(half);
                        told++;
                }
                pair_run(&pair, 1000);
        }
        assert_int_equal(read, 10000);
        assert_int_equal(told, 1);
        pair_run(&pair, 50);
        assert_int_equal(tcp_send_room(pair.server, s), 10000);
        pair_done(&pair);
}

/* Bytes from one connection to another: whole packets, parts of packets, small pieces, more than fits. */
static void test_move(void **state)
{
        static const uint32_t steps[] = { 1, 255, 256, 257, 1000, 1460, 3000, 100000 };

        for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
                struct pair pair;
                struct tcp_handle in, out, from, to;
                struct tcp_stats stats;
                uint32_t total = 40000, sent = 0, moved = 0, read = 0;

                pair_init(&pair, (struct tcp_settings){ .connections_max = 4, .send_bytes_max = 8000, .window_bytes = 20000 });
                pair_open(&pair, 1000, &in, &from);
                pair_open(&pair, 1001, &out, &to);
                while (read < total) {
                        uint32_t part = MIN(total - sent, MIN(tcp_send_room(pair.client, in), 5000u)), n;

                        if (part) {
                                assert_true(pair_send(pair.client, in, sent, part));
                                sent += part;
                        }
                        pair_run(&pair, 1);
                        while ((n = tcp_send_move(pair.server, from, to, steps[i])) > 0) {
                                assert_true(n <= steps[i]);
                                moved += n;
                        }
                        assert_int_equal(tcp_recv_bytes(pair.server, from) + tcp_send_room(pair.server, to) > 0, true);
                        pair_run(&pair, 1);
                        n = tcp_recv_bytes(pair.client, out);
                        pair_read(pair.client, out, read, n);
                        read += n;
                }
                assert_int_equal(moved, total);
                pair_run(&pair, 3000);
                tcp_stats(pair.server, &stats);
                assert_int_equal(stats.packets_held, 0);
                pair_done(&pair);
        }
}

/* A connection may be sent back to itself. */
static void test_move_to_self(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        assert_true(pair_send(pair.client, c, 0, 5000));
        pair_run(&pair, 0);
        assert_int_equal(tcp_send_move(pair.server, s, s, 5000), 5000);
        pair_run(&pair, 0);
        pair_read(pair.client, c, 0, 5000);
        pair_done(&pair);
}

/* Spans and copies see the same bytes as peeking does. */
static void test_spans(void **state)
{
        struct pair pair;
        struct tcp_handle c, s;
        struct tcp_span spans[8];
        uint8_t copy[5000];
        uint32_t at = 0;
        unsigned n;

        pair_init(&pair, (struct tcp_settings){ .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        assert_true(pair_send(pair.client, c, 0, 4500));
        pair_run(&pair, 0);
        n = tcp_recv_spans(pair.server, s, spans, 8);
        assert_true(n >= 2);
        for (unsigned i = 0; i < n; i++)
                for (uint32_t b = 0; b < spans[i].len; b++)
                        assert_int_equal(spans[i].bytes[b], script_byte(at++));
        assert_int_equal(at, 4500);
        assert_int_equal(tcp_recv_spans(pair.server, s, spans, 1), 1);
        assert_int_equal(tcp_recv_copy(pair.server, s, copy, sizeof(copy)), 4500);
        for (uint32_t b = 0; b < 4500; b++)
                assert_int_equal(copy[b], script_byte(b));
        assert_int_equal(tcp_recv_copy(pair.server, s, copy, 2000), 2000);
        assert_int_equal(tcp_recv_consume(pair.server, s, 100000), 4500);
        pair_done(&pair);
}

/* What is kept above a hole is bounded in packets and in pieces. */
static void test_reorder_bounds(void **state)
{
        static const struct {
                const char *name;
                uint32_t count, len, gap;
                uint32_t want_held;
        } cases[] = {
                { "pieces", 40, 100, 100, TCP_REORDER_RANGES_MAX },
                { "packets", 100, 300, 0, TCP_REORDER_PACKETS_MAX },
                { "small ones share packets", 200, 50, 0, 5 },
        };

        static const char *const open[] = { OPEN_SACK, NULL };

        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
                struct script_case script = { .name = cases[i].name, .set = { .window_bytes = 60000 } };
                static char lines[220][64];
                unsigned n = 0;

                for (; open[n]; n++)
                        script.lines[n] = open[n];

                for (uint32_t p = 0; p < cases[i].count; p++) {
                        snprintf(lines[p], sizeof(lines[p]), "< . %u:%u ack 1", 101 + p * (cases[i].len + cases[i].gap), cases[i].len);
                        script.lines[n++] = lines[p];
                        script.lines[n++] = "drain";
                }
                snprintf(lines[210], sizeof(lines[210]), "held %u", cases[i].want_held);
                script.lines[n++] = lines[210];
                script_failures = 0;
                script_try(&script);
                assert_int_equal(script_failures, 0);
        }
}

/* Byte by byte into a full queue: rounding the scaled window up must not let the edge creep on. */
static void test_no_creep(void **state)
{
        static struct script_case script = { .name = "no creep",
                                             .lines = { "< S 0:0 win 65535 mss 1460 ws 7", "> S. 0:0 ack 1 ws 5", "< . 1:0 ack 1",
                                                        "event OPENED" } };
        static char lines[106][64];
        unsigned n = 4;

        for (unsigned i = 0; i < 106; i++) {
                if (i < 5)
                        snprintf(lines[i], sizeof(lines[i]), "< . %u:1460 ack 1", 1 + 1460 * i);
                else if (i == 5)
                        snprintf(lines[i], sizeof(lines[i]), "< . 7301:891 ack 1");
                else
                        snprintf(lines[i], sizeof(lines[i]), "< . %u:1 ack 1", 8192 + i - 6);
                script.lines[n++] = lines[i];
                script.lines[n++] = "drain";
                script.lines[n++] = "+40"; /* each is acknowledged on its own */
                script.lines[n++] = "drain";
        }
        /* The bound is 8192, and rounding up adds less than a step of 32. */
        script.lines[n++] = "peek 8223";
        script_failures = 0;
        script_try(&script);
        assert_int_equal(script_failures, 0);
}

/* Nobody reads, the peer sends on: swallowed up to TCP_DRAIN_BYTES_MAX, then RST. */
static void test_drain_bound(void **state)
{
        static struct script_case script = { .name = "drain bound",
                                             .lines = { OPEN_PLAIN, "close", "> F. 1:0 ack 1", "< . 1:0 ack 2" } };
        static char lines[TCP_DRAIN_BYTES_MAX / 1460 + 1][64];
        unsigned n = 7;

        for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
                if (i + 1 == ARRAY_LEN(lines))
                        script.lines[n++] = "conns 1";
                snprintf(lines[i], sizeof(lines[i]), "< . %u:1460 ack 2", 1 + 1460 * i);
                script.lines[n++] = lines[i];
                if (i + 1 < ARRAY_LEN(lines))
                        script.lines[n++] = "drain";
        }
        script.lines[n++] = "> R. 2:0";
        script.lines[n++] = "conns 0";
        script_failures = 0;
        script_try(&script);
        assert_int_equal(script_failures, 0);
}

/* Too many packets held: what is out of order goes first, nothing is acknowledged that was dropped, and it recovers. */
static void test_budget(void **state)
{
        struct pair pair;
        struct tcp_handle c[8], s[8];
        struct tcp_stats stats;
        uint32_t read[8] = { 0 };

        pair_init(&pair, (struct tcp_settings){ .connections_max = 16, .packets_held_max = 40, .window_bytes = 60000,
                                                .send_bytes_max = 60000 });
        for (unsigned i = 0; i < 8; i++)
                pair_open(&pair, (uint16_t)(1000 + i), &c[i], &s[i]);
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(pair_send(pair.client, c[i], 0, 8000), i < 8);
        for (unsigned turn = 0; turn < 200; turn++) {
                pair_run(&pair, 100);
                tcp_stats(pair.server, &stats);
                assert_true(stats.packets_held <= 40);
                for (unsigned i = 0; i < 8; i++) {
                        uint32_t n = MIN(tcp_recv_bytes(pair.server, s[i]), 700u);

                        pair_read(pair.server, s[i], read[i], n);
                        read[i] += n;
                }
        }
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(read[i], 8000);
        pair_done(&pair);
}

/* A pool that is empty for a while: nothing is lost, nothing crashes, and it goes on. */
static void test_empty_pool(void **state)
{
        struct rte_mempool *small = rte_pktmbuf_pool_create("small", 127, 0, PACKET_PRIV_BYTES, 2048 + PACKET_HEADROOM, 0);
        struct packet *hostages[127];
        struct pair pair;
        struct tcp_handle c, s;
        unsigned n = 0;
        uint32_t read = 0;

        assert_non_null(small);
        pair_init(&pair, (struct tcp_settings){ .pool = small, .connections_max = 4 });
        pair_open(&pair, 1000, &c, &s);
        assert_true(pair_send(pair.client, c, 0, 6000));
        while ((hostages[n] = packet_new(small)) != NULL)
                n++;
        pair_run(&pair, 100);
        assert_int_equal(tcp_recv_bytes(pair.server, s), 0);
        assert_true(pair.counters[0][COUNTER_tcp_output_starved] > 0);
        assert_false(pair_send(pair.server, s, 0, 100));
        while (n > 0)
                packet_free(hostages[--n]);
        while (read < 6000) {
                uint32_t part;

                pair_run(&pair, 1000);
                part = tcp_recv_bytes(pair.server, s);
                pair_read(pair.server, s, read, part);
                read += part;
        }
        assert_true(pair_send(pair.server, s, 0, 100));
        tcp_free(pair.client);
        tcp_free(pair.server);
        assert_int_equal(rte_mempool_in_use_count(small), 0);
        rte_mempool_free(small);
}

/* Large payload is chained unless the port cannot take that; the checksum may be left to it. */
static void test_output_forms(void **state)
{
        for (unsigned form = 0; form < 4; form++) {
                struct pair pair;
                struct tcp_handle c, s;
                struct packet *packets[8];
                unsigned n;

                pair_init(&pair, (struct tcp_settings){ .connections_max = 4, .linear_only = form & 1, .checksum_offload = form & 2 });
                pair_open(&pair, 1000, &c, &s);
                assert_true(pair_send(pair.client, c, 0, 1448 + 100));
                n = tcp_output(pair.client, packets, 8, pair.now_us);
                assert_int_equal(n, 2);
                assert_int_equal(packet_chained(packets[0]) != NULL, !(form & 1));
                assert_null(packet_chained(packets[1])); /* small: copied in any case */
                for (unsigned i = 0; i < n; i++) {
                        uint64_t sum = tcp_sum_pseudo(&packet_meta(packets[i])->src, &packet_meta(packets[i])->dst,
                                                      packet_total_len(packets[i]));
                        uint16_t field;

                        assert_int_equal(packet_meta(packets[i])->flags & PACKET_L4_PSEUDO, form & 2 ? PACKET_L4_PSEUDO : 0);
                        memcpy(&field, packet_data(packets[i]) + 16, 2);
                        if (form & 2)
                                assert_int_equal(field, tcp_sum_fold(sum));
                        packet_free(packets[i]);
                }
                pair_done(&pair);
        }
}

/* What a connection holds while it waits: nothing. */
static void test_rest(void **state)
{
        static const struct script_case cases[] = {
                { "unread bytes", .lines = { OPEN_PLAIN, "flights 0", "< . 1:10 ack 1", "event DATA", "flights 1", "read 10",
                                             "flights 0", "+50", "> . 1:0 ack 11", "flights 0" } },
                { "bytes on their way",
                  .lines = { OPEN_PLAIN, "send 10", "> P. 1:10", "flights 1", "< . 1:0 ack 6", "flights 1",
                             "< . 1:0 ack 11", "flights 0" } },
                { "bytes that wait for the window",
                  .lines = { OPEN_PLAIN, "< . 1:0 ack 1 win 0", "send 10", "> none", "flights 1", "< . 1:0 ack 1 win 500",
                             "> P. 1:10", "< . 1:0 ack 11", "flights 0" } },
                { "bytes out of order",
                  .lines = { OPEN_PLAIN, "< . 11:10 ack 1", "> . 1:0 ack 1", "flights 1", "< . 1:10 ack 1", "> . 1:0 ack 21",
                             "event DATA", "read 20", "flights 0" } },
                { "a FIN out of order, then a reset",
                  .lines = { OPEN_PLAIN, "< F. 11:0 ack 1", "> . 1:0 ack 1", "flights 1", "< R 1:0", "event RESET",
                             "flights 0" } },
                { "our FIN", .lines = { OPEN_PLAIN, "shutdown", "> F. 1:0", "flights 1", "< . 1:0 ack 2", "flights 0" } },
                { "over, with bytes to read",
                  .lines = { OPEN_PLAIN, "< . 1:10 ack 1", "< R 11:0", "event DATA,RESET", "flights 1", "event none",
                             "conns 0", "flights 0" } },
                { "our SYN", .lines = { "connect", "> SEW 0:0 mss 1460 ws 5 sok ts", "flights 1", "< S. 0:0 ack 1 mss 1460",
                                        "> . 1:0 ack 1", "event CONNECTED", "flights 0" } },
        };

        SCRIPT_RUN_ALL(cases);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_window),         cmocka_unit_test(test_send_queue),   cmocka_unit_test(test_move),
                cmocka_unit_test(test_move_to_self),   cmocka_unit_test(test_spans),        cmocka_unit_test(test_reorder_bounds),
                cmocka_unit_test(test_budget),         cmocka_unit_test(test_no_creep),     cmocka_unit_test(test_drain_bound), cmocka_unit_test(test_empty_pool),   cmocka_unit_test(test_output_forms),
                cmocka_unit_test(test_rest),
        };

        return cmocka_run_group_tests(tests, script_setup, NULL);
}
